internal import CSockets
internal import Glibc
internal import Synchronization
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
    ///
    /// - Parameter upstreams: all of them, also those that are not to be checked: others may be reached through them.
    public func watch(_ upstreams: [UpstreamGroup]) throws(SocketError) {
        let mustStart = isRunning.withLock { !$0 } && upstreams.contains(where: \.isChecked)
        wanted.withLock { $0 = upstreams }
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
                let checked = new.filter(\.isChecked)
                let kept = Set(checked.flatMap(\.members).map(ObjectIdentifier.init))
                for check in checks where !kept.contains(ObjectIdentifier(check.member)) { check.member.unchecked() }
                checks = checked.flatMap { group in group.members.map { Check($0, of: group, among: new, mark: mark) } }
            }
            let now = cs_monotonic_nanoseconds()
            // First: the next check may be due at the very moment that this one has had its time.
            for check in checks where check.raw >= 0 && check.deadline <= now { tell(check, check.timedOut()) }
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

    /// - Parameter verdict: nil: there is none yet.
    private func tell(_ check: Check, _ verdict: Check.Verdict?) {
        guard let verdict else { return }
        check.stop()
        switch verdict {
        case .unknown: break
        case .works: if check.member.checked(true) { report(check.upstream, check.member.settings.label, nil) }
        case .fails(let why): if check.member.checked(false) { report(check.upstream, check.member.settings.label, why) }
        }
    }
}

extension UpstreamGroup {
    fileprivate var isChecked: Bool { settings.checkInterval > 0 }
}
