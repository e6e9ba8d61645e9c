internal import TransparentSockets

/// The URLs of one rule, by their hosts, ports and paths: however many there are, few are looked at.
struct URLSet: Sendable {
    private let patterns: [URLPattern]
    private let names: [DomainName: HostURLs]
    /// Those that begin with `*.`
    private let parents: [DomainName: HostURLs]
    private let addresses: [IPAddress: HostURLs]

    /// - Parameter budget: of all rules.
    init(_ patterns: [URLPattern], _ budget: ComparisonBudget) {
        self.patterns = patterns
        var names: [DomainName: [URLPattern]] = [:]
        var parents: [DomainName: [URLPattern]] = [:]
        var addresses: [IPAddress: [URLPattern]] = [:]
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
        self.names = names.mapValues { HostURLs($0, budget) }
        self.parents = parents.mapValues { HostURLs($0, budget) }
        self.addresses = addresses.mapValues { HostURLs($0, budget) }
    }

    /// - Parameter isReject: an unverified name counts, as does an address that is claimed.
    func match(_ request: RequestFacts, _ query: Query, isReject: Bool) -> Bool {
        guard request.hasURL else { return false }
        let asked = AskedURL(request: request, destination: query.port, isReject: isReject)
        if let name = query.name {
            guard isReject || query.isNameVerified else { return false }
            if names[name]?.contain(asked) == true { return true }
            return !parents.isEmpty && name.parents.contains { parents[$0]?.contain(asked) == true }
        }
        guard let address = request.address else { return false }
        if !isReject, let destination = query.destination, destination.unmapped != address { return false }
        return addresses[address]?.contain(asked) == true
    }

    /// Patterns of one host that are compared with one another; with more, two sets are taken to differ.
    private static let mostCompared = 100

    /// Whether it matches wherever `other` does.
    func covers(_ other: URLSet) -> Bool {
        other.patterns.allSatisfy { theirs in
            func covers(_ host: HostURLs?) -> Bool {
                guard let ours = host?.patterns, ours.count <= Self.mostCompared else { return false }
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

/// What rules are asked of the URL of a request, whose host was looked at already.
///
/// The port is the one that the request names and the one that it goes to, the path and the query are as they are written and what a server
/// may make of them: for a rule that rejects one of the two is enough; for any other both must match.
private struct AskedURL {
    let request: RequestFacts
    let destination: UInt16
    let isReject: Bool
}

/// The URLs of one host.
private struct HostURLs: Sendable {
    let patterns: [URLPattern]
    private let ports: [UInt16: PathTable]
    /// Of queries that are looked at.
    private let mostOctets: Int

    init(_ patterns: [URLPattern], _ budget: ComparisonBudget) {
        self.patterns = patterns
        mostOctets = patterns.first.map { budget.octets(ofQueryTo: $0.host) } ?? 0
        ports = Dictionary(grouping: patterns, by: \.port).mapValues { PathTable($0.map { (path: $0.path, query: $0.query) }) }
    }

    func contain(_ asked: AskedURL) -> Bool {
        let (named, destination) = (asked.request.port, asked.destination)
        if asked.isReject {
            return contain(asked, named) || named != destination && contain(asked, destination)
        }
        return named == destination && contain(asked, named)
    }

    private func contain(_ asked: AskedURL, _ port: UInt16) -> Bool {
        guard let paths = ports[port] else { return false }
        func holds(_ pattern: Wildcard?) -> Bool { matches(pattern, asked) }
        // No rule can tell which path it is: for one that rejects it is each.
        if asked.request.isPathAmbiguous { return asked.isReject && paths.containsAny(where: holds) }
        let isWritten = paths.contains(asked.request.path, where: holds)
        guard isWritten != asked.isReject else { return isWritten }
        return paths.contains(asked.request.resolvedPath, where: holds)
    }

    /// A query that is too long to be looked at, is one that is rejected.
    private func matches(_ pattern: Wildcard?, _ asked: AskedURL) -> Bool {
        guard let pattern else { return true }
        guard asked.request.query.count <= mostOctets else { return asked.isReject }
        let isWritten = pattern.matches(asked.request.query)
        let isEncoded = asked.request.decodedQuery.count < asked.request.query.count
        guard isEncoded, isWritten != asked.isReject else { return isWritten }
        return pattern.matches(asked.request.decodedQuery)
    }
}
