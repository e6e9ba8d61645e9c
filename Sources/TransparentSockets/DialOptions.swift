/// Which of our addresses, or somebody else's, an upstream sees.
public enum SourceAddress: Hashable, Sendable {
    /// The kernel chooses one of ours.
    case unspecified
    /// This address of ours and a port of the kernel's choice.
    case own(IPAddress)
    /// This address and a port of the kernel's choice. It may be somebody else's, which needs CAP_NET_ADMIN.
    case address(IPAddress)
    /// This address and port. When that pair is in use towards the same upstream, another port of the same address.
    case addressAndPort(SocketAddress)
}

/// How to connect.
public struct DialOptions: Hashable, Sendable {
    /// The number on all packets of the socket (`SO_MARK`); 0: none. Needs CAP_NET_ADMIN.
    public var mark: UInt32 = 0
    public var source: SourceAddress = .unspecified
    /// The interface that all packets of the socket leave by and come in at (`SO_BINDTODEVICE`), whatever the routes say; nil:
    /// as they say. When there is no such interface, dialling fails: nothing leaves by another one.
    public var device: String?
    /// Seconds of silence after which the kernel probes whether the upstream still lives; 0: never.
    public var keepAlive: Int32 = 0
    /// Hold the handshake's last acknowledgement back so that it can travel with the first data.
    ///
    /// Whoever sets this must, once connected, either send or call ``acknowledgeNow(_:)``: an upstream that speaks first
    /// waits for that acknowledgement. It saves a packet per connection.
    public var delaysAcknowledgement = false

    public init() {}
}

/// What a non-blocking connect has come to.
public enum DialProgress: Hashable, Sendable {
    case connected
    /// Wait until the socket is writable, then ask ``connectionError(_:)``.
    case inProgress
}

/// A socket on its way to an upstream, or there already.
public struct DialedConnection: ~Copyable, Sendable {
    public let descriptor: Descriptor
    public let progress: DialProgress

    /// Gives the descriptor away; the receiver closes it.
    public consuming func release() -> Descriptor { descriptor }
}
