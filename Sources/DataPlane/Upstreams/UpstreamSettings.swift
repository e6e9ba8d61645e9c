public import Policy
public import Protocols
public import TLS
public import TransparentSockets

/// A proxy that sessions leave through, or a group of several; or the origins that a listener stands in front of.
public struct UpstreamSettings: Sendable, Equatable {
    public var name: String
    /// 1…64; none where ``exit`` is.
    public var members: [Member]
    public var balancing: Balancing
    /// Nanoseconds between two checks of each member; 0: none.
    public var checkInterval: UInt64
    /// The upstream that the members are reached through; its number in ``Routes/upstreams``.
    public var via: Int?
    /// Tell a member the client and its destination first (PROXY protocol, version 2).
    public var sendsHeader: Bool
    /// No proxy: straight to the destination, this way.
    public var exit: Exit?

    /// How sessions leave this host.
    public struct Exit: Sendable, Equatable {
        /// The addresses of ours that they leave from; empty: the kernel chooses.
        public var sources: [IPAddress]
        /// A DNS block list; addresses that it names are not used as long as there are others.
        public var blockList: DomainName?
        /// The interface that they leave through, whatever the routes say; nil: the routes do.
        public var device: String?
        /// The number on their packets in place of ours; nil: ours.
        public var mark: UInt32?

        public init(sources: [IPAddress], blockList: DomainName?, device: String?, mark: UInt32?) {
            self.sources = sources
            self.blockList = blockList
            self.device = device
            self.mark = mark
        }
    }

    /// One proxy.
    public struct Member: Sendable, Equatable {
        public enum Host: Sendable, Equatable {
            case address(IPAddress)
            case name(DomainName)
        }

        /// nil: an origin, which a connection is all that is needed for.
        public var kind: ProxyHandshake.Kind?
        public var host: Host
        public var port: UInt16
        /// Speak TLS with it, and believe these; nil: no TLS.
        public var trust: Trust?
        public var credentials: ProxyCredentials?
        /// Give the proxy the name in place of the address, where there is one.
        public var sendsName: Bool
        /// Send it SOCKS5's request together with the greeting.
        public var isPipelined: Bool
        /// What logs call it, and what tells it from others on any machine: `SCHEME://HOST:PORT`.
        public var label: String
        /// What an HTTP proxy is told that we are; nil: nothing.
        public var agent: String?

        public init(
            kind: ProxyHandshake.Kind?, host: Host, port: UInt16, trust: Trust? = nil, credentials: ProxyCredentials?,
            sendsName: Bool, isPipelined: Bool = false, label: String, agent: String? = nil
        ) {
            self.kind = kind
            self.host = host
            self.port = port
            self.trust = trust
            self.credentials = credentials
            self.sendsName = sendsName
            self.isPipelined = isPipelined
            self.label = label
            self.agent = agent
        }
    }

    public init(
        name: String, members: [Member], balancing: Balancing, checkInterval: UInt64, via: Int?, sendsHeader: Bool,
        exit: Exit? = nil
    ) {
        self.name = name
        self.members = members
        self.balancing = balancing
        self.checkInterval = checkInterval
        self.via = via
        self.sendsHeader = sendsHeader
        self.exit = exit
    }
}

/// Which member of a group a session gets, of those that work.
public enum Balancing: Sendable {
    /// The first in order.
    case failover
    /// One after the other.
    case roundRobin
    /// The one with the fewest open sessions.
    case leastSessions
    /// The same client address gets the same one, on every host with the same members.
    case clientHash
}
