public import Policy
public import Protocols
public import TransparentSockets

/// A proxy that sessions leave through, or a group of several.
public struct UpstreamSettings: Sendable, Equatable {
    public var name: String
    /// 1…64.
    public var members: [Member]
    public var balancing: Balancing
    /// Nanoseconds between two checks of each member; 0: none.
    public var checkInterval: UInt64
    /// The upstream that the members are reached through; its number in ``Routes/upstreams``.
    public var via: Int?
    /// Tell a member the client and its destination first (PROXY protocol, version 2).
    public var sendsHeader: Bool

    /// One proxy.
    public struct Member: Sendable, Equatable {
        public enum Host: Sendable, Equatable {
            case address(IPAddress)
            case name(DomainName)
        }

        public var kind: ProxyHandshake.Kind
        public var host: Host
        public var port: UInt16
        public var credentials: ProxyCredentials?
        /// Give the proxy the name in place of the address, where there is one.
        public var sendsName: Bool
        /// What logs call it, and what tells it from others on any machine: `SCHEME://HOST:PORT`.
        public var label: String
        /// What an HTTP proxy is told that we are; nil: nothing.
        public var agent: String?

        public init(
            kind: ProxyHandshake.Kind, host: Host, port: UInt16, credentials: ProxyCredentials?, sendsName: Bool, label: String,
            agent: String? = nil
        ) {
            self.kind = kind
            self.host = host
            self.port = port
            self.credentials = credentials
            self.sendsName = sendsName
            self.label = label
            self.agent = agent
        }
    }

    public init(
        name: String, members: [Member], balancing: Balancing, checkInterval: UInt64, via: Int?, sendsHeader: Bool
    ) {
        self.name = name
        self.members = members
        self.balancing = balancing
        self.checkInterval = checkInterval
        self.via = via
        self.sendsHeader = sendsHeader
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
