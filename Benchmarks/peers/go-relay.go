// A relay as people write one in Go, and as transocks does its work: REDIRECT, SO_ORIGINAL_DST, a SOCKS5 dial, one goroutine
// and one io.Copy for each direction (which splices between TCP sockets), two log records for each connection.
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const soOriginalDst = 80

func main() {
	listen := flag.String("listen", ":1081", "where connections are redirected to")
	proxy := flag.String("proxy", "", "the SOCKS5 proxy")
	logFile := flag.String("log", "/dev/null", "where records go")
	flag.Parse()
	file, err := os.OpenFile(*logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	log.SetOutput(file)
	listener, err := net.Listen("tcp4", *listen)
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Print(err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go serve(client.(*net.TCPConn), *proxy)
	}
}

func serve(client *net.TCPConn, proxy string) {
	defer client.Close()
	started := time.Now()
	destination, err := originalDestination(client)
	if err != nil {
		log.Printf("client_addr=%v error=%v", client.RemoteAddr(), err)
		return
	}
	upstream, err := dial(proxy, destination)
	if err != nil {
		log.Printf("client_addr=%v dest_addr=%v error=%v", client.RemoteAddr(), destination, err)
		return
	}
	defer upstream.Close()
	log.Printf("proxy starts client_addr=%v dest_addr=%v", client.RemoteAddr(), destination)
	var both sync.WaitGroup
	both.Add(2)
	go relay(upstream, client, &both)
	go relay(client, upstream, &both)
	both.Wait()
	log.Printf("proxy ends client_addr=%v dest_addr=%v elapsed=%v", client.RemoteAddr(), destination, time.Since(started))
}

func relay(to, from *net.TCPConn, done *sync.WaitGroup) {
	defer done.Done()
	io.Copy(to, from)
	to.CloseWrite()
	from.CloseRead()
}

func originalDestination(client *net.TCPConn) (netip.AddrPort, error) {
	raw, err := client.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var address syscall.RawSockaddrInet4
	var failed syscall.Errno
	err = raw.Control(func(descriptor uintptr) {
		size := uint32(unsafe.Sizeof(address))
		_, _, failed = syscall.Syscall6(syscall.SYS_GETSOCKOPT, descriptor, syscall.IPPROTO_IP, soOriginalDst,
			uintptr(unsafe.Pointer(&address)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err == nil && failed != 0 {
		err = failed
	}
	port := (*[2]byte)(unsafe.Pointer(&address.Port))
	return netip.AddrPortFrom(netip.AddrFrom4(address.Addr), binary.BigEndian.Uint16(port[:])), err
}

// dial asks the proxy for destination, one step after the other.
func dial(proxy string, destination netip.AddrPort) (*net.TCPConn, error) {
	dialer := net.Dialer{KeepAlive: 3 * time.Minute}
	connection, err := dialer.Dial("tcp", proxy)
	if err != nil {
		return nil, err
	}
	upstream := connection.(*net.TCPConn)
	address := destination.Addr().As4()
	request := append([]byte{5, 1, 0, 1}, address[:]...)
	request = binary.BigEndian.AppendUint16(request, destination.Port())
	for _, step := range []struct {
		send   []byte
		answer int
		status byte
	}{{[]byte{5, 1, 0}, 2, 0}, {request, 10, 0}} {
		answer := make([]byte, step.answer)
		if _, err = upstream.Write(step.send); err == nil {
			_, err = io.ReadFull(upstream, answer)
		}
		if err == nil && answer[1] != step.status {
			err = errors.New("the proxy refused")
		}
		if err != nil {
			upstream.Close()
			return nil, err
		}
	}
	return upstream, nil
}
