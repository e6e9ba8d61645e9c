internal import CSockets

/// One file descriptor and the duty to close it.
///
/// A leaf type: nothing bigger needs a `deinit`. It cannot be copied, so it cannot be closed twice, and a path that
/// forgets it still closes it.
public struct Descriptor: ~Copyable, Sendable {
    /// The number, for calls that borrow it. It must not outlive this value.
    public let raw: Int32

    /// Takes over an open descriptor.
    public init(owning raw: Int32) { self.raw = raw }

    deinit { _ = cs_close(raw) }

    /// Gives the number away; the receiver closes it.
    public consuming func release() -> Int32 {
        let raw = raw
        discard self
        return raw
    }
}
