import Foundation
import Testing

extension Situations {
    /// Too many clients, slow clients, clients without end: those that are well are served.
    @Suite struct ServingLimits {
        private static let server = Family.v4.server
        private static let request = Says.greeting + Says.socks5(server, 443)

        /// A tunnel to a server that the test plays itself.
        private func tunnel(_ stage: Stage, _ listener: Answer) throws -> (client: Int, server: Int) {
            let client = try stage.client.connect("192.0.2.1", 1080).socket
            try stage.client.send(client, String(String.UnicodeScalarView(Self.request.map { UnicodeScalar($0) })))
            let server = try stage.server.accept(listener).socket
            #expect(try stage.client.receive(client, 12).hasPrefix("\u{5}\0\u{5}\0"))
            return (client, server)
        }

        /// A thousand handshakes, a byte a second each; beside them those that know what they want.
        @Test func slowHandshakes() throws {
            var configuration = ClearwayConfiguration.serving(timeouts: "handshake = \"4s\"")
            configuration.top = "max_sessions = 4000"
            try play(Variant(), configuration: configuration) { stage in
                let clearway = try stage.clearway
                try stage.echo(on: 443)
                func serveWell(_ count: Int) throws -> [Double] {
                    try stage.client.perform(
                        "round_trips",
                        [
                            "host": "192.0.2.1", "port": 1080, "count": count, "request": hexadecimal(Self.request), "reply": 12,
                            "text": "ping", "pause": 0.002,
                        ]
                    ).doubles("seconds").sorted()
                }
                let before = try serveWell(200)
                let (memory, descriptors) = (clearway.residentMemory, clearway.descriptors)
                let peer = try stage.peer(in: stage.topology.client)
                let began = now()
                var slow: [Int] = []
                for text in ["\u{4}\u{1}\u{1}\u{BB}\u{C6}\u{33}\u{64}\u{2}aaaa", "CONNECT 198.51.100.2:443"] {
                    slow.append(
                        try peer.perform("trickle", ["host": "192.0.2.1", "port": 1080, "count": 500, "text": text, "pause": 1])
                            .socket)
                }
                try waitUntil("a thousand sessions open") { clearway.descriptors >= descriptors + 1_000 }
                let each = (clearway.residentMemory - memory) / 1_000
                let beside = try serveWell(500)
                let stillOpen = try slow.reduce(0) { try $0 + peer.perform("trickled", ["socket": $1]).int("open") }
                func milliseconds(_ seconds: [Double], _ place: Double) -> Double {
                    (seconds[Int(Double(seconds.count - 1) * place)] * 10_000).rounded() / 10
                }
                print(
                    "beside \(stillOpen) slow handshakes: p50 \(milliseconds(beside, 0.5)) ms, p99 \(milliseconds(beside, 0.99)) ms; without: p50 \(milliseconds(before, 0.5)) ms, p99 \(milliseconds(before, 0.99)) ms; \(each) bytes each"
                )
                #expect(stillOpen == 1_000)
                #expect(each < 16 << 10)
                for socket in slow {
                    let trickled = try waitFor("the end of the slow ones") {
                        let answer = try peer.perform("trickled", ["socket": socket])
                        return answer.int("open") == 0 ? answer : nil
                    }
                    #expect(trickled.double("slowest") < 9)
                }
                #expect(now() - began < 15)
                try waitUntil("a record for each") { clearway.finishedSessions == 1_700 }
                #expect(try clearway.accessRecords().count { $0.ending == "client-slow" } == 1_000)
                try waitUntil("no more descriptors than before") { clearway.descriptors <= descriptors + 128 }
            }
        }

