internal import TransparentSockets

/// What went wrong as a message was adapted, and on whose side.
struct AdaptationFault: Error {
    enum Side { case relay, server, service }
    let side: Side
    let reason: String
    /// Nothing was heard in time; the connection may be well.
    var isLate = false
    /// It was not asked: there was no room for another exchange with it.
    var isBusy = false
}

/// A socket with what was read from it and is not used yet, and what it has not taken yet. Neither grows beyond its bound, as long as
/// whoever writes looks at ``hasRoom``.
final class Wire {
    /// Bytes that are read ahead: two heads, as they come together from a service.
    private static let mostUnread = 1 << 17
    private static let piece = 1 << 14
    /// Past it, nobody writes more.
    private static let fullOutput = 1 << 14

    let socket: LoopSocket
    let side: AdaptationFault.Side
    private unowned(unsafe) let loop: EventLoop
    private(set) var input: [UInt8] = []
    var output: [UInt8] = []
    private var sent = 0
    private(set) var hasEnded = false
    /// It takes nothing any more, though it may still say something.
    private(set) var isDeaf = false
    /// Something has come over it.
    private(set) var hasSpoken = false
    /// Monotonic nanoseconds at which bytes moved last.
    private(set) var movedAt: UInt64
    private var isAwaited = false

    init(_ socket: LoopSocket, _ side: AdaptationFault.Side, _ loop: EventLoop) {
        self.socket = socket
        self.side = side
        self.loop = loop
        movedAt = loop.now
    }

    /// From now on its time is measured.
    func touch() { movedAt = loop.now }

    /// When it lets us wait too long; `.max`: nothing is waited for. Its time begins as the waiting does.
    func deadline(isAwaited: Bool, _ timeout: UInt64) -> UInt64 {
        if isAwaited, !self.isAwaited { touch() }
        self.isAwaited = isAwaited
        return isAwaited ? movedAt &+ timeout : .max
    }

    var unsent: Int { output.count - sent }
    var hasRoom: Bool { !isDeaf && unsent < Self.fullOutput }

    /// Reads what has come, if there is room for it.
    ///
    /// - Parameter counts: as something that was worth waiting for.
    /// - Returns: whether there is news.
    func fill(counts: Bool = true) throws(AdaptationFault) -> Bool {
        guard !hasEnded, input.count < Self.mostUnread else { return false }
        do throws(LoopSocket.Failure) {
            guard try socket.receiveNow(into: &input, atMost: Self.piece) != .nothingYet else { return false }
        } catch {
            guard error == .ended else { throw fault(error.reason) }
            hasEnded = true
            return true
        }
        hasSpoken = true
        // Whoever writes a message in small pieces may wait for that before the next one.
        acknowledgeNow(socket.raw)
        if counts { movedAt = loop.now }
        return true
    }

    func consume(_ count: Int) { input.removeFirst(count) }

    /// - Returns: whether something was taken.
    func flush() throws(AdaptationFault) -> Bool {
        guard unsent > 0 else { return false }
        let count: Int
        do throws(LoopSocket.Failure) {
            count = try socket.send(output.span.extracting(sent..<output.count))
        } catch {
            // A server need not hear a request to its end to answer it.
            guard side == .server else { throw fault(error.reason) }
            isDeaf = true
            output = []
            sent = 0
            return true
        }
        guard count > 0 else { return false }
        movedAt = loop.now
        sent += count
        if sent == output.count {
            output.removeAll(keepingCapacity: true)
            sent = 0
        }
        return true
    }

    func fault(_ reason: String) -> AdaptationFault { AdaptationFault(side: side, reason: reason) }
}
