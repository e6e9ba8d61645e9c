public import Policy

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

/// What the data plane must know of the configuration: one immutable value, swapped whole on reload.
public struct Settings: Sendable {
    /// Number on our own packets that rules skip; 0: none.
    public var mark: UInt32 = 0
    public var relay: RelayMode = .adaptive
    /// Nanoseconds to reach the upstream.
    public var connectTimeout: UInt64 = 10_000_000_000
    /// Nanoseconds without a byte either way before an open session is ended; 0: never.
    public var idleTimeout: UInt64 = 3_600_000_000_000
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
    /// By the numbers that the policy's actions bear.
    public let upstreams: [UpstreamGroup]

    /// - Parameter old: of upstreams that keep their names, what is known of their members is taken over.
    public init(_ policy: Policy, _ upstreams: [UpstreamSettings], inheriting old: Routes? = nil) {
        self.policy = policy
        self.upstreams = upstreams.map { settings in
            UpstreamGroup(settings, inheriting: old?.upstreams.first { $0.settings.name == settings.name })
        }
    }
}

/// What one listener does with what it accepts.
public struct ListenerSettings: Sendable, Equatable {
    public var name: String
    public var preservedSource: PreservedSource

    public init(name: String, preservedSource: PreservedSource = .off) {
        self.name = name
        self.preservedSource = preservedSource
    }
}
