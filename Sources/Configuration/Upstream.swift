public import TransparentSockets

/// A proxy through which sessions leave.
public struct Upstream: Sendable, Equatable {
    /// How to speak with it.
    public enum Scheme: String, Sendable, CaseIterable {
        /// The proxy is given addresses.
        case socks5
        /// The proxy is given names, where there are any.
        case socks5h
        case socks4a
        /// CONNECT.
        case http
    }

    /// 1…64 letters, digits, `.`, `_` and `-`; not `direct` or `reject`.
    public var name: String
    public var scheme: Scheme
    public var address: UpstreamAddress
    /// nil: none are offered.
    public var user: String?
    public var password: String?
    /// Give the proxy the sniffed name in place of the address; not with `socks5`.
    public var sendName = true
}

extension Upstream {
    static let keys = ["name", "url", "send_name"]
    static let laterKeys = ["urls", "policy", "check", "via", "send_proxy"]
    static let limit = 1_024
    /// Actions that exist without a table.
    static let reservedNames = ["direct", "reject"]
}

extension ValueSyntax {
    /// `SCHEME://[USER[:PASSWORD]@]ADDRESS:PORT`, user and password percent-encoded where they must be.
    static func upstream(_ text: String) throws(Refusal) -> (
        scheme: Upstream.Scheme, address: UpstreamAddress, user: String?, password: String?
    ) {
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
        guard let address = SocketAddress(String(rest)), address.port != 0 else {
            if IPAddress(String(rest)) != nil { throw Refusal("the port is missing behind \(quoted(String(rest)))") }
            throw Refusal("\(quoted(String(rest))) is no address and port, \(example); names are not yet supported")
        }
        let host = address.address.unmapped
        guard !host.isUnspecified, !host.isMulticast else { throw Refusal("\(host) is nobody's address") }
        guard !(host.isIPv6 && host.isLinkLocal) else { throw Refusal("\(host): link-local addresses are not yet supported") }
        return (scheme, UpstreamAddress(SocketAddress(host, port: address.port)), user, password)
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

    private static func percentDecoded(_ text: Substring) throws(Refusal) -> String {
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
