#if os(Linux)
internal import SystemPackage
package import CSockets
internal import Glibc

/// Sends datagrams from addresses that are not ours, all from one port: with it a client gets its answer from where it sent to,
/// whoever that was. One sender serves every address of a family.
///
/// It is bound to an address that nobody has, and names the source of each datagram by itself: a socket bound to each source would take a
/// descriptor for each, and one bound to `0.0.0.0` would take the datagrams of this host's own services.
public struct ForeignSender: ~Copyable, Sendable {
    /// Reserved addresses (RFC 1112 §4, RFC 6666): nothing is ever sent there.
    private static let nobodyV4 = IPAddress.v4(IPv4Address(bits: 0xF000_0001))
    private static let nobodyV6 = IPAddress.v6(IPv6Address(high: 0x0100_0000_0000_0000, low: 1))

    public let descriptor: Descriptor
    /// Of everything that it sends; 0: it may send from any.
    public let port: UInt16
    /// This one is not taken where that can be helped. With any port of ours, a program of this host that shares it with nobody could not
    /// be started for all addresses; resolvers are what a gateway has, and are started again.
    private static let nameServerPort: UInt16 = 53

    /// A program of this host has the port on all addresses, or may want it: UDP's header is ours to make. It sends no bursts, and needs
    /// CAP_NET_RAW.
    public let isRaw: Bool
    private let isIPv6: Bool

    /// - Parameter mark: number on all its packets; 0: none.
    /// - Throws: `SocketError`: EPERM without CAP_NET_ADMIN, or without CAP_NET_RAW where a program of this host has the port on all
    ///   addresses; EMFILE, ENFILE.
    ///
    /// Source: `ip(7)` IP_TRANSPARENT and IP_PKTINFO, `ipv6(7)` IPV6_PKTINFO, `raw(7)`.
    public init(port: UInt16, isIPv6: Bool, mark: UInt32 = 0) throws(SocketError) {
        self.port = port
        self.isIPv6 = isIPv6
        if port == Self.nameServerPort, let raw = try? Self.raw(isIPv6, mark) {
            descriptor = raw
            isRaw = true
            return
        }
        var raw: Int32
        var isRaw = false
        do throws(SocketError) {
            raw = try Self.bound(cs_socket_udp(isIPv6 ? AF_INET6 : AF_INET), port, isIPv6, mark).release()
        } catch  where error.errno == .addressInUse {
            raw = try Self.raw(isIPv6, mark).release()
            isRaw = true
        }
        descriptor = Descriptor(owning: raw)
        self.isRaw = isRaw
    }

    /// Takes over a raw socket for UDP (`raw(7)`, IPPROTO_UDP) that was made elsewhere, in another network namespace for example. It sends
    /// from any port.
    ///
    /// - Throws: `SocketError`: EPERM without CAP_NET_RAW or CAP_NET_ADMIN over the socket's network namespace.
    public init(on socket: consuming Descriptor, isIPv6: Bool) throws(SocketError) {
        try Self.prepareRaw(socket.raw, isIPv6, mark: 0)
        descriptor = socket
        port = 0
        isRaw = true
        self.isIPv6 = isIPv6
    }

    private static func raw(_ isIPv6: Bool, _ mark: UInt32) throws(SocketError) -> Descriptor {
        let descriptor = Descriptor(
            owning: try check("socket", cs_socket_raw(isIPv6 ? AF_INET6 : AF_INET, Int32(IPPROTO_UDP))))
        try prepareRaw(descriptor.raw, isIPv6, mark: mark)
        return descriptor
    }

    private static func prepareRaw(_ raw: Int32, _ isIPv6: Bool, mark: UInt32) throws(SocketError) {
        try prepare(raw, port: 0, isIPv6: isIPv6, mark: mark)
        // The kernel can be told where the checksum is, but makes it only for IPv6.
        if isIPv6 { try check("setsockopt(IPV6_CHECKSUM)", cs_set_option(raw, cs_level_ipv6, CS_IPV6_CHECKSUM, 6)) }
    }

    private static func bound(
        _ result: Int32, _ port: UInt16, _ isIPv6: Bool, _ mark: UInt32
    ) throws(SocketError) -> Descriptor {
        let descriptor = Descriptor(owning: try check("socket", result))
        let raw = descriptor.raw
        // With other senders of ours, in other workers.
        try check("setsockopt(SO_REUSEADDR)", cs_set_option(raw, cs_level_socket, SO_REUSEADDR, 1))
        try check("setsockopt(SO_REUSEPORT)", cs_set_option(raw, cs_level_socket, SO_REUSEPORT, 1))
        try prepare(raw, port: port, isIPv6: isIPv6, mark: mark)
        return descriptor
    }

