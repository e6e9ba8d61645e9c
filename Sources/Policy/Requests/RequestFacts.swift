public import TransparentSockets

/// What a rule may ask of a request of HTTP.
public struct RequestFacts: Hashable, Sendable {
    /// A field of the request that some rule asks for (``Policy/askedFields``).
    public struct Field: Hashable, Sendable {
        /// In lower case.
        public let name: String
        /// What programs behind a server may take it for.
        let foldedName: String
        /// As it stands there, without the blanks around it.
        public let value: [UInt8]

        public init(name: String, value: [UInt8]) {
            self.name = name.lowercased()
            foldedName = Self.folded(name)
            self.value = value
        }

        /// A name without its case, and with `-` for all but letters and digits: programs that get fields as variables (CGI, WSGI) see `_`
        /// for `-`, and those behind lighttpd for every other sign as well.
        public static func folded(_ name: String) -> String {
            String(
                decoding: name.utf8.map { octet -> UInt8 in
                    switch octet {
                    case UInt8(ascii: "A")...UInt8(ascii: "Z"): octet | 0x20
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): octet
                    default: UInt8(ascii: "-")
                    }
                }, as: UTF8.self)
        }
    }

    /// As the client wrote it; case counts.
    public let method: String
    /// Without the query, as the client wrote it.
    public let path: String
    /// What a server may make of it (``ResolvedPath``).
    let resolvedPath: String
    /// What servers make of it differs so much that no rule can tell: a rule that rejects by a path matches it, any other does not.
    let isPathAmbiguous: Bool
    /// Behind the `?`, as the client wrote it; nil: there is none.
    public let query: String?
    /// False: it is for a tunnel (CONNECT), and has no URL.
    public let hasURL: Bool
    /// The port that it names, or that of its scheme.
    public let port: UInt16
    /// The address that it names in place of a name.
    public let address: IPAddress?
    public let fields: [Field]
    /// nil: there is none yet, so no rule that asks for one matches.
    public var response: ResponseFacts?

    /// - Parameters:
    ///   - target: path and query, or nothing.
    ///   - authority: whom it names: `HOST`, `HOST:PORT`, or nothing.
    public init(method: String, target: String, authority: String = "", fields: [Field] = []) {
        self.method = method
        let written = target.utf8.prefix { $0 != UInt8(ascii: "?") }
        path = written.isEmpty ? "/" : String(decoding: written, as: UTF8.self)
        let resolved = ResolvedPath(path.utf8)
        resolvedPath = resolved.text
        isPathAmbiguous = resolved.isAmbiguous
        query = written.count < target.utf8.count ? String(decoding: target.utf8.dropFirst(written.count + 1), as: UTF8.self) : nil
        hasURL = method != "CONNECT"
        let (host, port) = Self.parts(of: authority)
        self.port = port
        address =
            host.hasPrefix("[")
            ? IPv6Address(host.dropFirst().dropLast()).map { IPAddress.v6($0).unmapped }
            : IPAddress(anySpelling: host)?.unmapped
        self.fields = fields
    }

    private static func parts(of authority: String) -> (host: Substring, port: UInt16) {
        guard let colon = authority.lastIndex(of: ":"), let port = UInt16(authority[authority.index(after: colon)...]) else {
            return (authority[...], URLPattern.defaultPort)
        }
        return (authority[..<colon], port)
    }
}
