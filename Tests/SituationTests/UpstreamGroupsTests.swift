import Foundation
import Testing

extension Situations {
    /// Upstreams of several members, or behind each other.
    @Suite struct UpstreamGroups {
        private static let server = Family.v4.server

        /// Sessions and a proxy end under them; what comes after goes through the other one, at once.
        @Test func aMemberKilledUnderFiveHundredSessions() throws {
            try play(Self.group(["socks5://198.51.100.2:1090", "socks5://198.51.100.2:1091"])) { stage in
                let first = try stage.microsocks(1090)
                _ = try stage.microsocks(1091)
                let port = try stage.echo()
                let open = try (0..<500).map { _ in try stage.client.connect(Self.server, port).socket }
                for socket in open { try stage.client.send(socket, "ping") }
                for socket in open { #expect(try stage.client.receive(socket, 4) == "ping") }
                first.end()
                for socket in open {
                    #expect(try stage.client.drain(socket).end == "fin")
                    try stage.client.close(socket)
                }
                try stage.clearway.waitForSessions(500)

                // None of them waits, none of them fails.
                let began = now()
                for _ in 0..<20 { try stage.roundTrip(port) }
                #expect(now() - began < 5)
                let records = try stage.clearway.waitForSessions(520)
                #expect(records.prefix(500).allSatisfy { $0.string("member") == "socks5://198.51.100.2:1090" })
                #expect(records.dropFirst(500).allSatisfy { $0.string("member") == "socks5://198.51.100.2:1091" })
                #expect(records.dropFirst(500).allSatisfy { $0.ending == "client-fin" })
                #expect(try stage.clearway.log.contains("upstream member left out"))

                // It comes back by itself, with the first session that tries it.
                _ = try stage.microsocks(1090)
                try waitUntil("sessions through the first member again") {
                    try stage.roundTrip(port)
                    return try stage.clearway.accessRecords().last?.string("member") == "socks5://198.51.100.2:1090"
                }
                #expect(try stage.clearway.log.contains("upstream member works again"))
            }
        }

        /// Every port of ours is in use towards the first member: that is not its fault, and the second one has ports of its own.
        @Test func noPortIsLeftTowardsOneMember() throws {
            try play(Self.group(["socks5://198.51.100.2:1090", "socks5://198.51.100.2:1091"])) { stage in
                try stage.topology.router.require(["sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40009"])
                for port in [1090, 1091] { _ = try stage.microsocks(port) }
                let port = try stage.echo()
                let open = try (0..<15).map { _ in try stage.client.connect(Self.server, port).socket }
                for socket in open {
                    try stage.client.send(socket, "ping")
                    #expect(try stage.client.receive(socket, 4) == "ping")
                }
                for socket in open { try stage.client.close(socket) }
                let members = try stage.clearway.waitForSessions(15).map { $0.string("member") }
                #expect(Set(members) == ["socks5://198.51.100.2:1090", "socks5://198.51.100.2:1091"])
                #expect(try !stage.clearway.log.contains("left out"))
            }
        }

        /// It takes connections and never says a word: the session that meets it still gets through, the next ones do not meet it.
        @Test func aSilentMemberCostsOneSessionATimeAndNobodyTheSession() throws {
            try play(Self.group(["socks5://198.51.100.2:1090", "socks5://198.51.100.2:1091"]), timeouts: "connect = \"2s\"") {
                stage in
                _ = try stage.server.listen(Self.server, port: 1090)
                _ = try stage.microsocks(1091)
                let port = try stage.echo()
                try stage.roundTrip(port)
                try stage.roundTrip(port)
                let records = try stage.clearway.waitForSessions(2)
                #expect(records.allSatisfy { $0.ending == "client-fin" && $0.string("member").hasSuffix("1091") })
                // Half of the time for the first member, and what is left for the other.
                #expect((1..<2).contains(records[0].fields["duration"] as? Double ?? 0))
                #expect((records[1].fields["duration"] as? Double ?? 9) < 1)
            }
        }

        /// The proxy answers, and waits for a destination that does not: nobody can have proxies left out by dialling into the void.
        @Test func aSilentDestinationIsNotTheProxysFault() throws {
            try play(Self.group(["socks5://198.51.100.2:1090", "socks5://198.51.100.2:1091"]), timeouts: "connect = \"1s\"") {
                stage in
                let proxies = try stage.server.listen(Self.server, port: 1090)
                _ = try stage.microsocks(1091)
                let port = try stage.echo()
                for _ in 0..<2 {
                    let client = try stage.client.connect(Self.server, port).socket
                    let proxy = try stage.server.accept(proxies).socket
                    #expect(try stage.server.receive(proxy, 3) == "\u{5}\u{1}\0")
                    try stage.server.send(proxy, "\u{5}\0")
                    _ = try stage.server.receive(proxy, 10)
                    try stage.client.send(client, "ping")
                    #expect(try stage.client.receive(client, 4) == "ping")
                    try stage.client.close(client)
                }
                #expect(try !stage.clearway.log.contains("left out"))
            }
        }

        /// It takes connections and says nothing, which a destination may do as well: that is no sign of it being back.
        @Test func aSilentProxyOfHTTPIsNotBack() throws {
            let members = ["http://198.51.100.2:1090", "http://198.51.100.2:1091"]
            try play(Self.group(members), timeouts: "connect = \"1s\"") { stage in
                _ = try stage.tinyproxy(1091)
                let port = try stage.echo()
                try stage.roundTrip(port)
                try stage.wait("upstream member left out", members[0])
                _ = try stage.server.listen(Self.server, port: 1090)
                try waitUntil("a session that tries the first again") {
                    let begun = now()
                    try stage.roundTrip(port)
                    return now() - begun > 0.4
                }
                #expect(try !stage.clearway.log.contains("works again"))
            }
        }

        /// Its name has two addresses, and the proxy listens on the second.
        @Test func aCheckAsksAllAddressesOfAName() throws {
            let members = ["socks5h://localhost:1090", "socks5://198.51.100.2:1091"]
            try play(Self.group(members, "check = \"100ms\"")) { stage in
                try stage.wait("upstream check failed", members[0])
                _ = try stage.topology.router.start(["microsocks", "-i", "127.0.0.1", "-p", "1090"])
                try stage.wait("upstream works again", members[0])
            }
        }

        /// A chain of three whose first link is dead: that says nothing of the others.
        @Test func aBrokenChainBlamesTheLinkThatBroke() throws {
            let policy = """
                [[upstream]]
                name = "first"
                urls = ["socks5://198.51.100.2:1", "socks5://198.51.100.2:2"]
                check = "0s"
                [[upstream]]
                name = "second"
                urls = ["socks5://198.51.100.2:1090", "socks5://198.51.100.2:1091"]
                via = "first"
                [[upstream]]
                name = "third"
                urls = ["socks5://198.51.100.2:1092", "socks5://198.51.100.2:1093"]
                via = "second"
                [[rule]]
                action = "third"
                """
            try play(policy) { stage in
                let answer = try stage.client.perform("attempt", ["host": Self.server, "port": 7_777])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                try stage.expectEnding("upstream-refused")
                let blamed = try stage.clearway.log.split(separator: "\n").filter { $0.contains("left out") }
                #expect(blamed.count == 2 && blamed.allSatisfy { $0.contains("\"first\"") })
            }
        }

        @Test func aMemberThatCannotServesNothingAndIsNotToBlame() throws {
            // General failure: the proxy's own trouble with this destination, perhaps not another's.
            try play(Self.group(["socks5://198.51.100.2:1090", "socks5://198.51.100.2:1091"])) { stage in
                let proxies = try stage.server.listen(Self.server, port: 1090)
                _ = try stage.microsocks(1091)
                let port = try stage.echo()
                for _ in 0..<2 {
                    let client = try stage.client.connect(Self.server, port).socket
                    let proxy = try stage.server.accept(proxies).socket
                    _ = try stage.server.receive(proxy, 3)
                    try stage.server.send(proxy, "\u{5}\0\u{5}\u{1}\0\u{1}\0\0\0\0\0\0")
                    try stage.client.send(client, "ping")
                    #expect(try stage.client.receive(client, 4) == "ping")
                    try stage.client.close(client)
                }
                #expect(try !stage.clearway.log.contains("left out"))
            }
        }

        @Test(arguments: ["round-robin", "client-hash", "least-sessions", "failover"])
        func sessionsAreSpread(policy: String) throws {
            let urls = (1090...1092).map { "socks5://198.51.100.2:\($0)" }
            try play(Self.group(urls, "policy = \"\(policy)\"")) { stage in
                for port in 1090...1092 { _ = try stage.microsocks(port) }
                let port = try stage.echo()
                // All open at a time.
                let clients = try (0..<6).map { _ in
                    let client = try stage.client.connect(Self.server, port).socket
                    try stage.client.send(client, "ping")
                    #expect(try stage.client.receive(client, 4) == "ping")
                    return client
                }
                for client in clients { try stage.client.close(client) }
                let members = try stage.clearway.waitForSessions(6).map { $0.string("member") }
                let counts = urls.map { url in members.count { $0 == url } }
                switch policy {
                case "failover": #expect(counts == [6, 0, 0])
                case "client-hash": #expect(counts.sorted() == [0, 0, 6])
                default: #expect(counts == [2, 2, 2])
                }
            }
        }

        @Test func checksFindOutBeforeSessionsDo() throws {
            let members = ["socks5://198.51.100.2:1090", "http://me:secret@198.51.100.2:1091", "socks5://198.51.100.2:1092"]
            try play(Self.group(members, "check = \"100ms\"")) { stage in
                for member in members {
                    try stage.wait("upstream check failed", member.replacing("me:secret@", with: ""))
                }
                let first = try stage.microsocks(1090)
                _ = try stage.tinyproxy(1091, "BasicAuth me secret")
                for member in members.prefix(2) {
                    try stage.wait("upstream works again", member.replacing("me:secret@", with: ""))
                }
                first.end()
                try stage.wait("upstream check failed", members[0], count: 2)
                let port = try stage.echo()
                try stage.roundTrip(port)
                #expect(try stage.clearway.waitForSessions(1)[0].string("member") == "http://198.51.100.2:1091")
                // No session had to find out.
                #expect(try !stage.clearway.log.contains("left out"))
                _ = try stage.microsocks(1090)
                try stage.wait("upstream works again", members[0], count: 2)
                try stage.roundTrip(port)
                #expect(try stage.clearway.waitForSessions(2)[1].string("member") == "socks5://198.51.100.2:1090")
            }
        }

        /// Both take connections and say nothing. One of them cannot be asked for more than that.
        @Test func aCheckWaitsNoLongerThanToTheNext() throws {
            let members = ["http://198.51.100.2:1090", "socks4a://198.51.100.2:1091"]
            var configuration = ClearwayConfiguration(Variant())
            configuration.policy = Self.group(members, "check = \"100ms\"")
            try SituationTests.play(Variant(), start: false) { stage in
                for port in 1090...1091 { _ = try stage.server.listen(Self.server, port: port) }
                try stage.startClearway(configuration)
                try waitUntil("a silent member is given up") {
                    try stage.clearway.log.split(separator: "\n").contains {
                        $0.contains("upstream check failed") && $0.contains("no answer") && $0.contains(members[0])
                    }
                }
                #expect(try !stage.clearway.log.contains(members[1]))
            }
        }

        /// A proxy's name has an address of each family, and the preferred one leads nowhere.
        @Test(arguments: [true, false])
        func bothFamiliesOfANameAreTried(isSilent: Bool) throws {
            try play(Self.one("socks5h://localhost:1090")) { stage in
                let proxy = try stage.peer(in: stage.topology.router)
                let proxies = try proxy.listen("127.0.0.1", port: 1090)
                if isSilent {
                    try stage.topology.router.nft(
                        "table inet silent { chain in { type filter hook input priority 0; ip6 daddr ::1 tcp dport 1090 drop; }; }")
                }
                let client = try stage.client.connect(Self.server, 7_777).socket
                let accepted = try proxy.accept(proxies).socket
                #expect(try proxy.receive(accepted, 3) == "\u{5}\u{1}\0")
                try proxy.send(accepted, "\u{5}\0")
                #expect(try proxy.receive(accepted, 10) == "\u{5}\u{1}\0\u{1}\u{C6}\u{33}\u{64}\u{2}\u{1E}\u{61}")
                try proxy.send(accepted, "\u{5}\0\0\u{1}\0\0\0\0\0\0hello")
                #expect(try stage.client.receive(client, 5) == "hello")
                try proxy.close(accepted)
                #expect(try stage.client.drain(client).end == "fin")
                try stage.client.close(client)
                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.string("local").hasPrefix("127.0.0.1:"))
                let duration = record.fields["duration"] as? Double ?? 9
                if isSilent { #expect((0.25..<3).contains(duration)) }
            }
        }

        @Test func aNameThatNobodyKnowsEndsItsSessionsAndNothingElse() throws {
            try play(Self.one("socks5h://nowhere.invalid:1090")) { stage in
                #expect(try stage.clearway.log.contains("upstream name not resolved"))
                let answer = try stage.client.perform("attempt", ["host": Self.server, "port": 7_777])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                try stage.expectEnding("upstream-unreachable")
            }
        }

        @Test func aChainReachesTheFarProxyThroughTheNearOne() throws {
            let policy = """
                [[upstream]]
                name = "near"
                urls = ["socks5://198.51.100.2:1089", "socks5://198.51.100.2:1090"]
                check = "0s"
                [[upstream]]
                name = "out"
                url = "http://198.51.100.2:1091"
                via = "near"
                send_proxy = true
                [[rule]]
                action = "out"
                """
            try play(policy) { stage in
                _ = try stage.microsocks(1090)
                let far = try stage.server.listen(Self.server, port: 1091)
                let connected = try stage.client.connect(Self.server, 7_777)
                let (client, local) = (connected.socket, connected.int("port"))
                try stage.client.send(client, "early")
                let accepted = try stage.server.accept(far)
                // It is the near proxy that connects.
                #expect(accepted.string("address") == Self.server)
                let header = try stage.server.receive(accepted.socket, 28)
                let ports = [local >> 8, local & 255, 7_777 >> 8, 7_777 & 255]
                let expected =
                    [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10, 0x21, 0x11, 0, 12, 192, 0, 2, 2, 198, 51, 100, 2] + ports
                #expect(header.unicodeScalars.map { Int($0.value) } == expected)
                let request = "CONNECT 198.51.100.2:7777 HTTP/1.1\r\nHost: 198.51.100.2:7777\r\n\r\n"
                #expect(try stage.server.receive(accepted.socket, request.utf8.count) == request)
                try stage.server.send(accepted.socket, "HTTP/1.1 200 OK\r\n\r\nhello")
                #expect(try stage.client.receive(client, 5) == "hello")
                #expect(try stage.server.receive(accepted.socket, 5) == "early")
                try stage.client.close(client)
                #expect(try stage.server.drain(accepted.socket).end == "fin")
                try stage.server.close(accepted.socket)
                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.string("upstream") == "out" && record.ending == "client-fin")
            }
        }

        // MARK: Stage properties

        private static func group(_ urls: [String], _ more: String = "check = \"0s\"") -> String {
            """
            [[upstream]]
            name = "out"
            urls = [\(urls.map { "\"\($0)\"" }.joined(separator: ", "))]
            \(more)
            [[rule]]
            action = "out"
            """
        }

        private static func one(_ url: String) -> String {
            "[[upstream]]\nname = \"out\"\nurl = \"\(url)\"\n[[rule]]\naction = \"out\""
        }

        private func play(_ policy: String, timeouts: String = "", _ situation: (Stage) throws -> Void) throws {
            var configuration = ClearwayConfiguration(Variant(), timeouts: timeouts)
            configuration.policy = policy
            try SituationTests.play(Variant(), configuration: configuration, situation)
        }
    }
}
