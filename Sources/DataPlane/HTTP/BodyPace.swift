internal import CSockets

/// Whether a client keeps up with the bodies that it sends, and takes those that it is sent, at some least rate.
///
/// Looked at once in a while, and not with each byte: what has moved since the last look tells enough. A server that is slow is not held
/// against its client, nor is one that sends little: a client is slow only if it was waited for all that time.
struct BodyPace {
    /// Nanoseconds between two looks.
    static let window: UInt64 = 20_000_000_000
    /// ... that a connection, and a body that the client sends, has before its rate counts.
    static let grace: UInt64 = 30_000_000_000

    private let begunAt: UInt64
    /// When to look next.
    private(set) var dueAt: UInt64
    /// At the last look: bytes of the client's that had come, in a body that began then.
    private var received: (bytes: UInt64, of: UInt64)?
    /// ... bytes that the client had taken, and up to where there were some to take.
    private var taken: (bytes: UInt64, end: UInt64)?

    init(now: UInt64) {
        begunAt = now
        dueAt = now &+ Self.window
    }

    /// What is known at a look.
    struct Sight {
        /// Of all that the client has sent.
        var received: UInt64
        /// When the body began that the client is to send on, and nothing else is waited for.
        var sendingSince: UInt64?
        /// Of all that was sent to the client: what its socket took here, and what its side has not acknowledged.
        var sent: UInt64
        var unacknowledged: UInt64
    }

    /// - Parameter rate: bytes a second.
    /// - Returns: whether the client was slower than that since the last look.
    mutating func look(_ sight: Sight, now: UInt64, atLeast rate: UInt64) -> Bool {
        let least = rate.multipliedReportingOverflow(by: (now &- (dueAt &- Self.window)) / 1_000_000_000)
        let wanted = least.overflow ? UInt64.max : least.partialValue
        let (before, offered) = (received, taken)
        dueAt = now &+ Self.window
        received = sight.sendingSince.map { (sight.received, $0) }
        let acknowledged = sight.sent - min(sight.unacknowledged, sight.sent)
        taken = sight.unacknowledged > 0 ? (acknowledged, sight.sent) : nil
        guard now &- begunAt >= Self.grace else { return false }
        if let before, let since = sight.sendingSince, before.of == since, now &- since >= Self.grace,
            sight.received &- before.bytes < wanted
        {
            return true
        }
        // What waited for it then still waits.
        if let offered, acknowledged < offered.end, acknowledged &- offered.bytes < wanted { return true }
        return false
    }
}

extension HTTPRelay {
    /// Looks whether the client keeps up, if that is due.
    ///
    /// - Returns: how the session ends because it does not; nil: it goes on.
    func checkPace() -> Step? {
        let rate = session.worker.settings.minBodyRate
        guard rate > 0, pace.dueAt <= now else { return nil }
        let sight = BodyPace.Sight(
            received: up.moved, sendingSince: awaitsBody ? transaction?.startedAt : nil,
            sent: down.moved + owed, unacknowledged: untaken)
        guard pace.look(sight, now: now, atLeast: rate) else { return nil }
        let hasHeard = transaction?.response.isWaiting != true || sight.unacknowledged > 0
        guard !hasHeard else { return .ended(.clientSlow) }
        return say(ErrorPage(408, "The request took too long to come."), .clientSlow)
    }

    /// The client is to send on, and all that has come of the body is handed on.
    private var awaitsBody: Bool {
        guard case .exchanging = phase, let transaction, !transaction.request.isDone else { return false }
        // Whoever answers meanwhile may be talking with it.
        guard transaction.response.isWaiting else { return false }
        // Who has asked whether to send it waits for the server's word.
        if transaction.awaitsContinue, transaction.interim == 0, up.moved == transaction.headEnd { return false }
        return up.rest == nil && up.inPipe == 0
    }
}
