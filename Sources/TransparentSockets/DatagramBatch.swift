#if os(Linux)
internal import CSockets

/// A datagram as it was received, or a burst of equal ones that came as one. Its bytes are valid until the batch is filled again.
public struct Datagram {
    /// Who sent it.
    public let sender: SocketAddress
    /// Where it was going; nil on sockets that were not asked to say, and when the kernel did not know.
    public let originalDestination: OriginalDestination?
    public let bytes: UnsafeMutableRawBufferPointer
    /// Bytes of each datagram in a burst, of which the last may be shorter; 0: it is one datagram.
    public let segment: Int
    /// It was longer than its place, or what the kernel said of it was: the rest is lost.
    public let isTruncated: Bool

    /// Datagrams in it.
    public var count: Int { segment == 0 ? 1 : (bytes.count + segment - 1) / segment }
}

/// Calls `body` for each datagram of a burst; with 0 bytes a segment for the one that it is.
package func eachDatagram(
    _ bytes: UnsafeMutableRawBufferPointer, _ segment: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void
) {
    var rest = bytes[...]
    repeat {
        let length = segment == 0 ? rest.count : min(segment, rest.count)
        body(UnsafeMutableRawBufferPointer(rebasing: rest.prefix(length)))
        rest = rest.dropFirst(length)
    } while !rest.isEmpty
}

/// Room for datagrams that are received with one call.
///
/// 64 KiB of address space for each place, of which only what is written becomes memory.
public struct DatagramBatch: ~Copyable {
    private var batch = cs_batch()
    /// Datagrams, or bursts, that the last call brought.
    public private(set) var count = 0
    public var capacity: Int { Int(batch.capacity) }

    /// - Parameter capacity: places, 1 to 1,024.
    /// - Throws: `SocketError` with ENOMEM.
    public init(capacity: Int) throws(SocketError) {
        let result = cs_batch_make(&batch, Int32(min(max(capacity, 1), 1_024)))
        if result < 0 {
            cs_batch_free(&batch)
            throw SocketError("mmap", result)
        }
    }

    deinit {
        var batch = batch
        cs_batch_free(&batch)
    }

    /// Takes what waits at a socket, without waiting for more.
    ///
    /// - Parameter most: at most so many of the places are filled.
    /// - Returns: how many were; 0: nothing waits.
    /// - Throws: `SocketError`: what the socket was told of a datagram that it sent (`recvmsg(2)`), ENOMEM.
    ///
    /// Source: `recvmmsg(2)`; `ip(7)` IP_RECVORIGDSTADDR; `udp(7)` UDP_GRO.
    public mutating func receive(from raw: Int32, most: Int = .max) throws(SocketError) -> Int {
        let result = cs_receive_batch(raw, &batch, Int32(clamping: min(most, capacity)))
        count = Int(max(result, 0))
        guard result >= 0 || result == -EAGAIN || result == -EINTR else { throw SocketError("recvmmsg", result) }
        return count
    }

    /// Whether both came from the same address and port.
    ///
    /// - Precondition: both indexes are below ``count``.
    public func haveOneSender(_ first: Int, _ second: Int) -> Bool {
        precondition(first < count && second < count)
        return withUnsafePointer(to: batch) { cs_same_sender($0, Int32(first), Int32(second)) } != 0
    }

    /// - Precondition: `index` is below ``count``.
    public subscript(index: Int) -> Datagram {
        precondition(index < count)
        var received = cs_datagram()
        withUnsafePointer(to: batch) { cs_received($0, Int32(index), &received) }
        return Datagram(
            // A UDP socket has no other senders.
            sender: SocketAddress(received.from) ?? SocketAddress(.v4(IPv4Address(bits: 0)), port: 0),
            originalDestination: SocketAddress(received.to).map { OriginalDestination($0) },
            bytes: UnsafeMutableRawBufferPointer(start: received.bytes, count: Int(received.length)),
            segment: Int(received.segment), isTruncated: received.truncated != 0)
    }
}
#endif
