#if os(Linux)
public import SystemPackage
internal import CSockets
internal import Glibc

/// Begins to connect and returns at once; the socket is non-blocking, TCP_NODELAY.
///
/// - Throws: `SocketError`: ECONNREFUSED, ENETUNREACH, EHOSTUNREACH when the answer is known at once; EADDRNOTAVAIL when no
///   port is left towards this upstream; EMFILE, ENFILE; EPERM without CAP_NET_ADMIN for a mark or a foreign source; ENODEV
///   for a device that does not exist.
///
/// Source: `connect(2)`; `socket(7)` SO_BINDTODEVICE; `ip(7)` IP_TRANSPARENT and IP_BIND_ADDRESS_NO_PORT (without it, one source address is limited to
/// some 28,000 connections in all); `tcp(7)` TCP_DEFER_ACCEPT, which makes a connecting socket hold back the handshake's last
/// acknowledgement (Linux' `net/ipv4/tcp_input.c`).
public func dial(
    _ upstream: UpstreamAddress, _ options: DialOptions = DialOptions()
) throws(SocketError) -> DialedConnection {
    do throws(SocketError) {
        return try dialOnce(upstream, options)
    } catch  where error.errno == .addressInUse || error.errno == .addressNotAvailable {
        guard case .addressAndPort(let taken) = options.source else { throw error }
        var another = options
        another.source = .address(taken.address)
        return try dialOnce(upstream, another)
    }
}

private func dialOnce(
    _ upstream: UpstreamAddress, _ options: DialOptions
) throws(SocketError) -> DialedConnection {
    let ipv6 = upstream.value.address.isIPv6
    let descriptor = Descriptor(
        owning: try check("socket", cs_socket_stream(ipv6 ? AF_INET6 : AF_INET, cs_nonblocking)))
    let raw = descriptor.raw
    if options.mark != 0 {
        try check("setsockopt(SO_MARK)", cs_set_option(raw, cs_level_socket, SO_MARK, Int32(bitPattern: options.mark)))
    }
    if let device = options.device { try bindDevice(raw, device) }
    try check("setsockopt(TCP_NODELAY)", cs_set_option(raw, cs_level_tcp, TCP_NODELAY, 1))
    try setKeepAlive(raw, seconds: options.keepAlive)
    try bindSource(raw, options.source)
    if options.delaysAcknowledgement {
        // TCP_QUICKACK would do it as well, and is forgotten with the connection.
        try check("setsockopt(TCP_DEFER_ACCEPT)", cs_set_option(raw, cs_level_tcp, TCP_DEFER_ACCEPT, 1))
    }
    return DialedConnection(descriptor: descriptor, progress: try beginToConnect(raw, to: upstream))
}

func bindDevice(_ raw: Int32, _ device: String) throws(SocketError) {
    // Of a longer name the kernel takes the beginning, which may be another interface's name; a NUL would cut it off as well,
    // and the empty name binds to nothing.
    guard 1..<Int(IFNAMSIZ) ~= device.utf8.count, !device.utf8.contains(0) else {
        throw SocketError(
            call: "setsockopt(SO_BINDTODEVICE)", errno: .operationNotSupportedByDevice, hint: "'\(device)' is no interface's name")
    }
    try check("setsockopt(SO_BINDTODEVICE) \(device)", cs_bind_device(raw, device))
}

private func bindSource(_ raw: Int32, _ source: SourceAddress) throws(SocketError) {
    let address: SocketAddress
    switch source {
    case .unspecified: return
    case .own(let value), .address(let value):
        address = SocketAddress(value, port: 0)
        try check(
            "setsockopt(IP_BIND_ADDRESS_NO_PORT)", cs_set_option(raw, cs_level_ip, CS_IP_BIND_ADDRESS_NO_PORT, 1))
    case .addressAndPort(let value):
        address = value
        // Shared with our other connections from the same client port, and with its TIME_WAIT.
        try check("setsockopt(SO_REUSEADDR)", cs_set_option(raw, cs_level_socket, SO_REUSEADDR, 1))
    }
    if case .own = source {
    } else {
        let ipv6 = address.address.isIPv6
        try check(
            ipv6 ? "setsockopt(IPV6_TRANSPARENT)" : "setsockopt(IP_TRANSPARENT)",
            ipv6
                ? cs_set_option(raw, cs_level_ipv6, CS_IPV6_TRANSPARENT, 1)
                : cs_set_option(raw, cs_level_ip, IP_TRANSPARENT, 1))
    }
    var endpoint = address.endpoint
    try check("bind \(address)", cs_bind(raw, &endpoint))
}

/// Frees a socket of a connection that has ended both ways, so that ``redial(_:to:)`` can use it again: for short connections
/// that is a good deal cheaper than a socket of their own.
///
/// Both ends must have been seen: ours sent with `shutdown`, the peer's read. A socket that was connected to a link-local
/// IPv6 address stays bound to that interface. Needs CAP_NET_ADMIN.
/// - Returns: whether the socket is free. Not before the peer has acknowledged our end, which would be lost otherwise.
/// - Throws: `SocketError`: the connection broke after all, or EPERM; close the socket.
///
/// Source: `connect(2)` AF_UNSPEC, `tcp(7)` SIOCOUTQ; TCP_REPAIR in Linux' `net/ipv4/tcp.c`.
public func disconnect(_ raw: Int32) throws(SocketError) -> Bool {
    // First: after a reset nothing will ever be acknowledged, and the next connection must not be told of it.
    if let error = connectionError(raw) { throw SocketError(call: "shutdown", errno: error) }
    var unacknowledged: Int32 = 0
    try check("ioctl(SIOCOUTQ)", cs_unacknowledged(raw, &unacknowledged))
    guard unacknowledged == 0 else { return false }
    try check("connect(AF_UNSPEC)", cs_disconnect(raw))
    // By itself the kernel would go on counting where the last connection ended: whoever was at its other end could tell the
    // next one's sequence number (RFC 6528), and a peer in TIME_WAIT could not tell the next one from the last.
    try check("setsockopt(TCP_REPAIR)", cs_forget_sequence(raw))
    return true
}

