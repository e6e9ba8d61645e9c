public import TransparentSockets

/// Where a proxy is asked to connect to.
public struct ProxyTarget: Hashable, Sendable {
    public enum Host: Hashable, Sendable {
        case address(IPAddress)
        /// A host name of 1 to 253 octets, in A-labels.
        case name(String)
    }

    public var host: Host
    public var port: UInt16

    public init(_ host: Host, port: UInt16) {
        self.host = host
        self.port = port
    }
}

/// User name and password for a proxy.
public struct ProxyCredentials: Hashable, Sendable {
    public var user: String
    public var password: String

    public init(user: String, password: String) {
        self.user = user
        self.password = password
    }

    /// SOCKS5 has one octet for the length of each, and no empty ones (RFC 1929 §2).
    public var fitSOCKS5: Bool { (1...255).contains(user.utf8.count) && (1...255).contains(password.utf8.count) }
    /// In Basic authentication a colon ends the user name (RFC 7617 §2).
    public var fitBasic: Bool { !user.utf8.contains(UInt8(ascii: ":")) }
}

/// What a proxy's answer came to, as far as its bytes are here.
public enum ProxyAnswer: Equatable, Sendable {
    case needsMore
    /// Granted. So many bytes belong to the answer; what follows is the upstream's.
    case granted(length: Int)
    /// The proxy says no, for a reason.
    case refused(ProxyRefusal)
    /// No such protocol speaks there.
    case invalid(String)
}

/// Why a proxy said no.
public enum ProxyRefusal: Error, Hashable, Sendable {
    /// The reply field of SOCKS5 (RFC 1928 §6): 1…255.
    case socks5(UInt8)
    /// The answer code of SOCKS4: 91…255.
    case socks4(UInt8)
    /// The status of HTTP, other than 2xx.
    case http(Int)
    /// Neither of the methods that we offered.
    case noAcceptableMethod
    case credentials

    /// It says no to us, wherever we want to go.
    public var isOfAll: Bool {
        switch self {
        case .credentials, .noAcceptableMethod, .http(407): true
        default: false
        }
    }

    /// How the proxy fared with its own connection, where it says so.
    public enum Cause: Sendable { case refused, unreachable, timedOut, forbidden, unsupported, failed }

    public var cause: Cause {
        switch self {
        case .socks5(5), .http(502): .refused
        case .socks5(3), .socks5(4): .unreachable
        case .socks5(6), .http(504): .timedOut
        case .socks5(2), .http(403), .http(407), .credentials, .noAcceptableMethod, .socks4(93): .forbidden
        case .socks5(7), .socks5(8), .http(405), .http(501): .unsupported
        default: .failed
        }
    }
}

extension ProxyRefusal: CustomStringConvertible {
    public var description: String {
        switch self {
        case .socks5(let code): "SOCKS5 reply \(code)\(Self.socks5Texts[code].map { " (\($0))" } ?? "")"
        case .socks4(let code): "SOCKS4 answer \(code)"
        case .http(let status): "HTTP status \(status)"
        case .noAcceptableMethod: "SOCKS5: no acceptable authentication method"
        case .credentials: "user name or password refused"
        }
    }

    private static let socks5Texts: [UInt8: String] = [
        1: "general failure", 2: "not allowed by its rules", 3: "network unreachable", 4: "host unreachable",
        5: "connection refused", 6: "TTL expired", 7: "command not supported", 8: "address type not supported",
    ]
}

extension ProxyTarget: CustomStringConvertible {
    /// `HOST:PORT`, IPv6 in brackets.
    public var description: String {
        switch host {
        case .address(let address): "\(SocketAddress(address, port: port))"
        case .name(let name): "\(name):\(port)"
        }
    }
}
