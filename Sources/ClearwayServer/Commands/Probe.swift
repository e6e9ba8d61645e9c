internal import CSockets
internal import Configuration
internal import DataPlane
internal import Firewall
internal import Glibc
internal import Synchronization
internal import SystemPackage
internal import TransparentSockets

/// Sends real traffic through this host's own network stack: from a scratch client namespace, by way of a scratch
/// interface whose connections are intercepted, to a scratch server namespace. Nothing else of the host's traffic is touched.
///
/// ```
/// client ──veth── this host (rules, listener, relay) ──veth── server
/// ```
final class Probe {
    /// What became of one family's connection.
    struct Outcome {
        var family: String
        var carried: Bool
        var message: String
    }

    private static let port: UInt16 = 7_070
    private static let seconds: Int64 = 3
    /// Addresses of the benchmark networks (RFC 2544, RFC 5180), which nobody routes.
    private static let legs = [
        Leg(
            family: "IPv4", host: "198.18.255.1", client: "198.18.255.2", gateway: "198.18.255.5", server: "198.18.255.6",
            prefix: 30),
        Leg(family: "IPv6", host: "2001:2::1", client: "2001:2::2", gateway: "2001:2::5", server: "2001:2::6", prefix: 126),
    ]
    private struct Leg {
        var family: String
        var host: String
        var client: String
        var gateway: String
        var server: String
        var prefix: Int
    }

    private let client: ScratchNamespace
    private let server: ScratchNamespace
    private let clientLink = "cwpc\(getpid() % 1_000_000)"
    private let serverLink = "cwps\(getpid() % 1_000_000)"
    private let ipv6: Bool
    private let ip: Tool

    init(ipv6: Bool) throws(Failure) {
        self.ipv6 = ipv6
        do throws(FirewallError) { ip = try Tool.find("ip") } catch { throw Failure(error) }
        client = try ScratchNamespace()
        server = try ScratchNamespace()
    }

    deinit {
        // The far ends go with their namespaces; the near ones would go with them, a little later.
        for link in [clientLink, serverLink] { _ = try? ip.run(["link", "delete", link]) }
    }

    func run() throws(Failure) -> [Outcome] {
        try connect()
        let listening = try server.within { () throws(Failure) in
            NewSocket(
                try attempt { () throws(SocketError) in
                    try TransparentListener(ListenAddress(Self.any(ipv6, port: Self.port)), ListenerOptions(mode: .redirect))
                })
        }
        guard let target = listening.take() else { return [] }
        let watcher = ProbeObserver()
        let choice: Choice
        let reservation: MarkReservation
        do throws(FirewallError) { (choice, reservation) = try MarkReservation.choose() } catch { throw Failure(error) }
        let proxyPort = try startWorker(mark: choice.marks.own, watcher)
        let firewall: OwnedFirewall
        do throws(FirewallError) {
            firewall = try OwnedFirewall.apply(
                FirewallSpec(
                    table: "clearway_probe", marks: choice.marks, routeTable: choice.routeTable, preference: choice.preference,
                    forwarding: false,
                    interceptions: [
                        Interception(
                            name: "probe", mode: .tproxy, listen: [ListenAddress(Self.any(ipv6, port: proxyPort))],
                            interfaces: [clientLink], ports: [Self.port...Self.port])
                    ]))
        } catch { throw Failure(error) }
        defer { withExtendedLifetime(reservation) { firewall.remove() } }
        var outcomes: [Outcome] = []
        for leg in Self.legs where ipv6 || leg.family == "IPv4" { outcomes.append(try exchange(leg, target, watcher)) }
        return outcomes
    }

    private func connect() throws(Failure) {
        try tool(["link", "add", clientLink, "type", "veth", "peer", "name", "eth0", "netns", client.path])
        try tool(["link", "add", serverLink, "type", "veth", "peer", "name", "eth0", "netns", server.path])
        for leg in Self.legs where ipv6 || leg.family == "IPv4" {
            let flags = leg.family == "IPv6" ? ["nodad"] : []
            try tool(["address", "add", "\(leg.host)/\(leg.prefix)", "dev", clientLink] + flags)
            try tool(["address", "add", "\(leg.gateway)/\(leg.prefix)", "dev", serverLink] + flags)
            try client.within { () throws(Failure) in
                try tool(["address", "add", "\(leg.client)/\(leg.prefix)", "dev", "eth0"] + flags)
            }
            try server.within { () throws(Failure) in
                try tool(["address", "add", "\(leg.server)/\(leg.prefix)", "dev", "eth0"] + flags)
            }
        }
        try tool(["link", "set", clientLink, "up"])
        try tool(["link", "set", serverLink, "up"])
        try client.within { () throws(Failure) in
            try tool(["link", "set", "eth0", "up"])
            for leg in Self.legs where ipv6 || leg.family == "IPv4" { try tool(["route", "add", "default", "via", leg.host]) }
        }
        try server.within { () throws(Failure) in
            try tool(["link", "set", "eth0", "up"])
            for leg in Self.legs where ipv6 || leg.family == "IPv4" { try tool(["route", "add", "default", "via", leg.gateway]) }
        }
    }

