import Foundation
import Testing

extension Situations {
    /// HTTP for clients that know of us: pages of other servers, and servers of our own that we stand in front of.
    @Suite struct ServingHTTP {
        private static let server = Family.v4.server
        private static let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

        private static func get(_ target: String, _ fields: String = "") -> String {
            "GET \(target) HTTP/1.1\r\nHost: ignored.example\r\n\(fields)\r\n"
        }

        /// Two hosts over one connection of the client's, one after the other.
        @Test func pagesAreFetchedFromWhereTheTargetSays() throws {
            let policy = "[[rule]]\ndomain = \"blocked.test\"\naction = \"reject\"\n"
            let configuration = ClearwayConfiguration.serving(more: "via = false", policy: policy)
            try play(Variant(), start: false) { stage in
                let names = ["four.test": [Self.server], "blocked.test": [Self.server]]
                let (clearway, _) = try stage.startClearway(configuration, names: names)
                let one = try stage.server.listen(Self.server, port: 80)
                let two = try stage.server.listen(Self.server, port: 8080)
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket

                try stage.client.send(client, Self.get("http://four.test/a?b", "Proxy-Connection: keep-alive\r\nX: y\r\n"))
                let first = try stage.server.accept(one).socket
                let seen = "GET /a?b HTTP/1.1\r\nHost: four.test\r\nX: y\r\n\r\n"
                #expect(try stage.server.receive(first, seen.utf8.count) == seen)
                try stage.server.send(first, Self.response)
                #expect(try stage.client.receive(client, Self.response.utf8.count) == Self.response)

                try stage.client.send(client, Self.get("http://\(Self.server):8080"))
                let second = try stage.server.accept(two).socket
                let other = "GET / HTTP/1.1\r\nHost: \(Self.server):8080\r\n\r\n"
                #expect(try stage.server.receive(second, other.utf8.count) == other)
                // Nobody needs the first one any more, nor its port.
                #expect(try stage.server.drain(first).end == "ECONNRESET")
                try stage.server.send(second, Self.response)
                #expect(try stage.client.receive(client, Self.response.utf8.count) == Self.response)

                try stage.client.send(client, Self.get("http://blocked.test/"))
                let refusal = "HTTP/1.1 403 Forbidden\r\n"
                #expect(try stage.client.receive(client, refusal.utf8.count) == refusal)
                let records = try clearway.waitForRequests(3)
                #expect(records.map { $0.int("status") } == [200, 200, 403])
                #expect(records.map { $0.string("name") } == ["four.test", "(no name)", "blocked.test"])
                #expect(records[1].string("target") == "http://\(Self.server):8080")
            }
        }

        private static let elsewhere = [
            ("http://127.0.0.1/", 403), ("http://0x7f.1/", 403), ("http://[::1]/", 403), ("http://[::ffff:127.0.0.1]/", 403),
            ("http://localhost/", 403), ("http://169.254.169.254/latest", 403), ("http://198.51.100.2:25/", 403),
            ("http://192.0.2.1:1080/", 403), ("http://nobody.test/", 502), ("http://198.51.100.2:9/", 403),
            ("http://198.51.100.2:1099/", 502), ("/", 400), ("http://u@198.51.100.2/", 400),
        ]

        /// What may not be reached by tunnels may not be reached otherwise.
        @Test func whereNobodyMayGo() throws {
            try play(Variant(), start: false) { stage in
                let (clearway, _) = try stage.startClearway(.serving("http"), names: [:])
                let rows = Self.elsewhere.map { Exchange($0.0, Array(Self.get($0.0, "Connection: close\r\n").utf8)) }
                for (row, heard) in zip(Self.elsewhere, try stage.exchange(rows)) {
                    #expect(heard.text.hasPrefix("HTTP/1.1 \(row.1) "), "\(row.0): \(heard.text)")
                    #expect(heard.end == "fin", "\(row.0)")
                }
                // The web server's request was read as one for a tunnel.
                #expect(try clearway.waitForRequests(rows.count - 1).allSatisfy { $0.ending != "(no ending)" })
            }
        }

