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

    /// Whether the request is for such a URL, by a host that was looked at already.
    ///
    /// The port is the one that the request names and the one that it goes to, the path and the query are as they are written and what
    /// a server may make of them: for a rule that rejects one of the two is enough; for any other both must match.
    func matches(_ request: RequestFacts, to destination: UInt16, isReject: Bool) -> Bool {
        func holds(_ one: Bool, _ other: @autoclosure () -> Bool) -> Bool { isReject ? one || other() : one && other() }
        guard holds(port == request.port, port == destination),
            holds(path.matches(request.path), path.matches(request.resolvedPath))
        else { return false }
        guard let query else { return true }
        let written = Array((request.query ?? "").utf8)
        return holds(query.matches(written), query.matches(percentDecoded(written)))
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

/// The URLs of one rule, by their hosts: however many hosts there are, only those of the request's are looked at.
struct URLSet: Sendable {
    private let patterns: [URLPattern]
    private var names: [DomainName: [URLPattern]] = [:]
    /// Those that begin with `*.`
    private var parents: [DomainName: [URLPattern]] = [:]
    private var addresses: [IPAddress: [URLPattern]] = [:]

    init(_ patterns: [URLPattern]) {
        self.patterns = patterns
        for pattern in patterns {
            switch pattern.host {
            case .name(let domain):
                if domain.isBelow {
                    parents[domain.name, default: []].append(pattern)
                } else {
                    names[domain.name, default: []].append(pattern)
                }
            case .address(let address): addresses[address, default: []].append(pattern)
            }
        }
    }

    /// - Parameter isReject: an unverified name counts, as does an address that is claimed.
    func match(_ request: RequestFacts, _ query: Query, isReject: Bool) -> Bool {
        guard request.hasURL else { return false }
        let isHere = { (pattern: URLPattern) in pattern.matches(request, to: query.port, isReject: isReject) }
        if let name = query.name {
            guard isReject || query.isNameVerified else { return false }
            return contains(name, where: isHere)
        }
        guard let address = request.address else { return false }
        if !isReject, let destination = query.destination, destination.unmapped != address { return false }
        return addresses[address]?.contains(where: isHere) == true
    }

    private func contains(_ name: DomainName, where isHere: (URLPattern) -> Bool) -> Bool {
        if names[name]?.contains(where: isHere) == true { return true }
        guard !parents.isEmpty else { return false }
        return name.parents.contains { parents[$0]?.contains(where: isHere) == true }
    }

    /// Patterns of one host that are compared with one another; with more, two sets are taken to differ.
    private static let mostCompared = 100

    /// Whether it matches wherever `other` does.
    func covers(_ other: URLSet) -> Bool {
        other.patterns.allSatisfy { theirs in
            func covers(_ ours: [URLPattern]?) -> Bool {
                guard let ours, ours.count <= Self.mostCompared else { return false }
                return ours.contains { $0.covers(theirs) }
            }
            switch theirs.host {
            case .address(let address): return covers(addresses[address])
            case .name(let domain):
                if domain.isBelow ? covers(parents[domain.name]) : covers(names[domain.name]) { return true }
                return domain.name.parents.contains { covers(parents[$0]) }
            }
        }
    }
}
