internal import Policy
internal import Protocols
internal import TransparentSockets

/// The service that a listener asks whether a request may pass (`auth_request`). One object for all sessions and workers; a reload makes
/// another.
public final class AuthorizationSettings: Sendable {
    /// Connections to it that one worker has at most, and requests that wait for one of them.
    public static let mostConnections = 32
    static let mostWaiting = 256
    /// ... of both, what one client may have.
    static let mostOfOne = (mostConnections + mostWaiting) / 2

    /// Its number in ``Routes/upstreams``, whose only member it is.
    let upstream: Int
    /// `HOST:PORT`, and what is asked for there.
    let authority: [UInt8]
    let path: [UInt8]
    /// Nanoseconds from the request to the verdict.
    let timeout: UInt64
    /// Nanoseconds that a verdict holds for the same question; 0: for none.
    let lifetime: UInt64
    /// Fields of the request that the service is told.
    let key: [FieldName]
    /// Fields of the service's answer that the server is told.
    let pass: [FieldName]
    let listener: [UInt8]

    public init(
        upstream: Int, authority: String, path: String, timeout: UInt64, lifetime: UInt64, key: [String], pass: [String],
        listener: String
    ) {
        self.upstream = upstream
        self.authority = Array(authority.utf8)
        self.path = Array(path.utf8)
        self.timeout = timeout
        self.lifetime = lifetime
        self.key = key.map { FieldName($0) }
        self.pass = pass.map { FieldName($0) }
        self.listener = Array(listener.utf8)
    }
}
