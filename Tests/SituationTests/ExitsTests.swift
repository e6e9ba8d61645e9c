import Foundation
import Testing

extension Situations {
    /// Sessions leave the way that an exit says, as the server and the wire see it.
    @Suite struct Exits {
        private static let server = Family.v4.server
        private static let clients = 24

        private static func serving(_ source: [String], more: String = "", timeouts: String = "") -> ClearwayConfiguration {
            .serving(timeouts: timeouts, policy: Exit.toml(source: source, more: more))
        }

        /// A client keeps its address towards a destination, whichever of our listeners' protocols it speaks; clients spread over
        /// all addresses; and when one is taken away, nobody moves but those that left from it.
        @Test func eachClientKeepsItsSource() throws {
            try play(Variant(), start: false) { stage in
                try stage.addSources(clients: Self.clients)
                try stage.tellSources()
                let clearway = try stage.startClearway(Self.serving(Exit.sources))
                let first = try stage.seen(clients: Self.clients)
                #expect(first.count == 2 * 2 * Self.clients)
                for (pair, source) in first {
                    #expect(
                        Exit.sources.contains(source) && source.contains(":") == pair.destination.contains(":"),
                        "\(pair): \(source)")
                }
                // The choice is a hash, the same everywhere and always: fewer than half of what is fair it does not give these.
                for source in Exit.sources {
                    let share = first.values.count { $0 == source }
                    #expect(share >= Self.clients / 4, "\(source): \(share) of \(first.count)")
                }
                let other = try stage.seenOverHTTP(clients: Self.clients)
                #expect(other == first.filter { !$0.key.destination.contains(":") && !$0.key.client.contains(":") })
                #expect(try stage.seen(clients: Self.clients) == first)

                for gone in [Family.v4.source(12), Family.v6.source(14)] {
                    try clearway.reload(Self.serving(Exit.sources.filter { $0 != gone }))
                    let now = try stage.seen(clients: Self.clients)
                    let moved = first.filter { $0.value == gone }
                    #expect(!moved.isEmpty && now.filter { first[$0.key] != $0.value }.keys.allSatisfy { moved[$0] != nil })
                    #expect(!now.values.contains(gone))
                    // Nor do those that move all go to the same one.
                    #expect(Set(moved.keys.compactMap { now[$0] }).count > 1)
                }
                // In another order it is the same exit.
                try clearway.reload(Self.serving(Exit.sources.reversed()))
                #expect(try stage.seen(clients: Self.clients) == first)
            }
        }

        /// Towards several destinations one client has several addresses.
        @Test func destinationsSpreadAsWell() throws {
            let servers = (20..<32).map { "198.51.100.\($0)" }
            try play(Variant(), start: false) { stage in
                try stage.addSources(clients: 1)
                try stage.topology.server.ip(servers.map { "address add \($0)/24 dev eth0\n" }.joined())
                try stage.tellSources(at: servers)
                try stage.startClearway(Self.serving(Exit.sources))
                let seen = try stage.seen(clients: 1, at: servers).filter { !$0.key.client.contains(":") }
                #expect(Set(seen.values).count > 2, "\(seen)")
            }
        }

        /// An exit without an address of the destination's family: the kernel must not choose one that nobody has named.
        @Test(arguments: Family.allCases)
        func aFamilyWithoutASource(family: Family) throws {
            let other = family == .v4 ? Family.v6 : .v4
            try play(Variant(), start: false) { stage in
                try stage.addSources(clients: 1)
                try stage.tellSources()
                let (clearway, _) = try stage.startClearway(
                    Self.serving([family.source(11)]),
                    names: ["both.test": Family.allCases.map(\.server), "other.test": [other.server]])
                try stage.count(["other": "\(other == .v4 ? "ip" : "ip6") daddr \(other.server)"])
                #expect(try stage.replies([other.server, family.server]) == ["03", "00"])
                let names = try stage.exchange(
                    ["other.test", "both.test"].map { Exchange($0, Says.greeting, Says.socks5(name: Array($0.utf8), 443)) }
                        + [Exchange("", Says.connect("\(other.serverHost):443"))])
                #expect(names[0].hex.hasPrefix("0500050300") && names[1].hex.hasPrefix("0500050000"))
                #expect(names[1].text.hasSuffix(family.source(11)))
                #expect(names[2].text.hasPrefix("HTTP/1.1 502 "))
                let records = try clearway.waitForSessions(5)
                #expect(records.count { $0.ending == "upstream-unreachable" } == 3)
                #expect(try stage.counted("other") == 0)
            }
        }

