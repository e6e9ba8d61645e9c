import Foundation
import TestSupport
import Testing

extension Situations {
    /// Sessions leave through HTTP proxies that speak TLS: stunnel in front of those that people run.
    @Suite struct HTTPSProxies {
        private static let port = 1443
        /// Whom the certificate is for, unless a test says something else.
        private static let names = "DNS:localhost,DNS:proxy.test,IP:198.51.100.2,IP:2001:db8:2::2"

        /// What a stage's proxies have to show, and who is to believe it.
        struct Papers {
            let authority: Certificates.Certificate
            let server: Certificates.Certificate
        }

        struct Way: CustomTestStringConvertible, Sendable {
            var testDescription: String
            var host = "198.51.100.2"
            var program = ProxyProgram.squid
            var credentials = ""
            var relay = "adaptive"
            /// Of what the client dials.
            var family = Family.v4
            var scope = Scope.gateway
        }

        static let ways = [
            Way(testDescription: "squid"), Way(testDescription: "squid, copy", relay: "copy"),
            Way(testDescription: "squid, splice, IPv6", host: "[2001:db8:2::2]", relay: "splice", family: .v6),
            Way(testDescription: "tinyproxy", program: .tinyproxy, credentials: "me:secret@"),
            Way(
                testDescription: "tinyproxy by name, of this host", host: "proxy.test", program: .tinyproxy,
                credentials: "me:secret@", scope: .local),
        ]

        @Test(arguments: ways)
        func sessionsLeaveThroughIt(way: Way) throws {
            let variant = Variant(family: way.family, scope: way.scope)
            try play(variant, start: false) { stage in
                let papers = try Self.papers(stage)
                try stage.startProxy(way.program)
                try stage.startTLS(with: papers.server)
                var configuration = ClearwayConfiguration(variant)
                configuration.relay = way.relay
                configuration.policy = Self.policy("https://\(way.credentials)\(way.host):\(Self.port)?ca=\(papers.authority.file)")
                let hosts = try stage.topology.scratch.write("198.51.100.2 proxy.test\n", to: "hosts", mode: 0o644)
                try stage.startClearway(
                    configuration, wrapper: ["sh", "-c", "mount --bind \(hosts) /etc/hosts && exec \"$@\"", "sh"])

                let (client, server) = try stage.connected()
                try stage.client.send(client, "question")
                #expect(try stage.server.receive(server, 8) == "question")
                let pouring = try stage.server.begin("pour", ["socket": server, "bytes": 5_000_003, "shut": true])
                let arrived = try stage.client.drain(client)
                #expect(try stage.server.answer(to: pouring).string("digest") == arrived.string("digest"))
                #expect(arrived.end == "fin")
                try stage.client.close(client)
                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.string("upstream") == "out")
                #expect(record.int("up") == 8 && record.int("down") == 5_000_003)
                #expect(record.ending == "upstream-fin")

                // The other way.
                let (uploader, taker) = try stage.connected()
                let taking = try stage.server.begin("drain", ["socket": taker, "limit": 5_000_003])
                let sent = try stage.client.perform("pour", ["socket": uploader, "bytes": 5_000_003])
                #expect(try stage.server.answer(to: taking).string("digest") == sent.string("digest"))
                // With TLS both ways are busy at a time.
                let back = try stage.server.begin("pour", ["socket": taker, "bytes": 3_000_001, "seed": 2])
                let forth = try stage.client.begin("pour", ["socket": uploader, "bytes": 3_000_002, "seed": 3])
                let up = try stage.server.begin("drain", ["socket": taker, "limit": 3_000_002])
                let down = try stage.client.drain(uploader, limit: 3_000_001)
                #expect(try down.string("digest") == stage.server.answer(to: back).string("digest"))
                #expect(try stage.server.answer(to: up).string("digest") == stage.client.answer(to: forth).string("digest"))
                try stage.server.close(taker)
                #expect(try stage.client.drain(uploader).end == "fin")
                try stage.client.close(uploader)
                #expect(try stage.clearway.waitForSessions(2)[1].int("up") == 8_000_005)
            }
        }

        struct Doubt: CustomTestStringConvertible, Sendable {
            var testDescription: String
            var host = "198.51.100.2"
            var option: @Sendable (_ authority: String) -> String
            var names = HTTPSProxies.names
            /// nil: it is believed.
            var reason: String?
        }

