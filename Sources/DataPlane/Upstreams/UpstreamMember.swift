internal import Policy
internal import Synchronization
internal import TLS
internal import TransparentSockets

/// One proxy and what is known of it. Shared by all workers, and kept over reloads: what a proxy did before still counts.
public final class UpstreamMember: Sendable {
    /// Nanoseconds that the first failure keeps sessions away; each further one twice as long, up to the longest.
    static let firstEjection: UInt64 = 1_000_000_000
    static let longestEjection: UInt64 = 60_000_000_000
    /// Nanoseconds that a session on trial keeps the others away, should it never find out.
    static let longestTrial: UInt64 = 10_000_000_000
    /// Pipelined requests in a row that a proxy may leave unanswered which has answered others: destinations are silent, too.
    static let mostSilences = 3
    /// Requests in a row that a proxy of HTTP may hang up over, or answer with nonsense: that may be the doing of whoever asks.
    static let mostHangUps = 3

    public let settings: UpstreamSettings.Member
    /// Open sessions, and those on their way.
    let sessions = Atomic<Int>(0)
    /// Failures in a row.
    private let failures = Atomic<Int>(0)
    /// Monotonic nanoseconds until which sessions go elsewhere; 0: it works, as far as is known.
    private let ejectedUntil = Atomic<UInt64>(0)
    /// The last check failed.
    private let isDown = Atomic<Bool>(false)
    /// What is known of how it takes a request that comes with the greeting.
    private let pipelining = Atomic<Pipelining>(.untried)
    /// Such requests in a row that it has not answered.
    private let silences = Atomic<Int>(0)
    /// Requests in a row that it has hung up over.
    private let hangUps = Atomic<Int>(0)
    private let resolved = Mutex<[IPAddress]>([])
    /// Made when it is needed first.
    private let context = Mutex<TLSContext?>(nil)

    /// - Parameter addresses: what is known of its name.
    init(_ settings: UpstreamSettings.Member, resolvedTo addresses: [IPAddress] = []) {
        self.settings = settings
        resolved(to: addresses)
    }

