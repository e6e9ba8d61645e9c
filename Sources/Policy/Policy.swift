internal import Synchronization
internal import TransparentSockets

/// The rules, made ready: the first that matches decides, and without one the session goes direct.
///
/// Each rule stands in the index of its rarest criterion: domain, or the hosts of its URLs, before destination before client.
/// A query asks the indexes which rules might match, and checks what else those ask for, if anything. So a decision takes as
/// long with 100,000 domains as with ten. Of URLs those of the same host, port and path are looked at, of other
/// criteria of requests each. No rule takes longer for it where a client asks for something long, but by what a ``ComparisonBudget`` bounds;
/// what is asked of a request once, is not asked again where it is decided for another destination (``RequestComparisons``).
///
/// A class, so that whoever holds it for a moment counts one reference, and not one for each of its parts.
public final class Policy: Sendable {
    public let rules: [Rule]
    private let criteria: [Criteria]
    private let remainders: [Remainder]
    private let domains: DomainIndex
    private let destinations: NetworkIndex
    private let clients: NetworkIndex
    private let urls: URLIndex
    /// Rules without any of these.
    private let general: [UInt32]
    /// Rules to which a name matters, for telling whether one is needed.
    private let named: [UInt32]
    /// Rules that ask something of a request, or of its response.
    private let requesting: [UInt32]
    /// Rules that ask something of a response.
    private let responding: [UInt32]
    /// Rules that an address can match, for telling whether one is needed.
    private let addressed: [UInt32]

    public init(_ rules: [Rule]) {
        self.rules = rules
        let budget = ComparisonBudget(rules)
        let hosts = HostNumbers(rules)
        var costly = 0
        criteria = rules.map { Criteria($0, hosts, budget, &costly) }
        costlyCount = costly
        remembers =
            costly > 0 || rules.contains { $0.contentTypes != nil } || rules.count(where: \.asksForRequest) > Self.fewRules
        remainders = rules.map(Remainder.init)
        var domains: [(DomainPattern, UInt32)] = []
        var destinations: [(IPNetwork, UInt32)] = []
        var clients: [(IPNetwork, UInt32)] = []
        var urls: [(URLPattern, UInt32)] = []
        var general: [UInt32] = []
        for (index, rule) in rules.enumerated() where rule.canMatch {
            let index = UInt32(index)
            if let patterns = rule.domains {
                domains += patterns.lazy.map { ($0, index) }
            } else if let patterns = rule.urls {
                urls += patterns.lazy.map { ($0, index) }
            } else if let networks = rule.destinations {
                destinations += networks.lazy.map { ($0, index) }
            } else if let networks = rule.clients {
                clients += networks.lazy.map { ($0, index) }
            } else {
                general.append(index)
            }
        }
        self.domains = DomainIndex(domains)
        self.destinations = NetworkIndex(destinations)
        self.clients = NetworkIndex(clients)
        self.urls = URLIndex(urls, hosts)
        self.general = general
        func numbers(_ isMeant: (Rule) -> Bool) -> [UInt32] {
            rules.indices.filter { rules[$0].canMatch && isMeant(rules[$0]) }.map { UInt32($0) }
        }
        named = numbers { $0.domains != nil || $0.urls != nil || $0.isNamed != nil }
        requesting = numbers(\.asksForRequest)
        addressed = numbers { $0.destinations != nil }
        responding = numbers { $0.contentTypes != nil }
        asksForResponses = !responding.isEmpty
        asksForTime = rules.contains { $0.canMatch && $0.times != nil }
        askedFields = Set(rules.filter(\.canMatch).flatMap { $0.fields ?? [] }.map(\.foldedName))
    }

    /// What takes long to ask, of all rules (``RequestComparisons``).
    let costlyCount: Int
    /// Rules ask so much of a request that it pays to keep what came of it.
    private let remembers: Bool
    /// Whether some rule can be held by a response alone: then what was decided of a request is decided again.
    public let asksForResponses: Bool
    /// Whether some rule asks for the time: then it is to be looked at, and nothing that was decided holds for ever.
    public let asksForTime: Bool
    /// Names of the fields of requests that rules ask for, as ``RequestFacts/Field/folded(_:)`` has them.
    public let askedFields: Set<String>

    /// Ports of protocols in which the server speaks first: whoever waits there for a client's name only loses time.
    public static let serverSpeaksFirst: Set<UInt16> = [21, 22, 25, 110, 143, 3306, 5432]

    /// Rules that ask for requests, of which asking each again takes no longer than keeping what they said.
    private static let fewRules = 16

    public func decide(_ query: Query) -> Decision {
        guard let first = firstMatch(query) else { return Decision(.direct, rule: nil) }
        return Decision(rules[first].action, rule: first)
    }