        static let doubts = [
            Doubt(
                testDescription: "nobody's authority", option: { _ in "" },
                reason: "its certificate is not accepted: unable to get local issuer certificate"),
            Doubt(
                testDescription: "another address", option: { "?ca=\($0)" }, names: "DNS:proxy.test,IP:198.51.100.3",
                reason: "its certificate is not accepted: IP address mismatch"),
            Doubt(
                testDescription: "another name", host: "proxy.test", option: { "?ca=\($0)" },
                names: "DNS:www.proxy.test,IP:198.51.100.2",
                reason: "its certificate is not accepted: hostname mismatch"),
            Doubt(testDescription: "insecure", option: { _ in "?insecure=1" }, names: "DNS:nobody.example", reason: nil),
        ]

        @Test(arguments: doubts)
        func whoIsBelieved(doubt: Doubt) throws {
            try play(Variant(), start: false) { stage in
                let papers = try Self.papers(stage, names: doubt.names)
                try stage.startProxy(.microsocks, port: 1080)
                try stage.startProxy(.squid)
                try stage.startTLS(with: papers.server)
                var configuration = ClearwayConfiguration()
                configuration.policy = Self.policy("https://\(doubt.host):\(Self.port)\(doubt.option(papers.authority.file))")
                let hosts = try stage.topology.scratch.write("198.51.100.2 proxy.test\n", to: "hosts", mode: 0o644)
                try stage.startClearway(
                    configuration, wrapper: ["sh", "-c", "mount --bind \(hosts) /etc/hosts && exec \"$@\"", "sh"])
                let port = try Self.echo(stage)
                guard let reason = doubt.reason else {
                    #expect(try stage.echoes(port))
                    return
                }
                let answer = try stage.client.perform("attempt", ["host": Family.v4.server, "port": port])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                try stage.expectEnding("upstream-protocol")
                #expect(try stage.clearway.log.contains(reason))
            }
        }

        /// The authorities of the system, which are a file's here.
        @Test func whomTheSystemBelieves() throws {
            try play(Variant(), start: false) { stage in
                let papers = try Self.papers(stage)
                try stage.startProxy(.squid)
                try stage.startTLS(with: papers.server)
                var configuration = ClearwayConfiguration()
                configuration.policy = Self.policy("https://198.51.100.2:\(Self.port)")
                try stage.startClearway(configuration, wrapper: ["env", "SSL_CERT_FILE=\(papers.authority.file)"])
                #expect(try stage.echoes(Self.echo(stage)))
            }
        }

        // MARK: Endings

        /// The client has said all, and the answer is still to come. (stunnel takes a close_notify for the end of one way, and hands
        /// it on as a FIN; so the proxy behind it must know half-closed connections.)
        @Test func theClientEndsFirst() throws {
            try playBehindTLS { stage, _ in
                let near = try stage.server.listen("198.51.100.2", port: ProxyProgram.port)
                let client = try stage.client.connect(Family.v4.server, 7_777).socket
                let proxy = try stage.server.accept(near).socket
                let request = "CONNECT 198.51.100.2:7777 HTTP/1.1\r\nHost: 198.51.100.2:7777\r\n\r\n"
                #expect(try stage.server.receive(proxy, request.utf8.count) == request)
                try stage.server.send(proxy, "HTTP/1.1 200 OK\r\n\r\n")
                try stage.client.send(client, "question")
                try stage.client.shut(client)
                let question = try stage.server.drain(proxy)
                #expect(question.int("bytes") == 8 && question.end == "fin")
                let pouring = try stage.server.begin("pour", ["socket": proxy, "bytes": 5_000_000])
                let answer = try stage.client.drain(client, limit: 5_000_000)
                #expect(try stage.server.answer(to: pouring).string("digest") == answer.string("digest"))
                // Not before: once both ways have ended, stunnel 5.68 lets go of what it has not read yet, and ends in order.
                try stage.server.shut(proxy)
                #expect(try stage.client.drain(client).end == "fin")
                try stage.expectEnding("client-fin")
            }
        }

        /// No close_notify: what came may not be all, and nobody must take it for that.
        @Test func aProxyKilledUnderASessionIsAReset() throws {
            try playBehindTLS { stage, papers in
                try stage.startProxy(.squid)
                let (client, server) = try stage.connected()
                try stage.server.send(server, "half")
                #expect(try stage.client.receive(client, 4) == "half")
                papers.stunnel.end()
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                try stage.expectEnding("upstream-reset")
            }
        }