    private func tool(_ arguments: [String]) throws(Failure) {
        do throws(FirewallError) {
            let result = try ip.run(arguments)
            guard result.status == 0 else {
                throw FirewallError(.system, "ip \(arguments.joined(separator: " ")): \(result.complaint)")
            }
        } catch { throw Failure(error) }
    }

    /// A relay as `run` has it, on a port of the kernel's choice.
    private func startWorker(mark: UInt32, _ observer: ProbeObserver) throws(Failure) -> UInt16 {
        var settings = Settings()
        settings.mark = mark
        settings.connectTimeout = UInt64(Self.seconds) * 1_000_000_000
        settings.maxSessions = 16
        var options = ListenerOptions(mode: .tproxy)
        options.mark = mark
        return try attempt { () throws(SocketError) in
            let socket = try TransparentListener(ListenAddress(Self.any(ipv6, port: 0)), options)
            let address = ListenAddress(try localAddress(socket.descriptor.raw).value)
            let worker = try Worker(settings, try Worker.Shared(), observer: observer)
            worker.configure(
                settings, adding: [NewListener(socket, ListenerSettings(name: "probe"))], keeping: [:], allAddresses: [address])
            try worker.start(name: "probe")
            return address.value.port
        }
    }

    /// One connection from the client to the server, bytes there and back.
    private func exchange(
        _ leg: Leg, _ target: borrowing TransparentListener, _ watcher: ProbeObserver
    ) throws(Failure) -> Outcome {
        func lost(_ message: String) -> Outcome { Outcome(family: leg.family, carried: false, message: message) }
        let destination = UpstreamAddress(SocketAddress(IPAddress(leg.server)!, port: Self.port))
        let started = cs_monotonic_nanoseconds()
        let dialled = try client.within { () throws(Failure) -> Result<NewDescriptor, SocketError> in
            Result { () throws(SocketError) in NewDescriptor(try dial(destination, within: .seconds(Self.seconds))) }
        }
        let near: Descriptor
        switch dialled {
        case .success(let box): near = box.take()
        case .failure(let error) where error.errno == .timedOut:
            return lost(
                watcher.sessions == 0
                    ? "the client's SYN did not reach the listener: look for rp_filter, src_valid_mark and foreign firewall tables above"
                    : "the listener answered, and the answer did not reach the client")
        case .failure(let error): return lost("the client could not connect: \(error)")
        }
        guard wait(target.descriptor.raw), let far = try? target.accept() else {
            return lost("the client was answered, but nothing came to the server")
        }
        guard far.client.value.address == IPAddress(leg.gateway) else {
            return lost("not intercepted: the server sees \(far.client), so the packets were only routed")
        }
        guard pass(near.raw, far.descriptor.raw), pass(far.descriptor.raw, near.raw) else {
            return lost("intercepted, but the bytes did not arrive")
        }
        let milliseconds = Double((cs_monotonic_nanoseconds() - started) / 10_000) / 100
        return Outcome(
            family: leg.family, carried: true, message: "intercepted and carried there and back in \(milliseconds) ms")
    }

    /// Sends a short text and waits until it has arrived.
    private func pass(_ from: Int32, _ to: Int32) -> Bool {
        let text = Array("clearway probe".utf8)
        guard cs_send(from, text, text.count, 0) == text.count, wait(to) else { return false }
        var received = [UInt8](repeating: 0, count: text.count)
        return cs_receive(to, &received, received.count) == text.count && received == text
    }

    private func wait(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, Int32(Self.seconds * 1_000)) == 1
    }

    private static func any(_ ipv6: Bool, port: UInt16) -> SocketAddress {
        SocketAddress(ipv6 ? .v6(IPv6Address(high: 0, low: 0)) : .v4(IPv4Address(bits: 0)), port: port)
    }
}

private func attempt<Value>(_ body: () throws(SocketError) -> Value) throws(Failure) -> Value where Value: ~Copyable {
    do throws(SocketError) { return try body() } catch {
        throw Failure(error.errno == .notPermitted ? .notPermitted : .systemError, "\(error)")
    }
}

/// Carries a listener out of the thread that made it.
private final class NewSocket {
    private var socket: TransparentListener?
    init(_ socket: consuming TransparentListener) { self.socket = .some(socket) }
    func take() -> TransparentListener? { socket.take() }
}

/// Carries a descriptor out of the thread that made it.
private final class NewDescriptor {
    private let raw: Int32
    init(_ descriptor: consuming Descriptor) { raw = descriptor.release() }
    func take() -> Descriptor { Descriptor(owning: raw) }
}

/// Counts what the probe's worker saw.
private final class ProbeObserver: SessionObserver {
    private let count = Atomic<Int>(0)
    var sessions: Int { count.load(ordering: .relaxed) }
    func sessionEnded(_ record: SessionRecord) { count.wrappingAdd(1, ordering: .relaxed) }
    func event(_ event: WorkerEvent) {}
    func turnEnded() {}
    func drained() {}
}
