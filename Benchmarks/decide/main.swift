import Glibc
import Policy
import TransparentSockets

// How long a large policy takes to load, and to decide: `make bench` prints it with the rest.

let count = 100_000
let clock = ContinuousClock()

func milliseconds(_ duration: Duration) -> Double { duration / .milliseconds(1) }

/// Nanoseconds per call, the median of nine runs.
func measure(_ calls: Int, _ body: (Int) -> Void) -> Double {
    let runs = (0..<9).map { _ in clock.measure { for index in 0..<calls { body(index) } } / .nanoseconds(1) / Double(calls) }
    return runs.sorted()[4]
}

func name(_ index: Int) -> String { "host\(index).site\(index % 977).example\(index % 31).com" }
func address(_ index: Int) -> UInt32 { UInt32(truncatingIfNeeded: index &* 2_654_435_761) }

// The worst two shapes: everything in two rules, and one rule for each.
for shape in ["in two rules", "in a rule each"] {
    var policy = Policy([])
    let loading = clock.measure {
        let domains = (0..<count).map { DomainPattern($0 % 3 == 0 ? "*.\(name($0))" : name($0))! }
        let networks = (0..<count).map { IPNetwork(.v4(IPv4Address(bits: address($0))), prefixLength: 16 + $0 % 17) }
        var rules: [Rule] = []
        if shape == "in two rules" {
            var first = Rule(action: .reject)
            var second = Rule(action: .upstream(0))
            first.domains = domains
            second.destinations = networks
            rules = [first, second]
        } else {
            for index in 0..<count {
                var first = Rule(action: .reject)
                var second = Rule(action: .upstream(0))
                first.domains = [domains[index]]
                second.destinations = [networks[index]]
                rules += [first, second]
            }
        }
        policy = Policy(rules)
    }
    var shadowed = 0
    let shadowing = clock.measure { shadowed = policy.shadowed.count }
    let queries = (0..<10_000).map { index in
        Query(
            listener: "lan", client: .v4(IPv4Address(bits: 0x0A00_0001)),
            destination: .v4(IPv4Address(bits: address(index * 7) ^ 1)),
            port: 443, name: DomainName(index % 2 == 0 ? "www.\(name(index * 3))" : "unknown\(index).example.org"))
    }
    var decided = 0
    let deciding = measure(queries.count) { decided &+= policy.decide(queries[$0]).rule ?? 0 }
    print(
        "100,000 domains and 100,000 networks, \(shape): loaded in \(milliseconds(loading)) ms, "
            + "shadowed rules (\(shadowed)) found in \(milliseconds(shadowing)) ms, decided in \(deciding) ns")
    if decided == 1 { print() }
}

// What a client can make one request cost, where rules look into it: to read it, and to decide.

func rules(_ urls: [String]) -> [Rule] {
    urls.map { url in
        var rule = Rule(action: .reject)
        rule.urls = [try! URLPattern(url)]
        return rule
    }
}

/// - Parameter addresses: for each of which it is decided once more, as for those of a name that a client asks for.
func report(_ what: String, _ rules: [Rule], name: String? = nil, addresses: Int = 0, _ request: () -> RequestFacts) {
    let policy = Policy(rules)
    var decided = 0
    // Of the processor, for what else runs here does not count.
    let runs = (0..<9).map { _ in
        let start = Glibc.clock()
        for _ in 0..<10 {
            var query = Query(listener: "lan", client: nil, destination: nil, port: 80, name: name.flatMap { DomainName($0) })
            query.request = request()
            decided &+= policy.decide(query).rule ?? 0
            for address in 0..<addresses {
                query.destination = .v4(IPv4Address(bits: 0xC633_6400 | UInt32(address)))
                decided &+= policy.decideInEveryForm(query).rule ?? 0
            }
        }
        return (Glibc.clock() - start) / 10
    }
    print("\(what)\(addresses > 0 ? ", decided for \(addresses) addresses" : ""): \(runs.sorted()[4]) us")
    if decided == 1 { print() }
}

