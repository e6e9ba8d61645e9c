import TestSupport
import Testing
import TransparentSockets

@testable import Policy

@Suite struct PolicyTests {
    private func rule(_ action: Action = .reject, _ change: (inout Rule) -> Void) -> Rule {
        var rule = Rule(action: action)
        change(&rule)
        return rule
    }

    private func query(_ destination: String, name: String? = nil, client: String = "10.0.0.1", port: UInt16 = 443) -> Query {
        Query(
            listener: "lan", client: IPAddress(client)!, destination: IPAddress(destination)!, port: port,
            name: name.map { DomainName($0)! })
    }

    @Test func withoutRulesAllGoesDirect() {
        let policy = Policy([])
        #expect(policy.decide(query("192.0.2.1")) == Decision(.direct, rule: nil))
        #expect(!policy.needsName(query("192.0.2.1")))
    }

    @Test func theFirstMatchDecidesWhateverItsCriterion() {
        let policy = Policy([
            rule(.upstream(0)) { $0.ports = [25...25] },
            rule(.upstream(1)) { $0.domains = [DomainPattern("*.example.com")!] },
            rule(.upstream(2)) { $0.destinations = [try! IPNetwork(parsing: "192.0.2.0/24")] },
            rule(.upstream(3)) { $0.clients = [try! IPNetwork(parsing: "10.0.0.0/8")] },
            rule(.reject) { _ in },
        ])
        #expect(policy.decide(query("192.0.2.1", name: "www.example.com", port: 25)).rule == 0)
        #expect(policy.decide(query("192.0.2.1", name: "www.example.com")).rule == 1)
        #expect(policy.decide(query("192.0.2.1", name: "example.com")).rule == 2)
        #expect(policy.decide(query("198.51.100.1", name: "example.com")).rule == 3)
        #expect(policy.decide(query("2001:db8::1", client: "2001:db8::2")) == Decision(.reject, rule: 4))
    }

    /// For clients that say themselves where they want to go.
    @Test func theIPv4AddressInsideIsRejectedToo() {
        let policy = Policy([
            rule(.direct) { $0.destinations = [try! IPNetwork(parsing: "64:ff9b::c000:201/128")] },
            rule(.reject) { $0.destinations = [try! IPNetwork(parsing: "192.0.2.0/24")] },
            rule(.upstream(0)) { $0.destinations = [try! IPNetwork(parsing: "198.51.100.0/24")] },
            rule(.upstream(1)) { $0.destinations = [try! IPNetwork(parsing: "2002::/16")] },
            rule(.reject) { _ in },
        ])
        let expected: [(String, Int)] = [
            ("192.0.2.2", 1), ("::ffff:192.0.2.2", 1), ("64:ff9b::c000:202", 1), ("2002:c000:202::1", 1),
            ("2001:0:c000:202::", 1), ("2001:0:808:808::3fff:fdfd", 1), ("64:ff9b::c000:201", 0),
            // Only what rejects counts for the address around it.
            ("2002:c633:6401::1", 3), ("2002:808:808::1", 3), ("64:ff9b::c633:6401", 4), ("198.51.100.1", 2),
        ]
        for (address, number) in expected {
            #expect(policy.decideInEveryForm(query(address)).rule == number, "\(address)")
        }
        #expect(policy.decide(query("64:ff9b::c000:202")).rule == 4)
        let open = Policy([rule { $0.destinations = [try! IPNetwork(parsing: "192.0.2.0/24")] }])
        #expect(open.decideInEveryForm(query("2002:c000:202::1")) == Decision(.reject, rule: 0))
        #expect(open.decideInEveryForm(query("2002:808:808::1")) == Decision(.direct, rule: nil))
        // Also in URLs, and only where that is the address that the request names.
        for (action, host, expected) in [
            (Action.reject, "[64:ff9b::808:808]", 0), (.reject, "[64:ff9b::808:809]", nil),
            (.upstream(0), "[64:ff9b::808:808]", nil),
        ] {
            var rule = Rule(action: action)
            rule.urls = [try! URLPattern("http://8.8.8.8/x*")]
            var asked = query("64:ff9b::808:808")
            asked.port = 80
            asked.request = RequestFacts(method: "GET", target: "/xy", authority: host)
            #expect(Policy([rule]).decideInEveryForm(asked).rule == expected, "\(action) \(host)")
            // As it is written, it counts as well.
            rule.urls = [try! URLPattern("http://[64:ff9b::808:808]/x*")]
            rule.destinations = [try! IPNetwork(parsing: "8.8.8.0/24")]
            #expect(Policy([rule]).decideInEveryForm(asked).rule == expected, "\(action) \(host)")
        }
    }

