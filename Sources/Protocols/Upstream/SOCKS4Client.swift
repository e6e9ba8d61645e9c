internal import TransparentSockets

/// The client's side of SOCKS4 and 4a, CONNECT only: names are the server's to resolve, IPv6 addresses cannot be asked for.
public enum SOCKS4Client {
    /// - Parameter user: the user id; octets up to a NUL count.
    /// - Returns: nil for an IPv6 address.
    public static func request(_ target: ProxyTarget, user: String = "") -> [UInt8]? {
        let start: [UInt8] = [4, 1] + bigEndian(target.port)
        let identity = Array(user.utf8.prefix { $0 != 0 }.prefix(255)) + [0]
        switch target.host {
        case .address(.v4(let v4)): return start + bigEndian(v4.bits) + identity
        case .address(.v6): return nil
        // An address that cannot be, 0.0.0.1, says that a name follows.
        case .name(let name): return start + [0, 0, 0, 1] + identity + Array(name.utf8.prefix(255)) + [0]
        }
    }

    /// Reads the answer: eight bytes.
    public static func answer(_ bytes: Span<UInt8>) -> ProxyAnswer {
        guard bytes.count > 0 else { return .needsMore }
        guard bytes[0] == 0 else { return .invalid("no SOCKS4 server: its first byte is \(bytes[0])") }
        guard bytes.count >= 2 else { return .needsMore }
        guard bytes[1] == 90 else {
            return bytes[1] > 90 ? .refused(.socks4(bytes[1])) : .invalid("SOCKS4 answer \(bytes[1])")
        }
        return bytes.count >= 8 ? .granted(length: 8) : .needsMore
    }
}
