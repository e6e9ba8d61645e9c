internal import TransparentSockets

/// The client's side of SOCKS5 (RFC 1928, RFC 1929): CONNECT and UDP ASSOCIATE.
///
/// Each step waits for the answer to the one before, unless it is asked to be sent with it: nothing in the protocol forbids that, but not
/// every server reads it.
public enum SOCKS5Client {
    /// Longest answer: reply with a name of 255 octets.
    public static let longestAnswer = 262

    public static func greeting(offersCredentials: Bool) -> [UInt8] { offersCredentials ? [5, 2, 0, 2] : [5, 1, 0] }

    public enum MethodChoice: Equatable, Sendable {
        case needsMore
        case none
        case credentials
        case refused(ProxyRefusal)
        case invalid(String)
    }

    /// Reads the server's choice: two bytes.
    public static func methodChoice(_ bytes: Span<UInt8>, offersCredentials: Bool) -> MethodChoice {
        guard bytes.count > 0 else { return .needsMore }
        guard bytes[0] == 5 else { return .invalid("no SOCKS5 server: its first byte is \(bytes[0])") }
        guard bytes.count >= 2 else { return .needsMore }
        switch bytes[1] {
        case 0: return .none
        case 2 where offersCredentials: return .credentials
        case 0xFF: return .refused(.noAcceptableMethod)
        default: return .invalid("SOCKS5 server chose method \(bytes[1]), which was not offered")
        }
    }

    /// - Precondition: the credentials fit (``ProxyCredentials/fitSOCKS5``).
    public static func authentication(_ credentials: ProxyCredentials) -> [UInt8] {
        let user = Array(credentials.user.utf8.prefix(255))
        let password = Array(credentials.password.utf8.prefix(255))
        return [1, UInt8(user.count)] + user + [UInt8(password.count)] + password
    }

    /// Reads the answer to the credentials: two bytes.
    public static func authenticationAnswer(_ bytes: Span<UInt8>) -> ProxyAnswer {
        guard bytes.count >= 2 else { return .needsMore }
        // Some servers say 5 where RFC 1929 asks for 1.
        guard bytes[0] == 1 || bytes[0] == 5 else { return .invalid("SOCKS5 authentication answered with version \(bytes[0])") }
        return bytes[1] == 0 ? .granted(length: 2) : .refused(.credentials)
    }

    /// - Parameter target: of a UDP association, where its datagrams will come from; zeros: not known yet.
    public static func request(_ command: ProxyHandshake.Command, _ target: ProxyTarget) -> [UInt8] {
        [5, command == .connect ? 1 : 3, 0] + encoded(target)
    }

    /// `ATYP ADDR PORT`
    static func encoded(_ target: ProxyTarget) -> [UInt8] {
        let host: [UInt8]
        switch target.host {
        case .address(.v4(let v4)): host = [1] + bigEndian(v4.bits)
        case .address(.v6(let v6)): host = [4] + bigEndian(v6.high) + bigEndian(v6.low)
        case .name(let name):
            let name = Array(name.utf8.prefix(255))
            host = [3, UInt8(name.count)] + name
        }
        return host + bigEndian(target.port)
    }

    /// Reads the reply. A refusal is understood from its second byte: some servers send no more.
    public static func answer(_ bytes: Span<UInt8>) -> ProxyAnswer {
        guard bytes.count > 0 else { return .needsMore }
        guard bytes[0] == 5 else { return .invalid("SOCKS5 reply with version \(bytes[0])") }
        guard bytes.count >= 2 else { return .needsMore }
        guard bytes[1] == 0 else { return .refused(.socks5(bytes[1])) }
        guard bytes.count >= 5 else { return .needsMore }
        let length: Int
        switch bytes[3] {
        case 1: length = 10
        case 4: length = 22
        case 3: length = 7 + Int(bytes[4])
        default: return .invalid("SOCKS5 reply with address type \(bytes[3])")
        }
        return bytes.count >= length ? .granted(length: length) : .needsMore
    }

    /// The address in a reply that granted something.
    ///
    /// - Returns: nil where there is a name.
    static func bound(_ bytes: Span<UInt8>) -> SocketAddress? {
        var reader = Reader(bytes)
        guard reader.skip(3), let type = reader.number8() else { return nil }
        let address: IPAddress
        switch type {
        case 1:
            guard let bits = reader.number32() else { return nil }
            address = .v4(IPv4Address(bits: bits))
        case 4:
            guard let high = reader.number64(), let low = reader.number64() else { return nil }
            address = IPAddress.v6(IPv6Address(high: high, low: low)).unmapped
        default: return nil
        }
        return reader.number16().map { SocketAddress(address, port: UInt16(truncatingIfNeeded: $0)) }
    }
}

func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
}
