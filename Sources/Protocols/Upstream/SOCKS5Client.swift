internal import TransparentSockets

/// The client's side of SOCKS5 (RFC 1928, RFC 1929), CONNECT only.
///
/// Each step waits for the answer to the one before. Nothing in the protocol asks for that, but servers do.
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

    public static func request(_ target: ProxyTarget) -> [UInt8] {
        var bytes: [UInt8] = [5, 1, 0]
        switch target.host {
        case .address(.v4(let v4)): bytes += [1] + bigEndian(v4.bits)
        case .address(.v6(let v6)): bytes += [4] + bigEndian(v6.high) + bigEndian(v6.low)
        case .name(let name):
            let name = Array(name.utf8.prefix(255))
            bytes += [3, UInt8(name.count)] + name
        }
        return bytes + bigEndian(target.port)
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
}

func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
}
