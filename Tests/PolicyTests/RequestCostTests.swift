import Testing
import TransparentSockets

@testable import Policy

/// What a client writes makes nothing take long: neither how much it is, nor how many rules there are.
@Suite struct RequestCostTests {
    /// The shorter of two takes this, the longer that: the medians of turns that alternate, so that whatever else runs slows both.
    private func times(_ one: () -> Void, _ other: () -> Void) -> (one: Duration, other: Duration) {
        let clock = ContinuousClock()
        var turns: [(one: Duration, other: Duration)] = []
        for _ in 0..<9 { turns.append((clock.measure(one), clock.measure(other))) }
        return (turns.map(\.one).sorted()[4], turns.map(\.other).sorted()[4])
    }

    private func rule(url: String) -> Rule {
        var rule = Rule(action: .reject)
        rule.urls = [try! URLPattern(url)]
        return rule
    }

    private func query(_ request: RequestFacts, name: String? = nil) -> Query {
        var query = Query(listener: "web", client: nil, destination: nil, port: 80, name: name.flatMap { DomainName($0) })
        query.request = request
        return query
    }

    private func repeated(_ text: String, _ count: Int) -> [UInt8] { Array(String(repeating: text, count: count).utf8) }

    @Test func manySegmentsTakeNoLongerThanOne() {
        let (one, many) = (repeated("x", 8_000), repeated("/a", 4_000))
        let cost = times({ for _ in 0..<5 { _ = ResolvedPath(one) } }, { for _ in 0..<5 { _ = ResolvedPath(many) } })
        #expect(cost.other < cost.one * 3)
        // Up and down again, in proportion to what there is.
        let (short, long) = (repeated("/a/..", 800), repeated("/a/..", 1_600))
        let growth = times({ for _ in 0..<5 { _ = ResolvedPath(short) } }, { for _ in 0..<5 { _ = ResolvedPath(long) } })
        #expect(growth.other < growth.one * 3)
    }