        /// Asked for once, and believed as long as the same is shown.
        @Test func users() throws {
            try play(Variant(), start: false) { stage in
                let file = try stage.writeUsers()
                var configuration = ClearwayConfiguration.serving("http", more: "users = \"\(file)\"\nvia = false")
                configuration.workers = 1
                let clearway = try stage.startClearway(configuration)
                let listener = try stage.server.listen(Self.server, port: 80)
                let target = "http://\(Self.server)/"
                func fields(_ credentials: String, scheme: String = "Basic") -> String {
                    Says.authorization(credentials, scheme: scheme) + "\r\n"
                }
                let refused = try stage.exchange(
                    ["", fields("alice:wrong"), fields("alice:secret", scheme: "Bearer")].map {
                        Exchange("", Array(Self.get(target, $0).utf8))
                    })
                for heard in refused {
                    #expect(heard.text.hasPrefix("HTTP/1.1 407 ") && heard.text.contains("\r\nProxy-Authenticate: Basic realm="))
                    #expect(heard.end == "fin")
                }
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                var socket = -1
                for _ in 1...2 {
                    try stage.client.send(client, Self.get(target, fields("alice:secret")))
                    if socket < 0 { socket = try stage.server.accept(listener).socket }
                    // The password is for us.
                    let seen = "GET / HTTP/1.1\r\nHost: \(Self.server)\r\n\r\n"
                    #expect(try stage.server.receive(socket, seen.utf8.count) == seen)
                    try stage.server.send(socket, Self.response)
                    #expect(try stage.client.receive(client, Self.response.utf8.count) == Self.response)
                }
                // Another one is looked at, also over a connection that was let in.
                try stage.client.send(client, Self.get(target, fields("alice:other")))
                let refusal = "HTTP/1.1 407 "
                #expect(try stage.client.receive(client, refusal.utf8.count) == refusal)
                let records = try clearway.waitForRequests(6)
                #expect(records.map { $0.int("status") }.sorted() == [200, 200, 407, 407, 407, 407])
                #expect(records.count { $0.string("user") == "alice" } >= 2)
            }
        }

