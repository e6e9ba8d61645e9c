public import TransparentSockets

/// What a rule may ask of a request of HTTP.
public struct RequestFacts: Hashable, Sendable {
    /// A field of the request that some rule asks for (``Policy/askedFields``).
    public struct Field: Hashable, Sendable {
        /// In lower case.
        public let name: String
        /// As it stands there, without the blanks around it.
        public let value: [UInt8]

        public init(name: String, value: [UInt8]) {
            self.name = name.lowercased()
            self.value = value
        }
    }

    /// As the client wrote it; case counts.
    public let method: String
    /// Without the query, as the client wrote it.
    public let path: String
    /// What a server may make of it: percent-encoding taken away once, `\` for `/`, without parameters (`;…`), empty segments, and `.` and
    /// `..`.
    public let resolvedPath: String
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
        resolvedPath = Self.resolved(Array(path.utf8))
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

    private static func resolved(_ path: [UInt8]) -> String {
        let decoded = percentDecoded(path)
        var segments: [ArraySlice<UInt8>] = []
        let parts = decoded.split(omittingEmptySubsequences: false) { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }
        var endsWithSlash = false
        for part in parts {
            let segment = part.prefix { $0 != UInt8(ascii: ";") }
            endsWithSlash = true
            if segment.elementsEqual("..".utf8) {
                if !segments.isEmpty { segments.removeLast() }
            } else if !segment.isEmpty, !segment.elementsEqual(".".utf8) {
                segments.append(segment)
                endsWithSlash = false
            }
        }
        var result: [UInt8] = []
        for segment in segments { result += [UInt8(ascii: "/")] + segment }
        if endsWithSlash || result.isEmpty { result.append(UInt8(ascii: "/")) }
        return String(decoding: result, as: UTF8.self)
    }
}

/// Percent-encoding taken away once; what is none stays.
func percentDecoded(_ octets: [UInt8]) -> [UInt8] {
    var decoded: [UInt8] = []
    decoded.reserveCapacity(octets.count)
    var rest = octets[...]
    while let octet = rest.popFirst() {
        if octet == UInt8(ascii: "%"), let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
            rest.count >= 2,
            rest.first != UInt8(ascii: "+"), rest.first != UInt8(ascii: "-")
        {
            decoded.append(value)
            rest = rest.dropFirst(2)
        } else {
            decoded.append(octet)
        }
    }
    return decoded
}
