public import Policy
public import TransparentSockets

/// What a listener serves to clients that speak a proxy protocol with it. One object for all workers; a reload makes another.
public final class Service: Sendable {
    public enum Protocols: Sendable {
        case socks
        case http
        /// Whichever the first byte belongs to.
        case both
    }

    let protocols: Protocols
    public let reach: Reach
    let servesBind: Bool
    let servesUDP: Bool
    public let login: Login?
    private let clients: NetworkSet?
    private let ports: PortSet?
    private let connectPorts: PortSet

    /// Who must show a password, and who looks at it.
    public struct Login: Sendable {
        let users: Users
        let authenticator: Authenticator

        public init(_ users: Users, _ authenticator: Authenticator) {
            self.users = users
            self.authenticator = authenticator
        }
    }

    /// - Parameters:
    ///   - ports: that clients may ask for; nil: over SOCKS all, over HTTP 443, for a tunnel to other ports can be mail or anything
    ///     else that nobody expects of an HTTP proxy (RFC 9110 §9.3.6).
    ///   - clients: networks whose clients are served; nil: all.
    ///   - reach: where they may go, before any rule is asked.
    ///   - servesBind: they may wait for a peer (SOCKS' BIND).
    ///   - servesUDP: they may have their datagrams relayed (SOCKS5's UDP ASSOCIATE).
    ///   - login: nil: nobody is asked for a password.
    public init(
        _ protocols: Protocols, clients: [IPNetwork]?, ports: [ClosedRange<UInt16>]?, reach: Reach, servesBind: Bool = true,
        servesUDP: Bool = false, login: Login?
    ) {
        self.protocols = protocols
        self.clients = clients.map { NetworkSet($0) }
        self.ports = ports.map { PortSet($0) }
        connectPorts = PortSet(ports ?? [443...443])
        self.reach = reach
        self.servesBind = servesBind
        self.servesUDP = servesUDP
        self.login = login
    }

    /// - Parameter forPages: by requests that we pass on, and not through a tunnel.
    public func mayAsk(for port: UInt16, overHTTP: Bool, forPages: Bool = false) -> Bool {
        guard overHTTP else { return ports?.contains(port) ?? true }
        // Below 1024 there is mail, and everything else that takes what a page's form sends for commands.
        return forPages ? ports?.contains(port) ?? (port == 80 || port >= 1024) : connectPorts.contains(port)
    }

    public var servesHTTP: Bool { protocols != .socks }

    public func admits(_ client: IPAddress) -> Bool { clients?.contains(client) ?? true }

    /// Why a name is not even looked up, nor given to a proxy, in words for a log; nil: it may be.
    ///
    /// What means loopback wherever it is looked up would be the proxy's own host.
    public func refusal(of name: DomainName) -> String? {
        name.meansLoopback && !reach.opensLoopback ? "\(name) means loopback" : nil
    }
}
