public import TransparentSockets

/// How a client's request fared. Each protocol has words of its own for it: ``SOCKSServer/answer(_:)``,
/// ``ConnectServer/answer(_:)``.
public enum ServingOutcome: Hashable, Sendable {
    /// Connected, listening, or associated.
    ///
    /// - Parameter bound: the local address of the socket towards the upstream; of a listening or a UDP socket, an address
    ///   that the client can reach.
    case succeeded(bound: SocketAddress)
    /// The upstream refused the connection.
    case refused
    case networkUnreachable
    case hostUnreachable
    /// The name has no address.
    case nameUnresolved
    case timedOut
    /// Our rules do not allow it.
    case forbidden
    case ttlExpired
    case commandNotSupported
    case addressTypeNotSupported
    /// There is no room for it now.
    ///
    /// - Parameter retryAfter: seconds.
    case overloaded(retryAfter: Int)
    /// Anything that has no name here.
    case generalFailure
}