    /// Whether they name addresses or hosts, and match by path or by query: a rule looks at no more of the request than it has itself.
    @Test(arguments: ["http://192.0.2.NUMBER/x?*y*", "http://a.b/NUMBER", "http://a.b/NUMBER*?q"])
    func longRequestsTakeManyRulesNoLonger(_ url: String) {
        let policy = Policy((0..<1_000).map { rule(url: url.replacing("NUMBER", with: "\($0 % 256)")) })
        let name = url.contains("a.b") ? "a.b" : nil
        func asked(_ target: String) -> Query {
            query(RequestFacts(method: "GET", target: target, authority: name ?? "198.51.100.1"), name: name)
        }
        let (short, long) = (
            asked("/x?x"), asked("/x\(String(repeating: "a", count: 5_000))?" + String(repeating: "%41", count: 1_000))
        )
        func decide(_ query: Query) { #expect(policy.decide(query).action == .direct) }
        let cost = times({ for _ in 0..<5 { decide(short) } }, { for _ in 0..<5 { decide(long) } })
        #expect(cost.other < cost.one * 3)
    }

    /// Rules by the addresses of URLs stand in an index.
    @Test func addressesOfURLsAreFoundAtOnce() {
        func policy(_ count: Int) -> Policy { Policy((0..<count).map { rule(url: "http://10.0.\($0 / 256).\($0 % 256)/x") }) }
        let (one, many) = (policy(1), policy(5_000))
        let asked = query(RequestFacts(method: "GET", target: "/x", authority: "192.0.2.1"))
        let cost = times({ for _ in 0..<500 { _ = one.decide(asked) } }, { for _ in 0..<500 { _ = many.decide(asked) } })
        #expect(cost.other < cost.one * 20)
        // With names beside them, in whatever order.
        var mixed = Rule(action: .reject)
        mixed.urls = ["http://c.d/*", "http://192.0.2.1/*", "http://[2001:db8::1]/*"].map { try! URLPattern($0) }
        let all = Policy([rule(url: "http://192.0.2.9/"), mixed, rule(url: "http://192.0.2.1/x"), rule(url: "http://c.d/x")])
        for authority in ["192.0.2.1", "[2001:db8::1]", "[::ffff:192.0.2.1]"] {
            #expect(all.decide(query(RequestFacts(method: "GET", target: "/x", authority: authority))).rule == 1, "\(authority)")
        }
        #expect(all.decide(query(RequestFacts(method: "GET", target: "/x", authority: "c.d"), name: "c.d")).rule == 1)
        #expect(all.decide(query(RequestFacts(method: "GET", target: "/x", authority: "192.0.2.2"))).rule == nil)
        #expect(all.shadowed.map(\.rule) == [2, 3] && all.shadowed.map(\.by) == [1, 1])
    }

    /// A text twice as long takes no more than that, whatever it is.
    @Test(arguments: ["a", "ab", "aab"])
    func wildcardsTakeWhatTheTextHas(_ text: String) {
        let pattern = Wildcard("*\(String(repeating: text, count: 80))c*x*")!
        let (short, long) = (repeated(text, 2_000), repeated(text, 4_000))
        let cost = times(
            { for _ in 0..<10 { #expect(!pattern.matches(short)) } }, { for _ in 0..<10 { #expect(!pattern.matches(long)) } })
        #expect(cost.other < cost.one * 3)
    }

    // MARK: The budget

    private func rules(_ values: [(name: String, count: Int)]) -> [Rule] {
        values.map { name, count in
            var rule = Rule(action: .reject)
            rule.fields = [FieldPattern(name: name, values: (0..<count).map { Wildcard("*\($0)*")! })]
            return rule
        }
    }

    @Test func valuesTimesOctetsAreBounded() {
        let rows: [[(name: String, count: Int)]] = [
            [("cookie", 1_024)], [("a", 256), ("b", 256), ("c", 256), ("d", 256)], [("a", 1_000), ("b", 1)], [("a", 128)],
            (0..<1_024).map { ("x\($0)", 1) }, [("A_b", 500), ("a-B", 524)], [("a", 0)],
        ]
        for row in rows {
            let budget = ComparisonBudget(rules(row))
            let all = row.reduce(0) { $0 + $1.count * budget.octets(ofField: RequestFacts.Field.folded($1.name)) }
            #expect(all <= ComparisonBudget.octets, "\(row)")
            // Nothing of it is left where it could be used.
            let isAll = row.allSatisfy { budget.octets(ofField: RequestFacts.Field.folded($0.name)) == ComparisonBudget.mostOctets }
            #expect(isAll || all > ComparisonBudget.octets - 2 * 1_024, "\(row)")
        }
        // What is looked for at the ends alone, costs nothing.
        var ends = rules([("a", 1_024)])
        ends[0].fields = [FieldPattern(name: "a", values: (0..<1_024).map { Wildcard($0 % 2 == 0 ? "\($0)*" : "a*\($0)")! })]
        #expect(ComparisonBudget(ends).octets(ofField: "a") == ComparisonBudget.mostOctets)
        // Few values of one name are looked for in all that may be there, however many another has.
        let budget = ComparisonBudget(rules([("user-agent", 1_000), ("cookie", 10)]))
        #expect(budget.octets(ofField: "cookie") == 8_192 && budget.octets(ofField: "user-agent") == 966)
        let urls =
            (0..<1_024).map { rule(url: "http://a.b/x?*\($0)*") } + [rule(url: "http://192.0.2.1/x?y"), rule(url: "http://c.d/x")]
        let queries = ComparisonBudget(urls)
        #expect(queries.octets(ofQueryTo: .name(DomainPattern("a.b")!)) == 512)
        for host in [URLPattern.Host.address(IPAddress("192.0.2.1")!), .name(DomainPattern("c.d")!)] {
            #expect(queries.octets(ofQueryTo: host) == 8_192)
        }
    }

    @Test func whatIsBeyondItIsRejectedAndNeverAllowed() {
        let fields = rules([("cookie", 1_024)])
        var open = fields
        open[0].action = .upstream(0)
        func decide(_ rules: [Rule], _ octets: Int) -> Action {
            let field = RequestFacts.Field(name: "Cookie", value: [UInt8](repeating: UInt8(ascii: "x"), count: octets))
            return Policy(rules).decide(query(RequestFacts(method: "GET", target: "/", fields: [field]))).action
        }
        #expect(decide(fields, 1_024) == .direct && decide(fields, 1_025) == .reject && decide(open, 1_025) == .direct)
        // Lines cost something, too.
        func decide(lines: Int) -> Action {
            let lines = (0..<lines).map { _ in RequestFacts.Field(name: "Cookie", value: []) }
            return Policy(fields).decide(query(RequestFacts(method: "GET", target: "/", fields: lines))).action
        }
        #expect(decide(lines: 33) == .direct && decide(lines: 34) == .reject)
        let urls = (0..<1_024).map { rule(url: "http://a.b/x?*_\($0)*") }
        let allowing = urls.map { url in
            var url = url
            url.action = .upstream(0)
            return url
        }
        func decide(_ rules: [Rule], query octets: Int, path: String = "/x") -> Action {
            let target = "\(path)?\(String(repeating: "y", count: octets))"
            return Policy(rules).decide(query(RequestFacts(method: "GET", target: target, authority: "a.b"), name: "a.b")).action
        }
        #expect(decide(urls, query: 512) == .direct && decide(urls, query: 513) == .reject)
        #expect(decide(urls, query: 513, path: "/z") == .direct && decide(allowing, query: 513) == .direct)
    }
}
