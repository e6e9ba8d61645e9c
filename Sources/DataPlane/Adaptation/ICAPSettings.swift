internal import Protocols

/// A service of ICAP that requests and responses are shown to. One object for all sessions and workers; a reload makes another.
public final class ICAPSettings: Sendable {
    /// Where one kind of message goes.
    public struct Service: Sendable {
        /// Its number in ``Routes/upstreams``, whose only member it is.
        let upstream: Int
        let request: ICAPRequest

        /// - Parameters:
        ///   - url: `icap://HOST:PORT/SERVICE`
        ///   - authority: `HOST:PORT`
        public init(upstream: Int, url: String, authority: String) {
            self.upstream = upstream
            request = ICAPRequest(url: url, authority: authority)
        }
    }

    let name: String
    /// nil: requests, or responses, are not shown to anybody.
    let request: Service?
    let response: Service?
    /// Nanoseconds that the service may let us wait, each time.
    let timeout: UInt64
    /// What cannot be shown goes on as it is, as long as all of it is there.
    let passesOnFailure: Bool
    /// Of each worker, to each of the two.
    let mostConnections: Int

    public init(
        name: String, request: Service?, response: Service?, timeout: UInt64, passesOnFailure: Bool, mostConnections: Int
    ) {
        self.name = name
        self.request = request
        self.response = response
        self.timeout = timeout
        self.passesOnFailure = passesOnFailure
        self.mostConnections = mostConnections
    }
}
