public import TransparentSockets

/// The header that a SOCKS5 relay puts before each datagram, and finds before each (RFC 1928 §7).
///
/// `RSV RSV FRAG ATYP ADDR PORT`, then the data. Fragments are not put together: whoever does not must drop them.
public enum SOCKSDatagram: Hashable, Sendable {
    /// Where it goes, or comes from, and the bytes before its data.
    case datagram(ProxyTarget, header: Int)
    /// What it is instead; nobody is answered.
    case none(Fault)

    public enum Fault: String, Hashable, Sendable, CaseIterable {
        /// It ends within its header.
        case short
        /// The reserved bytes are not zero.
        case reserved
        case fragment
        case addressType
        /// Neither a host name nor an address.
        case host
        /// Port 0, which nothing can be sent to.
        case port
    }

    /// Bytes of the longest header.
    public static let longestHeader = 262

    public static func read(_ bytes: Span<UInt8>) -> SOCKSDatagram {
        var reader = Reader(bytes)
        guard let reserved = reader.number16(), let fragment = reader.number8(), let type = reader.number8() else {
            return .none(.short)
        }
        guard reserved == 0 else { return .none(.reserved) }
        guard fragment == 0 else { return .none(.fragment) }
        let host: ProxyTarget.Host
        switch type {
        case 1:
            guard let bits = reader.number32() else { return .none(.short) }
            host = .address(.v4(IPv4Address(bits: bits)))
        case 4:
            guard let high = reader.number64(), let low = reader.number64() else { return .none(.short) }
            host = .address(IPAddress.v6(IPv6Address(high: high, low: low)).unmapped)
        case 3:
            guard let length = reader.number8(), let domain = reader.take(length) else { return .none(.short) }
            guard let name = ProxyTarget.Host(domain: domain[...]) else { return .none(.host) }
            host = name
        default: return .none(.addressType)
        }
        guard let port = reader.number16() else { return .none(.short) }
        guard port > 0 else { return .none(.port) }
        return .datagram(ProxyTarget(host, port: UInt16(truncatingIfNeeded: port)), header: reader.position)
    }

    /// The header of a datagram to that address, or from it.
    public static func header(_ address: SocketAddress) -> [UInt8] {
        [0, 0, 0] + SOCKS5Client.encoded(ProxyTarget(.address(address.address), port: address.port))
    }
}
