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

    private var kept: [OutsideSocket] = []
    private unowned(unsafe) let loop: EventLoop

    init(_ loop: EventLoop) { self.loop = loop }

    var count: Int { kept.count }

    /// - Throws: `SocketError`: no descriptor, port or memory is left, or the source cannot be had.
    mutating func take(_ options: Mapping.Options, turn: UInt64) throws(SocketError) -> OutsideSocket {
        // Not in the turn in which it was given back: by the next one, nothing is on its way to it any more.
        while let first = kept.first, first.keptIn != turn {
            let socket = kept.removeFirst()
            if socket.options == options, socket.isEmptied() { return socket }
            close(socket)
        }
        return try OutsideSocket(options, loop)
    }

    /// Takes a socket back whose mapping has ended.
    ///
    /// - Parameter room: so many may be kept.
    mutating func giveBack(_ socket: OutsideSocket, turn: UInt64, room: Int) {
        socket.mapping = nil
        // Without a port nothing comes any more; the next datagram gets another one. What is bound to more than that keeps it.
        guard count < min(Self.most, room), socket.options.isPlain, cs_disconnect(socket.raw) == 0 else { return close(socket) }
        socket.keptIn = turn
        kept.append(socket)
    }

    /// Closes those that nobody has taken since that turn.
    mutating func close(keptBefore turn: UInt64) {
        while let first = kept.first, first.keptIn < turn { close(kept.removeFirst()) }
    }

    private func close(_ socket: OutsideSocket) { loop.unwatch(socket, socket.id, isClosed: true) }
}

extension Mapping.Options {
    /// The kernel chooses the source.
    fileprivate var isPlain: Bool { dialling.source == .unspecified && dialling.device == nil }
}
