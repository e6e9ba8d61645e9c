internal import CNamespaces
internal import CSockets
internal import DataPlane
internal import Firewall
internal import Glibc
internal import TransparentSockets

/// A command in a network namespace of its own, that waits to be executed.
///
/// The namespace belongs to the command: it is there for as long as one of its processes is. Nothing in it is ours but the listeners,
/// whose sockets were made inside and given out; everything else about them is done from here, which the kernel allows to the owner of
/// the namespace, and to root.
final class CommandNamespace {
    /// The child that becomes the command.
    let pid: pid_t
    private let channel: Descriptor
    /// Of each family in turn, IPv4 first.
    private var sockets: [Int32] = []
    private let ipv6: Bool

    /// Starts the child, and waits until all is there but the command. No thread of ours may run yet: it would be missing in the child.
    ///
    /// - Parameters:
    ///   - ipv6: whether IPv6 is served; where this host has none, it is not.
    ///   - addresses: what the command is to have. Of a family without one it knows no destination but loopback.
    ///   - listeners: how many there are to be of each family.
    /// - Throws: with the exit codes that clearway(8) names for `exec`.
    ///   - asksByTCP: whether its resolver is to ask name servers by TCP.
    init(_ command: CommandWords, ipv6: Bool, addresses: [IPAddress], listeners: Int, asksByTCP: Bool) throws(Failure) {
        self.ipv6 = ipv6
        let nft = try attempt { () throws(FirewallError) in try Tool.find("nft") }
        let rules = try attempt { () throws(FirewallError) in try memoryFile(PrivateNamespace.table(ipv6: ipv6)) }
        let complaints = try attempt { () throws(FirewallError) in try memoryFile("") }
        var raw: Int32 = -1
        pid = Self.start(
            command, nft, rules.raw, complaints.raw, families: ipv6 ? [AF_INET, AF_INET6] : [AF_INET], addresses, listeners,
            asksByTCP: asksByTCP, &raw)
        guard pid >= 0 else { throw Failure(.systemError, "the command's process cannot be made: \(errorText(-pid))") }
        channel = Descriptor(owning: raw)
        try takeSockets(complaints)
    }

    deinit { for socket in sockets where socket >= 0 { _ = cs_close(socket) } }

    /// - Returns: the child, or a negated errno.
    private static func start(
        _ command: CommandWords, _ nft: Tool, _ rules: Int32, _ complaints: Int32, families: [Int32], _ addresses: [IPAddress],
        _ listeners: Int, asksByTCP: Bool, _ channel: inout Int32
    ) -> pid_t {
        let texts = CStrings([nft.path, "\(geteuid()) \(geteuid()) 1", "\(getegid()) \(getegid()) 1"])
        let isPrivileged = mayMakeNamespaces()
        let wanted = families.flatMap { family in
            CommandSocket.allCases.flatMap { Array(repeating: $0.plan(family), count: listeners) }
        }
        var blocked = Signals.ofCommand
        return withUnsafePointer(to: &blocked) { blocked in
            wanted.withUnsafeBufferPointer { wanted in
                addresses.map { SocketAddress($0, port: 0).endpoint }.withUnsafeBufferPointer { addresses in
                    var plan = cn_plan()
                    plan.user_map = isPrivileged ? nil : UnsafePointer(texts[1])
                    plan.group_map = isPrivileged ? nil : UnsafePointer(texts[2])
                    plan.addresses = addresses.baseAddress
                    plan.address_count = Int32(addresses.count)
                    plan.nft = UnsafePointer(texts[0])
                    plan.rules = rules
                    plan.complaints = complaints
                    plan.sockets = wanted.baseAddress
                    plan.socket_count = Int32(wanted.count)
                    plan.arguments = command.base
                    plan.blocked = blocked
                    return withExtendedLifetime(texts) {
                        asksByTCP ? withTCPResolver { cn_start(&plan, &channel) } : cn_start(&plan, &channel)
                    }
                }
            }
        }
    }

