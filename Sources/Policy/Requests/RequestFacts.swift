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
        /// The same with its ASCII letters in lower case, as patterns are compared with it.
        let foldedValue: [UInt8]

        public init(name: String, value: [UInt8]) {
            self.name = name.lowercased()
            foldedName = Self.folded(name)
            self.value = value
            foldedValue = value.map(foldedOctet)
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
    let path: [UInt8]
    /// What a server may make of it (``ResolvedPath``).
    let resolvedPath: [UInt8]
    /// What servers make of it differs so much that no rule can tell: a rule that rejects by a path matches it, any other does not.
    let isPathAmbiguous: Bool
    /// Behind the `?`, as the client wrote it; empty also where there is none.
    let query: [UInt8]
    /// What a server may make of it: taken apart here, once, and not by each rule.
    let decodedQuery: [UInt8]
    /// False: it is for a tunnel (CONNECT), and has no URL.
    public let hasURL: Bool
    /// The port that it names, or that of its scheme.
    public let port: UInt16
    /// The address that it names in place of a name.
    public let address: IPAddress?
    /// By their folded names.
    let fields: [String: [Field]]
    /// nil: there is none yet, so no rule that asks for one matches.
    public var response: ResponseFacts?

    /// - Parameters:
    ///   - target: path and query, or nothing.
    ///   - authority: whom it names: `HOST`, `HOST:PORT`, or nothing.
    public init(method: String, target: String, authority: String = "", fields: [Field] = []) {
        self.method = method
        let target = Array(target.utf8)
        let written = target.prefix { $0 != UInt8(ascii: "?") }
        path = written.isEmpty ? [UInt8(ascii: "/")] : Array(written)
        let resolved = ResolvedPath(path)
        resolvedPath = resolved.octets
        isPathAmbiguous = resolved.isAmbiguous
        query = Array(target.dropFirst(written.count + 1))
        decodedQuery = percentDecoded(query)
        hasURL = method != "CONNECT"
        let (host, port) = Self.parts(of: authority)
        self.port = port
        address =
            host.hasPrefix("[")
            ? IPv6Address(host.dropFirst().dropLast()).map { IPAddress.v6($0).unmapped }
            : IPAddress(anySpelling: host)?.unmapped
        self.fields = fields.isEmpty ? [:] : Dictionary(grouping: fields, by: \.foldedName)
    }

    private static func parts(of authority: String) -> (host: Substring, port: UInt16) {
        guard let colon = authority.lastIndex(of: ":"), let port = UInt16(authority[authority.index(after: colon)...]) else {
            return (authority[...], URLPattern.defaultPort)
        }
        return (authority[..<colon], port)
    }
}
