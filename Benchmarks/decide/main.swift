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
