internal import CSockets
internal import Policy
internal import Synchronization
internal import SystemPackage
public import TransparentSockets

/// Finds the addresses of proxies that are known by name: a thread of its own asks the system, so that no session waits for a
/// resolver. An answer serves for a minute; when the next one fails, the last good one stays.
public final class Resolver: Sendable {
    /// Milliseconds that an answer serves, and after which a failure is tried again. (The system does not say how long an answer
    /// is meant to live.)
    static let lifetime: UInt64 = 60_000
    static let retry: UInt64 = 5_000
    /// Addresses of one name that are used.
    static let mostAddresses = 8

    private struct Entry {
        var member: UpstreamMember
        var dueAt: UInt64
        /// Tells failures once.
        var hasFailed = false
    }

    private struct State {
        var entries: [Entry] = []
        /// First round not yet through.
        var pending = 0
        var isRunning = false
    }

    private let state = Mutex(State())
    private let wakeup: Descriptor
    private let firstRound: Descriptor
    private let report: @Sendable (_ member: String, _ failure: String?) -> Void

    /// - Parameter report: called from the resolver's thread when a name cannot be resolved, and (nil) when it can again.
    public init(report: @escaping @Sendable (_ member: String, _ failure: String?) -> Void) throws(SocketError) {
        wakeup = try eventDescriptor()
        firstRound = try eventDescriptor()
        self.report = report
    }

    /// From now on keeps the addresses of these upstreams' members, and of no others.
    public func keep(_ upstreams: [UpstreamGroup]) throws(SocketError) {
        let members = upstreams.flatMap(\.members).filter { if case .name = $0.settings.host { true } else { false } }
        let mustStart = state.withLock { state in
            let old = state.entries
            state.entries = members.map { member in
                old.first { $0.member === member } ?? Entry(member: member, dueAt: 0)
            }
            state.pending = state.entries.count { $0.member.addresses.isEmpty }
            return !state.isRunning && !members.isEmpty
        }
        if mustStart {
            try startThread("resolver") { [self] in run() }
            state.withLock { $0.isRunning = true }
        }
        signal(wakeup)
    }

    /// Waits until every name was asked for once, but no longer than `milliseconds`.
    public func waitForFirstRound(atMost milliseconds: Int32) {
        guard state.withLock({ $0.pending }) > 0 else { return }
        _ = isSignalled(firstRound, within: milliseconds)
    }

    private func run() -> Never {
        while true {
            let now = cs_monotonic_nanoseconds() / 1_000_000
            let (due, nextAt) = state.withLock { state in
                (
                    // The one that has waited longest: names that take long to fail must not keep the others from being asked for.
                    state.entries.filter { $0.dueAt <= now }.min { $0.dueAt < $1.dueAt }?.member,
                    state.entries.map(\.dueAt).min() ?? .max
                )
            }
            guard let due else {
                let wait = nextAt == .max ? -1 : Int32(clamping: nextAt - now)
                _ = isSignalled(wakeup, within: wait)
                continue
            }
            resolve(due)
        }
    }

    private func resolve(_ member: UpstreamMember) {
        guard case .name(let name) = member.settings.host else { return }
        let isFirst = member.addresses.isEmpty
        var failure: String?
        do throws(ResolutionError) {
            member.resolved(to: Array(try addresses(of: name.description).prefix(Self.mostAddresses)))
        } catch {
            failure = error.reason
        }
        let now = cs_monotonic_nanoseconds() / 1_000_000
        let (isNews, isThrough) = state.withLock { state in
            if isFirst, state.pending > 0 { state.pending -= 1 }
            let isThrough = state.pending == 0
            guard let index = state.entries.firstIndex(where: { $0.member === member }) else { return (false, isThrough) }
            defer { state.entries[index].hasFailed = failure != nil }
            state.entries[index].dueAt = now + (failure == nil ? Self.lifetime : Self.retry)
            return (state.entries[index].hasFailed != (failure != nil), isThrough)
        }
        if isNews { report(member.settings.label, failure) }
        if isThrough { signal(firstRound) }
    }
}
