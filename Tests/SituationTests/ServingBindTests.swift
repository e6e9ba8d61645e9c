import Foundation
import Testing

extension Situations {
    /// SOCKS BIND: a client that waits for its peer, as FTP's active mode wants.
    @Suite struct ServingBind {
        private static let anybody = "0.0.0.0"

        /// Asks for it, and reads the first reply.
        private func bind(_ stage: Stage, _ expected: String, family: Family = .v4) throws -> (client: Int, host: String, port: Int)
        {
            let client = try stage.client.connect(family.routerTowardsClient, 1080).socket
            let says = Says.greeting + Says.socks5(expected, 0, command: 2)
            try stage.client.send(client, String(String.UnicodeScalarView(says.map { UnicodeScalar($0) })))
            #expect(try stage.client.receive(client, 2) == "\u{5}\0")
            let bound = try reply(stage, client, expected.contains(":") ? .v6 : .v4)
            return (client, bound.host, bound.port)
        }

        private func reply(_ stage: Stage, _ client: Int, _ family: Family) throws -> (host: String, port: Int) {
            let text = try stage.client.receive(client, family == .v4 ? 10 : 22)
            let octets = text.unicodeScalars.map { UInt8($0.value) }
            try #require(octets.prefix(4) == [5, 0, 0, family == .v4 ? 1 : 4], "\(octets)")
            var host = [CChar](repeating: 0, count: 64)
            inet_ntop(family == .v4 ? AF_INET : AF_INET6, Array(octets[4..<(octets.count - 2)]), &host, 64)
            return (
                String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self),
                Int(octets[octets.count - 2]) << 8 | Int(octets[octets.count - 1])
            )
        }

