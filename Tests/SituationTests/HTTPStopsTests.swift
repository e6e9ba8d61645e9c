import Foundation
import Testing

extension PatientSituations {
    /// Connections of HTTP on which nothing has been asked yet: what a stop makes of them, and a reload.
    @Suite struct HTTPStops {
        private static let variant = Variant()
        private static let server = Family.v4.server
        private static let router = Family.v4.routerTowardsClient
        private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

        /// One that intercepts, one in front of an origin, and two that serve.
        private static func configuration(rules: String = "") -> ClearwayConfiguration {
            var configuration = ClearwayConfiguration(variant)
            configuration.listeners[0].more = "http = true\nvia = false"
            configuration.policy =
                ClearwayConfiguration.servedListener("http", name: "pages", port: 1082, more: "via = false")
                + ClearwayConfiguration.servedListener("socks+http", name: "both", more: "via = false")
                + ClearwayConfiguration.servedListener(
                    "http", name: "site", port: 80, reach: nil, more: "origin = \"http://\(server):8081\"\nvia = false") + rules
            return configuration
        }

        /// Nobody is waited for who has nothing under way: a stop is over long before `timeouts.handshake`, and `timeouts.drain`.
        @Test func aStopDoesNotWaitForWhatIsNotUsed() throws {
            try play(Self.variant, configuration: Self.configuration()) { stage in
                let clearway = try stage.clearway
                let exchange = try MessageExchange(stage)
                try exchange.accept()
                let origin = try stage.server.listen(Self.server, port: 8081)
                let kept = try stage.client.connect(Self.router, 80).socket
                try stage.client.send(kept, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                let server = try stage.server.accept(origin).socket
                _ = try stage.server.receiveUntil(server, "\r\n\r\n")
                try stage.server.send(server, Self.ok)
                #expect(try stage.client.receive(kept, Self.ok.utf8.count) == Self.ok)
                let silent = try [80, 1080, 1082].map { try stage.client.connect(Self.router, $0).socket }

                let begun = now()
                clearway.program.signal(SIGTERM)
                for client in silent + [kept, exchange.client] {
                    let rest = try stage.client.drain(client)
                    #expect(rest.int("bytes") == 0 && rest.end == "fin")
                    try stage.client.close(client)
                }
                #expect(try stage.server.drain(exchange.server).end == "fin")
                #expect(try clearway.program.waitForExit() == .exited(0))
                #expect(now() - begun < 8)
                // The one that was used is told of by its request.
                let endings = try clearway.accessRecords().map(\.ending)
                #expect(endings == Array(repeating: "client-fin", count: 4))
            }
        }

        /// Whoever has only just connected is about to speak: a stop waits for that, and for the answer.
        @Test func aStopWaitsForTheFirstWord() throws {
            try play(Self.variant, configuration: Self.configuration()) { stage in
                let clearway = try stage.clearway
                let exchange = try MessageExchange(stage)
                try exchange.accept()
                clearway.program.signal(SIGTERM)
                try waitUntil("no listener any more") { try !stage.topology.router.listeningPorts().contains(1081) }
                let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                try exchange.ask(request, seen: request)
                try exchange.answer(Self.ok, seen: Self.ok.replacing("OK\r\n", with: "OK\r\nConnection: close\r\n"))
                #expect(try stage.client.drain(exchange.client).end == "fin")
                try stage.client.close(exchange.client)
                #expect(try clearway.program.waitForExit() == .exited(0))
            }
        }

        /// A first request, begun before a reload and ended after it.
        struct Begun: CustomTestStringConvertible {
            let testDescription: String
            /// The listener's; 0: the connection is intercepted.
            let port: Int
            var before = ""
            /// What it has heard by then.
            var heard = ""
            let after: String
            let answer: String
        }

        private static let page = "GET http://198.51.100.2:8081/ HTTP/1.1\r\nHost: a\r\n\r\n"
        private static let local = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        static let begun = [
            Begun(testDescription: "intercepted, silent", port: 0, after: local, answer: "HTTP/1.1 403"),
            Begun(
                testDescription: "intercepted", port: 0, before: "GET / HTTP/1.1\r\nHo", after: "st: a\r\n\r\n",
                answer: "HTTP/1.1 403"),
            Begun(testDescription: "an origin, silent", port: 80, after: local, answer: "HTTP/1.1 403"),
            Begun(
                testDescription: "an origin", port: 80, before: "GET / HTTP/1.1\r\nHo", after: "st: a\r\n\r\n",
                answer: "HTTP/1.1 403"),
            Begun(
                testDescription: "a page", port: 1082, before: String(page.prefix(40)), after: String(page.dropFirst(40)),
                answer: "HTTP/1.1 403"),
            Begun(
                testDescription: "a tunnel", port: 1082, before: "CONNECT 198.51.100.2:443 HTTP/1.1\r\n",
                after: "Host: 198.51.100.2:443\r\n\r\n", answer: "HTTP/1.1 403"),
            Begun(
                testDescription: "SOCKS", port: 1080, before: "\u{5}\u{1}\u{0}", heard: "\u{5}\u{0}",
                after: "\u{5}\u{1}\u{0}\u{1}\u{C6}\u{33}\u{64}\u{2}\u{1F}\u{91}", answer: "\u{5}\u{2}"),
        ]

        private static func begin(_ begun: Begun, _ stage: Stage, _ listener: Answer) throws -> Int {
            let place = begun.port == 0 ? (server, listener.int("port")) : (router, begun.port)
            let client = try stage.client.connect(place.0, place.1).socket
            try stage.client.send(client, begun.before)
            #expect(try stage.client.receive(client, begun.heard.utf8.count) == begun.heard)
            // Silent: the upstream is connected meanwhile, by the old rules.
            if begun.port == 0, begun.before.isEmpty { _ = try stage.server.accept(listener) }
            return client
        }

        /// The rules that are in force when a head is whole are those that it is judged by.
        @Test func aReloadInTheMiddleOfAHead() throws {
            try play(Self.variant, configuration: Self.configuration()) { stage in
                let listener = try stage.server.listen(Self.server)
                let clients = try Self.begun.map { try Self.begin($0, stage, listener) }
                try stage.clearway.reload(Self.configuration(rules: "[[rule]]\naction = \"reject\"\n"))
                for (begun, client) in zip(Self.begun, clients) {
                    try stage.client.send(client, begun.after)
                    #expect(
                        try stage.client.receive(client, begun.answer.unicodeScalars.count) == begun.answer,
                        "\(begun.testDescription)")
                }
            }
        }

