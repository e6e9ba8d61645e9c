/// Acknowledgements held back in the hope that data carries them: each saves a packet, if it does not keep the peer waiting.
///
/// Both sides of a session begin with one: the upstream is owed the last packet of the handshake, the client an answer to
/// its first data, which the kernel would otherwise acknowledge at once.
struct AcknowledgementQueues {
    /// Nanoseconds that an upstream waits; one that speaks first waits for nothing else.
    static let upstreamHold: UInt64 = 1_000_000
    /// Nanoseconds that a client waits at most. Only one that writes twice before it reads, and leaves Nagle's algorithm on,
    /// notices; the kernel's own delayed acknowledgement takes 40 ms.
    static let longestClientHold: UInt64 = 10_000_000

    private var upstreams = Queue()
    private var clients = Queue()
    /// Nanoseconds between a client's first data and the answer, a moving average.
    private var answerTime: UInt64 = 0

    /// Nanoseconds that a client waits now: long enough for most answers. Nil when they come too late to be worth it.
    var clientHold: UInt64? {
        answerTime > Self.longestClientHold ? nil : min(2 * answerTime + Self.upstreamHold, Self.longestClientHold)
    }

    mutating func noteAnswer(after time: UInt64) {
        answerTime = (15 * answerTime + min(time, 10 * Self.longestClientHold)) / 16
    }

    /// - Returns: false when there is no use in waiting.
    mutating func add(_ id: SlotID, _ side: Relay.Side, now: UInt64) -> Bool {
        switch side {
        case .upstream: upstreams.entries.append((id, now + Self.upstreamHold))
        case .client:
            guard let clientHold else { return false }
            clients.entries.append((id, now + clientHold))
        }
        return true
    }

    /// Takes out a session whose acknowledgement is due.
    mutating func next(now: UInt64) -> (SlotID, Relay.Side)? {
        if let id = upstreams.next(now: now) { return (id, .upstream) }
        if let id = clients.next(now: now) { return (id, .client) }
        return nil
    }

    /// Monotonic nanoseconds at which the next one is due; `.max`: none waits.
    var due: UInt64 { min(upstreams.due, clients.due) }

    /// In the order of adding. While the hold shrinks, one may wait for those before it.
    private struct Queue {
        var entries: [(id: SlotID, due: UInt64)] = []
        private var taken = 0

        var due: UInt64 { taken < entries.count ? entries[taken].due : .max }

        mutating func next(now: UInt64) -> SlotID? {
            guard due <= now else { return nil }
            let id = entries[taken].id
            taken += 1
            if taken == entries.count {
                entries.removeAll(keepingCapacity: true)
                taken = 0
            } else if taken >= 256, taken * 2 > entries.count {
                entries.removeFirst(taken)
                taken = 0
            }
            return id
        }
    }
}
