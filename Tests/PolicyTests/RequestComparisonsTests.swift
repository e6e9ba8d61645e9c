import Synchronization
import TestSupport
import Testing
import TransparentSockets

@testable import Policy

/// What was asked of a request once is not asked again, and all that is asked has one budget. Neither changes what is decided.
@Suite struct RequestComparisonsTests {
    private func query(_ facts: RequestFacts, name: String? = "a.b", destination: String? = nil) -> Query {
        var query = Query(
            listener: "web", client: nil, destination: destination.flatMap { IPAddress($0) }, port: 80,
            name: name.flatMap { DomainName($0) })
        query.request = facts
        return query
    }

    private func cookies(_ values: [String], _ action: Action = .reject) -> [Rule] {
        stride(from: 0, to: values.count, by: 128).map { start in
            var rule = Rule(action: action)
            rule.fields = [
                FieldPattern(name: "cookie", values: values[start..<min(start + 128, values.count)].map { Wildcard($0)! })
            ]
            return rule
        }
    }

    private func facts(cookie: String, lines: Int = 1, _ target: String = "/", _ authority: String = "a.b") -> RequestFacts {
        let field = RequestFacts.Field(name: "Cookie", value: Array(cookie.utf8))
        return RequestFacts(method: "GET", target: target, authority: authority, fields: (0..<lines).map { _ in field })
    }

    private func left(_ facts: RequestFacts) -> Int { facts.written.comparisons.withLock { $0.left } }

    /// Rules that hold by the one thing and not by the other, asked in any order about one request, say what they say of each alone.
    @Test(arguments: 0..<8)
    func whatIsDecidedDependsOnNothingBefore(_ seed: UInt64) {
        var random = SplitMix(seed)
        func one<Value>(of values: [Value]) -> Value { values[random.below(values.count)] }
        let actions: [Action] = [.reject, .direct, .upstream(0)]
        let urls = [
            "http://a.b/*", "http://*.b/x", "http://a.b/x?*q*", "http://*.b:81/x*?z", "http://192.0.2.1/*", "http://a.b/%41",
            "http://c.b/x", "http://192.0.2.1/x?*q*",
        ]
        func rule() -> Rule {
            var rule = Rule(action: one(of: actions))
            if random.below(2) == 0 { rule.urls = (0...random.below(3)).map { _ in try! URLPattern(one(of: urls)) } }
            if random.below(4) == 0 { rule.fields = [FieldPattern(name: "cookie", values: [Wildcard(one(of: ["*ab*", "x"]))!])] }
            if random.below(4) == 0 { rule.domains = [DomainPattern(one(of: ["a.b", "*.b", "c.b"]))!] }
            if random.below(4) == 0 { rule.paths = [PathPattern(one(of: ["/x", "/A", "/*"]))!] }
            if random.below(4) == 0 { rule.methods = [one(of: ["GET", "POST"])] }
            if random.below(4) == 0 {
                rule.destinations = [IPNetwork(IPAddress(one(of: ["192.0.2.0", "198.51.100.0"]))!, prefixLength: 24)]
            }
            if random.below(6) == 0 { rule.users = ["u"] }
            if random.below(6) == 0 { rule.ports = [one(of: [80...80, 81...81])] }
            if random.below(8) == 0, rule.action == .reject { rule.contentTypes = [ContentTypePattern("video/*")!] }
            return rule
        }
        for _ in 0..<60 {
            let policies = (0..<2).map { _ in Policy((0...random.below(12)).map { _ in rule() }) }
            let (target, authority) = (
                one(of: ["/x", "/x?q", "/%41?z", "/a//../x", "/"]), one(of: ["a.b", "192.0.2.1", "a.b:81"])
            )
            let cookie = one(of: ["xabx", "x", "y"])
            let shared = facts(cookie: cookie, target, authority)
            for _ in 0..<12 {
                let name = authority.hasPrefix("1") ? nil : one(of: ["a.b", "c.b"])
                var asked = query(shared, name: name, destination: one(of: [nil, "192.0.2.1", "198.51.100.7", "203.0.113.1"]))
                asked.port = one(of: [80, 81])
                asked.user = one(of: [nil, "u"])
                asked.isNameVerified = random.below(3) > 0
                if random.below(3) == 0 {
                    asked.request?.response = ResponseFacts(contentTypes: [Array(one(of: ["Video/a", "b/c"]).utf8)], hasBody: true)
                }
                var alone = asked
                alone.request = facts(cookie: cookie, target, authority)
                alone.request?.response = asked.request?.response
                let policy = one(of: policies)
                let decision = policy.decideInEveryForm(asked)
                #expect(decision == policy.decideInEveryForm(alone))
                #expect(policy.decide(asked) == decision)
                // Of the rules by themselves, the first that matches.
                let first = policy.rules.indices.first { Policy([policy.rules[$0]]).decide(alone).rule != nil }
                #expect(decision.rule == first, "\(target) \(authority)")
            }
        }
    }

