public import Protocols
public import TransparentSockets

/// What there is to say of a finished session.
public struct SessionRecord: Sendable {
    /// Tells it from every other session of its worker.
    public var number: UInt64
    public var listener: String
    public var client: ClientAddress
    /// The original one; nil when the kernel did not know it.
    public var destination: OriginalDestination?
    /// What a client asked for that speaks a proxy protocol with us.
    public var requested: ProxyTarget?
    /// How far it came in asking, if it was by SOCKS.
    public var socks: SOCKSProgress?
    /// Who the client is, if it has shown that.
    public var user: String?
    /// The name that the client asked for, if that is known.
    public var name: String?
    /// The upstream's name; nil: direct, or no upstream at all.
    public var upstream: String?
    /// Which of the upstream's proxies it was, where there are several; nil: none was reached.
    public var member: String?
    /// The rule that decided, counted from 0; nil: none.
    public var rule: Int?
    /// Our address towards the upstream; nil when it was not reached.
    public var local: LocalAddress?
    /// Bytes from the client that the upstream's socket took.
    public var up: UInt64
    /// Bytes from the upstream that the client's socket took.
    public var down: UInt64
    /// Nanoseconds from accept to ending.
    public var duration: UInt64
    /// Nanoseconds that each direction was open: the one that ended first, and the one that ended the session.
    public var upDuration: UInt64 = 0
    public var downDuration: UInt64 = 0
    public var ending: Ending
    /// Requests of HTTP that were told of before.
    public var requests = 0
    /// Of a single request of HTTP; nil: of a session.
    public var transaction: TransactionRecord?
    /// Of a UDP flow; nil: it was a TCP session.
    public var datagrams: Datagrams?
    /// How many were taken each way.
    public struct Datagrams: Sendable, Equatable {
        public var up: UInt64
        public var down: UInt64
    }
    /// Why the upstream was not reached, as far as somebody said so.
    public var cause: FailureCause?
}

/// What there is to say of a session whose upstream was reached.
public struct SessionOpening: Sendable {
    /// As in the ``SessionRecord`` that follows.
    public var number: UInt64
    public var client: ClientAddress
    public var destination: OriginalDestination
    public var requested: ProxyTarget?
    public var socks: SOCKSProgress?
    public var local: LocalAddress?

    public init(
        number: UInt64, client: ClientAddress, destination: OriginalDestination, requested: ProxyTarget? = nil,
        socks: SOCKSProgress? = nil, local: LocalAddress? = nil
    ) {
        self.number = number
        self.client = client
        self.destination = destination
        self.requested = requested
        self.socks = socks
        self.local = local
    }
}

/// Why a session failed, as whoever said so put it.
public indirect enum FailureCause: Sendable {
    /// The kernel.
    case call(SocketError)
    /// The proxy.
    case refusal(ProxyRefusal)
    /// The proxy, by closing the connection in its handshake.
    case ended
    /// We, to a client that asked for it; in words for an operator.
    case denied(String)
    /// We, in words for an operator.
    case other(String)
}

/// Something that an operator should know, of no single session.
public enum WorkerEvent: Sendable, Equatable {
    /// Accepting is paused: the kernel is out of descriptors, memory or buffers, in its own words.
    case acceptPaused(listener: String, reason: String)
    /// Accepting is paused: `max_sessions` are open.
    case sessionLimit(listener: String, limit: Int)
    case acceptResumed(listener: String)
    /// A proxy failed: sessions go to the others of its upstream for so many nanoseconds.
    case memberEjected(upstream: String, member: String, nanoseconds: UInt64, reason: String)
    /// The only proxy of an upstream failed. Nothing is done about it: sessions go on asking it.
    case memberFailed(upstream: String, member: String, reason: String)
    /// A proxy that failed works again.
    case memberRestored(upstream: String, member: String)
    /// A proxy seems to forget a request that comes with the greeting: from now on it is sent after it.
    case pipeliningStopped(upstream: String, member: String)
    /// A session ended with `proxy-loop`, `proxy-no-destination`, `proxy-self`, `proxy-limit` or `proxy-error`,
    /// or a proxy said no, and why.
    case sessionFailed(listener: String, ending: Ending, reason: String)
}

/// Who listens to a worker. Called on the worker's thread, which must not be made to wait.
public protocol SessionObserver: AnyObject, Sendable {
    /// Its upstream is reached, and bytes move from now on. ``sessionEnded(_:)`` follows, with the same number.
    func sessionOpened(_ opening: SessionOpening)
    func sessionEnded(_ record: SessionRecord)
    /// Whether ``transactionEnded(_:)`` is worth putting together what it is given.
    var wantsTransactions: Bool { get }
    /// A request of HTTP is over; its session may go on.
    func transactionEnded(_ record: SessionRecord)
    func event(_ event: WorkerEvent)
    /// After the events of each turn: the time to hand over what was gathered.
    func turnEnded()
    /// A draining worker has no session left.
    func drained()
}

extension SessionObserver {
    public func sessionOpened(_ opening: SessionOpening) {}
    public var wantsTransactions: Bool { false }
    public func transactionEnded(_ record: SessionRecord) {}
}
