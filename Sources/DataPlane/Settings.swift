public import Policy
internal import Protocols
public import TLS

/// How bytes move.
public enum RelayMode: String, Sendable, CaseIterable {
    /// Copy at first, splice once a direction keeps filling its reads.
    case adaptive
    case copy
    case splice
}

/// Whose address the upstream sees.
public enum PreservedSource: Sendable, Equatable {
    case off
    case address
    case addressAndPort
}

/// Who may answer a client's UDP endpoint (RFC 4787 §5).
public enum Filtering: Sendable, Equatable {
    /// Addresses that it has sent to.
    case addressDependent
    /// Everybody.
    case endpointIndependent
}

/// What the data plane must know of the configuration: one immutable value, swapped whole on reload.
public struct Settings: Sendable {
    /// Number on our own packets that rules skip; 0: none.
    public var mark: UInt32 = 0
    public var relay: RelayMode = .adaptive
    /// Nanoseconds to reach the upstream.
    public var connectTimeout: UInt64 = 10_000_000_000
    /// Nanoseconds for a client's request to come, whole, where clients speak a proxy protocol with us.
    public var handshakeTimeout: UInt64 = 10_000_000_000
    /// Nanoseconds that a client waits for its peer (SOCKS' BIND).
    public var bindTimeout: UInt64 = 60_000_000_000
    /// Nanoseconds without a byte either way before an open session is ended; 0: never.
    public var idleTimeout: UInt64 = 3_600_000_000_000
    /// Nanoseconds that a client of HTTP may take between two requests; 0: any time.
    public var httpIdleTimeout: UInt64 = 60_000_000_000
    /// Bytes a second that a client of HTTP must send of its body, and take of what it is sent, once it is waited for; 0: any.
    public var minBodyRate: UInt64 = 500
    /// Nanoseconds without a byte after one side has ended; 0: never.
    public var halfCloseTimeout: UInt64 = 60_000_000_000
    /// Sessions of all workers together; past it, clients wait in the backlog.
    public var maxSessions = 1_000
    /// Pipes of one worker; past it, directions go on copying.
    public var maxPipes = 64
    /// Used upstream sockets that one worker keeps per family, to dial them again.
    public var maxKeptSockets = 64
    /// Bytes that a pipe should hold; the kernel may give less.
    public var pipeSize = 1 << 20
    /// Seconds after which the kernel probes a silent peer.
    public var keepAlive: Int32 = 180

    /// UDP flows of one worker; past it, the longest silent one makes room.
    public var maxFlows = 1_000
    /// Nanoseconds without a datagram before a flow is ended: one that was answered, and one that was not.
    public var flowTimeout: UInt64 = 180_000_000_000
    public var flowUnansweredTimeout: UInt64 = 30_000_000_000
    /// Sockets that answers to intercepted clients leave by, of one worker: one for each port that clients send to. More ports at a time are
    /// in use only where somebody scans them.
    public static let mostSenders = 64
    /// Datagrams that are received with one call; 1: each datagram comes and goes by itself.
    public var batch = 256

    /// Which sessions go where.
    public var routes = Routes(Policy([]), [])
    /// Nanoseconds to wait for a client's first bytes, when a name is needed.
    public var sniffTimeout: UInt64 = 300_000_000

    public init() {}
}

/// The policy, and the upstreams that it names. One object, which a session keeps from its decision to its ending: a reload
/// in between gives others to those that follow.
public final class Routes: Sendable {
    public let policy: Policy
    /// ``Policy/askedFields``: what rules would have asked of such a field, nobody could know of a trailer, which comes when the request has
    /// long gone on. So they do not go on.
    let askedFields: FieldNames
    /// By the numbers that the policy's actions bear.
    public let upstreams: [UpstreamGroup]

    /// - Parameter old: of upstreams that keep their names, what is known of their members is taken over.
    public init(_ policy: Policy, _ upstreams: [UpstreamSettings], inheriting old: Routes? = nil) {
        self.policy = policy
        askedFields = FieldNames(policy.askedFields)
        self.upstreams = upstreams.map { settings in
            UpstreamGroup(settings, inheriting: old?.upstreams.first { $0.settings.name == settings.name })
        }
    }

    /// Does what takes files and time, so that no worker has to: reads the authorities of proxies that speak TLS.
    public func prepare() throws(TLSError) {
        for member in upstreams.flatMap(\.members) { _ = try member.tlsContext() }
    }
}

/// What one listener does with what it accepts.
public struct ListenerSettings: Sendable {
    public var name: String
    public var preservedSource: PreservedSource
    /// What is served to clients that connect on purpose; nil: connections are intercepted ones.
    public var service: Service?
    public var filtering: Filtering
    /// Its clients' requests are understood where they speak HTTP; nil: what they speak is their own affair.
    public var http: HTTPSettings?
    /// Its clients are in a network namespace of their own, in which we dial nothing: what is called loopback there is served here, by no
    /// rule but directly, and no connection of ours can come back, whatever its addresses look like.
    public var isElsewhere = false

    public init(
        name: String, preservedSource: PreservedSource = .off, service: Service? = nil, filtering: Filtering = .addressDependent
    ) {
        self.name = name
        self.filtering = filtering
        self.preservedSource = preservedSource
        self.service = service
    }
}