        /// More bytes than any handshake has, as fast as they come.
        @Test func handshakesWithoutEnd() throws {
            try play(Variant(), configuration: .serving()) { stage in
                let clearway = try stage.clearway
                let beginnings = [
                    bytes("04 01 01bb c6336402") + [UInt8](repeating: 0x61, count: 300),
                    Array("CONNECT 198.51.100.2:443 HTTP/1.1\r\nA: ".utf8), bytes("05 00"), Array("GET ".utf8), [0],
                ]
                let memory = clearway.residentMemory
                for beginning in beginnings {
                    let client = try stage.client.connect("192.0.2.1", 1080).socket
                    try stage.client.send(client, String(String.UnicodeScalarView(beginning.map { UnicodeScalar($0) })))
                    let began = now()
                    let poured = try stage.client.perform("pour", ["socket": client, "bytes": 1 << 30])
                    #expect(poured.string("end") != "done" && poured.int("bytes") < 64 << 20)
                    #expect(now() - began < 5)
                    try stage.client.close(client)
                }
                #expect(clearway.residentMemory - memory < 4 << 20)
                let endings = try clearway.waitForSessions(beginnings.count).map(\.ending)
                #expect(endings.allSatisfy { $0.hasPrefix("client-") }, "\(endings)")
            }
        }

        /// Whoever is one too many waits, and is served when somebody has gone.
        @Test func maxSessions() throws {
            var configuration = ClearwayConfiguration.serving()
            configuration.top = "max_sessions = 4"
            try play(Variant(), configuration: configuration) { stage in
                let listener = try stage.server.listen(Self.server, port: 443)
                let tunnels = try (0..<4).map { _ in try tunnel(stage, listener) }
                let fifth = try stage.client.connect("192.0.2.1", 1080).socket
                try stage.client.send(fifth, String(String.UnicodeScalarView(Self.request.map { UnicodeScalar($0) })))
                #expect(
                    try stage.client.perform("receive", ["socket": fifth, "bytes": 1, "timeout": 0.3]).string("end") == "timeout")
                try stage.client.reset(tunnels[0].client)
                #expect(try stage.client.receive(fifth, 12).hasPrefix("\u{5}\0\u{5}\0"))
                for (client, server) in tunnels.dropFirst() {
                    try stage.server.send(server, "well")
                    #expect(try stage.client.receive(client, 4) == "well")
                }
            }
        }