        /// ... also where they let pass what the old ones did not; and it need not end with that request.
        @Test func aReloadThatOpensWhatWasClosed() throws {
            let rules = "[[rule]]\nmethod = \"GET\"\naction = \"reject\"\n"
            try play(Self.variant, configuration: Self.configuration(rules: rules)) { stage in
                let exchange = try MessageExchange(stage)
                try stage.client.send(exchange.client, "GET / HT")
                try stage.clearway.reload(Self.configuration())
                for request in ["TP/1.1\r\nHost: a\r\n\r\n", Self.local] {
                    try exchange.ask(request, seen: Self.local)
                    try exchange.answer(Self.ok, seen: Self.ok)
                }
            }
        }

        /// Without its listener there are no rules for it, whatever it is.
        @Test func aReloadThatTakesTheListenerAway() throws {
            let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            let begun = Self.begun + [Begun(testDescription: "intercepted, HTTP/2", port: 0, after: preface, answer: "HTTP/2")]
            try play(Self.variant, configuration: Self.configuration()) { stage in
                let listener = try stage.server.listen(Self.server)
                let clients = try begun.map { try Self.begin($0, stage, listener) }
                var configuration = ClearwayConfiguration(Self.variant)
                configuration.listeners[0].name = "another"
                try stage.clearway.reload(configuration)
                for (begun, client) in zip(begun, clients) {
                    try stage.client.send(client, begun.after)
                    if begun.answer.hasPrefix("HTTP"), !begun.testDescription.contains("tunnel") {
                        let rest = try stage.client.drain(client)
                        #expect(rest.int("bytes") == 0 && rest.end == "fin", "\(begun.testDescription)")
                    } else {
                        #expect(
                            try stage.client.receive(client, begun.answer.unicodeScalars.count) == begun.answer,
                            "\(begun.testDescription)")
                    }
                }
            }
        }

