import Glibc
import TransparentSockets

// Says where each intercepted connection was going, and sends the client what the server there says first to a request for "/".

let mark: UInt32 = 0x100_0000  // The rules skip our own connections by it.

/// At once, also into a file.
func say(_ text: String) {
    print(text)
    fflush(nil)
}

/// Sockets do not block: waits until one can be read, or ten seconds.
func wait(for descriptor: borrowing Descriptor) {
    var entry = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
    poll(&entry, 1, 10_000)
}

func serve(_ connection: borrowing AcceptedConnection) throws(SocketError) {
    let destination = try connection.originalDestination()
    say("\(connection.client) wants \(destination)")

    var dialling = DialOptions()
    dialling.mark = mark
    dialling.source = .address(connection.client.value.address)  // The server sees the client's address.
    let upstream = try dial(UpstreamAddress(destination.value), dialling, within: .seconds(10))

    let request = "GET / HTTP/1.0\r\n\r\n"
    send(upstream.raw, request, request.utf8.count, 0)
    var bytes = [UInt8](repeating: 0, count: 65_536)
    while true {
        wait(for: upstream)
        let count = recv(upstream.raw, &bytes, bytes.count, 0)
        guard count > 0 else { break }
        send(connection.descriptor.raw, bytes, count, 0)
    }
    // Here the upstream's socket closes, and in the loop below the client's: their owners go out of scope.
}

signal(SIGPIPE, SIG_IGN)  // A client that has left is no reason to end.

do throws(SocketError) {
    var listening = ListenerOptions(mode: .tproxy)
    listening.mark = mark
    let listener = try TransparentListener(ListenAddress(SocketAddress("[::]:1081")!), listening)
    while true {
        wait(for: listener.descriptor)
        do throws(SocketError) {
            guard let connection = try listener.accept() else { continue }
            try serve(connection)
        } catch {
            say("\(error)")  // Neither is one connection that fails.
        }
    }
} catch {
    say("\(error)")
    exit(71)
}
