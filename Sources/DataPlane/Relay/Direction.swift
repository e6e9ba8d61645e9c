internal import CSockets
internal import Protocols

/// One way of a session: bytes from `source` to `sink`.
///
/// Two movers fill the same state. Bytes in transit stand either in `rest` (copy) or in `pipe` (splice), never in both,
/// so that they cannot overtake each other.
struct Direction {
    /// Bytes that the sink's socket took.
    var moved: UInt64 = 0

    /// The source may have bytes, or its end. Set by an edge, cleared when a read finds nothing more.
    var isReadable = false
    /// The source's peer has sent its end: no further edge will come, so reading goes on until it is found.
    var isHungUp = false
    /// Urgent data has come: reads stop at its mark, so a short one means nothing, and `splice` sees an end there.
    var hasUrgent = false
    /// The sink may take bytes. Cleared when it does not, set by its edge.
    var isWritable = true

    /// Bytes that the source may still be asked for: what follows them is not this direction's.
    var left = UInt64.max
    /// The source's end was read.
    var hasEnded = false
    /// ... and everything before it was handed on, and the end too.
    var isFinished = false

    /// How reading failed, a negated errno, while bytes read before it are still to be handed on; else 0.
    var failure: Int32 = 0

    var splices = false
    /// What comes is looked at, and copied, until its end: it may be a request that nobody has judged.
    private(set) var line: FirstLine?
    /// Reads little at a time until it has moved much: what a slow sink does not take must be kept.
    var isFrugal = false
    /// Bytes of one read.
    var mostRead: Int { isFrugal && moved < Self.muchMoved ? Self.frugalRead : Resources.bufferSize }
    private static var muchMoved: UInt64 { 1 << 18 }
    private static var frugalRead: Int { 24 << 10 }
    /// Reads in a row that filled the buffer, or looks in a row that found little to splice.
    var streak: UInt8 = 0

    /// What the sink would not take of a copy: borrowed from the heap for as long as bytes are pending.
    var rest: UnsafeMutableRawPointer?
    var restStart: UInt32 = 0
    var restEnd: UInt32 = 0

    /// Borrowed for as long as it holds bytes.
    var pipe: Pipe?
    var inPipe = 0

    /// Takes in what the kernel said of the source's socket.
    @inline(__always)
    mutating func noteSource(_ events: UInt32) {
        let hangUp = cs_epoll_rdhup | cs_epoll_hup | cs_epoll_err
        if events & (cs_epoll_in | hangUp) != 0 { isReadable = true }
        if events & hangUp != 0 { isHungUp = true }
        if events & cs_epoll_pri != 0 {
            isReadable = true
            hasUrgent = true
        }
    }

    /// Takes in what the kernel said of the sink's socket.
    @inline(__always)
    mutating func noteSink(_ events: UInt32) {
        if events & (cs_epoll_out | cs_epoll_err) != 0 { isWritable = true }
    }

    /// Moves what can be moved.
    @inline(__always)
    mutating func move(from source: some ByteStream, to sink: some ByteStream, _ resources: Resources) -> Moved {
        guard !isFinished, isReadable || rest != nil || inPipe > 0 else { return .waiting }
        var spent = 0
        // What stands in front of the pipe's bytes: heads of messages are never spliced.
        if splices, rest != nil {
            let flushed = flushRest(to: sink)
            guard flushed == .finished else { return flushed }
        }
        return splices
            ? splice(from: source, to: sink, resources, spent: &spent) : copy(from: source, to: sink, resources, spent: &spent)
    }

    mutating func look(at line: FirstLine) {
        self.line = line
        splices = false
    }

    /// The sink's peer has said something: unless it may be one that does so early, it has understood something else.
    mutating func noteAnswer() { if line?.isForEarlyServers == false { line = nil } }

    /// - Returns: whether these bytes make the line a request.
    mutating func makesRequest(_ bytes: UnsafeRawPointer, _ count: Int) -> Bool {
        let isRequest = line?.read(Span(_unsafeStart: bytes.assumingMemoryBound(to: UInt8.self), count: count))
        if isRequest == false { line = nil }
        return isRequest == true
    }

    mutating func keep(_ bytes: UnsafeRawBufferPointer) {
        let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 16)
        copy.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        rest = copy
        restStart = 0
        restEnd = UInt32(bytes.count)
    }

    mutating func dropRest() {
        rest?.deallocate()
        rest = nil
    }

    /// Gives back what is borrowed, at any ending.
    mutating func release(_ resources: Resources) {
        dropRest()
        if let pipe {
            resources.pipes.giveBack(pipe, isEmpty: inPipe == 0)
            self.pipe = nil
        }
        inPipe = 0
    }
}

/// What one look at a direction came to.
enum Moved: Equatable {
    /// Nothing more can be done before another edge.
    case waiting
    /// The budget is used up and the source may have more.
    case budgetUsed
    /// The end was handed on.
    case finished
    /// Reading failed: the source's peer broke the connection. A negated errno.
    case sourceFailed(Int32)
    /// Writing failed: the sink's peer broke the connection. A negated errno.
    case sinkFailed(Int32)
}

/// What the directions of one worker borrow from.
final class Resources {
    /// Bytes of one read. 64 KiB is what the kernel gathers from one burst of segments.
    static let bufferSize = 1 << 16
    /// Bytes a direction may move before the loop turns to the next session.
    static let budget = 1 << 20

    let buffer: UnsafeMutableRawPointer
    var pipes: PipePool
    var mode: RelayMode
    /// What is written for a socket, one message at a time.
    var output: [UInt8] = []
    /// For whoever reads a head that is there as a whole.
    var requestReader: HeadReader?
    var responseReader: HeadReader?

    init(_ settings: Settings) {
        buffer = .allocate(byteCount: Self.bufferSize, alignment: 4096)
        pipes = PipePool(limit: settings.maxPipes, size: settings.pipeSize)
        mode = settings.relay
    }

    deinit { buffer.deallocate() }
}