        /// The interface counts, and not the routes; when it is gone nothing leaves by another one.
        @Test func device() throws {
            try play(Variant(), start: false) { stage in
                try stage.addSideLink()
                try stage.tellSources()
                try stage.count(["side": "oifname \"side\" tcp dport 443", "wan": "oifname \"wan\" tcp dport 443"])
                let clearway = try stage.startClearway(Self.serving([], more: "device = \"side\""))
                #expect(try stage.tell(Family.allCases.map(\.server)) == ["10.77.0.1", "fd77::1"])
                #expect(try (stage.counted("side"), stage.counted("wan")) == (2, 0))
                // With addresses as well, which need not be the interface's own.
                try stage.topology.router.ip("address add 10.77.0.11/24 dev side")
                try clearway.reload(Self.serving(["10.77.0.11"], more: "device = \"side\""))
                #expect(try stage.tell([Self.server]) == ["10.77.0.11"])

                try stage.topology.router.ip("link set side down")
                #expect(try stage.replies([Self.server])[0] != "00")
                try stage.topology.router.ip("link delete side")
                #expect(try stage.replies([Self.server])[0] != "00")
                #expect(try (stage.counted("side"), stage.counted("wan")) == (3, 0))
                // A file that names it is refused now, and what is in force stays.
                try stage.addSideLink()
                try stage.topology.router.ip("address add 10.77.0.11/24 dev side")
                #expect(try stage.tell([Self.server]) == ["10.77.0.11"])
            }
        }

        /// A number that the router's own rules know.
        @Test func mark() throws {
            try play(Variant(), start: false) { stage in
                try stage.addSideLink()
                try stage.tellSources()
                try stage.topology.router.ip(
                    """
                    route add default via 10.77.0.2 table 77
                    rule add fwmark 0x77 lookup 77
                    """)
                try stage.topology.router.require(["ip", "-6", "route", "add", "default", "via", "fd77::2", "table", "77"])
                try stage.topology.router.require(["ip", "-6", "rule", "add", "fwmark", "0x77", "lookup", "77"])
                try stage.count([
                    "marked": "meta mark 0x77 oifname \"side\" tcp dport 443", "others": "meta mark != 0x77 tcp dport 443",
                ])
                let policy = Exit.toml(more: "mark = 0x77").replacing("[[rule]]", with: "[[rule]]\nport = 443")
                try stage.tellSources(on: 444)
                try stage.startClearway(.serving(policy: policy))
                #expect(try stage.tell(Family.allCases.map(\.server)) == ["10.77.0.1", "fd77::1"])
                #expect(try (stage.counted("marked"), stage.counted("others")) == (2, 0))
                #expect(try stage.tell(Family.allCases.map(\.server), 444) == ["198.51.100.1", "2001:db8:2::1"])
            }
        }

        /// What leaves with a mark of its own is not intercepted again, whoever makes the rules.
        @Test(arguments: [Variant(), Variant(mode: .redirect), Variant(scope: .local), Variant(mode: .redirect, scope: .local)])
        func markOfInterceptedSessions(variant: Variant) throws {
            try play(variant, start: false) { stage in
                try stage.tellSources()
                try stage.addSources(clients: 1)
                var configuration = ClearwayConfiguration(variant)
                configuration.policy = Exit.toml(source: [Family.v4.source(11)], more: "mark = 0x77")
                try stage.count(["marked": "meta mark & 0xff == 0x77 tcp dport 443"])
                let clearway = try stage.startClearway(configuration)
                let socket = try stage.client.connect(Self.server, 443).socket
                #expect(try stage.client.receive(socket, 13) == Family.v4.source(11))
                try stage.client.close(socket)
                let records = try clearway.waitForSessions(1)
                #expect(records.count == 1 && records[0].ending.hasSuffix("-fin") && records[0].string("upstream") == Exit.name)
                #expect(try stage.counted("marked") == 1)
            }
        }

