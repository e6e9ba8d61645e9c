import Testing

extension Situations {
    /// SOCKS byte for byte (RFC 1928, and SOCKS4 as everybody speaks it): what clients say, and what they hear.
    @Suite struct ServingWire {
        private struct Row {
            var exchange: Exchange
            /// In hexadecimal, as a pattern.
            var heard: String
            /// nil: of no interest.
            var end: String?
            /// The word that the record has for it, and the reason; nil: of no interest.
            var ending: String?
            var reason: String?
        }

        /// An echo, whose bytes come back behind the reply.
        private static func granted(_ name: String, _ pieces: [UInt8]..., heard: String, pause: Double = 0) -> Row {
            let exchange = Exchange(name, pieces: pieces, then: .fin, pause: pause)
            return Row(exchange: exchange, heard: heard, end: "fin", ending: "client-fin")
        }

        private static func refused(
            _ name: String, _ pieces: [UInt8]..., heard: String, ending: String = "client-protocol", reason: String? = nil
        ) -> Row {
            Row(exchange: Exchange(name, pieces: pieces), heard: heard, end: "fin", ending: ending, reason: reason)
        }

        private static let server = Family.v4.server
        private static let ping = Array("ping".utf8)
        private static let pong = "70696e67"
        /// Reply 0 with the router's address, and any port.
        private static let yes4 = "05000001c6336401...."
        private static let yes6 = "0500000420010db80002000000000000" + "00000001...."
        private static func no(_ code: String) -> String { "0500" + "05\(code)0001000000000000" }

        private static let grants: [Row] = [
            Row(exchange: Exchange("greeting alone", Says.greeting, then: .fin), heard: "0500", ending: "client-gone"),
            granted("address", Says.greeting, Says.socks5(server, 443), ping, heard: "0500" + yes4 + pong),
            granted("IPv6 address", Says.greeting, Says.socks5(Family.v6.server, 443), ping, heard: "0500" + yes6 + pong),
            granted("mapped address", Says.greeting, Says.socks5("::ffff:198.51.100.2", 443), ping, heard: "0500" + yes4 + pong),
            granted("name", Says.greeting, Says.socks5(name: Array("four.test".utf8), 443), ping, heard: "0500" + yes4 + pong),
            granted(
                "name in capitals with a dot", Says.greeting, Says.socks5(name: Array("FOUR.Test.".utf8), 443), ping,
                heard: "0500" + yes4 + pong),
            granted(
                "name with an IPv6 address", Says.greeting, Says.socks5(name: Array("six.test".utf8), 443), ping,
                heard: "0500" + yes6 + pong),
            granted(
                "address as a name", Says.greeting, Says.socks5(name: Array(server.utf8), 443), ping, heard: "0500" + yes4 + pong),
            granted(
                "address as a name, hexadecimal", Says.greeting, Says.socks5(name: Array("0xc6336402".utf8), 443), ping,
                heard: "0500" + yes4 + pong),
            granted(
                "IPv6 address as a name, in brackets", Says.greeting, Says.socks5(name: Array("[2001:db8:2::2]".utf8), 443), ping,
                heard: "0500" + yes6 + pong),
            granted("two methods", bytes("05 02 00 02"), Says.socks5(server, 443), ping, heard: "0500" + yes4 + pong),
            granted(
                "255 methods, the wanted one last", [5, 255] + [UInt8](repeating: 0xFE, count: 254) + [0], Says.socks5(server, 443),
                ping,
                heard: "0500" + yes4 + pong),
            granted(
                "credentials that nobody wants", bytes("05 01 02"), bytes("01 01 61 01 62"), Says.socks5(server, 443), ping,
                heard: "0502" + "0100" + yes4 + pong),
            granted(
                "a user's name of any bytes", bytes("05 01 02"), bytes("01 04 00 0d 0a ff 01 ff"), Says.socks5(server, 443), ping,
                heard: "0502" + "0100" + yes4 + pong),
            granted(
                "all in one piece", Says.greeting + Says.socks5(server, 443) + ping, heard: "0500" + yes4 + pong),
            granted(
                "a second request is payload", Says.greeting, Says.socks5(server, 443) + Says.socks5(server, 9),
                heard: "0500" + yes4 + hexadecimal(Says.socks5(server, 9))),
            granted(
                "reserved octet", Says.greeting, bytes("05 01 ff 01 c6336402 01bb"), ping, heard: "0500" + yes4 + pong),
            granted("SOCKS4", Says.socks4(server, 443), ping, heard: "005a....c6336401" + pong),
            granted("SOCKS4 without a user", Says.socks4(server, 443, user: "") + ping, heard: "005a....c6336401" + pong),
            granted(
                "SOCKS4 with a long user", Says.socks4(server, 443, user: String(repeating: "u", count: 255)), ping,
                heard: "005a....c6336401" + pong),
            granted("SOCKS4a", Says.socks4a(name: Array("four.test".utf8), 443), ping, heard: "005a....c6336401" + pong),
            granted("SOCKS4a to IPv6", Says.socks4a(name: Array("six.test".utf8), 443), ping, heard: "005a....00000000" + pong),
            // Its bytes follow the reply.
            Row(
                exchange: Exchange("server first", Says.greeting, Says.socks5(server, 25), then: .fin),
                heard: "0500" + yes4 + "68656c6c6f0a", end: "fin"),
        ]