        @Test(arguments: [Family.v4, .v6])
        func thePeerComesAndBytesMove(family: Family) throws {
            try play(Variant(family: family), configuration: .serving()) { stage in
                let (client, host, port) = try bind(stage, family.server, family: family)
                #expect(host == family.routerTowardsServer)
                let server = try stage.server.connect(host, port)
                let peer = try reply(stage, client, family)
                #expect(peer.host == family.server && peer.port == server.int("port"))
                try stage.server.send(server.socket, "220 data")
                #expect(try stage.client.receive(client, 8) == "220 data")
                try stage.client.send(client, "more")
                #expect(try stage.server.receive(server.socket, 4) == "more")
                try stage.server.shut(server.socket)
                #expect(try stage.client.drain(client).end == "fin")
                try stage.client.close(client)
                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.ending == "upstream-fin" && record.int("up") == 4 && record.int("down") == 8)
                // One peer and no more.
                try waitUntil("nobody listening any more") { try !stage.topology.router.listeningPorts().contains(port) }
            }
        }

        @Test func socks4Too() throws {
            try play(Variant(), configuration: .serving()) { stage in
                let client = try stage.client.connect("192.0.2.1", 1080).socket
                let says = Says.socks4(Family.v4.server, 0, command: 2)
                try stage.client.send(client, String(String.UnicodeScalarView(says.map { UnicodeScalar($0) })))
                let octets = try stage.client.receive(client, 8).unicodeScalars.map { UInt8($0.value) }
                #expect(octets[..<2] == [0, 90] && octets[4...] == [198, 51, 100, 1])
                let server = try stage.server.connect(Family.v4.routerTowardsServer, Int(octets[2]) << 8 | Int(octets[3])).socket
                let second = try stage.client.receive(client, 8).unicodeScalars.map { UInt8($0.value) }
                #expect(second[..<2] == [0, 90] && second[4...] == [198, 51, 100, 2])
                try stage.server.send(server, "hello")
                #expect(try stage.client.receive(client, 5) == "hello")
            }
        }

        /// Whoever finds the port first is not who is waited for.
        @Test func anotherPeerIsTurnedAway() throws {
            try play(Variant(), configuration: .serving()) { stage in
                let (client, host, port) = try bind(stage, Family.v4.server)
                let stranger = try stage.client.perform("attempt", ["host": host, "port": port, "count": 3])
                #expect(stranger.strings("outcomes").allSatisfy { ["ECONNRESET", "fin"].contains($0) })
                let server = try stage.server.connect(host, port)
                #expect(try reply(stage, client, .v4).port == server.int("port"))
                try stage.client.send(client, "ok")
                #expect(try stage.server.receive(server.socket, 2) == "ok")
            }
        }

        @Test(arguments: ["fin", "reset"])
        func theListenerGoesWithItsClient(end: String) throws {
            try play(Variant(), configuration: .serving()) { stage in
                let descriptors = try stage.clearway.descriptors
                let (client, _, port) = try bind(stage, Family.v4.server)
                #expect(try stage.topology.router.listeningPorts().contains(port))
                let began = now()
                try end == "fin" ? stage.client.close(client) : stage.client.reset(client)
                try waitUntil("nobody listening any more") { try !stage.topology.router.listeningPorts().contains(port) }
                #expect(now() - began < 2)
                try stage.expectEnding("client-gone")
                try waitUntil("the descriptors of before") { try stage.clearway.descriptors <= descriptors }
            }
        }

        /// Reply 6 of SOCKS5; SOCKS4 has only its one word. Nobody listens any more by then.
        @Test func nobodyComes() throws {
            try play(Variant(), configuration: .serving(timeouts: "bind = \"100ms\"")) { stage in
                let heard = try stage.exchange([
                    Exchange("", Says.greeting, Says.socks5(Family.v4.server, 0, command: 2)),
                    Exchange("", Says.greeting, Says.socks5(Self.anybody, 0, command: 2)),
                    Exchange("", Says.socks4(Family.v4.server, 0, command: 2)),
                ])
                for heard in heard[..<2] {
                    #expect(heard.hex.hasPrefix("0500" + "05000001"))
                    #expect(heard.hex.hasSuffix("05060001000000000000") && heard.end == "fin", "\(heard.hex)")
                }
                #expect(heard[2].hex.hasPrefix("005a") && heard[2].hex.hasSuffix("005b000000000000"))
                for record in try stage.clearway.waitForSessions(3) {
                    #expect(record.ending == "upstream-timeout" && record.string("reason") == "nobody came")
                }
            }
        }

        /// Of an address that is not known yet, anybody is the peer; rules and reach say of whom that may be.
        @Test func anybodyMayCome() throws {
            try play(Variant(), configuration: .serving()) { stage in
                let (client, host, port) = try bind(stage, Self.anybody)
                #expect(host == Family.v4.routerTowardsClient)
                let server = try stage.server.connect(host, port)
                #expect(try reply(stage, client, .v4).port == server.int("port"))
            }
        }

        @Test func rulesAndReachDecideWhoMayCome() throws {
            let configuration = ClearwayConfiguration.serving(
                reach: ["198.51.100.0/25"], policy: "[[rule]]\ndestination = \"198.51.100.9\"\naction = \"reject\"\n")
            try play(Variant(), configuration: configuration) { stage in
                try stage.topology.server.ip("address add 198.51.100.9/24 dev eth0\naddress add 198.51.100.200/24 dev eth0")
                // Said beforehand.
                for address in ["198.51.100.9", "198.51.100.200", "127.0.0.1", "192.0.2.1"] {
                    let heard = try stage.exchange([Exchange("", Says.greeting, Says.socks5(address, 0, command: 2))])[0]
                    #expect(heard.hex == "0500" + "05020001000000000000", "\(address)")
                }
                // And found out when they come.
                let (client, host, port) = try bind(stage, Self.anybody)
                for source in ["198.51.100.9", "198.51.100.200"] {
                    let answer = try stage.server.perform("attempt", ["host": host, "port": port, "source": source])
                    #expect(["ECONNRESET", "fin"].contains(answer.strings("outcomes").first), "\(source)")
                }
                let server = try stage.server.connect(host, port)
                #expect(try reply(stage, client, .v4).port == server.int("port"))
                try stage.client.reset(client)
                let records = try stage.clearway.waitForSessions(5)
                #expect(records.count { $0.ending == "proxy-rejected" } == 4)
            }
        }

        /// What nothing is allowed to is not allowed to wait either.
        @Test func whomARuleRejectsMayNotBind() throws {
            try play(Variant(), configuration: .serving(policy: "[[rule]]\naction = \"reject\"\n")) { stage in
                let heard = try stage.exchange([Exchange("", Says.greeting, Says.socks5(Self.anybody, 0, command: 2))])[0]
                #expect(heard.hex == "0500" + "05020001000000000000")
                try stage.expectEnding("proxy-rejected")
            }
        }

        /// A proxy that is asked in our place does not know whom the client waits for.
        @Test func anUpstreamCannot() throws {
            let policy = "[[upstream]]\nname = \"out\"\nurl = \"socks5://198.51.100.2:1090\"\n[[rule]]\naction = \"out\"\n"
            try play(Variant(), configuration: .serving(policy: policy)) { stage in
                let heard = try stage.exchange([Exchange("", Says.greeting, Says.socks5(Family.v4.server, 0, command: 2))])[0]
                #expect(heard.hex == "0500" + "05020001000000000000")
            }
        }

        @Test func aDrainEndsTheWaiting() throws {
            try play(Variant(), configuration: .serving(timeouts: "drain = \"200ms\"")) { stage in
                let (client, _, _) = try bind(stage, Family.v4.server)
                #expect(try stage.clearway.stop() == .exited(0))
                #expect(try stage.client.drain(client).string("end") != "timeout")
                #expect(try stage.clearway.accessRecords().map(\.ending) == ["proxy-drain"])
            }
        }
    }
}
