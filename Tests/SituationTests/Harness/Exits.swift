import Foundation
import Testing

/// An upstream that is an exit.
enum Exit {
    static let name = "out"

    /// Four addresses of each family, which `addSources` gives to the router.
    static let sources = Family.allCases.flatMap { family in (11...14).map { family.source($0) } }

    /// The exit, and a rule that sends everything there.
    static func toml(source: [String] = [], more: String = "") -> String {
        """
        [[upstream]]
        name = "\(name)"
        url = "direct://"
        \(source.isEmpty ? "" : "source = \(ClearwayConfiguration.toml(source))")
        \(more)
        [[rule]]
        action = "\(name)"

        """
    }
}

extension Family {
    /// A further address of the router's towards the server.
    func source(_ number: Int) -> String { self == .v4 ? "198.51.100.\(number)" : "2001:db8:2::\(number)" }
    /// A further address of the client host's.
    func neighbour(_ number: Int) -> String { self == .v4 ? "192.0.2.\(10 + number)" : "2001:db8:1::\(10 + number)" }
}

/// A client and a destination.
struct Pair: Hashable, CustomStringConvertible {
    var client: String
    var destination: String

    var description: String { "\(client) to \(destination)" }
}

extension Stage {
    /// Gives the router the addresses of ``Exit/sources``, and the client host as many addresses of each family.
    func addSources(clients: Int) throws {
        try topology.router.ip(
            Family.allCases.flatMap { family in
                (11...14).map { "address add \(family.source($0))/\(family == .v4 ? "24" : "64 nodad") dev wan\n" }
            }.joined().replacing("/64 nodad dev wan", with: "/64 dev wan nodad"))
        try topology.client.ip(
            (0..<clients).map {
                "address add \(Family.v4.neighbour($0))/24 dev eth0\naddress add \(Family.v6.neighbour($0))/64 dev eth0 nodad\n"
            }.joined())
    }

    /// A second link between router and server, `side`, by which the server is reached only by who insists.
    func addSideLink() throws {
        try topology.router.ip(
            """
            link add side index 13 type veth peer name eth1 index 23 netns \(topology.server.name)
            address add 10.77.0.1/24 dev side
            address add fd77::1/64 dev side nodad
            link set side up
            route add 198.51.100.0/24 via 10.77.0.2 dev side metric 5000 onlink
            """)
        try topology.server.ip(
            """
            address add 10.77.0.2/24 dev eth1
            address add fd77::2/64 dev eth1 nodad
            link set eth1 up
            """)
        try topology.router.ip("route add 2001:db8:2::/64 via fd77::2 dev side metric 5000 onlink")
    }

    /// Serves on that port of the server, of both families: whoever connects is told the address that it is seen with.
    func tellSources(on port: Int = 443, at hosts: [String] = Family.allCases.map(\.server)) throws {
        for host in hosts {
            let listener = try server.listen(host, port: port)
            try server.perform("serve", ["socket": listener.socket, "manner": "tell"])
        }
    }

    /// What `tellSources` says, on port 443, to each of so many clients of both families; over SOCKS, which says it in its reply too.
    func seen(clients: Int, at destinations: [String] = Family.allCases.map(\.server)) throws -> [Pair: String] {
        var seen: [Pair: String] = [:]
        for family in Family.allCases {
            let pairs = (0..<clients).flatMap { number in
                destinations.map { Pair(client: family.neighbour(number), destination: $0) }
            }
            let rows = pairs.map { Exchange("", Says.greeting, Says.socks5($0.destination, 443), source: $0.client) }
            for (pair, heard) in zip(pairs, try exchange(rows, host: family.routerTowardsClient)) {
                guard let source = heard.source else { throw SituationError("\(pair): \(heard.hex) \(heard.end)") }
                seen[pair] = source
            }
        }
        return seen
    }

    /// The code of SOCKS5's reply to each.
    func replies(_ destinations: [String], _ port: Int = 443) throws -> [String] {
        try exchange(destinations.map { Exchange($0, Says.greeting, Says.socks5($0, port), then: .fin) })
            .map { String($0.hex.dropFirst(6).prefix(2)) }
    }

    /// Counts what leaves the router, by conditions of nft under names.
    func count(_ conditions: [String: String]) throws {
        let counters = conditions.keys.map { "counter \($0) { }\n" }.joined()
        let rules = conditions.map { "\($0.value) tcp flags & (syn | ack) == syn counter name \($0.key)\n" }.joined()
        try topology.router.nft(
            "table inet watch {\n\(counters)chain out { type filter hook postrouting priority 300\n\(rules)}\n}\n")
    }

    /// How many SYNs that was so far.
    func counted(_ name: String) throws -> Int {
        let text = try topology.router.require(["nft", "list", "counter", "inet", "watch", name])
        guard let found = text.firstMatch(of: /packets (\d+)/), let packets = Int(found.1) else { throw SituationError(text) }
        return packets
    }

    /// Waits for a line of the log that says so, with that in it.
    func waitForLine(_ message: String, _ more: String) throws {
        try waitUntil("\"\(message)\" \(more)") {
            try clearway.log.split(separator: "\n").contains { $0.contains("\"\(message)\"") && $0.contains(more) }
        }
    }
}

extension Heard {
    /// What a server that tells it has said of the address that it sees, to a client of SOCKS5 without a password; the reply must say
    /// the same. Nil: there is none.
    var source: String? {
        let said = bytes(hex)
        guard said.count > 12, said.starts(with: bytes("0500 050000")) else { return nil }
        let end = said[5] == 4 ? 24 : 12
        let told = String(decoding: said.dropFirst(end), as: UTF8.self)
        #expect(Array(said[6..<(end - 2)]) == Says.octets(told))
        return told
    }
}
