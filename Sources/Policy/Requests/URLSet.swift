internal import TransparentSockets

/// The URLs of one rule, by their hosts, ports and paths: however many there are, few are looked at.
struct URLSet: Sendable {
    private let patterns: [URLPattern]
    /// By their numbers (``HostNumbers``), in ascending order.
    private let hosts: [(number: UInt32, urls: HostURLs)]
    /// Where each host is among these.
    private let places: [URLPattern.Host: Int]

    /// - Parameters:
    ///   - numbers: of the hosts of all rules.
    ///   - budget: of all rules.
    ///   - costly: numbers of what takes long (``RequestComparisons``) that are given out already.
    init(_ patterns: [URLPattern], _ numbers: HostNumbers, _ budget: ComparisonBudget, _ costly: inout Int) {
        self.patterns = patterns
        var hosts: [(number: UInt32, urls: HostURLs)] = []
        for (host, patterns) in Dictionary(grouping: patterns, by: \.host) {
            hosts.append((numbers.all[host] ?? 0, HostURLs(patterns, budget, &costly)))
        }
        self.hosts = hosts.sorted { $0.number < $1.number }
        places = Dictionary(
            uniqueKeysWithValues: self.hosts.enumerated().compactMap { place, host in
                host.urls.patterns.first.map { ($0.host, place) }
            })
    }

    /// - Parameter isReject: an unverified name counts, as does an address that is claimed.
    func match(_ request: WrittenRequest, _ query: Query, isReject: Bool, _ comparisons: inout RequestComparisons) -> Bool {
        guard request.hasURL else { return false }
        if query.name != nil {
            guard isReject || query.isNameVerified else { return false }
        } else if !isReject, let destination = query.destination, destination.unmapped != request.address {
            return false
        }
        let asked = AskedURL(request: request, destination: query.port, isReject: isReject)
        let wanted = comparisons.hosts
        // Each of the fewer is looked for among the more.
        if hosts.count < wanted.count {
            for host in hosts where place(of: host.number, among: wanted.count, { wanted[$0] }) != nil {
                if host.urls.contain(asked, &comparisons) { return true }
            }
        } else {
            for number in wanted {
                guard let place = place(of: number, among: hosts.count, { hosts[$0].number }) else { continue }
                if hosts[place].urls.contain(asked, &comparisons) { return true }
            }
        }
        return false
    }

    /// By halves.
    private func place(of number: UInt32, among count: Int, _ numbers: (Int) -> UInt32) -> Int? {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            let other = numbers(middle)
            if other == number { return middle }
            if other < number { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    /// Patterns of one host that are compared with one another; with more, two sets are taken to differ.
    private static let mostCompared = 100

    /// Whether it matches wherever `other` does.
    func covers(_ other: URLSet) -> Bool {
        other.patterns.allSatisfy { theirs in
            func covers(_ host: URLPattern.Host) -> Bool {
                guard let ours = places[host].map({ hosts[$0].urls.patterns }), ours.count <= Self.mostCompared else {
                    return false
                }
                return ours.contains { $0.covers(theirs) }
            }
            if covers(theirs.host) { return true }
            guard case .name(let domain) = theirs.host else { return false }
            return domain.name.parents.contains { covers(.name(DomainPattern($0, isBelow: true))) }
        }
    }
}

/// What rules are asked of the URL of a request, whose host was looked at already.
///
/// The port is the one that the request names and the one that it goes to, the path and the query are as they are written and what a server
/// may make of them: for a rule that rejects one of the two is enough; for any other both must match.
private struct AskedURL {
    let request: WrittenRequest
    let destination: UInt16
    let isReject: Bool
}

/// The URLs of one host.
private struct HostURLs: Sendable {
    let patterns: [URLPattern]
    private let ports: [UInt16: PathTable<Wildcard?>]
    /// Of queries that are looked at.
    private let mostOctets: Int
    /// What is asked of a query takes long.
    private let number: Int?

    init(_ patterns: [URLPattern], _ budget: ComparisonBudget, _ costly: inout Int) {
        self.patterns = patterns
        mostOctets = patterns.first.map { budget.octets(ofQueryTo: $0.host) } ?? 0
        ports = Dictionary(grouping: patterns, by: \.port).mapValues { PathTable($0.map { (path: $0.path, value: $0.query) }) }
        number = patterns.contains(where: \.hasQuery) ? costly : nil
        if number != nil { costly += 1 }
    }

    func contain(_ asked: AskedURL, _ comparisons: inout RequestComparisons) -> Bool {
        guard let number else {
            // No query is looked at.
            var left = comparisons.left
            return contain(asked, &left)
        }
        return comparisons.answer(number) { contain(asked, &$0) }
    }

    private func contain(_ asked: AskedURL, _ left: inout Int) -> Bool {
        let (named, destination) = (asked.request.port, asked.destination)
        if asked.isReject {
            return contain(asked, named, &left) || named != destination && contain(asked, destination, &left)
        }
        return named == destination && contain(asked, named, &left)
    }

    private func contain(_ asked: AskedURL, _ port: UInt16, _ left: inout Int) -> Bool {
        guard let paths = ports[port] else { return false }
        func holds(_ queries: [Wildcard?]) -> Bool { queries.contains { matches($0, asked, &left) } }
        // No rule can tell which path it is: for one that rejects it is each.
        if asked.request.isPathAmbiguous { return asked.isReject && paths.containsAny(where: holds) }
        let isWritten = paths.contains(asked.request.path, where: holds)
        guard isWritten != asked.isReject else { return isWritten }
        return paths.contains(asked.request.resolvedPath, where: holds)
    }

    /// A query that is too long to be looked at, is one that is rejected.
    private func matches(_ pattern: Wildcard?, _ asked: AskedURL, _ left: inout Int) -> Bool {
        guard let pattern else { return true }
        let request = asked.request
        guard request.query.count <= mostOctets, left > 0 else { return asked.isReject }
        let isWritten = pattern.matches(request.query, folded: [], &left)
        let isEncoded = request.decodedQuery.count < request.query.count
        guard isEncoded, isWritten != asked.isReject else { return isWritten }
        return pattern.matches(request.decodedQuery, folded: [], &left)
    }
}
