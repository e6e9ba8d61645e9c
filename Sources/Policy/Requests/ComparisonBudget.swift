/// How much of a request rules compare with patterns that may stand anywhere in it (``Wildcard/isSearched``): each of them looks at every
/// octet once, so that octets times patterns are what a request costs.
///
/// What is longer is not looked at: a rule that rejects matches it, any other does not. That goes for what fields and queries take each, by
/// their lengths, and for what all that is compared with a request has taken (``RequestComparisons``): the former are bounds that anybody
/// can reckon with, the latter counts what they leave out, such as the hosts around a host, and short pieces.
struct ComparisonBudget: Sendable {
    /// Octets for one request, each counted once for every pattern.
    static let octets = 1 << 20
    /// ... as far as they are looked at one by one, and with all that is compared beside them: two milliseconds or less in the worst case.
    /// What is passed over counts for a quarter, so that texts not made for it stay far below.
    static let all = octets + octets / 8
    /// Octets of one field, or of a query, whatever few patterns there are.
    static let mostOctets = 8_192

    /// By folded names, where it is less than the most.
    private let fields: [String: Int]
    private let queries: [URLPattern.Host: Int]

    init(_ rules: [Rule]) {
        var values: [String: Int] = [:]
        var queries: [URLPattern.Host: Int] = [:]
        for rule in rules {
            for field in rule.fields ?? [] { values[field.foldedName, default: 0] += field.values.count(where: \.isSearched) }
            for url in rule.urls ?? [] where url.query?.isSearched == true { queries[url.host, default: 0] += 1 }
        }
        var left = Self.octets
        var fields: [String: Int] = [:]
        let searched = values.filter { $0.value > 0 }
        // What names of few values leave, is there for the others.
        for (place, (name, count)) in searched.sorted(by: { ($0.value, $0.key) < ($1.value, $1.key) }).enumerated() {
            let octets = Self.share(of: left / (searched.count - place), among: count)
            left -= octets * count
            if octets < Self.mostOctets { fields[name] = octets }
        }
        self.fields = fields
        // As they are written, and as a server may read them.
        self.queries = queries.mapValues { Self.share(of: Self.octets, among: 2 * $0) }.filter { $0.value < Self.mostOctets }
    }

    private static func share(of octets: Int, among patterns: Int) -> Int { min(mostOctets, octets / max(1, patterns)) }

    /// Of all lines of one name together.
    func octets(ofField foldedName: String) -> Int { fields[foldedName] ?? Self.mostOctets }

    /// Of the query of a request to that host.
    func octets(ofQueryTo host: URLPattern.Host) -> Int { queries[host] ?? Self.mostOctets }
}