/// Begins to connect a socket that ``disconnect(_:)`` has freed. It keeps the options it was dialled with, and its place in
/// an epoll instance.
public func redial(_ raw: Int32, to upstream: UpstreamAddress) throws(SocketError) -> DialProgress {
    try beginToConnect(raw, to: upstream)
}

private func beginToConnect(_ raw: Int32, to upstream: UpstreamAddress) throws(SocketError) -> DialProgress {
    var endpoint = upstream.value.endpoint
    let result = cs_connect(raw, &endpoint)
    guard result == 0 || result == -EINPROGRESS else { throw SocketError("connect \(upstream)", result) }
    return result == 0 ? .connected : .inProgress
}

/// Connects and waits, for programs without an event loop.
///
/// - Parameter deadline: how long to wait; past it, ETIMEDOUT is thrown.
/// - Returns: a connected, non-blocking descriptor.
public func dial(
    _ upstream: UpstreamAddress, _ options: DialOptions = DialOptions(), within deadline: Duration
) throws(SocketError) -> Descriptor {
    let dialed = try dial(upstream, options)
    guard dialed.progress == .inProgress else { return dialed.release() }
    let clock = ContinuousClock()
    let end = clock.now + deadline
    while true {
        let left = clock.now.duration(to: end)
        guard left > .zero else { throw SocketError(call: "connect \(upstream)", errno: .timedOut) }
        var entry = pollfd(fd: dialed.descriptor.raw, events: Int16(POLLOUT), revents: 0)
        let milliseconds = min(left / .milliseconds(1), 1_000_000).rounded(.up)
        let ready = poll(&entry, 1, Int32(milliseconds))
        if ready < 0, errno != EINTR { throw SocketError(call: "poll", errno: Errno(rawValue: errno)) }
        guard ready > 0 else { continue }
        if let error = connectionError(dialed.descriptor.raw) {
            throw SocketError(call: "connect \(upstream)", errno: error)
        }
        return dialed.release()
    }
}

/// Takes the pending error of a socket (`SO_ERROR`): how a connect in progress failed, or how a connection broke.
public func connectionError(_ raw: Int32) -> Errno? {
    var error: Int32 = 0
    let result = cs_get_option(raw, cs_level_socket, SO_ERROR, &error)
    if result < 0 { return Errno(rawValue: -result) }
    return error == 0 ? nil : Errno(rawValue: error)
}

/// Sends the acknowledgement that ``DialOptions/delaysAcknowledgement`` held back.
public func acknowledgeNow(_ raw: Int32) {
    _ = cs_set_option(raw, cs_level_tcp, TCP_QUICKACK, 1)
}

/// Lets the kernel probe a peer that has been silent for `seconds` (`tcp(7)` TCP_KEEPIDLE); 0 leaves it off.
public func setKeepAlive(_ raw: Int32, seconds: Int32) throws(SocketError) {
    guard seconds > 0 else { return }
    try check("setsockopt(SO_KEEPALIVE)", cs_set_option(raw, cs_level_socket, SO_KEEPALIVE, 1))
    try check("setsockopt(TCP_KEEPIDLE)", cs_set_option(raw, cs_level_tcp, TCP_KEEPIDLE, seconds))
}

/// Our own address of a socket.
public func localAddress(_ raw: Int32) throws(SocketError) -> LocalAddress {
    var endpoint = cs_endpoint()
    try check("getsockname", cs_local_address(raw, &endpoint))
    guard let address = SocketAddress(endpoint) else {
        throw SocketError(call: "getsockname", errno: .addressFamilyNotSupported)
    }
    return LocalAddress(address)
}

/// The address of ours that packets to `destination` leave from, as the routes are now. Nothing is sent.
///
/// Source: `udp(7)`: connecting a datagram socket chooses a route.
public func localAddress(towards destination: IPAddress) throws(SocketError) -> IPAddress {
    let family = destination.isIPv6 ? AF_INET6 : AF_INET
    let probe = Descriptor(owning: try check("socket", cs_socket_datagram(family)))
    var endpoint = SocketAddress(destination, port: 9).endpoint
    try check("connect \(destination)", cs_connect(probe.raw, &endpoint))
    return try localAddress(probe.raw).value.address
}

/// Every address this host answers to, as its interfaces have them now. Loopback's whole network is not listed.
///
/// Source: `getifaddrs(3)`.
public func hostAddresses() throws(SocketError) -> Set<IPAddress> {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&first) == 0 else { throw SocketError(call: "getifaddrs", errno: Errno(rawValue: errno)) }
    defer { freeifaddrs(first) }
    var addresses: Set<IPAddress> = []
    var next = first
    while let entry = next {
        next = entry.pointee.ifa_next
        guard let raw = entry.pointee.ifa_addr else { continue }
        let family = Int32(raw.pointee.sa_family)
        guard family == AF_INET || family == AF_INET6 else { continue }
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) {
            $0.copyMemory(
                from: UnsafeRawBufferPointer(
                    start: raw, count: family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size))
        }
        var endpoint = cs_endpoint()
        cs_from_sockaddr(&storage, &endpoint)
        if let address = SocketAddress(endpoint) { addresses.insert(address.address) }
    }
    return addresses
}
#endif
