internal import CSockets
internal import Glibc
internal import TLS

/// Moves the bytes of one session both ways: a plain state machine, driven by edges.
///
/// Each direction ends by itself: an end that was read is handed on with `shutdown`, while the other direction flows on.
/// A connection broken on one side breaks the other, so that the client sees what the server did.
struct Relay {
    let client: Int32
    let upstream: Int32
    /// TLS towards the upstream.
    private let channel: TLSChannel?
    var up: Direction
    var down: Direction
    /// The first side that ended in order.
    private(set) var endedFirst: Ending?
    /// Monotonic nanoseconds of the last turn in which a byte or an end went either way.
    private(set) var lastActivity: UInt64

    init(
        client: Int32, upstream: Int32, over channel: TLSChannel? = nil, clientReady: UInt32, upstreamReady: UInt32,
        _ mode: RelayMode,
        now: UInt64
    ) {
        self.client = client
        self.upstream = upstream
        self.channel = channel
        up = Direction()
        down = Direction()
        up.splices = mode == .splice && channel?.sendsByKernel ?? true
        down.splices = mode == .splice && channel?.canSpliceFrom ?? true
        lastActivity = now
        up.noteSource(clientReady)
        down.noteSink(clientReady)
        // What came with the end of a handshake brings no edge any more.
        note(upstream: upstreamReady)
    }

    /// Goes on where others have moved bytes before.
    ///
    /// - Parameter stash: bytes of the client's that were read and not handed on.
    mutating func take(up: inout Direction, behind stash: [UInt8], down: inout Direction) {
        (self.up.moved, self.down.moved) = (up.moved, down.moved)
        // The kernel tells a failure once.
        (self.up.failure, self.down.failure) = (up.failure, down.failure)
        if let rest = down.rest {
            self.down.keep(UnsafeRawBufferPointer(start: rest + Int(down.restStart), count: Int(down.restEnd - down.restStart)))
        }
        if !stash.isEmpty { stash.withUnsafeBytes { self.up.keep($0) } }
        up.dropRest()
        down.dropRest()
    }

    private mutating func note(upstream events: UInt32) {
        // TLS reads to write and writes to read: each edge is one for both.
        let events = channel == nil ? events : events | cs_epoll_in | cs_epoll_out
        down.noteSource(events)
        up.noteSink(events)
    }

    /// One side has ended, the other is still open.
    var isHalfClosed: Bool { endedFirst != nil }

    /// Both sides have ended, and each has the other's end or gets it with the closing.
    var isFinished: Bool { up.isFinished && down.isFinished }

    mutating func clientReady(_ events: UInt32, _ resources: Resources, now: UInt64) -> Step {
        up.noteSource(events)
        down.noteSink(events)
        return step(resources, now: now, broken: events & cs_epoll_err != 0 ? .client : nil)
    }

    mutating func upstreamReady(_ events: UInt32, _ resources: Resources, now: UInt64) -> Step {
        note(upstream: events)
        return step(resources, now: now, broken: events & cs_epoll_err != 0 ? .upstream : nil)
    }

    /// Gives back what both directions borrowed.
    mutating func release(_ resources: Resources) {
        up.release(resources)
        down.release(resources)
    }

    enum Step {
        case goOn
        /// A budget was used up: come back in the next turn.
        case comeBack
        case ended(Ending)
    }

    enum Side { case client, upstream }

    /// Moves what can be moved.
    /// - Parameter broken: the side whose socket reported an error with its edge.
    mutating func step(_ resources: Resources, now: UInt64, broken: Side? = nil) -> Step {
        let before = up.moved &+ down.moved
        let (upMoved, downMoved) = move(resources)
        if up.moved &+ down.moved != before { lastActivity = now }
        if up.line != nil, down.moved > 0 { up.noteAnswer() }
        if let ending = settle(upMoved, downMoved, now: now) { return .ended(ending) }
        // Read to its end, or blocked before it: what could be delivered was. With a budget used up there is more to read, and
        // the error waits behind it.
        if let broken, upMoved != .budgetUsed, downMoved != .budgetUsed {
            var error: Int32 = 0
            _ = cs_get_option(broken == .client ? client : upstream, cs_level_socket, SO_ERROR, &error)
            return .ended(Self.ending(broken, error == 0 ? ECONNRESET : error))
        }
        return upMoved == .budgetUsed || downMoved == .budgetUsed ? .comeBack : .goOn
    }

    @inline(__always)
    private mutating func move(_ resources: Resources) -> (up: Moved, down: Moved) {
        guard let channel else { return move(PlainStream(raw: upstream), resources) }
        if channel.isFinishing { channel.finish() }
        return move(TLSStream(raw: upstream, channel: channel), resources)
    }

    @inline(__always)
    private mutating func move(_ upstream: some ByteStream, _ resources: Resources) -> (up: Moved, down: Moved) {
        let client = PlainStream(raw: client)
        let upMoved = up.move(from: client, to: upstream, resources)
        return (upMoved, down.move(from: upstream, to: client, resources))
    }

    /// Draws the conclusions from what both directions came to.
    @inline(__always)
    private mutating func settle(_ upMoved: Moved, _ downMoved: Moved, now: UInt64) -> Ending? {
        // A broken connection comes first: the direction that met it took the socket's error, and to the other one the same
        // break looks like an orderly end.
        switch (upMoved, downMoved) {
        case (.sourceFailed(let error), _), (_, .sinkFailed(let error)): return Self.ending(.client, -error)
        case (.sinkFailed(let error), _), (_, .sourceFailed(let error)): return Self.ending(.upstream, -error)
        default: break
        }
        if endedFirst == nil, up.hasEnded || down.hasEnded {
            endedFirst = up.hasEnded ? .clientFIN : .upstreamFIN
            lastActivity = now
        }
        if upMoved == .finished { up.isFinished = true }
        if downMoved == .finished { down.isFinished = true }
        // When both are through, closing sends the ends and saves the calls.
        guard !isFinished else { return endedFirst }
        if upMoved == .finished {
            if let channel { channel.finish() } else { _ = cs_shutdown(upstream, Int32(SHUT_WR)) }
        }
        if downMoved == .finished { _ = cs_shutdown(client, Int32(SHUT_WR)) }
        return nil
    }

    private static func ending(_ side: Side, _ error: Int32) -> Ending {
        switch (side, error) {
        case (.client, ETIMEDOUT): .clientTimeout
        case (.upstream, ETIMEDOUT): .upstreamTimeout
        case (.upstream, EHOSTUNREACH), (.upstream, ENETUNREACH): .upstreamUnreachable
        case (_, ENOBUFS), (_, ENOMEM): .proxyLimit
        // What came was no TLS of the server's.
        case (.upstream, EPROTO): .upstreamProtocol
        // What was carried, for it might be something else, has turned out to be a request that nobody has judged.
        case (.client, EPROTO): .clientProtocol
        case (.client, _): .clientReset
        case (.upstream, _): .upstreamReset
        }
    }
}