    @Test func aRuleMayAskWhetherThereIsAName() {
        let policy = Policy([
            rule(.reject) { $0.isNamed = false },
            rule(.upstream(0)) {
                $0.isNamed = true
                $0.ports = [80...80]
            },
        ])
        #expect(policy.decide(query("192.0.2.1")).rule == 0)
        #expect(policy.decide(query("192.0.2.1", name: "a.example", port: 80)).rule == 1)
        #expect(policy.decide(query("192.0.2.1", name: "a.example")).rule == nil)
        // Once a name is known, the rule that decided without one does not any more.
        #expect(policy.needsName(query("192.0.2.1"), after: policy.decide(query("192.0.2.1"))))
        let second = Policy(Array(policy.rules.dropFirst()))
        #expect(second.needsName(query("192.0.2.1", port: 80), after: second.decide(query("192.0.2.1", port: 80))))
        #expect(!second.needsName(query("192.0.2.1", port: 81), after: second.decide(query("192.0.2.1", port: 81))))
    }

    @Test func aRuleForSessionsWithoutANameShadowsNoOther() {
        let unnamed = rule { $0.isNamed = false }
        let named = rule { $0.isNamed = true }
        let domain = rule { $0.domains = [DomainPattern("a.example")!] }
        #expect(Policy([unnamed, named, domain, rule { _ in }]).shadowed.map { [$0.rule, $0.by] } == [[2, 1]])
        #expect(Policy([unnamed, unnamed, domain]).shadowed.map { [$0.rule, $0.by] } == [[1, 0]])
        let impossible = rule {
            $0.isNamed = false
            $0.domains = [DomainPattern("a.example")!]
        }
        #expect(!impossible.canMatch)
        // It is no rule for that domain by what it asks for, and not by being left out of the index alone.
        #expect(Remainder(impossible).contains(.criteria) && !Remainder(domain).contains(.criteria))
        var costly = 0
        let criteria = Criteria(impossible, HostNumbers([]), ComparisonBudget([impossible]), &costly)
        var none = RequestComparisons()
        #expect(!criteria.match(query("192.0.2.1", name: "a.example"), &none))
        #expect(!criteria.match(query("192.0.2.1"), anyName: true, &none))
        #expect(Policy([impossible]).decide(query("192.0.2.1", name: "a.example")).rule == nil)
    }

    @Test func allOfARulesCriteriaMustHold() {
        let policy = Policy([
            rule {
                $0.domains = [DomainPattern("a.example")!, DomainPattern("b.example")!]
                $0.destinations = [try! IPNetwork(parsing: "192.0.2.0/24")]
                $0.clients = [try! IPNetwork(parsing: "10.0.0.0/24")]
                $0.ports = [80...90, 443...443]
                $0.listeners = ["lan"]
                $0.transport = .tcp
            }
        ])
        #expect(policy.decide(query("192.0.2.9", name: "b.example", port: 85)).rule == 0)
        #expect(policy.decide(query("192.0.2.9", name: "c.example", port: 85)).rule == nil)
        #expect(policy.decide(query("192.0.3.9", name: "b.example", port: 85)).rule == nil)
        #expect(policy.decide(query("192.0.2.9", name: "b.example", client: "10.0.1.1", port: 85)).rule == nil)
        #expect(policy.decide(query("192.0.2.9", name: "b.example", port: 91)).rule == nil)
        var other = query("192.0.2.9", name: "b.example", port: 85)
        other.listener = "wan"
        #expect(policy.decide(other).rule == nil)
        other.listener = "lan"
        other.transport = .udp
        #expect(policy.decide(other).rule == nil)
    }

    /// What a list without entries leaves of a rule: nothing, and not everything.
    @Test func aCriterionWithoutValuesIsHeldByNobody() {
        let empty: [(inout Rule) -> Void] = [
            { $0.domains = [] }, { $0.destinations = [] }, { $0.clients = [] }, { $0.ports = [] }, { $0.listeners = [] },
            {
                $0.domains = [DomainPattern("a.example")!]
                $0.destinations = []
            },
            {
                $0.domains = []
                $0.destinations = [try! IPNetwork(parsing: "0.0.0.0/0")]
            },
        ]
        for change in empty {
            let policy = Policy([rule(.upstream(0), change), rule(.upstream(1)) { $0.ports = [443...443] }])
            #expect(!policy.rules[0].canMatch && policy.rules[1].canMatch)
            #expect(policy.decide(query("192.0.2.1", name: "a.example")).rule == 1)
            #expect(policy.decide(query("192.0.2.1", name: "a.example", port: 80)) == Decision(.direct, rule: nil))
            #expect(policy.decide(query("192.0.2.1")).rule == 1)
            // Nobody waits for a name that decides nothing, and nothing stands in the shadow of nothing.
            #expect(!policy.needsName(query("192.0.2.1")))
            #expect(policy.shadowed.isEmpty)
        }
    }

    @Test func aNameIsNeededOnlyWhereItCouldDecide() {
        let policy = Policy([
            rule { $0.destinations = [try! IPNetwork(parsing: "192.0.2.0/24")] },
            rule {
                $0.domains = [DomainPattern("a.example")!]
                $0.ports = [443...443]
            },
        ])
        #expect(!policy.needsName(query("192.0.2.1")))
        #expect(policy.needsName(query("198.51.100.1")))
        #expect(!policy.needsName(query("198.51.100.1", name: "b.example")))
        #expect(!policy.needsName(query("198.51.100.1", port: 25)))
    }

