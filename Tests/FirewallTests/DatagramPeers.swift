import CSockets
import Glibc
import Testing
import TransparentSockets

@testable import Firewall

/// Python programs that send and receive datagrams, and the three hosts between which they go:
///
///     client 10.1.0.2, fd01::2 – eth1 router eth2 – 10.2.0.8, 10.2.0.9, fd02::9 server
final class DatagramStage {
    let client: Namespace
    let router: Namespace
    let server: Namespace
    private var running: [(program: String, pid: pid_t)] = []
    /// Descriptors of what the programs say and are told.
    private var held: [Int32] = []

    init() throws {
        (client, router, server) = (try Namespace(), try Namespace(), try Namespace())
        try hostShell(
            """
            set -e
            # Nobody waits a second for link-local addresses to be found free: neighbours are asked from them.
            for host in \(client.name) \(router.name) \(server.name); do
                ip netns exec $host sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
            done
            ip link add eth0 netns \(client.name) type veth peer name eth1 netns \(router.name)
            ip link add eth0 netns \(server.name) type veth peer name eth2 netns \(router.name)
            add() { ip -n "$1" addr add "$3" dev "$2" $4; ip -n "$1" link set "$2" up; }
            add \(client.name) eth0 10.1.0.2/24; add \(client.name) eth0 fd01::2/64 nodad
            add \(router.name) eth1 10.1.0.1/24; add \(router.name) eth1 fd01::1/64 nodad
            add \(router.name) eth2 10.2.0.1/24; add \(router.name) eth2 fd02::1/64 nodad
            add \(server.name) eth0 10.2.0.9/24; add \(server.name) eth0 fd02::9/64 nodad; add \(server.name) eth0 10.2.0.8/24
            for host in "\(client.name) 1" "\(server.name) 2"; do
                set -- $host
                ip -n $1 route add default via 10.$2.0.1; ip -n $1 -6 route add default via fd0$2::1
            done
            ip -n \(router.name) route add default via 10.2.0.9
            ip netns exec \(router.name) sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
            """)
    }

    deinit {
        for (_, pid) in running {
            kill(pid, SIGKILL)
            reap(pid)
        }
        for raw in held { close(raw) }
    }

    /// The kernel's checks of where packets come from, which other programs set: all off, or all on and by the mark.
    func checkSources(_ strict: Bool) throws {
        let value = strict ? 1 : 0
        let names = ["all", "default", "lo", "eth1", "eth2"].flatMap {
            ["net.ipv4.conf.\($0).src_valid_mark=\(value)", "net.ipv4.conf.\($0).rp_filter=\(value)"]
        }
        try router.shell("sysctl -qw \(names.joined(separator: " "))")
    }

    /// Starts a program and waits until it says that it is ready.
    ///
    /// - Returns: what it has said so far, whenever it is asked.
    @discardableResult
    func start(
        _ program: String, in namespace: Namespace, _ arguments: [String] = [], input: Int32? = nil
    ) throws -> () -> String {
        let raw = try memoryFile("").release()
        held.append(raw)
        let pid = try namespace.run {
            try Tool.find("python3").spawn(["-c", peers, program] + arguments, descriptors: [input ?? raw, raw, raw])
        }
        running.append((program, pid))
        let said = { fileText("/proc/self/fd/\(raw)") ?? "" }
        while !said().contains("ready\n") {
            var status: Int32 = 0
            if waitpid(pid, &status, WNOHANG) != 0 {
                running.removeLast()
                throw CommandFailed(text: "\(program): \(said())")
            }
            usleep(1000)
        }
        return said
    }

    /// One socket that asks one destination after the other.
    ///
    /// - Returns: asks the next one, and says what was answered.
    func talk(from namespace: Namespace, _ destinations: [String]) throws -> () -> String {
        let pipe = try Pipe()
        let input = pipe.reader.raw
        let said = try start("talk", in: namespace, destinations, input: input)
        let writer = pipe.keepWriter().release()
        held.append(writer)
        var count = said().split(separator: "\n").count
        return {
            _ = "\n".withCString { write(writer, $0, 1) }
            var lines: [Substring] = []
            repeat {
                usleep(1000)
                lines = said().split(separator: "\n")
            } while lines.count == count
            count = lines.count
            return String(lines[count - 1])
        }
    }

    func end(_ program: String) {
        for (_, pid) in running.filter({ $0.program == program }) {
            kill(pid, SIGKILL)
            reap(pid)
        }
        running.removeAll { $0.program == program }
    }

    /// Sends a datagram to each destination, one after the other, and expects who answers what.
    ///
    /// - Parameter expected: for `ADDRESS,PORT` or `ADDRESS,PORT,SOURCEPORT` the answer; one that ends in `*` is its beginning.
    func expect(
        from namespace: Namespace, _ expected: KeyValuePairs<String, String>, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let text = try namespace.run {
            try Tool.find("python3").run(["-c", peers, "ask"] + expected.map(\.key)).checked("ask")
        }
        let answers = text.split(separator: "\n").map(String.init)
        try #require(answers.count == expected.count, "\(text)", sourceLocation: sourceLocation)
        for (answer, (destination, wanted)) in zip(answers, expected) {
            let isRight = wanted.hasSuffix("*") ? answer.hasPrefix(wanted.dropLast()) : answer == wanted
            #expect(isRight, "\(destination): \(answer)", sourceLocation: sourceLocation)
        }
    }
}

