internal import CSockets
internal import Glibc
internal import TransparentSockets

/// Upstream sockets whose connections have ended, kept to be dialled again.
///
/// A socket of its own costs a short session 6 µs (socket, options, epoll, closing) of the 60 it takes this thread, this 1. Only
/// plain ones come here: without a bound source, and without anything that a long session leaves in a socket.
struct SocketPool: ~Copyable {
    /// Sockets looked at before a new one is made.
    static let attempts = 2

    /// Sockets kept per family. Past it the first leaves for the newest.
    let limit: Int

    private var ipv4: [Int32] = []
    private var ipv6: [Int32] = []

    init(limit: Int) { self.limit = limit }

    deinit {
        for raw in ipv4 { _ = cs_close(raw) }
        for raw in ipv6 { _ = cs_close(raw) }
    }

    var count: Int { ipv4.count + ipv6.count }

    /// Takes over the socket of a session that has read its upstream's end, and sends ours.
    mutating func retire(_ socket: consuming Descriptor, isIPv6: Bool) {
        guard limit > 0 else { return }
        let raw = socket.release()
        _ = cs_shutdown(raw, Int32(SHUT_WR))
        if isIPv6 { Self.keep(raw, in: &ipv6, limit) } else { Self.keep(raw, in: &ipv4, limit) }
    }

    /// A socket that can be dialled again, if there is one. The loop still watches it.
    mutating func take(isIPv6: Bool) -> Descriptor? {
        isIPv6 ? Self.ready(of: &ipv6) : Self.ready(of: &ipv4)
    }

    /// Closes all: descriptors are scarce.
    mutating func empty() { self = SocketPool(limit: limit) }

    private static func keep(_ raw: Int32, in kept: inout [Int32], _ limit: Int) {
        if kept.count >= limit { _ = cs_close(kept.removeFirst()) }
        kept.append(raw)
    }

    /// One that waits for its acknowledgement, from a far or a dead upstream, makes room for those behind it.
    private static func ready(of kept: inout [Int32]) -> Descriptor? {
        for _ in 0..<min(attempts, kept.count) {
            let raw = kept.removeFirst()
            do throws(SocketError) {
                if try disconnect(raw) { return Descriptor(owning: raw) }
                kept.append(raw)
            } catch {
                _ = cs_close(raw)
            }
        }
        return nil
    }
}