        /// What a client has shown before counts as far as it still does: who had to show nothing has shown nothing, and a user may be gone.
        @Test func aReloadWithOtherUsers() throws {
            func text(_ bytes: [UInt8]) -> String { String(String.UnicodeScalarView(bytes.map { UnicodeScalar($0) })) }
            let toClosedPort = text(bytes("05 01 00 01 c6336402 0009"))
            try play(Self.variant, start: false) { stage in
                let clearway = try stage.startClearway(.serving())
                func begin(_ first: String, _ heard: String) throws -> Int {
                    let client = try stage.client.connect(Self.router, 1080).socket
                    try stage.client.send(client, first)
                    #expect(try stage.client.receive(client, heard.unicodeScalars.count) == heard)
                    return client
                }
                let nobody = try begin(text(Says.greeting), "\u{5}\u{0}")
                let tunnel = try begin("CONNECT 198.51.100.2:443 HTTP/1.1\r\n", "")
                let page = try begin("GET http://198.51.100.2:8081/ HTTP/1.1\r\n", "")
                try clearway.reload(.servingUsers(stage.writeUsers()))
                try stage.client.send(nobody, toClosedPort)
                #expect(try stage.client.receive(nobody, 2) == "\u{5}\u{2}")
                try stage.client.send(tunnel, "Host: 198.51.100.2:443\r\n\r\n")
                #expect(try stage.client.receive(tunnel, 12) == "HTTP/1.1 403")
                try stage.client.send(page, "Host: 198.51.100.2:8081\r\n\r\n")
                #expect(try stage.client.receive(page, 12) == "HTTP/1.1 407")

                let users = try [("alice", "secret"), ("bob", "hunter2")].map { name, password in
                    let client = try begin(text(Says.greetingWithPassword), "\u{5}\u{2}")
                    try stage.client.send(client, text(Says.login(name, password)))
                    #expect(try stage.client.receive(client, 2) == "\u{1}\u{0}")
                    return client
                }
                // Who has shown the password of before, or comes with it on a connection of before, has shown nothing.
                let known = try begin(text(Says.greetingWithPassword), "\u{5}\u{2}")
                try stage.client.send(known, text(Says.login("alice", "secret")))
                #expect(try stage.client.receive(known, 2) == "\u{1}\u{0}")
                let silent = try begin("", "")
                let lines = Users.file.split(separator: "\n")
                let hash = try #require(lines.first { $0.hasPrefix("bob:") }).dropFirst(4)
                let changed = "alice:\(hash)\n" + lines.filter { !$0.hasPrefix("alice:") }.joined(separator: "\n") + "\n"
                try clearway.reload(.servingUsers(stage.writeUsers(changed)))
                try stage.client.send(known, toClosedPort)
                #expect(try stage.client.receive(known, 2) == "\u{5}\u{2}")
                try stage.client.send(silent, text(Says.greetingWithPassword))
                #expect(try stage.client.receive(silent, 2) == "\u{5}\u{2}")
                try stage.client.send(silent, text(Says.login("alice", "secret")))
                #expect(try stage.client.receive(silent, 2) == "\u{1}\u{1}")

                let left = Users.file.split(separator: "\n").filter { !$0.hasPrefix("alice") }.joined(separator: "\n") + "\n"
                try clearway.reload(.servingUsers(stage.writeUsers(left)))
                for (client, answer) in zip(users, ["\u{5}\u{2}", "\u{5}\u{5}"]) {
                    try stage.client.send(client, toClosedPort)
                    #expect(try stage.client.receive(client, 2) == answer)
                }
            }
        }
    }
}
