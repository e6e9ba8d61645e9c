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
    public var ending: Ending
    /// Why the upstream was not reached, as far as somebody said so.
    public var cause: FailureCause?
}

/// Why a session failed, as whoever said so put it.
public indirect enum FailureCause: Sendable {
    /// The kernel.
    case call(SocketError)
    /// The proxy.
    case refusal(ProxyRefusal)
    /// The proxy, by closing the connection in its handshake.
    case ended
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
    /// A proxy that failed works again.
    case memberRestored(upstream: String, member: String)
    /// A session ended with `proxy-loop`, `proxy-no-destination`, `proxy-self`, `proxy-limit` or `proxy-error`,
    /// or a proxy said no, and why.
    case sessionFailed(listener: String, ending: Ending, reason: String)
}

/// Who listens to a worker. Called on the worker's thread, which must not be made to wait.
public protocol SessionObserver: AnyObject, Sendable {
    /// Its upstream is reached, and bytes move from now on. ``sessionEnded(_:)`` follows, with the same number.
    func sessionOpened(_ number: UInt64, _ client: ClientAddress, _ destination: OriginalDestination)
    func sessionEnded(_ record: SessionRecord)
    func event(_ event: WorkerEvent)
    /// After the events of each turn: the time to hand over what was gathered.
    func turnEnded()
    /// A draining worker has no session left.
    func drained()
}

extension SessionObserver {
    public func sessionOpened(_ number: UInt64, _ client: ClientAddress, _ destination: OriginalDestination) {}
}
