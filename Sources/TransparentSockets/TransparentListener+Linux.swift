#if os(Linux)
internal import SystemPackage
internal import CSockets
internal import Glibc

/// A listening TCP socket that accepts connections addressed to others.
///
/// ```swift
/// var options = ListenerOptions(mode: .tproxy)
/// let listener = try TransparentListener(ListenAddress(SocketAddress("[::]:1081")!), options)
/// while let accepted = try listener.accept() {
///     let destination = try accepted.originalDestination()
/// }
/// ```
public struct TransparentListener: ~Copyable, Sendable {
    public let descriptor: Descriptor
    public let address: ListenAddress
    public let mode: InterceptionMode

    /// Binds and listens. `[::]` serves IPv4 too, unless told otherwise; every other address serves its own family.
    ///
    /// - Throws: `SocketError`: EADDRINUSE when the address is taken (also by a program that shares its port),
    ///   EADDRNOTAVAIL when it is not this host's, EPERM without CAP_NET_ADMIN for `tproxy` or a mark, EACCES for a port
    ///   below `net.ipv4.ip_unprivileged_port_start`.
    ///
    /// Source: `ip(7)` IP_TRANSPARENT, `ipv6(7)` IPV6_V6ONLY, `socket(7)` SO_REUSEPORT and SO_MARK.
    public init(_ address: ListenAddress, _ options: ListenerOptions) throws(SocketError) {
        let family = address.value.address.isIPv6 ? AF_INET6 : AF_INET
        try self.init(
            on: Descriptor(owning: try check("socket", cs_socket_stream(family, cs_nonblocking))), address, options)
    }

    /// Binds and listens on a non-blocking stream socket of the address's family that somebody else has made: in another network
    /// namespace, say. A socket stays in the namespace it was made in, whoever uses it, and what needs a capability needs it there.
    ///
    /// - Throws: as the other one.
    public init(
        on descriptor: consuming Descriptor, _ address: ListenAddress, _ options: ListenerOptions
    ) throws(SocketError) {
        let socket = address.value
        try Self.prepare(descriptor.raw, socket, options)
        var endpoint = socket.endpoint
        try check("bind \(address)", cs_bind(descriptor.raw, &endpoint))
        try check("listen \(address)", cs_listen(descriptor.raw, options.backlog))
        if options.delaysAcknowledgement {
            // Not earlier: `listen` resets it.
            try check("setsockopt(TCP_QUICKACK)", cs_set_option(descriptor.raw, cs_level_tcp, TCP_QUICKACK, 0))
        }
        self.descriptor = descriptor
        self.address = address
        mode = options.mode
    }

    private static func prepare(_ raw: Int32, _ socket: SocketAddress, _ options: ListenerOptions) throws(SocketError) {
        let ipv6 = socket.address.isIPv6
        try check("setsockopt(SO_REUSEADDR)", cs_set_option(raw, cs_level_socket, SO_REUSEADDR, 1))
        if options.sharesPort {
            try check("setsockopt(SO_REUSEPORT)", cs_set_option(raw, cs_level_socket, SO_REUSEPORT, 1))
        }
        if ipv6 {
            let only: Int32 = socket.address.isUnspecified && !options.ipv6Only ? 0 : 1
            try check("setsockopt(IPV6_V6ONLY)", cs_set_option(raw, cs_level_ipv6, IPV6_V6ONLY, only))
        }
        if options.mode == .tproxy {
            if ipv6 {
                try check(
                    "setsockopt(IPV6_TRANSPARENT)",
                    cs_set_option(raw, cs_level_ipv6, CS_IPV6_TRANSPARENT, 1))
            }
            // On a dual-stack socket too: it serves mapped IPv4 connections.
            try check("setsockopt(IP_TRANSPARENT)", cs_set_option(raw, cs_level_ip, IP_TRANSPARENT, 1))
        }
        if options.mark != 0 {
            try check("setsockopt(SO_MARK)", cs_set_option(raw, cs_level_socket, SO_MARK, Int32(bitPattern: options.mark)))
        }
        // Accepted sockets inherit these, which saves two calls per connection.
        try check("setsockopt(TCP_NODELAY)", cs_set_option(raw, cs_level_tcp, TCP_NODELAY, 1))
        try setKeepAlive(raw, seconds: options.keepAlive)
    }

    /// Whether another program listens on this address, whatever it allows others to share.
    ///
    /// A listener with `sharesPort` would otherwise join a stranger's group and get half of its connections.
    public static func checkFree(_ address: ListenAddress, _ options: ListenerOptions) throws(SocketError) {
        var alone = options
        alone.sharesPort = false
        let family = address.value.address.isIPv6 ? AF_INET6 : AF_INET
        let probe = Descriptor(owning: try check("socket", cs_socket_stream(family, 0)))
        try prepare(probe.raw, address.value, alone)
        var endpoint = address.value.endpoint
        try check("bind \(address)", cs_bind(probe.raw, &endpoint))
    }

    /// Accepts one waiting connection; `nil` when none waits.
    ///
    /// - Throws: `SocketError`: EMFILE, ENFILE, ENOBUFS, ENOMEM (out of resources: pause and try again), ECONNABORTED and
    ///   the network errors of `accept(2)` (that connection is gone: go on).
    public func accept() throws(SocketError) -> AcceptedConnection? {
        var peer = cs_endpoint()
        let result = cs_accept(descriptor.raw, &peer)
        guard result >= 0 else {
            if result == -EAGAIN { return nil }
            throw SocketError("accept", result)
        }
        let accepted = Descriptor(owning: result)
        guard let client = SocketAddress(peer) else { throw SocketError(call: "accept", errno: .addressFamilyNotSupported) }
        return AcceptedConnection(descriptor: accepted, client: ClientAddress(client), mode: mode)
    }
}

/// A connection as the kernel handed it over: non-blocking, TCP_NODELAY.
public struct AcceptedConnection: ~Copyable, Sendable {
    public let descriptor: Descriptor
    public let client: ClientAddress
    public let mode: InterceptionMode

    init(descriptor: consuming Descriptor, client: ClientAddress, mode: InterceptionMode) {
        self.descriptor = descriptor
        self.client = client
        self.mode = mode
    }

    /// Where the client meant to go.
    ///
    /// - Throws: `SocketError`: for `redirect`, ENOENT when conntrack knows no such connection: nothing redirected it, or
    ///   it was redirected in another network namespace.
    public borrowing func originalDestination() throws(SocketError) -> OriginalDestination {
        var endpoint = cs_endpoint()
        switch mode {
        case .tproxy:
            try check("getsockname", cs_local_address(descriptor.raw, &endpoint))
        case .redirect:
            let result = cs_original_destination(descriptor.raw, client.value.address.isIPv6 ? 1 : 0, &endpoint)
            guard result >= 0 else {
                let hint = "conntrack knows no such connection: nothing redirected it, or another network namespace did"
                throw SocketError("getsockopt(SO_ORIGINAL_DST)", result, hint: result == -ENOENT ? hint : nil)
            }
        }
        guard let address = SocketAddress(endpoint) else {
            throw SocketError(call: "getsockname", errno: .addressFamilyNotSupported)
        }
        return OriginalDestination(address)
    }

    /// Gives the parts away; the receiver closes the descriptor.
    public consuming func release() -> Descriptor { descriptor }
}
#endif
