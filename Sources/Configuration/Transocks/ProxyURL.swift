internal import Policy
internal import TLS
internal import TransparentSockets

extension Upstream.Member {
    /// The bytes that Go's HTTP library, and so transocks, says it is.
    private static let agent = "Go-http-client/1.1"

    /// Reads transocks' `proxy_url`: `socks5://` or `http://`, with a port; what follows the port does not count. And `https://`, which
    /// transocks did not know, with the options that it has elsewhere.
    ///
    /// Never quotes the URL: it may hold a password, and the message goes to a log.
    public init(transocks text: String) throws(DropInError) {
        let mark = text.firstRange(of: "://")
        let word = (mark.map { text[..<$0.lowerBound] } ?? text.prefix { $0 != ":" }).lowercased()
        let isScheme = text.contains(":") && word.first?.isLetter == true
        guard isScheme, let mark, let scheme = ["socks5": Upstream.Scheme.socks5, "http": .http, "https": .https][word] else {
            // A host without a scheme is none, even one that looks like it.
            let isHarmless = isScheme && !word.contains { "@/".contains($0) || $0 == ":" }
            throw DropInError("proxy: unknown scheme: \(isHarmless ? word : "")")
        }
        var rest = text[mark.upperBound...].prefix { !"/?#".contains($0) }
        guard !text[rest.endIndex...].contains("@") else {
            throw DropInError("proxy_url: /, ? and # in a user name or password are written %2F, %3F and %23")
        }
        var user: String?
        var password: String?
        if let at = rest.lastIndex(of: "@") {
            do throws(Refusal) {
                let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                user = try ValueSyntax.percentDecoded(parts[0])
                password = parts.count > 1 ? try ValueSyntax.percentDecoded(parts[1]) : ""
            } catch {
                throw DropInError("proxy_url: \(error.message)")
            }
            rest = rest[rest.index(after: at)...]
        }
        if scheme == .socks5, let user, let password {
            // A server that asks for no password never sees them: an empty one is no mistake yet.
            guard user.utf8.count <= 255, password.utf8.count <= 255 else {
                throw DropInError("proxy_url: invalid username/password: at most 255 bytes each")
            }
        }
        let (host, port) = try Self.endpoint(rest)
        self.init(
            scheme: scheme, host: host, port: port, trust: scheme == .https ? try Self.trust(text[rest.endIndex...]) : nil,
            user: user,
            password: password, agent: scheme == .socks5 ? nil : Self.agent)
    }

    /// - Parameter end: what follows the port.
    private static func trust(_ end: Substring) throws(DropInError) -> Trust {
        let query = end.prefix { $0 != "#" }.drop { $0 != "?" }.dropFirst()
        let nowhere = DiagnosticCollector(source: SourceText(""), file: "")
        do throws(Refusal) {
            return try ValueSyntax.trust(query, NamedFiles(besides: "", Configuration.named, nowhere))
        } catch {
            throw DropInError("proxy_url: \(error.message)")
        }
    }

    private static func endpoint(_ text: Substring) throws(DropInError) -> (host: Host, port: UInt16) {
        let digits: Substring?
        let name: Substring
        if text.hasPrefix("["), let bracket = text.lastIndex(of: "]") {
            name = text[text.index(after: text.startIndex)..<bracket]
            let behind = text[text.index(after: bracket)...]
            digits = behind.hasPrefix(":") ? behind.dropFirst() : nil
        } else {
            let colon = text.lastIndex(of: ":")
            name = colon.map { text[..<$0] } ?? text
            digits = colon.map { text[text.index(after: $0)...] }
        }
        guard let digits, !digits.isEmpty else { throw DropInError("proxy_url: address \(text): missing port in address") }
        guard digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let port = UInt16(digits), port != 0 else {
            throw DropInError("proxy_url: invalid port \"\(digits)\"")
        }
        if let address = IPAddress(String(name))?.unmapped {
            guard !address.isUnspecified, !address.isMulticast, !(address.isIPv6 && address.isLinkLocal) else {
                throw DropInError("proxy_url: \(address) cannot be a proxy's address")
            }
            return (.address(address), port)
        }
        guard !text.hasPrefix("["), let name = DomainName(name) else {
            throw DropInError("proxy_url: \"\(name)\" is no host")
        }
        return (.name(name), port)
    }
}