    @Test func anotherAddressTakesNothingMore() {
        let policy = Policy(cookies((0..<1_024).map { "*ab\($0)*" }))
        let facts = facts(cookie: String(repeating: "ab", count: 512))
        #expect(policy.decide(query(facts)).action == .direct)
        let before = left(facts)
        #expect(before > 0 && before < ComparisonBudget.all / 2)
        for number in 1...20 {
            #expect(policy.decideInEveryForm(query(facts, destination: "192.0.2.\(number)")).action == .direct)
        }
        #expect(left(facts) == before)
    }

    /// A request's own: nothing that is asked of it ends far beyond it, and what is not compared any more is rejected and never allowed.
    @Test func allThatIsComparedHasOneBudget() throws {
        // Each host has a budget of its own for lengths, all together have this.
        let labels = (0..<100).map { _ in "a" }
        func below(_ action: Action) throws -> [Rule] {
            try (2..<100).flatMap { depth in
                try (0..<8).map { number in
                    var rule = Rule(action: action)
                    let host = labels.prefix(depth).joined(separator: ".")
                    rule.urls = [try URLPattern("http://*.\(host)/x?*ab\(number)*")]
                    return rule
                }
            }
        }
        let name = labels.joined(separator: ".")
        let target = "/x?%61b" + String(repeating: "ab", count: 4_000)
        // Beginnings and ends, too, and short pieces.
        let ends = (0..<1_024).map { "\(String(repeating: "a", count: 240))\(1_000 + $0)" }
        let pieces = String(repeating: "*a", count: 120)
        func rows(_ action: Action) throws -> [(rules: [Rule], facts: RequestFacts, name: String)] {
            [
                (try below(action), facts(cookie: "", target, name), name),
                (cookies(ends, action), facts(cookie: String(repeating: "a", count: 240) + "0000", lines: 30), "a.b"),
                (
                    cookies((0..<1_024).map { "*a\($0)*" }, action), facts(cookie: String(repeating: "a", count: 2), lines: 90),
                    "a.b"
                ),
                (
                    cookies((0..<1_024).map { "\(pieces)*x\($0)" }, action),
                    facts(cookie: String(repeating: "a", count: 2_000) + "x9999"), "a.b"
                ),
            ]
        }
        for (number, row) in try rows(.reject).enumerated() {
            let policy = Policy(row.rules)
            let decision = policy.decide(query(row.facts, name: row.name))
            #expect(left(row.facts) > -20_000, "\(number)")
            // It is used up by the first, which nothing else bounds.
            #expect(number > 0 || left(row.facts) <= 0 && decision.action == .reject)
        }
        for row in try rows(.upstream(0)) {
            #expect(Policy(row.rules).decide(query(row.facts, name: row.name)).action == .direct)
            #expect(left(row.facts) > -20_000)
        }
        // A server may say as many types as it likes.
        var typed = Rule(action: .reject)
        typed.contentTypes = (0..<256).map { ContentTypePattern("video/\($0)")! }
        var asked = query(facts(cookie: ""))
        asked.request?.response = ResponseFacts(contentTypes: [Array(String(repeating: "a/b,", count: 4_000).utf8)], hasBody: true)
        #expect(Policy(Array(repeating: typed, count: 4)).decide(asked).action == .reject)
        #expect(left(asked.request!) <= 0 && left(asked.request!) > -20_000)
        // A path that may be any is compared with each rule once, and not with each of its URLs.
        typed.urls = (0..<6_000).map { try! URLPattern("http://a.b/p\($0)") }
        asked = query(RequestFacts(method: "GET", target: "/q//../zz", authority: "a.b"), name: "a.b")
        asked.request?.response = ResponseFacts(contentTypes: [Array("text/html".utf8)], hasBody: true)
        #expect(Policy([typed]).decide(asked) == Decision(.direct, rule: nil))
    }

    /// What man pages promise, whatever the request is made for: all that may be looked at of one name, is.
    @Test func lengthsThatAreDocumentedAreLookedAt() {
        for (values, octets) in [(1_024, 1_024), (128, 8_192)] {
            let policy = Policy(cookies((0..<values).map { "*ab\($0)*" }, .upstream(0)))
            let last = "ab\(values - 1)"
            let filler = String(repeating: "ab", count: (octets - last.utf8.count) / 2)
            #expect(policy.decide(query(facts(cookie: filler + last))).action == .upstream(0))
        }
    }
}