        @Test(arguments: [
            ("", false, "upstream-timeout"), ("SSH-2.0-OpenSSH\r\n", false, "upstream-protocol"), ("", true, "upstream-protocol"),
            ("HTTP/1.1 400 Bad Request\r\n\r\n", true, "upstream-protocol"),
        ])
        func whoSpeaksNoTLS(says: String, ends: Bool, ending: String) throws {
            try playBehindTLS(timeouts: "connect = \"1s\"", hasTLS: false) { stage, _ in
                let listener = try stage.server.listen(Family.v4.server, port: Self.port)
                let client = try stage.client.connect(Family.v4.server, 7_777).socket
                let proxy = try stage.server.accept(listener).socket
                _ = try stage.server.receive(proxy, 200)
                if !says.isEmpty { try stage.server.send(proxy, says) }
                if ends { try stage.server.shut(proxy) }
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                try stage.expectEnding(ending)
            }
        }

        /// It says so behind the handshake, with TLS 1.3.
        @Test func oneThatWantsACertificateOfOurs() throws {
            let asking: (Papers) -> String = { "requireCert = yes\nverifyChain = yes\nCAfile = \($0.authority.file)" }
            try playBehindTLS(more: asking) { stage, _ in
                let answer = try stage.client.perform("attempt", ["host": Family.v4.server, "port": 7_777])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                let ending = try stage.clearway.waitForSessions(1)[0].ending
                // It says so and closes with our request unread: the reset may overtake what it said.
                #expect(["upstream-protocol", "upstream-reset"].contains(ending))
                #expect(try ending == "upstream-reset" || stage.clearway.log.contains("certificate required"))
            }
        }

        /// It answers CONNECT with a refusal, through TLS.
        @Test func aRefusalComesThrough() throws {
            try playBehindTLS { stage, _ in
                try stage.startProxy(.tinyproxy)
                let answer = try stage.client.perform("attempt", ["host": Family.v4.server, "port": 9])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                try stage.expectEnding("upstream-rejected")
            }
        }

        // MARK: Chains

        /// `out` behind `near`; each has its port.
        @Test(arguments: [
            ("https://198.51.100.2:1443?ca=CA", "socks5://198.51.100.2:1080"),
            ("socks5://198.51.100.2:1080", "https://198.51.100.2:1443?ca=CA"),
            ("https://198.51.100.2:1443?ca=CA", "https://198.51.100.2:1444?ca=CA"),
        ])
        func behindEachOther(out: String, near: String) throws {
            try play(Variant(), start: false) { stage in
                let papers = try Self.papers(stage)
                try stage.startProxy(.microsocks, port: 1080)
                try stage.startProxy(.squid)
                try stage.startTLS(with: papers.server)
                try stage.startTLS(port: 1444, with: papers.server)
                var configuration = ClearwayConfiguration()
                configuration.policy =
                    "[[upstream]]\nname = \"near\"\nurl = \"\(near.replacing("CA", with: papers.authority.file))\"\n"
                    + Self.policy(out.replacing("CA", with: papers.authority.file), "via = \"near\"")
                try stage.startClearway(configuration)
                let (client, server) = try stage.connected()
                try stage.client.send(client, "question")
                #expect(try stage.server.receive(server, 8) == "question")
                let taking = try stage.server.begin("drain", ["socket": server, "limit": 3_000_000])
                let sent = try stage.client.perform("pour", ["socket": client, "bytes": 3_000_000])
                #expect(try stage.server.answer(to: taking).string("digest") == sent.string("digest"))
                let pouring = try stage.server.begin("pour", ["socket": server, "bytes": 3_000_003, "shut": true])
                let arrived = try stage.client.drain(client)
                #expect(try stage.server.answer(to: pouring).string("digest") == arrived.string("digest"))
                #expect(arrived.end == "fin")
                try stage.client.close(client)
                #expect(try stage.clearway.waitForSessions(1)[0].ending == "upstream-fin")
            }
        }

        /// The PROXY header comes first, in the clear: so those expect it that end TLS.
        @Test func theHeaderComesBeforeTLS() throws {
            try playBehindTLS(policyMore: "send_proxy = true", hasTLS: false) { stage, _ in
                let listener = try stage.server.listen(Family.v4.server, port: Self.port)
                let client = try stage.client.connect(Family.v4.server, 7_777)
                let proxy = try stage.server.accept(listener).socket
                let local = client.int("port")
                let expected =
                    [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10, 0x21, 0x11, 0, 12, 192, 0, 2, 2, 198, 51, 100, 2]
                    + [local >> 8, local & 255, 7_777 >> 8, 7_777 & 255]
                // And then a TLS record, of a handshake.
                let got = try stage.server.receive(proxy, 30).unicodeScalars.map { Int($0.value) }
                #expect(got == expected + [22, 3])
            }
        }