    /// What is to be done for a client that says itself where it wants to go: an IPv6 destination with an IPv4 address inside (see
    /// ``TransparentSockets/IPAddress/embeddedIPv4``) is another spelling of that one, so a rule that rejects either, rejects it. As
    /// everywhere, an earlier rule that lets it pass is the one that counts.
    public func decideInEveryForm(_ query: Query) -> Decision {
        var decision = decide(query)
        for embedded in query.destination?.embeddedIPv4 ?? [] {
            var embeddedQuery = query
            embeddedQuery.destination = .v4(embedded)
            // Its URL may name the same one.
            if query.request?.written.address?.embeddedIPv4.contains(embedded) == true {
                embeddedQuery.namedAddress = .v4(embedded)
            }
            let other = decide(embeddedQuery)
            if other.action == .reject, let rule = other.rule, rule < decision.rule ?? .max { decision = other }
        }
        return decision
    }

    /// Whether a name could change what was decided without one: whether it is worth waiting for.
    public func needsName(_ query: Query, after decision: Decision) -> Bool {
        guard query.name == nil, !named.isEmpty else { return false }
        // A rule for sessions without a name, once one is known, does not decide.
        if let rule = decision.rule, rules[rule].isNamed == false { return true }
        let limit = UInt32(decision.rule ?? rules.count)
        return comparing(query) { comparisons in
            for index in named {
                guard index < limit else { return false }
                if criteria[Int(index)].match(query, anyName: true, &comparisons) { return true }
            }
            return false
        }
    }

    /// Whether some rule asks for more than where a request goes: then each must be judged by what it says.
    public var asksForRequests: Bool { !requesting.isEmpty }

    /// Whether some rule asks for anything that only a request or its response says, its host among that.
    public var asksForWhatRequestsSay: Bool { asksForRequests || asksForResponses || !named.isEmpty }

    /// Whether a request could change what was decided without one.
    public func needsRequest(_ query: Query, after decision: Decision) -> Bool {
        guard query.request == nil else { return false }
        let limit = UInt32(decision.rule ?? rules.count)
        return comparing(query) { comparisons in
            for index in requesting {
                guard index < limit else { return false }
                if criteria[Int(index)].match(query, anyRequest: true, &comparisons) { return true }
            }
            return false
        }
    }

    /// Whether a response could change what was decided of a request.
    public func needsResponse(_ query: Query, after decision: Decision) -> Bool {
        let limit = UInt32(decision.rule ?? rules.count)
        return comparing(query) { comparisons in
            for index in responding {
                guard index < limit else { return false }
                if criteria[Int(index)].match(query, anyResponse: true, &comparisons), isAt(query, index) { return true }
            }
            return false
        }
    }

    /// Whether the rule's domain, which its criteria leave out, holds.
    private func isAt(_ query: Query, _ index: UInt32) -> Bool {
        guard let domains = rules[Int(index)].domains else { return true }
        guard let name = query.name else { return false }
        return domains.contains { $0.matches(name) }
    }

    /// Whether what was decided by a name that is not verified would be decided otherwise if it were.
    public func needsVerification(_ query: Query, after decision: Decision) -> Bool {
        guard !query.isNameVerified, query.name != nil, !named.isEmpty else { return false }
        var verified = query
        verified.isNameVerified = true
        return decide(verified) != decision
    }

    /// Whether an address could change what was decided without one: whether the name must be resolved.
    public func needsAddress(_ query: Query, after decision: Decision) -> Bool {
        guard query.destination == nil else { return false }
        let limit = UInt32(decision.rule ?? rules.count)
        return comparing(query) { comparisons in
            for index in addressed {
                guard index < limit else { return false }
                // What a response will be, nobody knows by then.
                if criteria[Int(index)].match(query, anyDestination: true, anyResponse: true, &comparisons) { return true }
            }
            return false
        }
    }

    /// What is asked by `body`, is asked of the request's own comparisons, which are taken out of it meanwhile.
    @inline(__always)
    private func comparing<Answer>(_ query: Query, _ body: (inout RequestComparisons) -> Answer) -> Answer {
        guard let request = query.request?.written, remembers else {
            var comparisons = RequestComparisons()
            if query.request != nil { comparisons.hosts = urls.hosts(of: query) }
            return body(&comparisons)
        }
        var comparisons = RequestComparisons()
        request.comparisons.withLock { swap(&$0, &comparisons) }
        if !comparisons.begin(query, self, dependsOnDestination: request.address != nil) {
            comparisons.hosts = urls.hosts(of: query)
        }
        defer { request.comparisons.withLock { swap(&$0, &comparisons) } }
        return body(&comparisons)
    }

    // Criteria are looked at where they are: they are large to copy.

    private func match(
        _ rule: Int, _ query: Query, anyDestination: Bool, _ comparisons: inout RequestComparisons
    ) -> Bool {
        criteria.withUnsafeBufferPointer { $0[rule].match(query, anyDestination: anyDestination, &comparisons) }
    }