    private func takeSockets(_ complaints: borrowing Descriptor) throws(Failure) {
        var received = [Int32](repeating: -1, count: Int(CN_MOST_SOCKETS))
        var report = cn_report()
        let count = cn_receive(channel.raw, &report, &received)
        guard count >= 0 else { throw Failure(.systemError, "the command's process ended before its time") }
        sockets = Array(received.prefix(Int(count)))
        guard report.step == Int32(CN_READY.rawValue) else {
            reapChild()
            let text = contents(complaints.raw).split(separator: "\n").first.map(String.init)
            throw Failure(step: report.step, report.error, complaint: text, .current)
        }
    }

    private var families: [IPAddress] { Array([PrivateNamespace.ownV4, PrivateNamespace.ownV6].prefix(ipv6 ? 2 : 1)) }

    private func take(_ kind: CommandSocket, _ family: Int, of worker: Int) -> Descriptor {
        let kinds = CommandSocket.allCases.count
        let each = sockets.count / (families.count * kinds)
        let index = (family * kinds + kind.rawValue) * each + worker
        defer { sockets[index] = -1 }
        return Descriptor(owning: sockets[index])
    }

    /// Binds the sockets and listens on them; they are the worker's then.
    func takeListeners(of worker: Int, _ settings: ListenerSettings, sharesPort: Bool) throws(Failure) -> [NewListener] {
        var listeners: [NewListener] = []
        var options = ListenerOptions(mode: .tproxy)
        options.delaysAcknowledgement = true
        options.sharesPort = sharesPort
        for (family, address) in families.enumerated() {
            do throws(SocketError) {
                let listener = try TransparentListener(
                    on: take(.connections, family, of: worker),
                    ListenAddress(SocketAddress(address, port: PrivateNamespace.port)), options)
                listeners.append(NewListener(listener, settings))
            } catch {
                throw Failure(.systemError, "listening for the command: \(error)")
            }
        }
        return listeners
    }

    /// The same of those for UDP, with what their answers leave by.
    func takeDatagramListeners(
        of worker: Int, _ settings: ListenerSettings, sharesPort: Bool, takesBursts: Bool
    ) throws(Failure) -> [NewDatagramListener] {
        var listeners: [NewDatagramListener] = []
        var options = DatagramOptions()
        options.sharesPort = sharesPort
        options.takesBursts = takesBursts
        for (family, address) in families.enumerated() {
            do throws(SocketError) {
                let socket = try TransparentDatagramSocket(
                    on: take(.datagrams, family, of: worker), ListenAddress(SocketAddress(address, port: PrivateNamespace.port)),
                    options)
                let answers = DatagramAnswers(
                    try ForeignSender(on: take(.answers, family, of: worker), isIPv6: address.isIPv6),
                    try UnreachableSender(on: take(.errors, family, of: worker), isIPv6: address.isIPv6))
                listeners.append(NewDatagramListener(socket, settings, answers: answers))
            } catch {
                throw Failure(.systemError, "listening for the command: \(error)")
            }
        }
        return listeners
    }

    /// Lets the command go.
    ///
    /// - Throws: with exit code 127 when there is no such program, 126 when it cannot be executed.
    func execute(_ name: [CChar]) throws(Failure) {
        _ = cn_execute(channel.raw)
        stopWithChild()
        var report = cn_report()
        var none = [Int32](repeating: -1, count: Int(CN_MOST_SOCKETS))
        // Nothing comes, but the end of the channel, when the program has taken the child's place.
        guard cn_receive(channel.raw, &report, &none) >= 0 else { return }
        reapChild()
        // A folder of PATH that may not be looked into makes it a matter of permission, to execvp(3); to shells the name is unknown.
        let code = report.error == EACCES && !isAnywhere(name) ? ENOENT : report.error
        throw Failure(
            code == ENOENT ? .commandNotFound : .commandNotExecutable,
            "\(String(decoding: name.map(UInt8.init(bitPattern:)), as: UTF8.self)): \(errorText(code))")
    }

    /// Waits for news of the child. Ctrl-Z may stop it before it is the command, and then us: whoever waits for us must see that.
    private func stopWithChild() {
        var news = pollfd(fd: channel.raw, events: Int16(POLLIN), revents: 0)
        while poll(&news, 1, Self.stopInterval) <= 0 {
            var stopped = siginfo_t()
            // Its end is the channel's, too, and told there.
            if waitid(P_PID, id_t(pid), &stopped, WSTOPPED | WNOHANG) == 0, stopped.si_signo == SIGCHLD {
                kill(getpid(), SIGSTOP)
                // Whoever continues us, and perhaps us alone, means it as well.
                kill(pid, SIGCONT)
            }
        }
    }

