#if os(Linux)
internal import SystemPackage
internal import CSockets
internal import Glibc

/// How a transparent datagram socket is set up. Everything is set before `bind`.
public struct DatagramOptions: Hashable, Sendable {
    /// The number on all packets of the socket (`SO_MARK`); 0: none. Needs CAP_NET_ADMIN.
    public var mark: UInt32 = 0
    /// Several sockets of ours share the address, and the kernel spreads clients over them (`SO_REUSEPORT`). Behind a rule
    /// `tproxy to :PORT` one client's address and port always come to the same socket.
    public var sharesPort = false
    /// Bursts of equal datagrams may come as one (``Datagram/segment``).
    public var takesBursts = true
    /// Bytes that may wait to be received; the kernel cuts it to `net.core.rmem_max`, unless the process has CAP_NET_ADMIN.
    public var receiveBuffer = 0

    public init() {}
}

/// A UDP socket that receives datagrams addressed to others, by a TPROXY rule, and says where they were going.
///
/// Answers leave through a ``ForeignSender``, so that the client gets them from where it sent to. This is a DNS forwarder's loop, whole:
///
/// ```swift
/// var options = DatagramOptions()
/// options.mark = mark                              // of our own packets, which the rules skip
/// let socket = try TransparentDatagramSocket(ListenAddress(SocketAddress("0.0.0.0:1081")!), options)
/// var batch = try DatagramBatch(capacity: 64)
/// // Whenever socket.descriptor can be read:
/// for index in 0..<(try batch.receive(from: socket.descriptor.raw)) {
///     let datagram = batch[index]
///     guard let destination = datagram.originalDestination?.value else { continue }
///     print("\(datagram.sender) sends \(datagram.bytes.count) bytes to \(destination)")
///     let sender = try ForeignSender(port: destination.port, isIPv6: destination.address.isIPv6, mark: mark)
///     try sender.send(answer, from: destination, to: datagram.sender)
/// }
/// ```
public struct TransparentDatagramSocket: ~Copyable, Sendable {
    public let descriptor: Descriptor
    public let address: ListenAddress

    /// Binds. Every address serves its own family: `[::]` does not serve IPv4.
    ///
    /// - Throws: `SocketError`: EADDRINUSE when the address is taken, EPERM without CAP_NET_ADMIN.
    ///
    /// Source: `ip(7)` IP_TRANSPARENT and IP_RECVORIGDSTADDR, Linux `Documentation/networking/tproxy.rst`.
    public init(_ address: ListenAddress, _ options: DatagramOptions = DatagramOptions()) throws(SocketError) {
        let raw = try check("socket", cs_socket_udp(address.value.address.isIPv6 ? AF_INET6 : AF_INET))
        try self.init(on: Descriptor(owning: raw), address, options)
    }

    /// The same on an unbound, non-blocking socket of the address's family that was made elsewhere, in another network namespace for
    /// example.
    public init(
        on descriptor: consuming Descriptor, _ address: ListenAddress, _ options: DatagramOptions = DatagramOptions()
    ) throws(SocketError) {
        let ipv6 = address.value.address.isIPv6
        let raw = descriptor.raw
        if ipv6 { try check("setsockopt(IPV6_V6ONLY)", cs_set_option(raw, cs_level_ipv6, IPV6_V6ONLY, 1)) }
        if options.sharesPort {
            try check("setsockopt(SO_REUSEPORT)", cs_set_option(raw, cs_level_socket, SO_REUSEPORT, 1))
        }
        try setTransparent(raw, ipv6: ipv6)
        if ipv6 {
            try check("setsockopt(IPV6_RECVORIGDSTADDR)", cs_set_option(raw, cs_level_ipv6, CS_IPV6_RECVORIGDSTADDR, 1))
        } else {
            try check("setsockopt(IP_RECVORIGDSTADDR)", cs_set_option(raw, cs_level_ip, CS_IP_RECVORIGDSTADDR, 1))
        }
        try prepareDatagrams(raw, mark: options.mark, takesBursts: options.takesBursts, receiveBuffer: options.receiveBuffer)
        var endpoint = address.value.endpoint
        try check("bind \(address)", cs_bind(raw, &endpoint))
        self.descriptor = descriptor
        self.address = address
    }

    /// Whether another program has this address, whatever it allows others to share.
    public static func checkFree(_ address: ListenAddress) throws(SocketError) {
        let ipv6 = address.value.address.isIPv6
        let probe = Descriptor(owning: try check("socket", cs_socket_udp(ipv6 ? AF_INET6 : AF_INET)))
        if ipv6 { try check("setsockopt(IPV6_V6ONLY)", cs_set_option(probe.raw, cs_level_ipv6, IPV6_V6ONLY, 1)) }
        var endpoint = address.value.endpoint
        try check("bind \(address)", cs_bind(probe.raw, &endpoint))
    }
}

