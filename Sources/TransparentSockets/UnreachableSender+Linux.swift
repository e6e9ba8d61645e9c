#if os(Linux)
internal import CSockets
internal import Glibc
internal import SystemPackage

/// Tells clients, in the name of where they sent to, that their datagrams do not arrive: ICMP's "destination unreachable", as a router or
/// the destination itself would. A client whose socket is connected then fails at once, in place of waiting.
public struct UnreachableSender: ~Copyable, Sendable {
    public enum Reason: Sendable {
        /// Nobody listens there: programs read "connection refused".
        case port
        case host
    }

    private let descriptor: Descriptor
    private let isIPv6: Bool

    /// - Parameter mark: number on all its packets; 0: none.
    /// - Throws: `SocketError`: EPERM without CAP_NET_RAW and CAP_NET_ADMIN.
    ///
    /// Source: `raw(7)`, `icmp(7)`, RFC 792, RFC 4443 §3.1.
    public init(isIPv6: Bool, mark: UInt32 = 0) throws(SocketError) {
        let raw = cs_socket_raw(isIPv6 ? AF_INET6 : AF_INET, isIPv6 ? Int32(IPPROTO_ICMPV6) : Int32(IPPROTO_ICMP))
        try self.init(on: Descriptor(owning: try check("socket", raw)), isIPv6: isIPv6, mark: mark)
    }

    /// Takes over a raw socket for ICMP or ICMPv6 that was made elsewhere, in another network namespace for example.
    public init(on socket: consuming Descriptor, isIPv6: Bool, mark: UInt32 = 0) throws(SocketError) {
        try ForeignSender.prepare(socket.raw, port: 0, isIPv6: isIPv6, mark: mark)
        descriptor = socket
        self.isIPv6 = isIPv6
    }

    /// - Parameters:
    ///   - length: of the datagram's data, in bytes.
    ///   - destination: where the client sent it to.
    /// - Throws: `SocketError`: EAGAIN, ENOBUFS, and the errors of routing.
    public borrowing func send(
        _ reason: Reason, of length: Int, from client: SocketAddress, to destination: SocketAddress
    ) throws(SocketError) {
        var message: [UInt8] = isIPv6 ? [1, reason == .port ? 4 : 3] : [3, reason == .port ? 3 : 1]
        message += [UInt8](repeating: 0, count: 6)
        let udp = UInt16(clamping: length + 8)
        switch (client.address, destination.address) {
        case (.v4(let from), .v4(let to)):
            var header: [UInt8] = [0x45, 0] + octets(UInt16(clamping: length + 28)) + [0, 0, 0, 0, 64, 17, 0, 0]
            header += octets(from.bits) + octets(to.bits)
            header.replaceSubrange(10..<12, with: octets(InternetChecksum.of(header)))
            message += header
        case (.v6(let from), .v6(let to)):
            message += [0x60, 0, 0, 0] + octets(udp) + [17, 64]
            message += octets(from.high) + octets(from.low) + octets(to.high) + octets(to.low)
        default: throw SocketError(call: "sendmsg", errno: .addressFamilyNotSupported)
        }
        message += octets(client.port) + octets(destination.port) + octets(udp) + [0, 0]
        // In ICMPv6 it is the kernel's to make.
        if !isIPv6 { message.replaceSubrange(2..<4, with: octets(InternetChecksum.of(message))) }
        var source = SocketAddress(destination.address, port: 0).endpoint
        var target = SocketAddress(client.address, port: 0, scope: client.scope).endpoint
        let descriptor = descriptor.raw
        let sent = message.withUnsafeMutableBytes { bytes in
            var part = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
            return cs_send_datagrams(descriptor, &part, 1, &target, &source, 0)
        }
        try check("sendmsg", sent)
    }
}

private func octets(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

extension InternetChecksum {
    fileprivate static func of(_ bytes: [UInt8]) -> UInt16 {
        var sum = InternetChecksum()
        bytes.withUnsafeBytes { sum.add($0) }
        return sum.value
    }
}
#endif