        /// IP_BIND_ADDRESS_NO_PORT: a port is taken once per destination, and not once for all of them.
        @Test func morePortsThanThereAre() throws {
            let ports = 12
            let destinations = [(Self.server, 443), (Self.server, 444), ("198.51.100.3", 443)]
            try play(Variant(), start: false) { stage in
                try stage.addSources(clients: 1)
                try stage.topology.server.ip("address add 198.51.100.3/24 dev eth0")
                for (host, port) in destinations {
                    let listener = try stage.server.listen(host, port: port)
                    try stage.server.perform("serve", ["socket": listener.socket, "manner": "echo"])
                }
                let clearway = try stage.startClearway(Self.serving([Family.v4.source(11)]))
                try stage.topology.router.require(
                    ["sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 \(40_000 + ports - 1)"])
                func ask(_ host: String, _ port: Int) throws -> String {
                    let socket = try stage.client.connect("192.0.2.1", 1080).socket
                    let says = Says.greeting + Says.socks5(host, port)
                    try stage.client.send(socket, String(String.UnicodeScalarView(says.map { UnicodeScalar($0) })))
                    return hexadecimal(try stage.client.receive(socket, 12).unicodeScalars.map { UInt8($0.value) })
                }
                var used: [String: Int] = [:]
                for (host, port) in destinations {
                    for _ in 0..<ports {
                        let reply = try ask(host, port)
                        #expect(reply.hasPrefix("050005000001c633640b"), "\(host):\(port): \(reply)")
                        used[String(reply.suffix(4)), default: 0] += 1
                    }
                }
                // Each port went to each of the three.
                #expect(used.count == ports && used.values.allSatisfy { $0 == destinations.count }, "\(used)")
                // One more than there are is told so.
                #expect(try ask(Self.server, 443) == "050005010001000000000000")
                let record = try clearway.waitForSessions(1)[0]
                #expect(record.ending == "proxy-limit")
            }
        }

        /// A proxy that is reached through an exit sees its address.
        @Test(arguments: ["socks5", "http"])
        func proxiesBehindAnExit(scheme: String) throws {
            try play(Variant(), start: false) { stage in
                try stage.addSources(clients: 1)
                try stage.tellSources(at: [Self.server])
                _ = try scheme == "http" ? stage.tinyproxy(1090, "ConnectPort 443") : stage.microsocks(1090)
                try stage.count(["own": "ip saddr 198.51.100.12 tcp dport 1090", "any": "tcp dport 1090"])
                let policy = """
                    [[upstream]]
                    name = "out"
                    url = "direct://"
                    source = "198.51.100.12"
                    [[upstream]]
                    name = "proxy"
                    url = "\(scheme)://198.51.100.2:1090"
                    via = "out"
                    [[rule]]
                    action = "proxy"
                    """
                try stage.startClearway(.serving(policy: policy))
                let heard = try stage.exchange([Exchange("", Says.greeting, Says.socks5(Self.server, 443))])[0]
                // Ours towards the proxy; and what the server sees is the proxy.
                #expect(heard.hex.hasPrefix("050005000001c633640c") && heard.text.hasSuffix(Self.server))
                #expect(try (stage.counted("own"), stage.counted("any")) == (1, 1))
            }
        }
    }
}

extension Stage {
    /// What the server tells the client host about whom it sees.
    fileprivate func tell(_ destinations: [String], _ port: Int = 443) throws -> [String] {
        try exchange(destinations.map { Exchange($0, Says.greeting, Says.socks5($0, port)) }).map { $0.source ?? $0.hex }
    }

    /// Like `seen`, over CONNECT and IPv4.
    fileprivate func seenOverHTTP(clients: Int) throws -> [Pair: String] {
        let pairs = (0..<clients).map { Pair(client: Family.v4.neighbour($0), destination: Family.v4.server) }
        let heard = try exchange(pairs.map { Exchange("", Says.connect("\($0.destination):443"), source: $0.client) })
        return Dictionary(uniqueKeysWithValues: zip(pairs, heard.map { $0.text.components(separatedBy: "\r\n\r\n").last ?? "" }))
    }
}
