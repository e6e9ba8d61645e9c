internal import CSockets
internal import Glibc

// How a client is left that has been told the last thing that it hears. What it still sends is thrown away, for closing a socket with unread
// bytes would reset it, and what was told be lost.

/// How long it is waited for.
///
/// Whoever takes what it was sent, or sends on what nobody reads, is at work: it may be one that looks at its answer only when it has said
/// everything.
struct Leave {
    /// Nanoseconds that a client has to end its side when it has all it was sent, and has sent nothing.
    static let pause: UInt64 = 1_000_000_000
    /// ... that one may do nothing in the middle of something.
    static let workingPause: UInt64 = 5_000_000_000

    private let end: UInt64
    private var since: UInt64
    private var untaken = 0
    private var hasSent = false

    /// - Parameters:
    ///   - now: monotonic nanoseconds, as below.
    ///   - limit: nanoseconds in all.
    init(now: UInt64, atMost limit: UInt64) {
        since = now
        end = now &+ limit
    }

    /// Takes in what the client has done since the last look.
    ///
    /// - Parameters:
    ///   - thrownAway: bytes of the client's.
    ///   - untaken: bytes that were sent to it and that its side has not acknowledged, at all.
    /// - Returns: when to look next, in monotonic nanoseconds; nil: it is over.
    mutating func look(thrownAway: Int, untaken: Int, now: UInt64) -> UInt64? {
        if thrownAway > 0 || untaken < self.untaken { since = now }
        self.untaken = untaken
        hasSent = hasSent || thrownAway > 0
        let due = min(since &+ (untaken > 0 || hasSent ? Self.workingPause : Self.pause), end)
        return due > now ? due : nil
    }
}

extension Session {
    /// Nanoseconds for the leave of a client that has only tried to begin something, or was too slow.
    static var shortLeave: UInt64 { 1_000_000_000 }
    /// ... that has a response on its way.
    static var longLeave: UInt64 { 60_000_000_000 }

    /// Ends our side, and waits for the client to end its own.
    ///
    /// - Parameter limit: nanoseconds.
    func takeLeave(atMost limit: UInt64) async {
        guard let raw = clientRaw else { return }
        _ = cs_shutdown(raw, Int32(SHUT_WR))
        isDismissed = true
        var leave = Leave(now: worker.loop.now, atMost: limit)
        while true {
            var thrownAway = 0
            var count = 0
            while thrownAway < Resources.budget {
                count = cs_receive(raw, worker.resources.buffer, Resources.bufferSize)
                if count == 0 { return }
                if count > 0 { thrownAway += count } else if count != -Int(EINTR) { break }
            }
            guard count > 0 || count == -Int(EAGAIN) else { return }
            var untaken: Int32 = 0
            _ = cs_unacknowledged(raw, &untaken)
            guard let next = leave.look(thrownAway: thrownAway, untaken: Int(untaken), now: worker.loop.now) else { return }
            // There may be more of it: others have their turn first.
            if count > 0 { worker.loop.comeBack(id) }
            if let ended = await wait(.negotiating, until: next), ended != .clientSlow { return }
        }
    }
}