        private static let refusals: [Row] = [
            refused("nobody listens", Says.greeting, Says.socks5(server, 9), heard: no("05"), ending: "upstream-refused"),
            refused("no route", Says.greeting, Says.socks5("100.64.0.1", 443), heard: no("03"), ending: "upstream-unreachable"),
            refused(
                "unreachable", Says.greeting, Says.socks5(Family.v4.unreachable, 443), heard: no("04"),
                ending: "upstream-unreachable"),
            refused(
                "unreachable, IPv6", Says.greeting, Says.socks5(Family.v6.unreachable, 443), heard: no("0[34]"),
                ending: "upstream-unreachable"),
            refused("prohibited", Says.greeting, Says.socks5("203.0.113.70", 443), heard: no("04"), ending: "upstream-unreachable"),
            refused(
                "time exceeded on the way", Says.greeting, Says.socks5("203.0.113.66", 443), heard: no("0[46]"),
                ending: "upstream-unreachable"),
            refused("silence", Says.greeting, Says.socks5(Family.v4.blackhole, 443), heard: no("04"), ending: "upstream-timeout"),
            refused(
                "no such name", Says.greeting, Says.socks5(name: Array("nobody.test".utf8), 443), heard: no("04"),
                ending: "upstream-unresolved"),
            refused("a rule", Says.greeting, Says.socks5(server, 666), heard: no("02"), ending: "proxy-rejected"),
            refused(
                "out of reach", Says.greeting, Says.socks5("127.0.0.1", 443), heard: no("02"), ending: "proxy-rejected",
                reason: "loopback"),
            refused(
                "ourselves", Says.greeting, Says.socks5("192.0.2.1", 1080), heard: no("02"), ending: "proxy-rejected",
                reason: "192.0.2.1"),
            refused(
                "ourselves on the other side", Says.greeting, Says.socks5("198.51.100.1", 1080), heard: no("02"),
                ending: "proxy-rejected", reason: "this host"),
            refused("ourselves, listed", Says.greeting, Says.socks5("2001:db8:1::1", 1080), heard: no("02"), ending: "proxy-self"),
            refused("SOCKS4, nobody listens", Says.socks4(server, 9), heard: "005b000000000000", ending: "upstream-refused"),
            refused(
                "SOCKS4a, no such name", Says.socks4a(name: Array("nobody.test".utf8), 443), heard: "005b000000000000",
                ending: "upstream-unresolved"),
            refused("SOCKS4, a rule", Says.socks4(server, 666), heard: "005b000000000000", ending: "proxy-rejected"),
        ]

