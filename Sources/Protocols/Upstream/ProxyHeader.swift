public import TransparentSockets

/// The PROXY protocol, version 2 (haproxy, doc/proxy-protocol.txt §2.2), as its sender.
public enum ProxyHeader {
    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// The header for a TCP connection of `source` to `destination`. When their families differ, both are written as IPv6.
    public static func version2(source: SocketAddress, destination: SocketAddress) -> [UInt8] {
        let addresses: [UInt8]
        let family: UInt8
        if case (.v4(let from), .v4(let to)) = (source.address, destination.address) {
            family = 0x11
            addresses = bigEndian(from.bits) + bigEndian(to.bits)
        } else {
            family = 0x21
            addresses = sixteenOctets(source.address) + sixteenOctets(destination.address)
        }
        let body = addresses + bigEndian(source.port) + bigEndian(destination.port)
        return signature + [0x21, family] + bigEndian(UInt16(body.count)) + body
    }

    /// The header of a connection of our own, such as a health check: no addresses.
    public static let local = signature + [0x20, 0x00, 0x00, 0x00]

    private static func sixteenOctets(_ address: IPAddress) -> [UInt8] {
        switch address {
        case .v4(let v4): bigEndian(UInt64(0)) + bigEndian(UInt64(0xFFFF) << 32 | UInt64(v4.bits))
        case .v6(let v6): bigEndian(v6.high) + bigEndian(v6.low)
        }
    }
}