    @Test func shadowedRulesAreFound() {
        let network = { try! IPNetwork(parsing: $0 as String) }
        let policy = Policy([
            rule { $0.domains = [DomainPattern("*.example.com")!] },
            rule { $0.domains = [DomainPattern("www.example.com")!, DomainPattern("*.b.example.com")!] },
            rule { $0.domains = [DomainPattern("example.com")!, DomainPattern("www.example.com")!] },
            rule { $0.destinations = [network("10.0.0.0/8"), network("192.168.0.0/16")] },
            rule { $0.destinations = [network("10.1.0.0/16"), network("192.168.1.1")] },
            rule { $0.destinations = [network("10.1.0.0/16"), network("172.16.0.0/12")] },
            rule { $0.ports = [1...1000] },
            rule {
                $0.domains = [DomainPattern("z.example")!]
                $0.ports = [80...80, 443...443]
            },
            rule { $0.ports = [999...1001] },
            rule { $0.clients = [network("10.0.0.0/8")] },
            rule {
                $0.domains = [DomainPattern("y.example")!]
                $0.clients = [network("10.5.0.0/16")]
            },
            rule { $0.domains = [DomainPattern("*.below.example")!] },
            rule { _ in },
            rule { $0.transport = .udp },
        ])
        let expected = [1: 0, 4: 3, 7: 6, 10: 9, 13: 12]
        #expect(Dictionary(uniqueKeysWithValues: policy.shadowed.map { ($0.rule, $0.by) }) == expected)
    }

    /// Against the plainest thing that could take its place: one rule after the other, one criterion after the other.
    @Test(arguments: 0..<20)
    func itDecidesAsALinearSearchDoes(_ seed: UInt64) {
        var random = SplitMix(seed)
        let labels = ["a", "b", "c", "example", "com"]
        func name(_ random: inout SplitMix) -> DomainName {
            DomainName((0...random.below(3)).map { _ in labels[random.below(5)] }.joined(separator: "."))!
        }
        func address(_ random: inout SplitMix) -> IPAddress {
            random.below(3) == 0
                ? .v6(IPv6Address(high: 0x2001_0DB8 << 32, low: UInt64(random.below(4)) << 62 | UInt64(random.below(8))))
                : .v4(IPv4Address(bits: UInt32(random.below(4)) << 30 | UInt32(random.below(8))))
        }
        func network(_ random: inout SplitMix) -> IPNetwork {
            let base = address(&random)
            let lengths = base.isIPv6 ? [0, 64, 66, 125, 127, 128] : [0, 1, 2, 29, 30, 32]
            return IPNetwork(base, prefixLength: lengths[random.below(6)])
        }
        let rules = (0..<60).map { index in
            rule(.upstream(index)) {
                if random.below(3) == 0 {
                    $0.domains = (0...random.below(4)).map { _ in DomainPattern(name(&random), isBelow: random.below(2) == 0) }
                }
                if random.below(3) == 0 { $0.destinations = (0...random.below(4)).map { _ in network(&random) } }
                if random.below(4) == 0 { $0.clients = (0...random.below(4)).map { _ in network(&random) } }
                if random.below(2) == 0 || index < 40 { $0.ports = [UInt16(random.below(10))...UInt16(10 + random.below(10))] }
                if random.below(2) == 0 { $0.listeners = random.below(2) == 0 ? ["lan"] : ["wan", "dmz"] }
                // A criterion without values, as from an empty list.
                switch random.below(20) {
                case 0: $0.domains = []
                case 1: $0.destinations = []
                case 2: $0.clients = []
                default: break
                }
            }
        }
        let policy = Policy(rules)
        let shadowed = Set(policy.shadowed.map(\.rule))
        for _ in 0..<2_000 {
            let query = Query(
                listener: ["lan", "wan", "dmz"][random.below(3)], client: address(&random), destination: address(&random),
                port: UInt16(random.below(25)), name: random.below(3) == 0 ? nil : name(&random))
            let expected = rules.firstIndex { matches($0, query) }
            #expect(policy.decide(query).rule == expected)
            if let expected { #expect(!shadowed.contains(expected)) }
            if query.name == nil {
                let couldChange = rules[..<(expected ?? rules.count)].contains { rule in
                    var nameless = rule
                    nameless.domains = nil
                    return rule.domains?.isEmpty == false && matches(nameless, query)
                }
                #expect(policy.needsName(query) == couldChange)
            }
        }
    }

    private func matches(_ rule: Rule, _ query: Query) -> Bool {
        (rule.domains.map { domains in query.name.map { name in domains.contains { $0.matches(name) } } ?? false } ?? true)
            && (rule.destinations?.contains { network in query.destination.map { network.contains($0) } ?? false } ?? true)
            && (rule.clients?.contains { network in query.client.map { network.contains($0) } ?? false } ?? true)
            && (rule.ports?.contains { $0.contains(query.port) } ?? true)
            && (rule.listeners?.contains(query.listener) ?? true)
            && (rule.transport == nil || rule.transport == query.transport)
    }
}

extension Policy {
    fileprivate func needsName(_ query: Query) -> Bool { needsName(query, after: decide(query)) }
}
