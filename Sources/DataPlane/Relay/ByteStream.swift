internal import CSockets
internal import Glibc
internal import TLS

/// What a direction reads from, or writes to.
protocol ByteStream {
    /// The socket below.
    var raw: Int32 { get }
    /// What `splice` takes from the socket is what `receive` would give.
    var canSpliceFrom: Bool { get }
    var canSpliceTo: Bool { get }
    /// `splice` met something that only `receive` understands.
    func isForReceive(_ error: Int32) -> Bool

    /// - Returns: bytes; 0: the end; else a negated errno.
    func receive(_ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int
    /// - Returns: whether nothing is left to read: `received` bytes came where there was room for `count`.
    func isDrained(_ received: Int, of count: Int) -> Bool
    /// - Parameter more: the end follows at once.
    /// - Returns: bytes taken, or a negated errno.
    func send(_ bytes: UnsafeRawPointer, _ count: Int, more: Bool) -> Int
}

/// A socket, as it is.
struct PlainStream: ByteStream {
    let raw: Int32

    var canSpliceFrom: Bool { true }
    var canSpliceTo: Bool { true }
    func isForReceive(_ error: Int32) -> Bool { false }

    @inline(__always)
    func receive(_ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int { cs_receive(raw, buffer, count) }
    @inline(__always)
    func isDrained(_ received: Int, of count: Int) -> Bool { received < count }
    @inline(__always)
    func send(_ bytes: UnsafeRawPointer, _ count: Int, more: Bool) -> Int { cs_send(raw, bytes, count, more ? cs_more : 0) }
}

/// A socket through which TLS is spoken.
struct TLSStream: ByteStream {
    let raw: Int32
    let channel: TLSChannel

    var canSpliceFrom: Bool { channel.canSpliceFrom }
    var canSpliceTo: Bool { channel.sendsByKernel }
    /// A message of TLS's own, such as a session ticket.
    func isForReceive(_ error: Int32) -> Bool { error == -EINVAL || error == -EIO }

    func receive(_ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int { channel.receive(buffer, count) }
    func isDrained(_ received: Int, of count: Int) -> Bool { channel.isDrained }
    func send(_ bytes: UnsafeRawPointer, _ count: Int, more: Bool) -> Int { channel.send(bytes, count) }
}