        @Test func inFrontOfServers() throws {
            var configuration = ClearwayConfiguration()
            configuration.workers = 1
            configuration.listeners = []
            configuration.policy = """
                [[listener]]
                name = "site"
                mode = "http"
                listen = ["[::]:80"]
                origin = ["http://198.51.100.2:8081", "http://198.51.100.2:8082"]
                clients = ["192.0.2.0/24"]
                check = "0s"
                via = false
                [[rule]]
                domain = "blocked.example"
                action = "reject"
                """
            try play(Variant(), configuration: configuration) { stage in
                let second = try stage.server.listen(Self.server, port: 8082)
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 80).socket
                // The first one is not there.
                try stage.client.send(
                    client, "GET /x HTTP/1.1\r\nHost: www.example\r\nX-Forwarded-For: forged\r\nForwarded: for=forged\r\n\r\n")
                let socket = try stage.server.accept(second).socket
                let seen =
                    "GET /x HTTP/1.1\r\nHost: www.example\r\nForwarded: for=192.0.2.2;by=192.0.2.1;host=\"www.example\";proto=http\r\n\r\n"
                #expect(try stage.server.receive(socket, seen.utf8.count) == seen)
                try stage.server.send(socket, Self.response)
                #expect(try stage.client.receive(client, Self.response.utf8.count) == Self.response)
                try stage.client.send(client, "GET / HTTP/1.1\r\nHost: blocked.example\r\n\r\n")
                let refusal = "HTTP/1.1 403 Forbidden\r\n"
                #expect(try stage.client.receive(client, refusal.utf8.count) == refusal)
                let records = try stage.clearway.waitForRequests(2)
                #expect(records[0].string("upstream") == "site" && records[0].string("member") == "http://198.51.100.2:8082")
                #expect(records[1].int("rule") == 1 && records[1].int("status") == 403)

                // Both gone, and nobody of another network.
                try stage.server.close(second.socket)
                try stage.server.close(socket)
                let gone = try stage.exchange([Exchange("", Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))], port: 80)
                #expect(gone[0].text.hasPrefix("HTTP/1.1 502 "))
            }
        }

        private static func inFront(_ more: String = "") -> ClearwayConfiguration {
            var configuration = ClearwayConfiguration()
            configuration.workers = 1
            configuration.listeners = []
            configuration.policy = ClearwayConfiguration.servedListener(
                "http", name: "site", port: 80, reach: nil, more: "origin = \"http://\(server):8081\"\n\(more)")
            return configuration
        }

        /// What has come by here before, by whatever it says so, or has been everywhere, goes no further.
        @Test func circles() throws {
            let configuration = Self.inFront("request_headers = { remove = [\"Forwarded\"] }")
            try play(Variant(), configuration: configuration) { stage in
                let listener = try stage.server.listen(Self.server, port: 8081)
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 80).socket
                try stage.client.send(client, "GET / HTTP/1.1\r\nHost: a\r\nCDN-Loop: edge; v=1\r\nVia: 1.1 other\r\n\r\n")
                let server = try stage.server.accept(listener).socket
                let seen = try stage.server.receiveUntil(server, "\r\n\r\n")
                let pattern =
                    #/GET / HTTP/1\.1\r\nHost: a\r\nCDN-Loop: edge; v=1\r\nVia: 1\.1 other\r\nVia: 1\.1 (\S+)\r\nCDN-Loop: (\S+)\r\n\r\n/#
                let marks = try #require(seen.wholeMatch(of: pattern), "\(seen)")
                #expect(marks.1 == marks.2)
                try stage.server.send(server, Self.response)
                let rows = [
                    "Via: 1.1 \(marks.1)", "CDN-Loop: edge, \(marks.1)", "cdn-loop: \(marks.1); x=\"1\"",
                    "Via: \(Array(repeating: "1.1 x", count: 1_000).joined(separator: ", "))",
                ]
                for heard in try stage.exchange(
                    rows.map { Exchange($0, Array("GET / HTTP/1.1\r\nHost: a\r\n\($0)\r\n\r\n".utf8)) }, port: 80)
                { #expect(heard.text.hasPrefix("HTTP/1.1 508 "), "\(heard.text)") }
                #expect(try stage.clearway.waitForRequests(rows.count + 1).count { $0.ending == "proxy-loop" } == rows.count)
            }
        }

        private static let noRequests = ["(GET / HTTP/1.1", " GET / HTTP/1.1", " /x", "/x", "\u{80}\u{80}"]

        /// Nothing but HTTP is spoken there, and so it is answered.
        @Test(arguments: [false, true]) func whatIsNoRequestIsAnswered(inFront: Bool) throws {
            try play(Variant(), configuration: inFront ? Self.inFront() : .serving("http")) { stage in
                let rows = Self.noRequests.map { Exchange($0, Array("\($0)\r\n\r\n".utf8)) }
                for (row, heard) in zip(rows, try stage.exchange(rows, port: inFront ? 80 : 1080)) {
                    #expect(heard.text.hasPrefix("HTTP/1.1 400 ") && heard.end == "fin", "\(row.name): \(heard.text) \(heard.end)")
                }
            }
        }

        /// Not even to one that is refused, or does not come (RFC 9110 §9.3.2).
        @Test func answersToHeadHaveNoBody() throws {
            var configuration = Self.inFront()
            configuration.timeouts = "handshake = \"300ms\""
            try play(Variant(), configuration: configuration) { stage in
                let rows = [
                    ("HEAD / HTTP/1.1\r\n\r\n", 400), ("HEAD / HTTP/1.1\r\nHost : a\r\n\r\n", 400), ("HEAD / HTTP/1.1\r\nHo", 408),
                    ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 502),
                ]
                let heard = try stage.exchange(rows.map { Exchange($0.0, Array($0.0.utf8)) }, port: 80)
                for (row, heard) in zip(rows, heard) {
                    #expect(
                        heard.text.hasPrefix("HTTP/1.1 \(row.1) ") && heard.text.hasSuffix("\r\n\r\n"), "\(row.0): \(heard.text)")
                }
            }
        }

        /// Nobody would see what comes behind it.
        @Test func noTunnelsToServersOfOurs() throws {
            var configuration = ClearwayConfiguration()
            configuration.listeners = []
            configuration.policy = ClearwayConfiguration.servedListener(
                "http", name: "site", port: 80, reach: nil, more: "origin = \"http://\(Self.server):8081\"")
            try play(Variant(), configuration: configuration) { stage in
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 80).socket
                try stage.client.send(
                    client, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try stage.client.receiveUntil(client, "\r\n\r\n").hasPrefix("HTTP/1.1 405 "))
                #expect(try stage.client.drain(client).end == "fin")
                #expect(try stage.clearway.waitForRequests(1)[0].ending == "proxy-rejected")
            }
        }
    }
}