    private func matchDestination(_ rule: Int, _ query: Query) -> Bool {
        criteria.withUnsafeBufferPointer { $0[rule].matchDestination(query) }
    }

    private func firstMatch(_ query: Query) -> Int? {
        comparing(query) { firstMatch(query, &$0) }
    }

    private func firstMatch(_ query: Query, _ comparisons: inout RequestComparisons) -> Int? {
        var best = UInt32.max
        let remembers = comparisons.isRepeated
        func holds(_ candidate: Int) -> Bool {
            guard remembers else { return match(candidate, query, anyDestination: false, &comparisons) }
            let known = comparisons.known(ofRule: candidate)
            if known == false || remainders[candidate].contains(.destination) && !matchDestination(candidate, query) {
                return false
            }
            if let known { return known }
            let holds = match(candidate, query, anyDestination: true, &comparisons)
            comparisons.learn(ofRule: candidate, holds)
            return holds
        }
        func look(_ candidates: borrowing Span<UInt32>) {
            for position in candidates.indices {
                let candidate = candidates[position]
                guard candidate < best else { return }
                let remainder = remainders[Int(candidate)]
                if !query.isNameVerified, remainder.contains(.verification) { continue }
                if !remainder.contains(.criteria) || holds(Int(candidate)) {
                    best = candidate
                    return
                }
            }
        }
        let general = general
        look(general.span)
        if let destination = query.destination { destinations.forEachMatch(destination) { look($0) } }
        if let client = query.client { clients.forEachMatch(client) { look($0) } }
        if let name = query.name { domains.forEachMatch(name) { look($0) } }
        let hosts = comparisons.hosts
        if !hosts.isEmpty { urls.forEachMatch(query, hosts: hosts) { look($0) } }
        return best == .max ? nil : Int(best)
    }

    /// Comparisons of two rules that are made to find those that never decide: a tenth of a second's worth.
    static let mostComparisons = 1_000_000

    /// Rules that never decide, because an earlier one matches all that they match: each with that earlier one. In very large
    /// policies only the first of them are found. Rules that match nothing by themselves (``Rule/canMatch``) are not among them.
    public var shadowed: [(rule: Int, by: Int)] {
        var comparisons = 0
        var result: [(Int, Int)] = []
        for index in rules.indices where rules[index].canMatch {
            guard comparisons < Self.mostComparisons else { break }
            let first = general.lazy.prefix { $0 < index }.first { candidate in
                comparisons += 1
                return criteria[Int(candidate)].covers(criteria[index])
            }
            let candidates = anchoredCandidates(for: index)
            comparisons += candidates.count
            let shadow = [first, shadow(of: index, among: candidates)].compactMap(\.self).min()
            if let shadow { result.append((index, Int(shadow))) }
        }
        return result
    }

    private func shadow(of index: Int, among candidates: Set<UInt32>) -> UInt32? {
        candidates.filter { $0 < index && criteria[Int($0)].covers(criteria[index]) }.min()
    }

    /// Rules in the indexes that match whatever this one does, as far as their index can tell.
    private func anchoredCandidates(for index: Int) -> Set<UInt32> {
        let rule = rules[index]
        var candidates: Set<UInt32> = []
        for (number, pattern) in (rule.anchors ?? []).enumerated() {
            var matching: Set<UInt32> = []
            domains.forEachMatch(pattern.mostGeneralMatch) { matching.formUnion(Array($0)) }
            urls.forEachRule(name: pattern.mostGeneralMatch, address: nil) { matching.formUnion(Array($0)) }
            candidates = number == 0 ? matching : candidates.intersection(matching)
            // The rule itself is always among them.
            if candidates.count == 1 { break }
        }
        // One network will do: the comparison that follows looks at all.
        if let network = rule.destinations?.first { destinations.forEachMatch(network.base) { candidates.formUnion(Array($0)) } }
        if let address = rule.addresses.first {
            urls.forEachRule(name: nil, address: address) { candidates.formUnion(Array($0)) }
        }
        if let network = rule.clients?.first { clients.forEachMatch(network.base) { candidates.formUnion(Array($0)) } }
        return candidates
    }
}

extension Rule {
    /// Names without which it does not match; nil: there are none.
    var anchors: [DomainPattern]? {
        if let domains { return domains }
        guard let urls else { return nil }
        var hosts: [DomainPattern] = []
        for url in urls {
            guard case .name(let host) = url.host else { return nil }
            hosts.append(host)
        }
        return hosts
    }

    /// Those of its URLs.
    fileprivate var addresses: [IPAddress] {
        (urls ?? []).compactMap { url in if case .address(let address) = url.host { address } else { nil } }
    }
}

extension Array where Element == UInt32 {
    fileprivate init(_ span: borrowing Span<UInt32>) {
        self = []
        for index in span.indices { append(span[index]) }
    }
}
