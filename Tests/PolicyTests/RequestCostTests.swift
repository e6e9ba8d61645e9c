import Glibc
import Testing
import TransparentSockets

@testable import Policy

/// What a client writes makes nothing take long: neither how much it is, nor how many rules there are.
@Suite struct RequestCostTests {
    /// How often as long the other takes as the one: of this thread's own time, the least of turns that alternate, so that what else runs counts
    /// for nothing. Bounds are wide: what is wrong by its nature is wrong by far.
    private func ratio(_ other: () -> Void, to one: () -> Void) -> Double {
        func nanoseconds(_ body: () -> Void) -> Double {
            var (began, ended) = (timespec(), timespec())
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began)
            body()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended)
            return Double(ended.tv_sec - began.tv_sec) * 1e9 + Double(ended.tv_nsec - began.tv_nsec)
        }
        var least = (one: Double.infinity, other: Double.infinity)
        for _ in 0..<7 { least = (min(least.one, nanoseconds(one)), min(least.other, nanoseconds(other))) }
        return least.other / least.one
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

    /// Eight times the segments take eight times as long, and not sixty-four: also those that lead up and down again.
    @Test(arguments: ["/a", "/a/..", "/;x", "//"])
    func segmentsTakeWhatTheyAre(_ segment: String) {
        let (few, many) = (repeated(segment, 200), repeated(segment, 1_600))
        #expect(ratio({ for _ in 0..<5 { _ = ResolvedPath(many) } }, to: { for _ in 0..<5 { _ = ResolvedPath(few) } }) < 24)
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
        #expect(ratio({ for _ in 0..<5 { decide(long) } }, to: { for _ in 0..<5 { decide(short) } }) < 10)
    }

    /// Rules by the addresses of URLs stand in an index.
    @Test func addressesOfURLsAreFoundAtOnce() {
        func policy(_ count: Int) -> Policy { Policy((0..<count).map { rule(url: "http://10.0.\($0 / 256).\($0 % 256)/x") }) }
        let (one, many) = (policy(1), policy(5_000))
        let asked = query(RequestFacts(method: "GET", target: "/x", authority: "192.0.2.1"))
        #expect(ratio({ for _ in 0..<500 { _ = many.decide(asked) } }, to: { for _ in 0..<500 { _ = one.decide(asked) } }) < 50)
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

    /// Rules by the URLs of one host stand in an index by their paths, and of hosts around one another only the right ones are asked.
    @Test func pathsOfOneHostAreFoundAtOnce() {
        func cost(_ policy: Policy, _ name: String) -> () -> Void {
            {
                for _ in 0..<100 {
                    let asked = self.query(RequestFacts(method: "GET", target: "/x/%41", authority: name), name: name)
                    #expect(policy.decide(asked).rule == nil)
                }
            }
        }
        func policy(_ count: Int) -> Policy { Policy((0..<count).map { rule(url: "http://a.b/\($0)") }) }
        #expect(ratio(cost(policy(4_000), "a.b"), to: cost(policy(4), "a.b")) < 20)
        let labels = Array(repeating: "a", count: 100)
        let below = Policy(
            (2..<100).flatMap { depth in
                (0..<40).map { rule(url: "http://*.\(labels.prefix(depth).joined(separator: "."))/x/A?\($0)") }
            })
        let beside = Policy((0..<3_920).map { rule(url: "http://*.a/x/A?\($0)") })
        let name = labels.joined(separator: ".")
        #expect(ratio(cost(below, name), to: cost(beside, name)) < 10)
    }

    /// A name's addresses, each of which is decided for: what is asked of the request alone is asked twice at most.
    @Test func addressesOfANameTakeLittleMore() {
        let policy = Policy(
            (0..<2_000).map { number in
                var rule = Rule(action: .reject)
                rule.paths = [PathPattern("/\(number)")!]
                rule.methods = ["GET", "M\(number)"]
                return rule
            })
        func decide(addresses: Int) {
            var asked = query(RequestFacts(method: "GET", target: "/x/%41", authority: "a.b"), name: "a.b")
            for number in 0..<addresses {
                asked.destination = .v4(IPv4Address(bits: 0xC000_0200 | UInt32(number)))
                #expect(policy.decide(asked).rule == nil)
            }
        }
        #expect(ratio({ decide(addresses: 200) }, to: { decide(addresses: 1) }) < 100)
    }

    /// A text eight times as long takes that much longer, whatever it is.
    @Test(arguments: ["a", "ab", "aab"])
    func wildcardsTakeWhatTheTextHas(_ text: String) {
        let pattern = Wildcard("*\(String(repeating: text, count: 80))c*x*")!
        let (short, long) = (repeated(text, 500), repeated(text, 4_000))
        func look(in text: [UInt8]) { for _ in 0..<10 { #expect(!pattern.matches(text)) } }
        #expect(ratio({ look(in: long) }, to: { look(in: short) }) < 24)
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
