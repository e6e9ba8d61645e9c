internal import Synchronization
internal import TransparentSockets

/// What a client wrote, taken apart. An object, so that whoever asks about it counts one reference, and all who do share what came of it.
final class WrittenRequest: Sendable {
    /// As the client wrote it; case counts.
    let method: String
    /// Without the query, as the client wrote it.
    let path: [UInt8]
    /// What a server may make of it (``ResolvedPath``).
    let resolvedPath: [UInt8]
    /// Whether that is another one.
    let hasOtherPath: Bool
    /// What servers make of it differs so much that no rule can tell: a rule that rejects by a path matches it, any other does not.
    let isPathAmbiguous: Bool
    /// Behind the `?`, as the client wrote it; empty also where there is none.
    let query: [UInt8]
    /// What a server may make of it: taken apart here, once, and not by each rule.
    let decodedQuery: [UInt8]
    /// False: it is for a tunnel (CONNECT), and has no URL.
    let hasURL: Bool
    /// The port that it names, or that of its scheme.
    let port: UInt16
    /// The address that it names in place of a name.
    let address: IPAddress?
    /// By their folded names.
    let fields: [String: [RequestFacts.Field]]
    /// All that is asked of it, whoever asks.
    let comparisons = Mutex(RequestComparisons())

    init(method: String, target: String, authority: String, fields: [RequestFacts.Field]) {
        self.method = method
        let target = Array(target.utf8)
        let written = target.prefix { $0 != UInt8(ascii: "?") }
        path = written.isEmpty ? [UInt8(ascii: "/")] : Array(written)
        let resolved = ResolvedPath(path)
        resolvedPath = resolved.octets
        hasOtherPath = resolvedPath != path
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
