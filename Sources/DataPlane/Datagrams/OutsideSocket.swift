internal import CSockets
internal import Glibc
internal import SystemPackage
internal import TransparentSockets

/// A mapping's socket. It is kept when the mapping ends, and serves another one with another port.
///
/// A socket of its own costs a question and its answer a sixth of the time that they take this thread (socket, options, epoll, closing).
final class OutsideSocket: Watched {
    private let descriptor: Descriptor
    fileprivate let options: Mapping.Options
    fileprivate var id = SlotID(index: 0, generation: 0)
    /// Whose it is; nil: it is kept.
    var mapping: Mapping?
    /// The loop's turn in which it was given back, by its time.
    fileprivate var keptIn: UInt64 = 0
    /// The one that was given back after it.
    fileprivate var next: OutsideSocket?

    var raw: Int32 { descriptor.raw }

    fileprivate init(_ options: Mapping.Options, _ loop: EventLoop) throws(SocketError) {
        self.options = options
        descriptor = try datagramSocket(isIPv6: options.isIPv6, options.dialling)
        guard let id = loop.watch(self) else {
            throw SocketError(call: "epoll_ctl", errno: .noMemory, hint: "fs.epoll.max_user_watches")
        }
        self.id = id
    }

    func ready(_ events: UInt32) {
        if let mapping { mapping.ready(events) } else { _ = isEmptied() }
    }

    /// Takes what came for the mapping whose it was: datagrams, and what ICMP told.
    ///
    /// - Returns: whether nothing is left.
    fileprivate func isEmptied() -> Bool {
        var told = cs_told_error()
        var byte: UInt8 = 0
        // More than a receive buffer holds of the smallest datagrams. What is longer than a byte is cut off.
        for _ in 0..<1_024 where cs_take_error(raw, &told) != 0 {
            if cs_receive(raw, &byte, 1) == -Int(EAGAIN) { return true }
        }
        return false
    }
}

/// Sockets towards everybody, made or taken from those whose mappings have ended.
struct OutsideSockets {
    /// Kept at a time: as many as a turn of the loop may take. With fewer, the fuller the turns, the more sockets are made.
    static let most = 1_024
    /// Nanoseconds that one is kept at least: where flows are rare, it is not worth its descriptor.
    static let lifetime: UInt64 = 1_000_000_000

    /// Sockets that are alike, in the order in which they were given back.
    private struct Queue {
        let options: Mapping.Options
        var first: OutsideSocket?
        private var last: OutsideSocket?

        init(_ options: Mapping.Options) { self.options = options }

        mutating func append(_ socket: OutsideSocket) {
            if let last { last.next = socket } else { first = socket }
            last = socket
        }

        mutating func removeFirst() -> OutsideSocket? {
            let socket = first
            first = socket?.next.take()
            if first == nil { last = nil }
            return socket
        }
    }

    /// One for each family, and for each mark that something leaves with.
    private var queues: [Queue] = []
    /// Kept now.
    private(set) var count = 0
    /// Of mappings, now.
    private(set) var taken = 0
    private unowned(unsafe) let loop: EventLoop

    init(_ loop: EventLoop) { self.loop = loop }

    /// - Parameter limit: so many there may be, those that are kept and those of mappings.
    /// - Throws: `SocketError`: no descriptor, port or memory is left, or the source cannot be had.
    mutating func take(_ options: Mapping.Options, turn: UInt64, limit: Int) throws(SocketError) -> OutsideSocket {
        if let socket = known(options, turn) {
            taken += 1
            return socket
        }
        makeRoom(for: 1, limit: limit)
        let socket = try OutsideSocket(options, loop)
        taken += 1
        return socket
    }

    private mutating func known(_ options: Mapping.Options, _ turn: UInt64) -> OutsideSocket? {
        guard let index = queues.firstIndex(where: { $0.options == options }) else { return nil }
        // Not in the turn in which it was given back: by the next one, nothing is on its way to it any more.
        while let first = queues[index].first, first.keptIn != turn, let socket = queues[index].removeFirst() {
            count -= 1
            if socket.isEmptied() { return socket }
            close(socket)
        }
        return nil
    }

    /// Takes a socket back whose mapping has ended.
    mutating func giveBack(_ socket: OutsideSocket, turn: UInt64, limit: Int) {
        socket.mapping = nil
        taken -= 1
        // Without a port nothing comes any more; the next datagram gets another one. What is bound to more than that keeps it.
        guard count < min(Self.most, limit - taken), socket.options.isPlain, cs_disconnect(socket.raw) == 0 else {
            return close(socket)
        }
        socket.keptIn = turn
        let index = queues.firstIndex { $0.options == socket.options } ?? queues.endIndex
        if index == queues.endIndex { queues.append(Queue(socket.options)) }
        queues[index].append(socket)
        count += 1
    }

    /// Closes kept sockets, those that nobody has taken for longest, until so many more can be made.
    mutating func makeRoom(for more: Int, limit: Int) {
        while count > 0, count + taken + more > limit {
            let longest = queues.indices.min { (queues[$0].first?.keptIn ?? .max) < (queues[$1].first?.keptIn ?? .max) }
            guard let longest else { return }
            closeFirst(of: longest)
        }
    }

    /// Closes those that nobody has taken since that turn.
    mutating func close(keptBefore turn: UInt64) {
        for index in queues.indices {
            while let first = queues[index].first, first.keptIn < turn { closeFirst(of: index) }
        }
        queues.removeAll { $0.first == nil }
    }

    private mutating func closeFirst(of index: Int) {
        guard let socket = queues[index].removeFirst() else { return }
        count -= 1
        close(socket)
    }

    private func close(_ socket: OutsideSocket) { loop.unwatch(socket, socket.id, isClosed: true) }
}

extension Mapping.Options {
    /// The kernel chooses the source.
    fileprivate var isPlain: Bool { dialling.source == .unspecified && dialling.device == nil }
}
