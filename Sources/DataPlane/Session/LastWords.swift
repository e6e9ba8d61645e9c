internal import CSockets

// What clients have said before they left, where everything ends with them.

/// How a client ends that has left: behind all that it has said, which may be more than we have room for. That it has left is only told by
/// this end, so that silence stands for the opposite.
struct LastWords {
    /// Nanoseconds without anything new.
    private static let silence: UInt64 = 100_000_000
    /// More bytes than wait in the sockets of a connection: somebody goes on speaking.
    private static let most: UInt64 = 1 << 26

    private let begin: UInt64
    private var moved: UInt64
    private var since: UInt64

    /// - Parameters:
    ///   - moved: bytes that the upstream has been given.
    ///   - now: monotonic nanoseconds, as below.
    init(moved: UInt64, now: UInt64) {
        begin = moved
        self.moved = moved
        since = now
    }

    var dueAt: UInt64 { since &+ Self.silence }

    /// - Parameter hasMore: the upstream does not take what is there.
    /// - Returns: whether more may come.
    mutating func goOn(moved: UInt64, hasMore: Bool, now: UInt64) -> Bool {
        if moved != self.moved || hasMore { since = now }
        self.moved = moved
        return moved - begin <= Self.most && now < dueAt
    }
}

extension Session {
    /// Ends the session unless something that the client has said before it left is still to be handed on.
    func endWithClient() {
        if hasClientLeft {
            // Nobody is left to hear what the upstream may say. An end in order: the kernel goes on sending what it has.
            if phase == .relaying, relay!.up.isFinished { return settle(Relay.Step.ended(.clientFIN)) }
            if lastWords.take() != nil, phase == .relaying { setRelayDeadline() }
            return
        }
        guard phase == .relaying, let up = relay?.up else {
            if !hasClientSpoken { cut() }
            return
        }
        let now = worker.loop.now
        var words = lastWords ?? LastWords(moved: up.moved, now: now)
        guard words.goOn(moved: up.moved, hasMore: up.rest != nil || up.inPipe > 0, now: now) else { return cut() }
        lastWords = words
        setRelayDeadline()
    }

    /// Asked of the kernel: the loop may not have heard yet.
    var hasClientLeft: Bool { clientRaw.map { cs_peer_has_ended($0) == 1 } ?? true }

    /// While the session is set up: something of the client's waits.
    var hasClientSpoken: Bool {
        guard phase != .exchanging, phase != .associated, let clientRaw else { return false }
        return cs_peek(clientRaw, worker.resources.buffer, 1) > 0
    }
}
