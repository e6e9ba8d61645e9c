public import TransparentSockets

/// A URL of a rule: `http://HOST[:PORT]/PATH`, with `*` at the end of the path for whatever begins so.
public struct URLPattern: Hashable, Sendable {
    /// Of `http`.
    static let defaultPort: UInt16 = 80

    public enum Host: Hashable, Sendable {
        case name(DomainPattern)
        case address(IPAddress)
    }

    public let host: Host
    let port: UInt16
    let path: PathPattern
    /// Nil: whatever the query is, and whether there is one.
    let query: Wildcard?

    public var hasQuery: Bool { query != nil }

    public enum Fault: Error, Hashable, Sendable {
        /// It does not begin with `http://`.
        case scheme
        /// Within TLS nobody sees a request.
        case https
        /// It ends behind the host.
        case noPath
        case host(DomainName.WritingError)
        case port, path
        /// ``Wildcard/longest``
        case query
    }

    public init(_ text: String) throws(Fault) {
        let scheme = "http://"
        guard text.lowercased().hasPrefix(scheme) else { throw text.lowercased().hasPrefix("https://") ? .https : .scheme }
        let rest = text.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        (host, port) = try Self.parts(of: authority)
        let target = rest.dropFirst(authority.count)
        guard !target.isEmpty else { throw .noPath }
        let written = target.prefix { $0 != "?" }
        guard let path = PathPattern(String(written)) else { throw .path }
        self.path = path
        guard written.count < target.count else {
            query = nil
            return
        }
        let queryText = target.dropFirst(written.count + 1)
        guard !queryText.contains("#"), let query = Wildcard(String(queryText), foldsCase: false) else { throw .query }
        self.query = query
    }

    private static func parts(of authority: Substring) throws(Fault) -> (Host, UInt16) {
        var host = authority
        var port = defaultPort
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            let digits = authority[authority.index(after: colon)...]
            guard !digits.isEmpty, digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let number = UInt16(digits), number > 0 else {
                throw .port
            }
            host = authority[..<colon]
            port = number
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            guard let address = IPv6Address(host.dropFirst().dropLast()) else { throw .host(.noName) }
            return (.address(IPAddress.v6(address).unmapped), port)
        }
        let bytes = Array(host.utf8)
        do throws(DomainName.WritingError) {
            return (.name(try DomainPattern(written: bytes.span)), port)
        } catch {
            guard case .address(let address) = error else { throw .host(error) }
            return (.address(address.unmapped), port)
        }
    }

    /// Whether it matches wherever `other` does, which has been found by its host.
    func covers(_ other: URLPattern) -> Bool {
        guard port == other.port, path.covers(other.path) else { return false }
        guard let query else { return true }
        return other.query.map { query.covers($0) } ?? false
    }
}

extension URLPattern: CustomStringConvertible {
    public var description: String {
        let host =
            switch host {
            case .name(let pattern): pattern.description
            case .address(let address): address.isIPv6 ? "[\(address)]" : "\(address)"
            }
        return "http://\(host)\(port == Self.defaultPort ? "" : ":\(port)")\(path)\(query.map { "?\($0)" } ?? "")"
    }
}