private let peers = #"""
    import ipaddress, os, select, socket, struct, sys

    MARK, PORT = 0x1000000, 1081
    NOBODY = {socket.AF_INET: '240.0.0.1', socket.AF_INET6: '100::1'}

    def family(address):
        return socket.AF_INET6 if ':' in address else socket.AF_INET

    def bound(address, port, transparent=False, mark=0):
        s = socket.socket(family(address), socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        v6 = s.family == socket.AF_INET6
        if v6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if transparent: s.setsockopt(*((socket.IPPROTO_IPV6, 75) if v6 else (socket.IPPROTO_IP, 19)), 1)
        if mark: s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        s.bind((address, port))
        return s

    def shown(address, port):
        return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'

    def serve(name, endpoints):
        """Answers each datagram with who asked."""
        sockets = [bound(a, int(p)) for a, p in (e.split(',') for e in endpoints)]
        for s in sockets: s.setsockopt(*((socket.IPPROTO_IPV6, 49) if s.family == socket.AF_INET6 else (socket.IPPROTO_IP, 8)), 1)
        print('ready', flush=True)
        while True:
            for s in select.select(sockets, [], [])[0]:
                _, ancillary, _, peer = s.recvmsg(2000, 256)
                # From the address that was asked, as a name server does it.
                level, kind, data = ancillary[0]
                if level == socket.IPPROTO_IP: data = struct.pack('@I4s4s', 0, data[8:12], b'\0' * 4)
                s.sendmsg([f'{name} saw {shown(*peer[:2])}'.encode()], [(level, kind, data)], 0, peer)

    def answer(text, source, peer):
        """As the proxy does: from a socket that is bound to nobody's address, with the original destination as its source."""
        address, port = source
        s = bound(NOBODY[family(address)], port, transparent=True, mark=MARK)
        if s.family == socket.AF_INET:
            info = [(socket.IPPROTO_IP, 8, struct.pack('@I4s4s', 0, socket.inet_aton(address), b'\0' * 4))]
        else:
            info = [(socket.IPPROTO_IPV6, 50, struct.pack('@16sI', socket.inet_pton(s.family, address), 0))]
        s.sendmsg([text.encode()], info, 0, peer)
        return s

    def original(ancillary):
        for level, kind, data in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, 20):
                return socket.inet_ntoa(data[4:8]), struct.unpack('!H', data[2:4])[0]
            if (level, kind) == (socket.IPPROTO_IPV6, 74):
                return socket.inet_ntop(socket.AF_INET6, data[8:24]), struct.unpack('!H', data[2:4])[0]

    def proxy(how, address4='0.0.0.0', address6='::', port=PORT):
        """how: "answers" by itself, or goes on "preserving" the client's address and port and says what came back."""
        listeners, upstreams, kept = [], {}, []
        for address in (address4, address6):
            s = bound(address, int(port), transparent=True, mark=MARK)
            s.setsockopt(*((socket.IPPROTO_IPV6, 74) if ':' in address else (socket.IPPROTO_IP, 20)), 1)
            listeners.append(s)
        print('ready', flush=True)
        while True:
            for s in select.select(listeners + list(upstreams), [], [])[0]:
                if s in upstreams:
                    data, _ = s.recvfrom(2000)
                    source, peer = upstreams.pop(s)
                    kept.append(answer(f'proxy got: {data.decode()}', source, peer))
                    continue
                data, ancillary, _, peer = s.recvmsg(2000, 256)
                source = original(ancillary)
                if how == 'answers':
                    # Kept open: it must not get anything of what follows.
                    kept.append(answer(f'proxy {shown(*source)} for {shown(*peer[:2])}', source, peer))
                else:
                    up = bound(peer[0], peer[1], transparent=True, mark=MARK)
                    up.sendto(data, source)
                    upstreams[up] = source, peer

    def exchange(s, address, port):
        try:
            # So that ICMP's word is heard without a peer, too.
            s.setsockopt(*((socket.IPPROTO_IPV6, 25) if ':' in address else (socket.IPPROTO_IP, 11)), 1)
            s.sendto(b'q', (address, port))
            s.settimeout(5)
            data, peer = s.recvfrom(2000)
            return ('' if peer[:2] == (address, port) else f'[from {shown(*peer[:2])}] ') + data.decode()
        except OSError as error:
            return type(error).__name__

    def ask(destinations):
        for text in destinations:
            address, port, *source = text.split(',')
            v6 = ':' in address
            s = bound('::' if v6 else '0.0.0.0', int(source[0]) if source else 0)
            if not source: s.connect((address, int(port)))
            if source: print(exchange(s, address, int(port)), flush=True)
            else:
                try:
                    s.send(b'q')
                    s.settimeout(5)
                    print(s.recv(2000).decode(), flush=True)
                except OSError as error:
                    print(type(error).__name__, flush=True)

    def talk(destinations):
        """One socket for all; each line of its input is for one destination."""
        s = bound('0.0.0.0', 0)
        print('ready', flush=True)
        for text in destinations:
            sys.stdin.readline()
            address, port = text.split(',')
            print(exchange(s, address, int(port)), flush=True)

    program, arguments = sys.argv[1], sys.argv[2:]
    if program == 'ask': ask(arguments)
    elif program == 'serve': serve(arguments[0], arguments[1:])
    elif program == 'proxy': proxy(*arguments)
    elif program == 'talk': talk(arguments)
    """#