var path = Rule(action: .reject)
path.paths = [PathPattern("/admin/*")!]
for (what, target) in [
    ("8,000 octets", String(repeating: "x", count: 8_000)), ("4,000 segments", String(repeating: "/a", count: 4_000)),
] {
    report("a path of \(what), one rule", [path]) { RequestFacts(method: "GET", target: "/\(target)") }
}
let longQuery = "/x?" + String(repeating: "%41", count: 2_600)
report("a query of 7,800 octets, 2,000 rules by address", rules((0..<2_000).map { "http://10.0.\($0 / 256).\($0 % 256)/x?*y*" })) {
    RequestFacts(method: "GET", target: longQuery, authority: "192.0.2.1")
}
report("a query of 7,800 octets, 2,000 rules by one host", rules((0..<2_000).map { "http://a.b/\($0)" }), name: "a.b") {
    RequestFacts(method: "GET", target: longQuery, authority: "a.b")
}
report("a query of 512 octets, 1,024 wildcards for it", rules((0..<1_024).map { "http://a.b/x?*y\($0)*" }), name: "a.b") {
    RequestFacts(method: "GET", target: "/x?%79" + String(repeating: "y", count: 509), authority: "a.b")
}
// Every octet, or every second one, begins what is looked for.
for (text, values, lines, octets) in [
    ("ab", 1_024, 1, 1_024), ("aa", 1_024, 1, 1_024), ("ax", 128, 1, 8_192), ("ab", 1_024, 30, 2), ("ab", 1_024, 1, 8_192),
] {
    var all: [Rule] = []
    for start in stride(from: 0, to: values, by: 128) {
        var rule = Rule(action: .reject)
        rule.fields = [FieldPattern(name: "cookie", values: (start..<start + 128).map { Wildcard("*ab\($0)*")! })]
        all.append(rule)
    }
    let value = Array(String(repeating: text, count: octets / 2).utf8)
    for addresses in [0, 9] {
        report(
            "\(values) values of a header field, \(lines) lines of \(octets) octets (\(text)...)", all, name: "a.b",
            addresses: addresses
        ) {
            RequestFacts(
                method: "GET", target: "/", fields: (0..<lines).map { _ in RequestFacts.Field(name: "Cookie", value: value) })
        }
    }
}

// What lengths and numbers of patterns alone do not tell.

func cookies(_ values: [String]) -> [Rule] {
    stride(from: 0, to: values.count, by: 128).map { start in
        var rule = Rule(action: .reject)
        rule.fields = [FieldPattern(name: "cookie", values: values[start..<min(start + 128, values.count)].map { Wildcard($0)! })]
        return rule
    }
}
func cookie(_ value: String, lines: Int = 1) -> RequestFacts {
    RequestFacts(
        method: "GET", target: "/", fields: (0..<lines).map { _ in RequestFacts.Field(name: "Cookie", value: Array(value.utf8)) })
}
let pieces = String(repeating: "*a", count: 120)
report("1,024 values of 120 pieces", cookies((0..<1_024).map { "\(pieces)*\($0)" })) {
    cookie(String(repeating: "a", count: 1_000))
}
let long = String(repeating: "a", count: 250)
report("1,024 values of 254 octets, 28 lines", cookies((0..<1_024).map { "\(long)\(1_000 + $0)" })) {
    cookie(long + "0000", lines: 28)
}
let labels = (0..<120).map { _ in "a" }
let below = (2..<120).flatMap { depth in
    (0..<64).map { "http://*.\(labels.prefix(depth).joined(separator: "."))/x?*ab\($0)*" }
}
report("64 wildcards for the query of each of 118 hosts below each other", rules(below), name: labels.joined(separator: ".")) {
    RequestFacts(
        method: "GET", target: "/x?%61b" + String(repeating: "ab", count: 4_000), authority: labels.joined(separator: "."))
}
for addresses in [0, 9] {
    report("20,000 rules by one host", rules((0..<20_000).map { "http://a.b/\($0)" }), name: "a.b", addresses: addresses) {
        RequestFacts(method: "GET", target: "/x/", authority: "a.b")
    }
    report("65,536 rules by one host", rules((0..<65_536).map { "http://a.b/\($0)" }), name: "a.b", addresses: addresses) {
        RequestFacts(method: "GET", target: "/x/%41", authority: "a.b")
    }
    let paths = (0..<20_000).map { number in
        var rule = Rule(action: .reject)
        rule.paths = [PathPattern("/\(number)")!]
        return rule
    }
    report("20,000 rules by a path", paths, name: "a.b", addresses: addresses) { RequestFacts(method: "GET", target: "/x/%41") }
    let methods = (0..<20_000).map { number in
        var rule = Rule(action: .reject)
        rule.methods = ["M\(number)"]
        return rule
    }
    report("20,000 rules by a method", methods, name: "a.b", addresses: addresses) { RequestFacts(method: "GET", target: "/") }
}
// What most requests are: a few rules, and nothing in them that matches.
var few = rules(["http://a.b/ads/*", "http://*.c.d/x?*track*"]) + [path]
few += cookies(["*bot*", "curl/*"])
let fewRules = Policy(few)
for addresses in [0, 2] {
    let nanoseconds = measure(20_000) { index in
        var query = Query(listener: "lan", client: nil, destination: nil, port: 80, name: DomainName("www.a.b"))
        query.request = RequestFacts(
            method: "GET", target: "/index.html?a=b", authority: "www.a.b",
            fields: [RequestFacts.Field(name: "Cookie", value: Array("session=0123456789abcdef".utf8))])
        _ = fewRules.decide(query)
        for address in 0..<addresses {
            query.destination = .v4(IPv4Address(bits: 0xC633_6400 | UInt32(address)))
            _ = fewRules.decideInEveryForm(query)
        }
    }
    print("an ordinary request, five rules, decided for \(addresses) addresses: \(nanoseconds) ns")
}
