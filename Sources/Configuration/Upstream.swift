public import Policy
public import TransparentSockets

/// A proxy through which sessions leave, or a group of several.
public struct Upstream: Sendable, Equatable {
    /// How to speak with a proxy.
    public enum Scheme: String, Sendable, CaseIterable {
        /// The proxy is given addresses.
        case socks5
        /// The proxy is given names, where there are any.
        case socks5h
        case socks4a
        /// CONNECT.
        case http
    }

    /// Which member of a group a session gets; one that failed is left out until it may have recovered.
    public enum Balancing: String, Sendable, CaseIterable {
        /// The first in the order of the file.
        case failover
        /// One after the other.
        case roundRobin = "round-robin"
        /// The one with the fewest open sessions.
        case leastSessions = "least-sessions"
        /// The same client address gets the same one, on every host with the same list.
        case clientHash = "client-hash"
    }

    /// One proxy.
    public struct Member: Sendable, Equatable {
        public enum Host: Sendable, Equatable {
            case address(IPAddress)
            /// Resolved by the system, again and again.
            case name(DomainName)
        }

        public var scheme: Scheme
        public var host: Host
        public var port: UInt16
        /// nil: none are offered.
        public var user: String?
        public var password: String?
        /// What an HTTP proxy is told that we are; nil: nothing. No key of clearway.toml.
        public var agent: String?
    }

    /// 1…64 letters, digits, `.`, `_` and `-`; not `direct` or `reject`.
    public var name: String
    /// 1…64, all different.
    public var members: [Member]
    public var balancing = Balancing.failover
    /// How often each member is asked for a handshake, whether sessions need it or not. Zero: never.
    public var check = Duration.zero
    /// The upstream that the members are reached through, counted in ``Configuration/upstreams``; nil: none.
    public var via: Int?
    /// Tell the proxy the client and its original destination first (PROXY protocol, version 2).
    public var sendProxy = false
    /// Give the proxy the sniffed name in place of the address; never with `socks5`.
    public var sendName = true
}

extension Upstream.Member: CustomStringConvertible {
    /// `SCHEME://HOST:PORT`: nothing secret.
    public var description: String { "\(scheme)://\(endpoint)" }

    /// `HOST:PORT`.
    public var endpoint: String {
        switch host {
        case .address(let address): "\(SocketAddress(address, port: port))"
        case .name(let name): "\(name):\(port)"
        }
    }
}

extension Upstream {
    static let keys = ["name", "url", "urls", "policy", "check", "via", "send_proxy", "send_name"]
    static let limit = 1_024
    static let memberLimit = 64
    /// Upstreams behind each other.
    static let longestChain = 8
    /// Between two checks of a group's members, unless `check` says something else.
    static let defaultCheck = Duration.seconds(10)
    static let leastCheck = Duration.milliseconds(100)
    /// Actions that exist without a table.
    static let reservedNames = ["direct", "reject"]
}

extension ValueSyntax {
    /// `SCHEME://[USER[:PASSWORD]@]HOST:PORT`, user and password percent-encoded where they must be.
    static func member(_ text: String) throws(Refusal) -> Upstream.Member {
        let example = "such as \"socks5://10.0.0.1:1080\""
        // Not quoted: what is no URL may hold a password anywhere, and error messages end up in logs.
        guard let mark = text.firstRange(of: "://"), !text[..<mark.lowerBound].contains(where: { ":@/".contains($0) }) else {
            throw Refusal("this is no URL, \(example)")
        }
        let word = text[..<mark.lowerBound].lowercased()
        guard let scheme = Upstream.Scheme(rawValue: word) else {
            if word == "https" { throw Refusal("\"https\" is not yet supported") }
            let names = Upstream.Scheme.allCases.map(\.rawValue)
            throw Refusal(
                "unknown scheme \(quoted(word)), expected \(enumeration(names))\(suggestion(for: word, among: names))")
        }
        var rest = text[mark.upperBound...]
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        if let foreign = rest.first(where: { "/?#".contains($0) }) {
            throw Refusal("nothing may follow the port of a proxy, found \(quoted(String(foreign)))")
        }
        var user: String?
        var password: String?
        if let at = rest.lastIndex(of: "@") {
            let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            user = try percentDecoded(parts[0])
            password = parts.count > 1 ? try percentDecoded(parts[1]) : nil
            try checkCredentials(scheme, user: user ?? "", password: password)
            rest = rest[rest.index(after: at)...]
        }
        let (host, port) = try endpoint(rest, example)
        return Upstream.Member(scheme: scheme, host: host, port: port, user: user, password: password)
    }

    private static func endpoint(
        _ text: Substring, _ example: String
    ) throws(Refusal) -> (host: Upstream.Member.Host, port: UInt16) {
        if let address = SocketAddress(String(text)), address.port != 0 {
            let host = address.address.unmapped
            guard !host.isUnspecified, !host.isMulticast else { throw Refusal("\(host) is nobody's address") }
            guard !(host.isIPv6 && host.isLinkLocal) else { throw Refusal("\(host): link-local addresses are not yet supported") }
            return (.address(host), address.port)
        }
        if IPAddress(String(text)) != nil { throw Refusal("the port is missing behind \(quoted(String(text)))") }
        guard let colon = text.lastIndex(of: ":") else {
            if DomainName(text) != nil { throw Refusal("the port is missing behind \(quoted(String(text)))") }
            throw Refusal("\(quoted(String(text))) is no host and port, \(example)")
        }
        let digits = text[text.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let name = DomainName(text[..<colon]),
            IPAddress(anySpelling: text[..<colon]) == nil
        else { throw Refusal("\(quoted(String(text))) is no host and port, \(example)") }
        return (.name(name), try port(Int(digits) ?? .max, as: String(digits)))
    }

    private static func checkCredentials(_ scheme: Upstream.Scheme, user: String, password: String?) throws(Refusal) {
        switch scheme {
        case .socks5, .socks5h:
            guard let password else { throw Refusal("a user name without a password: SOCKS5 needs both") }
            guard (1...255).contains(user.utf8.count), (1...255).contains(password.utf8.count) else {
                throw Refusal("user name and password must be of 1 to 255 bytes each")
            }
        case .socks4a:
            guard password == nil else { throw Refusal("SOCKS4 knows no passwords") }
            guard user.utf8.count <= 255, !user.utf8.contains(0) else {
                throw Refusal("the user name must be of at most 255 bytes")
            }
        case .http:
            guard !user.utf8.contains(UInt8(ascii: ":")) else { throw Refusal("the user name must not contain a colon") }
        }
    }

    static func percentDecoded(_ text: Substring) throws(Refusal) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
                rest.first != UInt8(ascii: "+")
            else { throw Refusal("a % must be followed by two hexadecimal digits; write % itself as %25") }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else { throw Refusal("user name and password must be UTF-8") }
        return decoded
    }
}