/// How a socket for datagrams of ours leaves this host.
public struct DatagramDialOptions: Hashable, Sendable {
    /// As in ``DialOptions``.
    public var mark: UInt32 = 0
    public var source: SourceAddress = .unspecified
    public var device: String?
    /// Bursts of equal datagrams may come as one.
    public var takesBursts = true
    /// Bytes that may wait to be received; 0: as the system has it.
    public var receiveBuffer = 0

    public init() {}
}

/// Makes a UDP socket that may send to anybody and hears from everybody; it is non-blocking, and told of ICMP errors for each of
/// its datagrams.
///
/// - Parameter peer: everything goes to this address, and nothing comes from another; nil: to whom each call says.
/// - Throws: `SocketError`: EMFILE, ENFILE; EADDRINUSE for a source port that is taken; EPERM without CAP_NET_ADMIN for a mark or a
///   foreign source; ENODEV for a device that does not exist.
///
/// Source: `udp(7)`, `ip(7)` IP_RECVERR.
public func datagramSocket(
    isIPv6: Bool, to peer: UpstreamAddress? = nil, _ options: DatagramDialOptions = DatagramDialOptions()
) throws(SocketError) -> Descriptor {
    do throws(SocketError) {
        return try datagramSocketOnce(isIPv6: isIPv6, to: peer, options)
    } catch  where error.errno == .addressInUse {
        guard case .addressAndPort(let taken) = options.source else { throw error }
        var another = options
        another.source = .address(taken.address)
        return try datagramSocketOnce(isIPv6: isIPv6, to: peer, another)
    }
}

private func datagramSocketOnce(
    isIPv6: Bool, to peer: UpstreamAddress?, _ options: DatagramDialOptions
) throws(SocketError) -> Descriptor {
    let descriptor = Descriptor(owning: try check("socket", cs_socket_udp(isIPv6 ? AF_INET6 : AF_INET)))
    let raw = descriptor.raw
    try prepareDatagrams(raw, mark: options.mark, takesBursts: options.takesBursts, receiveBuffer: options.receiveBuffer)
    if let device = options.device { try bindDevice(raw, device) }
    try check(
        "setsockopt(IP_RECVERR)",
        isIPv6
            ? cs_set_option(raw, cs_level_ipv6, CS_IPV6_RECVERR, 1) : cs_set_option(raw, cs_level_ip, CS_IP_RECVERR, 1))
    let source: SocketAddress?
    switch options.source {
    case .unspecified: source = nil
    case .own(let address): source = SocketAddress(address, port: 0)
    case .address(let address):
        try setForeignSource(raw, ipv6: isIPv6)
        source = SocketAddress(address, port: 0)
    case .addressAndPort(let address):
        try setForeignSource(raw, ipv6: isIPv6)
        source = address
    }
    if let source {
        var endpoint = source.endpoint
        try check("bind \(source)", cs_bind(raw, &endpoint))
    }
    if let peer {
        var endpoint = peer.value.endpoint
        try check("connect \(peer)", cs_connect(raw, &endpoint))
    }
    return descriptor
}

/// Routers on the way that cannot pass a large datagram tell its source, which is not us: so it must not be forbidden to them to
/// cut it into fragments.
func setForeignSource(_ raw: Int32, ipv6: Bool) throws(SocketError) {
    try setTransparent(raw, ipv6: ipv6)
    try check(
        "setsockopt(IP_MTU_DISCOVER)",
        ipv6
            ? cs_set_option(raw, cs_level_ipv6, CS_IPV6_MTU_DISCOVER, CS_PMTUDISC_DONT)
            : cs_set_option(raw, cs_level_ip, CS_IP_MTU_DISCOVER, CS_PMTUDISC_DONT))
}

func setTransparent(_ raw: Int32, ipv6: Bool) throws(SocketError) {
    if ipv6 {
        try check("setsockopt(IPV6_TRANSPARENT)", cs_set_option(raw, cs_level_ipv6, CS_IPV6_TRANSPARENT, 1))
    } else {
        try check("setsockopt(IP_TRANSPARENT)", cs_set_option(raw, cs_level_ip, IP_TRANSPARENT, 1))
    }
}

private func prepareDatagrams(_ raw: Int32, mark: UInt32, takesBursts: Bool, receiveBuffer: Int) throws(SocketError) {
    if mark != 0 {
        try check("setsockopt(SO_MARK)", cs_set_option(raw, cs_level_socket, SO_MARK, Int32(bitPattern: mark)))
    }
    // Kernels before 5.0 have no bursts; then datagrams come one by one.
    if takesBursts { _ = cs_set_option(raw, cs_level_udp, CS_UDP_GRO, 1) }
    guard receiveBuffer > 0 else { return }
    let size = Int32(clamping: receiveBuffer)
    if cs_set_option(raw, cs_level_socket, SO_RCVBUFFORCE, size) < 0 {
        _ = cs_set_option(raw, cs_level_socket, SO_RCVBUF, size)
    }
}
#endif