        private static let mistakes: [Row] = [
            refused("no method", bytes("05 00"), heard: "05ff"),
            refused("GSSAPI alone", bytes("05 01 01"), heard: "05ff"),
            refused("another version of credentials", bytes("05 01 02"), bytes("02 01 61 01 62"), heard: "05020101"),
            refused("an empty user", bytes("05 01 02"), bytes("01 00 01 62"), heard: "05020101", ending: "client-unauthorized"),
            refused("an empty password", bytes("05 01 02"), bytes("01 01 61 00"), heard: "05020101", ending: "client-unauthorized"),
            refused("another version in the request", Says.greeting, bytes("04 01 00 01 c6336402 01bb"), heard: no("01")),
            refused("port 0", Says.greeting, Says.socks5(server, 0), heard: no("01")),
            refused("SOCKS4, port 0", Says.socks4(server, 0), heard: "005b000000000000"),
            refused("SOCKS4, another command", Says.socks4(server, 443, command: 3), heard: "005b000000000000"),
            refused(
                "SOCKS4, too long a user", Says.socks4(server, 443, user: String(repeating: "u", count: 256)),
                heard: "005b000000000000"),
            refused(
                "SOCKS4a, too long a name", Says.socks4a(name: [UInt8](repeating: 0x61, count: 256), 443), heard: "005b000000000000"
            ),
            refused(
                "SOCKS4, a user without end", [4, 1, 1, 0xBB, 198, 51, 100, 2] + [UInt8](repeating: 0x61, count: 500_000),
                heard: "005b000000000000"),
            refused("UDP ASSOCIATE", Says.greeting, Says.socks5("0.0.0.0", 0, command: 3), heard: no("07"), reason: "UDP"),
            refused(
                "a refusal before more of the client's", Says.greeting,
                Says.socks5(name: [], 443) + [UInt8](repeating: 0x41, count: 300_000),
                heard: no("04")),
        ]

        private static let commands: [Row] = [0, 4, 0x7F, 0xF0, 0xF1, 0xFF].map { command in
            refused("command \(command)", Says.greeting, Says.socks5(server, 443, command: command), heard: no("07"))
        }

        private static let addressTypes: [Row] = [0, 2, 5, 0xFF].map { (type: UInt8) in
            refused("address type \(type)", Says.greeting, bytes("05 01 00") + [type] + bytes("c6336402 01bb"), heard: no("08"))
        }

        private static let firstBytes: [Row] = [
            ("TLS", 0x16), ("first byte 0", 0), ("first byte 255", 0xFF), ("text", 0x7E), ("PROXY", 0x0D),
        ]
        .map { (guess: String, byte: UInt8) in
            Row(
                exchange: Exchange("first byte \(byte)", [byte] + Says.greeting), heard: "", ending: "client-protocol",
                reason: guess)
        }

        private static let namesOfNobody: [Row] = noNames.map { name in
            refused("the name \(name)", Says.greeting, Says.socks5(name: name, 443), heard: no("04"))
        }

        private static let namesOfNobody4: [Row] = noNames.filter { !$0.isEmpty && !$0.contains(0) }.map { name in
            refused("SOCKS4a, the name \(name)", Says.socks4a(name: name, 443), heard: "005b000000000000")
        }

        private static let rows: [Row] = [
            grants, refusals, mistakes, commands, addressTypes, firstBytes, namesOfNobody, namesOfNobody4,
        ].flatMap { $0 }

        /// Of which nobody may ever be asked.
        private static let noNames: [[UInt8]] = {
            var names: [[UInt8]] = [
                [], [UInt8](repeating: 0x61, count: 64) + Array(".test".utf8), [UInt8](repeating: 0x61, count: 255),
            ]
            names += [
                "four.test\0", "four .test", "four\t.test", "fo/ur.test", "me@four.test", "four.test%00", "four..test", ".test",
                "four.test:443", "*.test", "four.test\r\n", "f\u{F6}ur.test",
            ].map { Array($0.utf8) }
            names.append([0xFF, 0xFE])
            names.append(Array(Array(repeating: String(repeating: "a", count: 63), count: 4).joined(separator: ".").utf8))
            return names
        }()

