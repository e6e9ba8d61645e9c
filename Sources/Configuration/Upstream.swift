public import Policy
public import TLS
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
        /// CONNECT over TLS.
        case https
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
        /// Which proxies to believe; nil: no TLS.
        public var trust: Trust?
        /// nil: none are offered.
        public var user: String?
        public var password: String?
        /// What an HTTP proxy is told that we are; nil: nothing. No key of clearway.toml.
        public var agent: String?
    }

    /// 1…64 letters, digits, `.`, `_` and `-`; not `direct` or `reject`.
    public var name: String
    /// How sessions leave this host where there is no proxy; nil: ``members`` are proxies.
    public struct Exit: Sendable, Equatable {
        /// Addresses of ours to leave from, all different; empty: the kernel chooses.
        public var sources: [IPAddress] = []
        /// A DNS block list; of the sources, those that it names are left out as long as there are others.
        public var blockList: DomainName?
        /// The interface to leave through, whatever the routes say.
        public var device: String?
        /// On the packets, in place of `firewall.mark`.
        public var mark: UInt32?
    }

    /// 1…64, all different; none where there is an ``exit``.
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
    /// Send SOCKS5's request together with the greeting, without waiting for the method.
    public var pipeline = false
    public var exit: Exit?
}

extension Listener.Origin: CustomStringConvertible {
    public var description: String { "\(Upstream.Member(scheme: .http, host: host, port: port))" }
}

extension Listener.Service: CustomStringConvertible {
    public var description: String { "http://\(authority)\(path)" }
    /// Of a service of ICAP.
    public var icapURL: String { "icap://\(authority)\(path)" }
    /// `HOST:PORT`
    public var authority: String { Upstream.Member(scheme: .http, host: host, port: port).endpoint }
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

extension Upstream.Member {
    /// What follows the greeting does not depend on the answer to it.
    var isPipelinable: Bool { (scheme == .socks5 || scheme == .socks5h) && user == nil }
}

extension Upstream {
    static let keys = [
        "name", "url", "urls", "policy", "check", "via", "send_proxy", "send_name", "pipeline", "source", "device", "mark",
        "block_list",
    ]
    /// Keys of an exit, `url = "direct://"`, and of no proxy; those of proxies only.
    static let exitKeys = ["source", "device", "mark", "block_list"]
    static let proxyKeys = ["urls", "policy", "check", "via", "send_proxy", "send_name", "pipeline"]
    /// The URL of an exit.
    static let exitURL = "direct://"
    static let sourceLimit = 1_024
    static let limit = 1_024
    static let memberLimit = 64
    /// Upstreams behind each other.
    static let longestChain = 8
    /// Between two checks of a group's members, unless `check` says something else.
    static let defaultCheck = Duration.seconds(10)
    static let leastCheck = Duration.milliseconds(100)
    /// Actions that exist without a table.
    static let reservedNames = ["direct", "reject", "redirect"]
}

extension ValueSyntax {
    /// `SCHEME://[USER[:PASSWORD]@]HOST:PORT`, user and password percent-encoded where they must be; with `https`, options may follow.
    static func member(_ text: String, _ files: NamedFiles) throws(Refusal) -> Upstream.Member {
        let example = "such as \"socks5://10.0.0.1:1080\""
        // Not quoted: what is no URL may hold a password anywhere, and error messages end up in logs.
        guard let mark = text.firstRange(of: "://"), !text[..<mark.lowerBound].contains(where: { ":@/".contains($0) }) else {
            throw Refusal("this is no URL, \(example)")
        }
        let word = text[..<mark.lowerBound].lowercased()
        guard let scheme = Upstream.Scheme(rawValue: word) else {
            let names = Upstream.Scheme.allCases.map(\.rawValue)
            throw Refusal(
                "unknown scheme \(quoted(word)), expected \(enumeration(names))\(suggestion(for: word, among: names))")
        }
        var rest = text[mark.upperBound...]
        var trust: Trust?
        if scheme == .https {
            let question = rest.firstIndex(of: "?")
            // Not quoted: what stands before it may be half a password.
            guard question.map({ rest[$0...].contains("@") }) != true else {
                throw Refusal("write ? in a user name or password as %3F, and @ in an option as %40")
            }
            trust = try Self.trust(question.map { rest[rest.index(after: $0)...] } ?? "", files)
            rest = rest[..<(question ?? rest.endIndex)]
        }
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
        return Upstream.Member(scheme: scheme, host: host, port: port, trust: trust, user: user, password: password)
    }

