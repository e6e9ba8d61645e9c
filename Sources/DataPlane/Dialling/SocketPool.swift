internal import CSockets
internal import Glibc
internal import TransparentSockets

/// Upstream sockets whose connections have ended, kept to be dialled again.
///
/// A socket of its own costs a short session 6 µs (socket, options, epoll, closing) of the 60 it takes this thread; dialled
/// again, a kept one costs 1. Only plain ones come here: without a bound source, without anything a long session sets.
struct SocketPool: ~Copyable {
    /// Sockets kept per family. The oldest leaves for the newest: its last packets may be lost on a dead path.
    static let mostKept = 64

    private var ipv4: [Int32] = []
    private var ipv6: [Int32] = []

    deinit {
        for raw in ipv4 { _ = cs_close(raw) }
        for raw in ipv6 { _ = cs_close(raw) }
    }

    /// Takes over the socket of a session that has read its upstream's end, and sends ours.
    mutating func retire(_ socket: consuming Descriptor, isIPv6: Bool) {
        let raw = socket.release()
        _ = cs_shutdown(raw, Int32(SHUT_WR))
        if isIPv6 { Self.keep(raw, in: &ipv6) } else { Self.keep(raw, in: &ipv4) }
    }

    /// A socket ready to be dialled again, if there is one. It is still watched by the loop.
    mutating func take(isIPv6: Bool) -> Descriptor? {
        isIPv6 ? Self.oldest(of: &ipv6) : Self.oldest(of: &ipv4)
    }

    /// Closes all: descriptors are scarce, or the settings have changed.
    mutating func empty() {
        self = SocketPool()
    }

    private static func keep(_ raw: Int32, in kept: inout [Int32]) {
        if kept.count == mostKept { _ = cs_close(kept.removeFirst()) }
        kept.append(raw)
    }

    private static func oldest(of kept: inout [Int32]) -> Descriptor? {
        guard let raw = kept.first else { return nil }
        do throws(SocketError) {
            guard try disconnect(raw) else { return nil }
        } catch {
            _ = cs_close(kept.removeFirst())
            return nil
        }
        return Descriptor(owning: kept.removeFirst())
    }
}