        @Test func eachClientHearsWhatItShould() throws {
            let configuration = ClearwayConfiguration.serving(
                reach: ClearwayConfiguration.servedNetworks + ["100.64.0.0/10", "2001:db8:1::1/128"],
                // A second and more: of an ICMP message that comes while connect(2) still runs the kernel tells only with the next SYN.
                timeouts: "connect = \"3s\"\nhandshake = \"5s\"", policy: "[[rule]]\nport = 666\naction = \"reject\"\n")
            try play(Variant(), start: false) { stage in
                try Self.complicate(stage)
                try stage.echo(on: 443)
                let greeter = try stage.server.listen(Self.server, port: 25)
                try stage.server.perform("serve", ["socket": greeter.socket, "manner": "greet"])
                let names = ["four.test": ["198.51.100.2"], "six.test": ["2001:db8:2::2"]]
                let (clearway, asked) = try stage.startClearway(configuration, names: names)
                let descriptors = clearway.descriptors

                let heard = try stage.exchange(Self.rows.map(\.exchange))
                for (row, heard) in zip(Self.rows, heard) {
                    let name = row.exchange.name
                    #expect(heard.hex.wholeMatch(of: try Regex(row.heard)) != nil, "\(name): \(heard.hex), not \(row.heard)")
                    if let end = row.end { #expect(heard.end == end, "\(name)") }
                    #expect(heard.seconds < 1.5, "\(name): \(heard.seconds) s")
                }
                let records = try clearway.waitForSessions(Self.rows.count)
                #expect(records.count == Self.rows.count)
                // Which record is whose nobody says; so they are counted.
                for ending in Set(Self.rows.compactMap(\.ending)) {
                    let expected = Self.rows.count { $0.ending == ending }
                    let found = records.count { $0.ending == ending }
                    #expect(found >= expected, "\(ending)")
                }
                let reasons = records.map { $0.fields["reason"] as? String ?? "" }
                for row in Self.rows {
                    guard let reason = row.reason else { continue }
                    #expect(reasons.contains { $0.contains(reason) }, "\(row.exchange.name): \(reason)")
                }
                #expect(records.allSatisfy { ($0.fields["duration"] as? Double ?? 99) < 5 })
                #expect(try Set(asked.asked().map { $0.prefix { $0 != " " } }) == ["four.test", "six.test", "nobody.test"])
                try waitUntil("the descriptors of the start") { clearway.descriptors <= descriptors + 32 }
            }
        }

        /// What routers say other than that nobody is there.
        private static func complicate(_ stage: Stage) throws {
            // As often as they are asked: by default only so many in a second.
            try stage.topology.server.require(["sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"])
            try stage.topology.server.ip(
                """
                route add 203.0.113.64/30 via 198.51.100.1
                route add prohibit 203.0.113.68/30
                """)
            try stage.topology.router.nft(
                """
                table ip short {
                    chain out {
                        type filter hook output priority 0
                        ip daddr 203.0.113.64/30 ip ttl set 1
                    }
                }
                """)
        }

        /// `mode = "socks"` knows no HTTP, `mode = "http"` no SOCKS: another protocol is told nothing.
        @Test(arguments: ["socks", "http"])
        func anotherProtocolIsToldNothing(mode: String) throws {
            try play(Variant(), configuration: .serving(mode)) { stage in
                let others =
                    mode == "socks"
                    ? ["GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "CONNECT 198.51.100.2:443 HTTP/1.1\r\n\r\n"].map {
                        Array($0.utf8)
                    }
                    : [Says.greeting, Says.socks4(Self.server, 443)]
                let heard = try stage.exchange(others.map { Exchange("", $0) })
                #expect(heard.allSatisfy { $0.hex.isEmpty && $0.seconds < 1 })
                for record in try stage.clearway.waitForSessions(others.count) {
                    #expect(record.ending == "client-protocol")
                    #expect(
                        record.string("reason")
                            == (mode == "socks" ? "another protocol: HTTP, or other text" : "another protocol: SOCKS"))
                }
            }
        }