    /// `http://HOST[:PORT]`
    static func origin(_ text: String) throws(Refusal) -> Listener.Origin {
        let example = "such as \"http://10.0.0.1:8080\""
        guard text.lowercased().hasPrefix("http://") else { throw Refusal("\(quoted(text)) is no URL of http, \(example)") }
        var rest = text.dropFirst(7)
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        if let foreign = rest.first(where: { "/?#@".contains($0) }) {
            throw Refusal("only a host and a port are wanted, found \(quoted(String(foreign)))")
        }
        let hasPort = rest.last != "]" && (rest.contains(":") && IPAddress(String(rest)) == nil)
        let (host, port) = try endpoint(hasPort ? rest : rest + ":80", example)
        return Listener.Origin(host: host, port: port)
    }

    /// `http://HOST[:PORT][/PATH]`
    static func service(_ text: String) throws(Refusal) -> Listener.Service {
        try service(text, "http", defaultPort: 80, "such as \"http://127.0.0.1:9000/check\"")
    }

    /// `icap://HOST[:PORT]/SERVICE`
    static func icapService(_ text: String) throws(Refusal) -> Listener.Service {
        try service(text, "icap", defaultPort: 1_344, "such as \"icap://127.0.0.1:1344/avscan\"")
    }

    private static func service(
        _ text: String, _ scheme: String, defaultPort: Int, _ example: String
    ) throws(Refusal) -> Listener.Service {
        guard text.lowercased().hasPrefix("\(scheme)://") else {
            throw Refusal("\(quoted(text)) is no URL of \(scheme), \(example)")
        }
        let rest = text.dropFirst(7)
        let end = rest.firstIndex { "/?".contains($0) } ?? rest.endIndex
        let place = rest[..<end]
        guard !place.contains("@") else { throw Refusal("a user name has no meaning here") }
        guard text.utf8.count <= 2_048, text.utf8.allSatisfy({ 0x21...0x7E ~= $0 }), !rest.contains("#") else {
            throw Refusal("only visible ASCII characters, without #, and at most 2048 of them")
        }
        let hasPort = place.last != "]" && (place.contains(":") && IPAddress(String(place)) == nil)
        let (host, port) = try endpoint(hasPort ? place : place + ":\(defaultPort)", example)
        let path = rest[end...]
        return Listener.Service(host: host, port: port, path: path.hasPrefix("/") ? String(path) : "/" + path)
    }

    /// `ca=FILE`, `insecure=1`; nothing: what the system trusts.
    static func trust(_ options: Substring, _ files: NamedFiles) throws(Refusal) -> Trust {
        var trust = Trust.system
        for option in options.split(separator: "&", omittingEmptySubsequences: false) where !options.isEmpty {
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? try percentDecoded(parts[1]) : ""
            guard trust == .system else { throw Refusal("ca and insecure: one of them, once") }
            switch parts[0] {
            case "ca": trust = .authorities(try files.authorities(value))
            case "insecure":
                guard value == "1" else { throw Refusal("insecure: found \(quoted(value)), expected 1") }
                trust = .anybody
            default:
                let names = ["ca", "insecure"]
                let name = String(parts[0])
                throw Refusal(
                    "unknown option \(quoted(name)), expected \(enumeration(names))\(suggestion(for: name, among: names))")
            }
        }
        return trust
    }

    /// An address of ours, to leave from.
    static func source(_ text: String) throws(Refusal) -> IPAddress {
        guard let address = IPAddress(text)?.unmapped else {
            throw Refusal("\(quoted(text)) is no address, such as \"198.51.100.1\"")
        }
        guard !address.isUnspecified, !address.isMulticast, !address.isLinkLocal else {
            throw Refusal("\(address) is no address to leave from")
        }
        return address
    }

    static func device(_ text: String) throws(Refusal) -> String {
        let name = try interface(text)
        guard !name.hasSuffix("*") else { throw Refusal("\(quoted(text)): one interface, by its whole name") }
        return name
    }

    static func blockList(_ text: String) throws(Refusal) -> DomainName {
        let bytes = Array(text.utf8)
        guard let name = try? DomainName(written: bytes.span) else {
            throw Refusal("\(quoted(text)) is no domain, such as \"zen.spamhaus.org\"")
        }
        guard name.description.utf8.count <= DomainName.longest - 64 else {
            throw Refusal("\(quoted(text)) is too long to be asked for IPv6 addresses")
        }
        return name
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
        case .http, .https:
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
        guard let decoded = String(validating: bytes, as: UTF8.self) else { throw Refusal("what is percent-encoded must be UTF-8") }
        return decoded
    }
}
