import Foundation
import Testing

extension Situations {
    /// Rules that ask for names, which clients show in their first bytes: HTTP's Host, TLS's server name.
    @Suite struct Names {
        private static let rules = """
            [[rule]]
            domain = ["blocked.test", "*.blocked.test"]
            action = "reject"
            [[rule]]
            destination = "203.0.113.0/24"
            action = "reject"
            """

        private func play(_ variant: Variant, _ situation: (Stage) throws -> Void) throws {
            var configuration = ClearwayConfiguration(variant, timeouts: "sniff = \"1s\"")
            configuration.policy = Self.rules
            try SituationTests.play(variant, configuration: configuration, situation)
        }

        private func curl(_ stage: Stage, _ host: String, _ scheme: String = "http") throws -> Finished {
            let port = scheme == "http" ? 80 : 443
            let namespace = stage.variant.scope == .gateway ? stage.topology.client : stage.topology.router
            return try namespace.finish([
                "curl", "-sSk", "--noproxy", "*", "--max-time", "10", "--resolve",
                "\(host):\(port):\(stage.variant.family == .v6 ? "[\(stage.variant.family.server)]" : stage.variant.family.server)",
                "\(scheme)://\(host)/page",
            ])
        }

        @Test(arguments: [
            Variant(mover: .copy), Variant(mover: .splice, family: .v6), Variant(mover: .copy, mode: .redirect, scope: .local),
        ])
        func theHostOfARequestDecides(variant: Variant) throws {
            try play(variant) { stage in
                let scratch = stage.topology.scratch
                try scratch.write("the page\n", to: "page")
                _ = try stage.topology.server.start([
                    "/usr/bin/python3", "-m", "http.server", "80", "--bind", "::", "--directory", scratch.path,
                ])
                try stage.topology.server.waitUntilListening(on: 80)
                let expected = ["open.test": true, "www.BLOCKED.test": false, "blocked.test": false, "notblocked.test": true]
                for (name, isOpen) in expected { #expect(try curl(stage, name).output == (isOpen ? "the page\n" : "")) }
                // Two workers: in any order.
                let records = try stage.clearway.waitForSessions(4)
                #expect(Set(records.map { $0.string("name") }) == Set(expected.keys.map { $0.lowercased() }))
                for record in records {
                    let isOpen = !record.string("name").contains(/^(www\.)?blocked/)
                    #expect(record.string("upstream") == (isOpen ? "direct" : "reject"))
                    #expect(isOpen ? record.string("rule") == "default" : record.int("rule") == 1)
                    #expect((record.ending == "proxy-rejected") == !isOpen)
                }
            }
        }

        @Test(arguments: [Variant(mover: .copy), Variant(mover: .splice, family: .v6)])
        func theServerNameOfTLSDecides(variant: Variant) throws {
            try play(variant) { stage in
                let scratch = stage.topology.scratch
                try scratch.write("the page\n", to: "page")
                let made = try stage.topology.server.finish([
                    "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test", "-keyout",
                    scratch.file("key.pem"), "-out", scratch.file("certificate.pem"),
                ])
                #expect(made.succeeded)
                _ = try stage.topology.server.start([
                    "/usr/bin/python3", "-c",
                    """
                    import http.server, os, socket, ssl
                    os.chdir("\(scratch.path)")
                    http.server.HTTPServer.address_family = socket.AF_INET6
                    server = http.server.HTTPServer(("::", 443), http.server.SimpleHTTPRequestHandler)
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain("certificate.pem", "key.pem")
                    server.socket = context.wrap_socket(server.socket, server_side=True)
                    server.serve_forever()
                    """,
                ])
                try stage.topology.server.waitUntilListening(on: 443)
                #expect(try curl(stage, "open.test", "https").output == "the page\n")
                #expect(try curl(stage, "a.b.blocked.test", "https").succeeded == false)
                for record in try stage.clearway.waitForSessions(2) {
                    #expect(["open.test", "a.b.blocked.test"].contains(record.string("name")))
                    #expect((record.ending == "proxy-rejected") == (record.string("name") != "open.test"))
                }
            }
        }

        /// No name comes: after the time for it the session goes on, and nothing that was said is lost.
        @Test(arguments: [Variant(mover: .copy), Variant(mover: .splice, family: .v6)])
        func aServerThatSpeaksFirstIsOnlyDelayed(variant: Variant) throws {
            try play(variant) { stage in
                for port in [2_525, 25] {
                    let listener = try stage.server.listen(variant.family.server, port: port)
                    let started = now()
                    let client = try stage.client.connect(variant.family.server, port).socket
                    let server = try stage.server.accept(listener).socket
                    try stage.server.send(server, "220 ready\r\n")
                    #expect(try stage.client.receive(client, 11) == "220 ready\r\n")
                    let seconds = now() - started
                    print("server first on port \(port), \(variant.testDescription): \(seconds * 1000) ms")
                    #expect(port == 25 ? seconds < 0.8 : seconds >= 1)
                    try stage.client.send(client, "QUIT\r\n")
                    #expect(try stage.server.receive(server, 6) == "QUIT\r\n")
                }
            }
        }

        @Test func aNameInPiecesIsWaitedFor() throws {
            try play(Variant()) { stage in
                let listener = try stage.server.listen(Family.v4.server)
                let client = try stage.client.connect(Family.v4.server, listener.int("port")).socket
                try stage.client.perform(
                    "dribble", ["socket": client, "text": "GET / HTTP/1.1\r\nHost: blocked.test\r\n\r\n", "pause": 0.002])
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                #expect(try stage.clearway.waitForSessions(1)[0].string("name") == "blocked.test")
            }
        }

        @Test func anAddressDecidesWhenNoNameComes() throws {
            try play(Variant()) { stage in
                let answer = try stage.client.perform("attempt", ["host": "203.0.113.1", "port": 5_000])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.ending == "proxy-rejected" && record.int("rule") == 2)
            }
        }

        /// The client leaves while its name is waited for.
        @Test func aClientThatLeavesIsGone() throws {
            try play(Variant()) { stage in
                let listener = try stage.server.listen(Family.v4.server)
                let client = try stage.client.connect(Family.v4.server, listener.int("port")).socket
                try stage.client.reset(client)
                try stage.expectEnding("client-gone")
            }
        }
    }
}