    /// For connections to it, if it speaks TLS.
    func tlsContext() throws(TLSError) -> TLSContext? {
        guard let trust = settings.trust else { return nil }
        let result: Result<TLSContext, TLSError> = context.withLock { known in
            if let known { return .success(known) }
            do throws(TLSError) {
                let context = try TLSContext(settings.serverName, trust)
                known = context
                return .success(context)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private enum Pipelining: UInt8, AtomicRepresentable { case untried, reads, forgets }

    /// Whether to send it a request with the greeting.
    var isPipelined: Bool { settings.isPipelined && pipelining.load(ordering: .relaxed) != .forgets }

    /// It answered such a request.
    func readPipelined() {
        // A store for each session would take the line from the other workers each time.
        if silences.load(ordering: .relaxed) != 0 { silences.store(0, ordering: .relaxed) }
        if pipelining.load(ordering: .relaxed) == .untried { pipelining.store(.reads, ordering: .relaxed) }
    }

    /// It did not answer such a request, be it silent or gone. Of one that has never answered any that may mean that it forgets them, and of
    /// any other, should it go on like that, that another proxy has taken its place: no more of them are sent.
    ///
    /// - Returns: whether that is news.
    func mayHaveForgotten() -> Bool {
        switch pipelining.load(ordering: .relaxed) {
        case .forgets: return false
        case .untried: break
        case .reads:
            guard silences.wrappingAdd(1, ordering: .relaxed).newValue >= Self.mostSilences else { return false }
        }
        return pipelining.exchange(.forgets, ordering: .relaxed) != .forgets
    }

    /// At a reload: authorities that this system has come to trust, or trusts no more, must be found; and the proxy may be another.
    func reloaded() {
        if settings.trust == .system { context.withLock { $0 = nil } }
        silences.store(0, ordering: .relaxed)
        pipelining.store(.untried, ordering: .relaxed)
    }

    /// Where to connect to, in this order; empty as long as the name has not been resolved.
    var addresses: [UpstreamAddress] {
        switch settings.host {
        case .address(let address): [UpstreamAddress(SocketAddress(address, port: settings.port))]
        case .name: resolved.withLock { $0 }.map { UpstreamAddress(SocketAddress($0, port: settings.port)) }
        }
    }

    /// Of a name: the last good answer.
    var resolvedAddresses: [IPAddress] { resolved.withLock { $0 } }

    func resolved(to addresses: [IPAddress]) { resolved.withLock { $0 = addresses } }

    enum Standing: Equatable {
        case works
        /// Its time away is over: one session may try it.
        case onTrial
        case away
    }

    func standing(now: UInt64) -> Standing {
        if isDown.load(ordering: .relaxed) { return .away }
        let until = ejectedUntil.load(ordering: .relaxed)
        return until == 0 ? .works : until <= now ? .onTrial : .away
    }

    /// - Returns: whether the caller is the one who tries it. Others stay away until it has found out.
    func claimTrial(now: UInt64) -> Bool {
        let until = ejectedUntil.load(ordering: .relaxed)
        guard until != 0, until <= now else { return false }
        return ejectedUntil.compareExchange(expected: until, desired: now &+ Self.longestTrial, ordering: .relaxed).exchanged
    }

    /// A session could not pass, and it was this proxy's fault.
    ///
    /// - Parameter isTrial: the caller has claimed it.
    /// - Returns: nanoseconds that it is left out from now on; nil when it was left out already.
    func failed(now: UInt64, isTrial: Bool) -> UInt64? {
        let until = ejectedUntil.load(ordering: .relaxed)
        // Sessions that were under way when the first one failed say nothing new.
        guard isTrial || until <= now else { return nil }
        let count = min(failures.load(ordering: .relaxed), 6)
        let time = min(Self.firstEjection << UInt64(count), Self.longestEjection)
        guard ejectedUntil.compareExchange(expected: until, desired: now &+ time, ordering: .relaxed).exchanged else { return nil }
        failures.wrappingAdd(1, ordering: .relaxed)
        return time
    }

    /// It took a request, and gave no answer that makes sense.
    ///
    /// - Returns: whether that is a failure of its own.
    func hungUp() -> Bool { hangUps.wrappingAdd(1, ordering: .relaxed).newValue >= Self.mostHangUps }

    /// It answered a request.
    func answered() {
        if hangUps.load(ordering: .relaxed) != 0 { hangUps.store(0, ordering: .relaxed) }
    }

    /// The session that tried it ended for another reason: the next one may.
    ///
    /// - Parameter claimed: the moment that ``claimTrial(now:)`` was told; when another trial has ended since, there is nothing to give back.
    func trialEndedWithoutResult(claimed: UInt64, now: UInt64) {
        _ = ejectedUntil.compareExchange(expected: claimed &+ Self.longestTrial, desired: now, ordering: .relaxed)
    }

    /// It did what it should.
    ///
    /// - Returns: whether that is news.
    @discardableResult
    func worked() -> Bool {
        guard ejectedUntil.load(ordering: .relaxed) != 0 else { return false }
        failures.store(0, ordering: .relaxed)
        return ejectedUntil.exchange(0, ordering: .relaxed) != 0
    }

    /// Nobody checks it any more: what the last check found must not last for ever.
    func unchecked() { isDown.store(false, ordering: .relaxed) }

    /// What a check found.
    ///
    /// - Returns: whether that is news.
    func checked(_ works: Bool) -> Bool {
        let wasAway = works ? worked() : false
        return isDown.exchange(!works, ordering: .relaxed) == works || wasAway
    }
}

extension UpstreamSettings.Member {
    fileprivate var serverName: ServerName {
        switch host {
        case .address(let address): .address(address)
        case .name(let name): .name(name.description)
        }
    }
}