        @Test(arguments: [Family.v4, .v6])
        func aByteATimeIsEnough(family: Family) throws {
            try play(Variant(family: family), configuration: .serving()) { stage in
                try stage.echo(on: 443)
                let whole = [
                    Says.greeting + Says.socks5(family.server, 443), Says.socks4a(name: Array(Self.server.utf8), 443),
                    Says.connect("\(family.serverHost):443"),
                ]
                let rows = whole.map { Exchange("", pieces: ($0 + Self.ping).map { [$0] }, then: .fin, pause: 0.02) }
                for heard in try stage.exchange(rows, host: family.routerTowardsClient) {
                    #expect(heard.hex.hasSuffix(Self.pong) && heard.end == "fin", "\(heard)")
                }
            }
        }

        /// Every beginning of a handshake, and then nothing more: an end, or a reset.
        @Test func whoeverLeavesInMidWordIsGone() throws {
            try play(Variant(), configuration: .serving(reach: [])) { stage in
                let clearway = try stage.clearway
                let whole = [
                    Says.greeting + Says.socks5("192.0.2.9", 80), Says.greeting + Says.socks5(Family.v6.server, 80),
                    Says.greeting + Says.socks5(name: Array("10.0.0.1".utf8), 80),
                    bytes("05 01 02 01 02 6d 65 02 6d 65") + Says.socks5("192.0.2.9", 80),
                    Says.socks4("192.0.2.9", 80), Says.socks4a(name: Array("10.0.0.1".utf8), 80), Says.connect("10.0.0.1:443"),
                ]
                let beginnings = whole.flatMap { message in (0..<message.count).map { Array(message[..<$0]) } }
                let rows = [Exchange.End.fin, .rst].flatMap { end in beginnings.map { Exchange("", $0, then: end) } }
                _ = try stage.exchange(rows.suffix(10))
                try waitUntil("the first records") { clearway.finishedSessions >= 10 }
                let descriptors = clearway.descriptors

                let heard = try stage.exchange(rows)
                #expect(heard.allSatisfy { ["", "0500", "0502", "05020100"].contains($0.hex) && $0.seconds < 1.5 })
                try waitUntil("a record for each") { clearway.finishedSessions >= rows.count + 10 }
                #expect(clearway.finishedSessions == rows.count + 10)
                #expect(try clearway.accessRecords().allSatisfy { ["client-gone", "client-reset"].contains($0.ending) })
                try waitUntil("no more descriptors than before") { clearway.descriptors <= descriptors }
            }
        }

        /// Whatever comes, the program lives, forgets, and says one thing about it.
        @Test func mutationsOfHandshakes() throws {
            try play(Variant(), start: false) { stage in
                let (clearway, _) = try stage.startClearway(
                    .serving(reach: [], timeouts: "connect = \"1s\"\nhandshake = \"2s\""), names: [:])
                let whole = [
                    Says.greeting + Says.socks5(Self.server, 443), Says.greeting + Says.socks5(name: Array("four.test".utf8), 443),
                    Says.socks4(Self.server, 443), Says.socks4a(name: Array("four.test".utf8), 443),
                    Says.connect("four.test:443", fields: ["Host: four.test", "Proxy-Connection: keep-alive"]),
                ]
                _ = try stage.exchange(whole.map { Exchange("", $0, then: .fin) })
                try waitUntil("the first records") { clearway.finishedSessions == whole.count }
                let (descriptors, memory) = (clearway.descriptors, clearway.residentMemory)
                let count = 2_000
                for (seed, message) in whole.enumerated() {
                    let answer = try stage.client.perform(
                        "mutations",
                        ["host": "192.0.2.1", "port": 1080, "text": hexadecimal(message), "count": count, "seed": seed])
                    let endings = answer.fields["endings"] as? [String: Int] ?? [:]
                    #expect(Set(endings.keys).isSubset(of: ["fin", "rst", "ECONNRESET"]), "\(endings)")
                    try waitUntil("a record for each") { clearway.finishedSessions >= whole.count + (seed + 1) * count }
                    #expect(clearway.finishedSessions == whole.count + (seed + 1) * count)
                }
                try waitUntil("no more descriptors than before") { clearway.descriptors <= descriptors }
                // Each record is one line that any reader of JSON takes.
                #expect(try clearway.accessRecords().count == whole.count * (count + 1))
                print("10,000 mutations: \((clearway.residentMemory - memory) / 1024) KiB more memory")
                #expect(clearway.program.isRunning)
            }
        }
    }
}