        // MARK: Many, and other settings

        @Test func twoHundredSessionsAtOnce() throws {
            try playBehindTLS { stage, _ in
                try stage.startProxy(.squid)
                let port = try Self.echo(stage)
                let clients = try (0..<200).map { _ in try stage.client.connect(Family.v4.server, port).socket }
                for (number, client) in clients.enumerated() { try stage.client.send(client, "ping \(number)") }
                for (number, client) in clients.enumerated() {
                    #expect(try stage.client.receive(client, "ping \(number)".utf8.count) == "ping \(number)")
                }
                for client in clients { try stage.client.close(client) }
                let records = try stage.clearway.waitForSessions(clients.count)
                #expect(records.allSatisfy { $0.ending == "client-fin" && $0.int("up") == $0.int("down") })
            }
        }

        /// The file that a configuration names is read anew with it.
        @Test func otherAuthoritiesAfterAReload() throws {
            try play(Variant(), start: false) { stage in
                let papers = try Self.papers(stage)
                let other = try stage.certificates.authority("other")
                try stage.startProxy(.squid)
                try stage.startTLS(with: papers.server)
                let file = stage.topology.scratch.file("trusted.pem")
                try FileManager.default.copyItem(atPath: papers.authority.file, toPath: file)
                var configuration = ClearwayConfiguration()
                configuration.policy = Self.policy("https://198.51.100.2:\(Self.port)?ca=trusted.pem")
                try stage.startClearway(configuration)
                let port = try Self.echo(stage)
                let open = try stage.client.connect(Family.v4.server, port).socket
                try stage.client.send(open, "ping")
                #expect(try stage.client.receive(open, 4) == "ping")

                try FileManager.default.removeItem(atPath: file)
                try FileManager.default.copyItem(atPath: other.file, toPath: file)
                try stage.clearway.reload(configuration)
                #expect(
                    try stage.client.perform("attempt", ["host": Family.v4.server, "port": port]).strings("outcomes") == [
                        "ECONNRESET"
                    ])
                #expect(try stage.clearway.waitForSessions(1)[0].ending == "upstream-protocol")
                #expect(try stage.clearway.log.contains("its certificate is not accepted"))
                try stage.client.send(open, "pong")
                #expect(try stage.client.receive(open, 4) == "pong")

                try FileManager.default.removeItem(atPath: file)
                try FileManager.default.copyItem(atPath: papers.authority.file, toPath: file)
                try stage.clearway.reload(configuration)
                #expect(try stage.echoes(port))
            }
        }

        // MARK: Stage properties

        static func papers(_ stage: Stage, names: String = names) throws -> Papers {
            let authority = try stage.certificates.authority()
            return Papers(authority: authority, server: try stage.certificates.server(names: names, by: authority))
        }

        private static func policy(_ url: String, _ more: String = "") -> String {
            "[[upstream]]\nname = \"out\"\nurl = \"\(url)\"\n\(more)\n[[rule]]\naction = \"out\"\n"
        }

        private static func echo(_ stage: Stage) throws -> Int {
            let listener = try stage.server.listen(stage.variant.family.server)
            try stage.server.perform("serve", ["socket": listener.socket, "manner": "echo"])
            return listener.int("port")
        }

        /// What the usual stage has beside Clearway.
        private struct Props {
            let authority: Certificates.Certificate
            private let program: Program?
            var stunnel: Program { program! }

            init(_ authority: Certificates.Certificate, _ program: Program?) {
                self.authority = authority
                self.program = program
            }
        }

        /// A Clearway whose only upstream is TLS in front of the usual proxy's port.
        private func playBehindTLS(
            timeouts: String = "", policyMore: String = "", hasTLS: Bool = true, more: (Papers) -> String = { _ in "" },
            _ situation: (Stage, Props) throws -> Void
        ) throws {
            try play(Variant(), start: false) { stage in
                let papers = try Self.papers(stage)
                let stunnel = hasTLS ? try stage.startTLS(with: papers.server, more(papers)) : nil
                var configuration = ClearwayConfiguration(Variant(), timeouts: timeouts)
                configuration.policy = Self.policy("https://198.51.100.2:\(Self.port)?ca=\(papers.authority.file)", policyMore)
                try stage.startClearway(configuration)
                try situation(stage, Props(papers.authority, stunnel))
            }
        }
    }
}
