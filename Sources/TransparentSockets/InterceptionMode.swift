/// How the kernel hands us a connection that was going elsewhere. A property of the listener, never guessed: asked the
/// wrong way, the kernel can give a plausible and wrong answer.
public enum InterceptionMode: String, Hashable, Sendable, CaseIterable {
    /// A TPROXY rule: the accepted socket carries the foreign address itself.
    ///
    /// Source: Linux `Documentation/networking/tproxy.rst`.
    case tproxy
    /// A REDIRECT or DNAT rule: conntrack remembers where the connection was going.
    ///
    /// Source: `SO_ORIGINAL_DST` in `linux/netfilter_ipv4.h`, `IP6T_SO_ORIGINAL_DST` in `linux/netfilter_ipv6/ip6_tables.h`.
    case redirect
}

/// How a transparent listener is set up. Everything is set before `bind`: later, most of it has no effect.
public struct ListenerOptions: Hashable, Sendable {
    /// How connections come to this listener.
    public var mode: InterceptionMode
    /// Length of the queue of connections waiting to be accepted; the kernel cuts it to `net.core.somaxconn`.
    public var backlog: Int32 = 65_535
    /// The number on all packets of the listener and of what it accepts (`SO_MARK`); 0: none. Needs CAP_NET_ADMIN.
    public var mark: UInt32 = 0
    /// `[::]` leaves IPv4 to another listener (`IPV6_V6ONLY`). An IPv4 socket of its own carries IPv4 some 2 % faster.
    public var ipv6Only = false
    /// Several sockets of ours share the address and the kernel spreads connections over them (`SO_REUSEPORT`).
    public var sharesPort = false
    /// Seconds of silence after which the kernel probes whether an accepted connection's peer still lives; 0: never.
    public var keepAlive: Int32 = 0
    /// Hold the acknowledgement of a client's first data back so that it can travel with the answer, which saves a packet per
    /// connection. The kernel waits 40 ms; ``acknowledgeNow(_:)`` ends the wait.
    public var delaysAcknowledgement = false

    public init(mode: InterceptionMode) { self.mode = mode }
}