    /// Milliseconds between two looks whether the child was stopped. Most commands are there sooner.
    private static let stopInterval: Int32 = 100

    /// Whether there is a file of that name where it is looked for.
    private func isAnywhere(_ name: [CChar]) -> Bool {
        let (colon, slash) = (CChar(bitPattern: UInt8(ascii: ":")), CChar(bitPattern: UInt8(ascii: "/")))
        guard !name.contains(slash) else { return true }
        let path = getenv("PATH").map { bytes($0) } ?? bytes("/bin:/usr/bin")
        return path.split(separator: colon, omittingEmptySubsequences: false).contains {
            access(Array($0) + [slash] + name + [0], F_OK) == 0
        }
    }

    /// A child that will not become the command.
    private func reapChild() {
        _ = cs_shutdown(channel.raw, Int32(SHUT_RDWR))
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    }
}

/// What each worker has in the namespace, of each family.
private enum CommandSocket: Int, CaseIterable {
    case connections, datagrams, answers, errors

    func plan(_ family: Int32) -> cn_socket {
        switch self {
        case .connections: cn_socket(family: family, type: Int32(SOCK_STREAM.rawValue), protocol: 0)
        case .datagrams: cn_socket(family: family, type: Int32(SOCK_DGRAM.rawValue), protocol: 0)
        case .answers: cn_socket(family: family, type: Int32(SOCK_RAW.rawValue), protocol: Int32(IPPROTO_UDP))
        case .errors:
            cn_socket(
                family: family, type: Int32(SOCK_RAW.rawValue),
                protocol: family == AF_INET6 ? Int32(IPPROTO_ICMPV6) : Int32(IPPROTO_ICMP))
        }
    }
}

private func attempt<Value>(_ body: () throws(FirewallError) -> Value) throws(Failure) -> Value where Value: ~Copyable {
    do throws(FirewallError) { return try body() } catch { throw Failure(error) }
}

/// CAP_SYS_ADMIN and CAP_NET_ADMIN, in the numbering of `linux/capability.h`: root's network namespaces need no user namespace, in which
/// root would be no root any more to the rest of the system.
private func mayMakeNamespaces() -> Bool {
    var capabilities: UInt64 = 0
    let needed: UInt64 = 1 << 21 | 1 << 12
    return cs_effective_capabilities(&capabilities) == 0 && capabilities & needed == needed
}

/// Has whoever is started in `body` ask name servers by TCP: glibc's resolver does, and others may. Not every proxy carries UDP.
private func withTCPResolver<Value>(_ body: () -> Value) -> Value {
    let before = getenv("RES_OPTIONS").map { bytes($0) }
    setenv("RES_OPTIONS", (before.map { $0 + bytes(" ") } ?? []) + bytes("use-vc") + [0], 1)
    defer { if let before { setenv("RES_OPTIONS", before + [0], 1) } else { unsetenv("RES_OPTIONS") } }
    return body()
}

/// The beginning of a small file, from its start.
private func contents(_ raw: Int32) -> String {
    let bytes = [UInt8](unsafeUninitializedCapacity: 4_096) { buffer, count in
        count = max(pread(raw, buffer.baseAddress, 4_096, 0), 0)
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// Strings as C wants them, for as long as this lives.
private final class CStrings {
    private let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ texts: [String]) {
        count = texts.count
        pointers = .allocate(capacity: count + 1)
        for (index, text) in texts.enumerated() { (pointers + index).initialize(to: strdup(text)) }
        (pointers + count).initialize(to: nil)
    }

    deinit {
        for index in 0..<count { free(pointers[index]) }
        pointers.deallocate()
    }

    /// With a nil at the end.
    var base: UnsafePointer<UnsafeMutablePointer<CChar>?> { UnsafePointer(pointers) }
    subscript(index: Int) -> UnsafeMutablePointer<CChar> { pointers[index]! }
}
