/// Acknowledgements held back in the hope that data carries them: each saves a packet, if it does not keep the peer waiting.
///
/// Both sides of a session begin with one: the upstream is owed the last packet of the handshake, the client an answer to
/// its first data, which the kernel would otherwise acknowledge at once.
struct AcknowledgementQueues {
    /// Nanoseconds that an upstream waits; one that speaks first waits for nothing else.
    static let upstreamDelay: UInt64 = 1_000_000
    /// Nanoseconds that a client waits. Only one that writes twice before it reads, and leaves Nagle's algorithm on, notices;
    /// the kernel's own delayed acknowledgement takes 40 ms.
    static let clientDelay: UInt64 = 10_000_000

    private var upstreams = Queue()
    private var clients = Queue()

    mutating func add(_ id: SlotID, _ side: Relay.Side, now: UInt64) {
        switch side {
        case .upstream: upstreams.entries.append((id, now + Self.upstreamDelay))
        case .client: clients.entries.append((id, now + Self.clientDelay))
        }
    }

    /// Takes out a session whose acknowledgement is due.
    mutating func next(now: UInt64) -> (SlotID, Relay.Side)? {
        if let id = upstreams.next(now: now) { return (id, .upstream) }
        if let id = clients.next(now: now) { return (id, .client) }
        return nil
    }

    /// Monotonic nanoseconds at which the next one is due; `.max`: none waits.
    var due: UInt64 { min(upstreams.due, clients.due) }

    /// In the order of adding, which with one delay is the order of becoming due.
    private struct Queue {
        var entries: [(id: SlotID, due: UInt64)] = []
        private var taken = 0

        var due: UInt64 { taken < entries.count ? entries[taken].due : .max }

        mutating func next(now: UInt64) -> SlotID? {
            guard due <= now else { return nil }
            defer {
                taken += 1
                if taken == entries.count {
                    entries.removeAll(keepingCapacity: true)
                    taken = 0
                } else if taken >= 256, taken * 2 > entries.count {
                    entries.removeFirst(taken)
                    taken = 0
                }
            }
            return entries[taken].id
        }
    }
}
