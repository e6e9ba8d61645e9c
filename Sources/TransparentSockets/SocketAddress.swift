package import CSockets

/// An address and a port, with the zone of a link-local IPv6 address.
public struct SocketAddress: Hashable, Sendable {
    public var address: IPAddress
    /// 0…65535, in host order. 0 means "any" where the kernel chooses.
    public var port: UInt16
    /// Interface index of a link-local IPv6 address, else 0.
    public var scope: UInt32

    public init(_ address: IPAddress, port: UInt16, scope: UInt32 = 0) {
        self.address = address
        self.port = port
        self.scope = scope
    }

    /// `192.0.2.1:80` or `[2001:db8::1]:80`. Names are not resolved here.
    public init?(_ text: some StringProtocol) {
        let host: Substring
        let digits: Substring
        if text.hasPrefix("[") {
            guard let bracket = text.firstIndex(of: "]") else { return nil }
            host = Substring(text[text.index(after: text.startIndex)..<bracket])
            let rest = text[text.index(after: bracket)...]
            guard rest.hasPrefix(":"), IPv6Address(host) != nil else { return nil }
            digits = Substring(rest.dropFirst())
        } else {
            guard let colon = text.lastIndex(of: ":") else { return nil }
            host = Substring(text[..<colon])
            digits = Substring(text[text.index(after: colon)...])
            guard IPv4Address(host) != nil else { return nil }
        }
        guard let address = host.contains(":") ? IPv6Address(host).map(IPAddress.v6) : IPAddress(host),
            digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let port = UInt16(digits)
        else { return nil }
        self.init(address, port: port)
    }
}

extension SocketAddress: CustomStringConvertible {
    /// `192.0.2.1:80` or `[2001:db8::1]:80`; a zone is printed as its number.
    public var description: String {
        switch address {
        case .v4(let v4): "\(v4):\(port)"
        case .v6(let v6): scope == 0 ? "[\(v6)]:\(port)" : "[\(v6)%\(scope)]:\(port)"
        }
    }
}

extension SocketAddress {
    /// `nil` when the kernel returned no internet address.
    init?(_ endpoint: cs_endpoint) {
        let bytes = endpoint.bytes
        switch endpoint.family {
        case 4:
            let bits = withUnsafeBytes(of: bytes) { UInt32(bigEndian: $0.loadUnaligned(as: UInt32.self)) }
            self.init(.v4(IPv4Address(bits: bits)), port: endpoint.port)
        case 6:
            let (high, low) = withUnsafeBytes(of: bytes) {
                (
                    UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)),
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                )
            }
            self.init(.v6(IPv6Address(high: high, low: low)), port: endpoint.port, scope: endpoint.scope)
        default: return nil
        }
    }

    package var endpoint: cs_endpoint {
        var endpoint = cs_endpoint()
        endpoint.port = port
        endpoint.scope = scope
        switch address {
        case .v4(let v4):
            endpoint.family = 4
            withUnsafeMutableBytes(of: &endpoint.bytes) { $0.storeBytes(of: v4.bits.bigEndian, as: UInt32.self) }
        case .v6(let v6):
            endpoint.family = 6
            withUnsafeMutableBytes(of: &endpoint.bytes) {
                $0.storeBytes(of: v6.high.bigEndian, as: UInt64.self)
                $0.storeBytes(of: v6.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
        }
        return endpoint
    }
}

extension SocketAddress {
    /// For calls of CSockets, by those who make them themselves.
    package var packed: cs_endpoint { endpoint }

    /// nil: no internet address.
    package init?(packed: cs_endpoint) { self.init(packed) }
}