    /// Lets a socket send from foreign addresses, and binds it where nothing comes to it.
    static func prepare(_ raw: Int32, port: UInt16, isIPv6: Bool, mark: UInt32) throws(SocketError) {
        if mark != 0 {
            try check("setsockopt(SO_MARK)", cs_set_option(raw, cs_level_socket, SO_MARK, Int32(bitPattern: mark)))
        }
        try setForeignSource(raw, ipv6: isIPv6)
        let nobody = SocketAddress(isIPv6 ? nobodyV6 : nobodyV4, port: port)
        var endpoint = nobody.endpoint
        try check("bind \(nobody)", cs_bind(raw, &endpoint))
    }

    /// Sends one datagram.
    ///
    /// - Parameter source: its port is the sender's, unless that may send from any.
    /// - Throws: `SocketError`: EMSGSIZE over 65,507 bytes (IPv6: 65,527); EAGAIN, ENOBUFS: nothing takes it now; the errors of
    ///   routing, and EPERM of a packet filter.
    public borrowing func send(
        _ bytes: UnsafeRawBufferPointer, from source: SocketAddress, to client: SocketAddress
    ) throws(SocketError) {
        var part = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        try check("sendmsg", withUnsafeMutablePointer(to: &part) { sendParts($0, 1, segment: 0, from: source, to: client) })
    }

    /// Sends the parts as one datagram, or as several of `segment` bytes each.
    ///
    /// - Returns: bytes sent, or a negated errno.
    package borrowing func sendParts(
        _ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int, from source: SocketAddress, to client: SocketAddress
    ) -> Int {
        guard port == 0 || port == source.port else { return -Int(EADDRNOTAVAIL) }
        var from = source.endpoint
        guard isRaw else {
            var to = client.endpoint
            return cs_send_datagrams(descriptor.raw, parts, Int32(count), &to, &from, UInt16(truncatingIfNeeded: segment))
        }
        guard segment == 0 else { return -Int(EINVAL) }
        var to = SocketAddress(client.address, port: 0, scope: client.scope).endpoint
        return withHeader(parts, count, from: source, to: client) {
            cs_send_datagrams(descriptor.raw, $0, Int32($1), &to, &from, 0)
        }
    }

    /// UDP's header before the parts (RFC 768).
    private borrowing func withHeader(
        _ parts: UnsafeMutablePointer<iovec>, _ count: Int, from source: SocketAddress, to client: SocketAddress,
        _ send: (UnsafeMutablePointer<iovec>, Int) -> Int
    ) -> Int {
        var length = 8
        for index in 0..<count { length += parts[index].iov_len }
        guard length <= 0xFFFF else { return -Int(EMSGSIZE) }
        var checksum: UInt16 = 0
        if case .v4(let from) = source.address, case .v4(let to) = client.address {
            var sum = InternetChecksum()
            sum.add(from.bits)
            sum.add(to.bits)
            sum.add(UInt32(17 + length))
            sum.add(UInt32(source.port) << 16 | UInt32(client.port))
            sum.add(UInt32(length))
            for index in 0..<count { sum.add(UnsafeRawBufferPointer(start: parts[index].iov_base, count: parts[index].iov_len)) }
            // 0 says that there is none.
            checksum = sum.value == 0 ? 0xFFFF : sum.value
        }
        var header = (source.port.bigEndian, client.port.bigEndian, UInt16(length).bigEndian, checksum.bigEndian)
        return withUnsafeMutableBytes(of: &header) { header in
            withUnsafeTemporaryAllocation(of: iovec.self, capacity: count + 1) { all in
                all[0] = iovec(iov_base: header.baseAddress, iov_len: 8)
                for index in 0..<count { all[index + 1] = parts[index] }
                return send(all.baseAddress!, count + 1)
            }
        }
    }
}

/// The sum of RFC 1071, over pieces that may be of odd length.
struct InternetChecksum {
    private var sum: UInt64 = 0
    private var isOdd = false

    mutating func add(_ word: UInt32) { sum += UInt64(word >> 16) + UInt64(word & 0xFFFF) }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes {
            sum += isOdd ? UInt64(byte) : UInt64(byte) << 8
            isOdd.toggle()
        }
    }

    var value: UInt16 {
        var folded = sum
        while folded >> 16 != 0 { folded = folded & 0xFFFF + folded >> 16 }
        return ~UInt16(truncatingIfNeeded: folded)
    }
}
#endif