        /// Whoever says nothing, from as many ports as it likes, has half of the places. All of an IPv6 host's addresses are one.
        @Test(arguments: [Family.v4, .v6])
        func oneAddressHasHalfOfThePlaces(family: Family) throws {
            var configuration = ClearwayConfiguration.serving(timeouts: "handshake = \"60s\"")
            configuration.policy = ClearwayConfiguration.servedListener(
                "socks+http", clients: ["192.0.2.0/24", "2001:db8:1::/48"])
            configuration.top = "max_sessions = 20"
            try play(Variant(family: family), configuration: configuration) { stage in
                let clearway = try stage.clearway
                try stage.echo(on: 443)
                let (prefix, length) = family == .v4 ? ("192.0.2.", 24) : ("2001:db8:1::", 64)
                try stage.topology.client.ip("address add \(prefix)3/\(length) dev eth0\(family == .v6 ? " nodad" : "")")
                let host = family.routerTowardsClient
                let flood = try stage.client.perform(
                    "flood",
                    [
                        "host": host, "port": 1080, "count": 30,
                        "sources": family == .v4 ? ["192.0.2.2"] : ["2001:db8:1::2", "2001:db8:1::3"],
                    ])
                let records = try clearway.waitForSessions(20)
                #expect(records.allSatisfy { $0.ending == "proxy-limit" && $0.string("reason").contains("of this address") })

                // Others are served, as many as there is room for.
                let other = family == .v4 ? "192.0.2.3" : "2001:db8:1:1::3"
                if family == .v6 {
                    try stage.topology.client.ip("address add 2001:db8:1:1::3/64 dev eth0 nodad")
                    try stage.topology.router.ip("route add 2001:db8:1:1::/64 dev lan")
                }
                func asked(_ source: String) throws -> Int {
                    let client = try stage.client.connect(host, 1080, ["source": source]).socket
                    try stage.client.send(client, String(String.UnicodeScalarView(Self.request.map { UnicodeScalar($0) })) + "ping")
                    return client
                }
                let tunnels = try (0..<3).map { _ in try asked(other) }
                for client in tunnels { #expect(try stage.client.receive(client, 16).hasSuffix("ping")) }
                // The one who has had its share is not.
                let late = ["host": host, "port": 1080, "source": family.client] as [String: Any]
                #expect(try stage.client.perform("attempt", late).strings("outcomes") == ["ECONNRESET"])

                // What is over does not count.
                try stage.client.perform("hang_up", ["sockets": flood.ints("sockets")])
                try clearway.waitForSessions(31)
                let again = try asked(family.client)
                #expect(try stage.client.receive(again, 16).hasSuffix("ping"))
            }
        }

        /// Whoever has a name of eight addresses that are silent takes two descriptors for each session, as others do, and not nine.
        @Test func manyAddressesTakeNobodysDescriptors() throws {
            let silent = (129...136).map { "203.0.113.\($0)" }
            try play(Variant(), start: false) { stage in
                let peer = try stage.peer(in: stage.topology.router)
                try peer.perform("name_server", ["names": ["silent.test": [silent]]])
                let clearway = try stage.startClearway(
                    .serving(timeouts: "connect = \"2500ms\""),
                    wrapper: HostNames(in: stage.topology.scratch).wrapper + ["prlimit", "--nofile=256:256"])
                try stage.echo(on: 443)
                let rows = (0..<40).map { _ in Exchange("", Says.greeting + Says.socks5(name: Array("silent.test".utf8), 443)) }
                let another = try stage.peer(in: stage.topology.client)
                let asking = try another.begin(
                    "exchanges", ["rows": rows.map { ["host": "192.0.2.1", "port": 1080, "pieces": $0.pieces.map(hexadecimal)] }])
                let one = Exchange("", Self.request + Array("ping".utf8), then: .fin)
                var served = 0
                var most = 0
                // Until the first of them is over.
                while clearway.finishedSessions <= served {
                    most = max(most, clearway.descriptors)
                    #expect(try stage.exchange([one])[0].hex.hasSuffix("70696e67"))
                    served += 1
                    try waitUntil("its record") { clearway.finishedSessions >= served }
                }
                let heard = try another.answer(to: asking).fields["answers"] as? [[String: Any]] ?? []
                #expect(heard.count == rows.count && heard.allSatisfy { Heard($0).hex.hasPrefix("05000504") })
                print("40 clients of eight silent addresses each: \(most) descriptors of 256, \(served) others served")
                #expect(most < 230)
                #expect(!clearway.log.contains("Too many open files") && !clearway.log.contains("accepting paused"))
            }
        }

        /// No descriptor left, for clients or for where they want to go.
        @Test func descriptorExhaustion() throws {
            try play(Variant(), start: false) { stage in
                let clearway = try stage.startClearway(
                    .serving(timeouts: "handshake = \"1s\""), wrapper: ["prlimit", "--nofile=64:64"])
                try stage.echo(on: 443)
                let flood = try stage.client.perform("flood", ["host": "192.0.2.1", "port": 1080, "count": 300])
                try waitUntil("sessions without a descriptor") { clearway.log.contains("accept") }
                let before = clearway.processorTime
                sleep(1)
                let spent = clearway.processorTime - before
                print("300 silent clients, \(clearway.descriptors) descriptors of 64: \(spent) s of processor time in 1 s")
                #expect(spent < 0.4 && clearway.program.isRunning && clearway.descriptors <= 64)
                try stage.client.perform("hang_up", ["sockets": flood.ints("sockets")])

                let rows = (0..<200).map { _ in Exchange("", Self.request + Array("ping".utf8), then: .fin) }
                try waitUntil("clients served again") { try stage.exchange([rows[0]])[0].hex.hasSuffix("70696e67") }
                #expect(try stage.exchange(rows).allSatisfy { $0.hex.hasSuffix("70696e67") })
            }
        }

        @Test func aDrainLeavesTunnelsOpen() throws {
            try play(Variant(), configuration: .serving(timeouts: "drain = \"30s\"\nhandshake = \"30s\"")) { stage in
                let clearway = try stage.clearway
                let listener = try stage.server.listen(Self.server, port: 443)
                let (client, server) = try tunnel(stage, listener)
                let half = try stage.client.connect("192.0.2.1", 1080).socket
                try stage.client.send(half, "\u{5}\u{1}\0")
                #expect(try stage.client.receive(half, 2) == "\u{5}\0")
                clearway.program.signal(SIGTERM)
                try waitUntil("nobody accepts") {
                    try stage.client.perform("attempt", ["host": "192.0.2.1", "port": 1080, "timeout": 0.2]).strings("outcomes")
                        == ["ECONNREFUSED"]
                }
                try stage.server.send(server, "still")
                #expect(try stage.client.receive(client, 5) == "still")
                // Whoever had begun may go on.
                let request = Says.socks5(Self.server, 443)
                try stage.client.send(half, String(String.UnicodeScalarView(request.map { UnicodeScalar($0) })))
                let second = try stage.server.accept(listener).socket
                #expect(try stage.client.receive(half, 10).hasPrefix("\u{5}\0\0"))
                for socket in [client, half] { try stage.client.close(socket) }
                for socket in [server, second] { try stage.server.close(socket) }
                #expect(try clearway.program.waitForExit() == .exited(0))
            }
        }

        /// A drain that is over ends handshakes too.
        @Test func aDrainEnds() throws {
            try play(Variant(), configuration: .serving(timeouts: "drain = \"300ms\"\nhandshake = \"30s\"")) { stage in
                let listener = try stage.server.listen(Self.server, port: 443)
                let (client, server) = try tunnel(stage, listener)
                let half = try stage.client.connect("192.0.2.1", 1080).socket
                try stage.client.send(half, "\u{5}\u{1}\0")
                #expect(try stage.client.receive(half, 2) == "\u{5}\0")
                #expect(try stage.clearway.stop() == .exited(0))
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                #expect(try stage.server.drain(server).end == "ECONNRESET")
                #expect(try ["fin", "ECONNRESET"].contains(stage.client.drain(half).end))
                #expect(try stage.clearway.accessRecords().map(\.ending) == ["proxy-drain", "proxy-drain"])
            }
        }

        /// SIGHUP: whom it serves, where they may go, and what it speaks.
        @Test func aReloadChangesWhatIsServed() throws {
            try play(Variant(), configuration: .serving()) { stage in
                let clearway = try stage.clearway
                try stage.echo(on: 443)
                let kept = try stage.server.listen(Self.server, port: 444)
                let open = try stage.client.connect("192.0.2.1", 1080).socket
                try stage.client.send(
                    open,
                    String(String.UnicodeScalarView((Says.greeting + Says.socks5(Self.server, 444)).map { UnicodeScalar($0) })))
                let server = try stage.server.accept(kept).socket
                #expect(try stage.client.receive(open, 12).hasPrefix("\u{5}\0\u{5}\0"))

                func heard() throws -> [String] {
                    let rows = [
                        Exchange("", Self.request, then: .fin), Exchange("", Says.socks4(Self.server, 443), then: .fin),
                        Exchange("", Says.connect("198.51.100.2:443"), then: .fin),
                    ]
                    let heard = try stage.exchange(rows)
                    return [
                        String(heard[0].hex.prefix(8)), String(heard[1].hex.prefix(4)),
                        String(heard[2].text.dropFirst(9).prefix(3)),
                    ]
                }
                #expect(try heard() == ["05000500", "005a", "200"])
                try clearway.reload(.serving(reach: ["2001:db8:2::/64"]))
                #expect(try heard() == ["05000502", "005b", "403"])
                try clearway.reload(.serving("socks"))
                #expect(try heard() == ["05000500", "005a", ""])
                try clearway.reload(.serving("http"))
                #expect(try heard() == ["", "", "200"])
                try clearway.reload(.serving(more: "ports = [80]"))
                #expect(try heard() == ["05000502", "005b", "403"])
                var others = ClearwayConfiguration.serving()
                others.policy = ClearwayConfiguration.servedListener("socks+http", clients: ["192.0.2.99"])
                try clearway.reload(others)
                #expect(try heard() == ["", "", ""])
                try waitUntil("the reason in the record") { clearway.log.contains("no client of this listener") }
                try clearway.reload(.serving())
                #expect(try heard() == ["05000500", "005a", "200"])

                // What was open before stays open.
                try stage.server.send(server, "still")
                #expect(try stage.client.receive(open, 5) == "still")
            }
        }
    }
}
