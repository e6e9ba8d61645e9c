internal import CSockets
internal import Glibc
internal import Protocols
internal import Synchronization
internal import SystemPackage
public import TransparentSockets

/// Asks the members of groups at regular times whether they work, so that the first session after a failure need not find out.
/// A thread of its own: checks must not wait for sessions, nor sessions for them.
public final class HealthChecker: Sendable {
    /// Nanoseconds that a proxy has to answer, if the next check is not due before.
    static let longestCheck: UInt64 = 5_000_000_000

    private let wanted = Mutex<[UpstreamGroup]?>(nil)
    private let wakeup: Descriptor
    private let mark: UInt32
    private let report: @Sendable (_ upstream: String, _ member: String, _ failure: String?) -> Void
    private let isRunning = Mutex(false)

    /// - Parameters:
    ///   - mark: for the checks' sockets, as for sessions'.
    ///   - report: called from the checker's thread when a member is found not to work, and (nil) when it works again.
    public init(
        mark: UInt32, report: @escaping @Sendable (_ upstream: String, _ member: String, _ failure: String?) -> Void
    ) throws(SocketError) {
        wakeup = try eventDescriptor()
        self.mark = mark
        self.report = report
    }

    /// From now on checks these upstreams' members, and no others.
    public func watch(_ upstreams: [UpstreamGroup]) throws(SocketError) {
        let checked = upstreams.filter { $0.settings.checkInterval > 0 }
        let mustStart = isRunning.withLock { !$0 } && !checked.isEmpty
        wanted.withLock { $0 = checked }
        if mustStart {
            try startThread("checker") { [self] in run() }
            isRunning.withLock { $0 = true }
        }
        signal(wakeup)
    }

    private func run() {
        var checks: [Check] = []
        while true {
            if let new = wanted.withLock({ $0.take() }) {
                for check in checks { check.stop() }
                let kept = Set(new.flatMap(\.members).map(ObjectIdentifier.init))
                for check in checks where !kept.contains(ObjectIdentifier(check.member)) { check.member.unchecked() }
                checks = new.flatMap { group in group.members.map { Check($0, of: group, mark: mark) } }
            }
            let now = cs_monotonic_nanoseconds()
            // First: the next check may be due at the very moment that this one has had its time.
            for check in checks where check.raw >= 0 && check.deadline <= now { tell(check, .fails("no answer")) }
            for check in checks where check.dueAt <= now { tell(check, check.begin(now: now)) }
            var entries = [pollfd(fd: wakeup.raw, events: Int16(POLLIN), revents: 0)]
            entries += checks.map { pollfd(fd: $0.raw, events: $0.events, revents: 0) }
            let next = checks.map(\.nextLook).min() ?? .max
            let milliseconds = next == .max ? -1 : Int32(clamping: (next - min(next, now)) / 1_000_000 + 1)
            guard poll(&entries, nfds_t(entries.count), milliseconds) >= 0 else { continue }
            if entries[0].revents != 0 { _ = isSignalled(wakeup, within: 0) }
            for (check, entry) in zip(checks, entries.dropFirst()) where entry.revents != 0 { tell(check, check.advance()) }
        }
    }

    private func tell(_ check: Check, _ step: ProxyProbe.Step) {
        let failure: String?
        switch step {
        case .needsMore, .send: return
        case .works: failure = nil
        case .fails(let why): failure = why
        }
        check.stop()
        guard check.member.checked(failure == nil) else { return }
        report(check.upstream, check.member.settings.label, failure)
    }
}

/// The checks of one member, one after the other. Confined to the checker's thread.
private final class Check {
    let member: UpstreamMember
    let upstream: String
    private let interval: UInt64
    private let sendsHeader: Bool
    private let mark: UInt32
    private var socket: Descriptor?
    /// Addresses that were not tried yet.
    private var others: ArraySlice<UpstreamAddress> = []
    private var probe: ProxyProbe?
    private var isConnected = false
    /// What has come and is not understood yet.
    private var received: [UInt8] = []
    private(set) var dueAt: UInt64 = 0
    private(set) var deadline: UInt64 = 0

    init(_ member: UpstreamMember, of group: UpstreamGroup, mark: UInt32) {
        self.member = member
        upstream = group.settings.name
        interval = group.settings.checkInterval
        sendsHeader = group.settings.sendsHeader
        self.mark = mark
    }

    /// -1, which `poll` skips, while there is nothing to wait for.
    var raw: Int32 { socket?.raw ?? -1 }
    var events: Int16 { Int16(isConnected ? POLLIN : POLLOUT) }
    /// Monotonic nanoseconds.
    var nextLook: UInt64 { socket == nil ? dueAt : min(deadline, dueAt) }

    func stop() { socket = nil }

    func begin(now: UInt64) -> ProxyProbe.Step {
        dueAt = now + interval
        deadline = now + min(interval, HealthChecker.longestCheck)
        // The resolver tells of names that it cannot find.
        others = member.addresses[...]
        return others.isEmpty ? .needsMore : connect()
    }

    /// To the next address; the proxy fails when none is left.
    private func connect() -> ProxyProbe.Step {
        var options = DialOptions()
        options.mark = mark
        var failure = "no address"
        while let address = others.popFirst() {
            isConnected = false
            do throws(SocketError) {
                socket = try dial(address, options).release()
                return .needsMore
            } catch {
                failure = "\(error)"
            }
        }
        return .fails(failure)
    }

    func advance() -> ProxyProbe.Step {
        if !isConnected {
            if let error = connectionError(raw) {
                return others.isEmpty ? .fails("\(SocketError(call: "connect", errno: error))") : connect()
            }
            isConnected = true
            received = []
            let settings = member.settings
            let proxy = String(settings.label.split(separator: "/").last ?? "")
            var probe = ProxyProbe(settings.kind, proxy, settings.credentials)
            guard !probe.opening.isEmpty else { return probe.advance([UInt8]().span).step }
            self.probe = probe
            return send((sendsHeader ? ProxyHeader.local : []) + probe.opening)
        }
        var buffer = [UInt8](repeating: 0, count: ConnectClient.longestAnswer)
        let count = buffer.withUnsafeMutableBytes { cs_receive(raw, $0.baseAddress!, $0.count) }
        guard count > 0 else {
            if count == -Int(EAGAIN) || count == -Int(EINTR) { return .needsMore }
            return .fails(
                count == 0
                    ? "it ended in its handshake" : "\(SocketError(call: "recv", errno: Errno(rawValue: -Int32(clamping: count))))")
        }
        received += buffer[..<count]
        while let (length, step) = probe?.advance(received.span) {
            received.removeFirst(length)
            switch step {
            case .needsMore where received.count >= ConnectClient.longestAnswer: return .fails("its answer has no end")
            case .needsMore, .works, .fails: return step
            case .send(let bytes): if case .fails(let why) = send(bytes) { return .fails(why) }
            }
        }
        return .needsMore
    }

    private func send(_ bytes: [UInt8]) -> ProxyProbe.Step {
        let sent = bytes.withUnsafeBytes { cs_send(raw, $0.baseAddress!, $0.count, 0) }
        return sent == bytes.count
            ? .needsMore : .fails("\(SocketError(call: "send", errno: Errno(rawValue: -Int32(clamping: min(sent, 0)))))")
    }
}
