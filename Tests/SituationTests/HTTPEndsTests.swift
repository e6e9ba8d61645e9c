import Foundation
import Testing

extension PatientSituations {
    /// When a connection that is kept is not kept any more.
    @Suite struct HTTPEnds {
        private static let variant = Variant()
        private static let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        private static let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"

        private static func configuration(timeouts: String = "", policy: String = "") -> ClearwayConfiguration {
            var configuration = Situations.InterceptedHTTP.configuration(variant, policy: policy)
            configuration.timeouts = timeouts
            return configuration
        }

        /// That it would be kept was promised with the head, before the rules changed: they count for the next request all the same, also for
        /// one that has been asked meanwhile.
        @Test(arguments: [false, true])
        func rulesThatChangeInTheMiddleOfABody(isAskedMeanwhile: Bool) throws {
            try play(Self.variant, configuration: Self.configuration()) { stage in
                let exchange = try MessageExchange(stage)
                try exchange.ask(Self.request, seen: Self.request)
                try exchange.answer(Self.head + "ab", seen: Self.head + "ab")
                try stage.clearway.reload(Self.configuration(policy: "[[rule]]\nmethod = \"GET\"\naction = \"reject\"\n"))
                if isAskedMeanwhile { try stage.client.send(exchange.client, Self.request) }
                try exchange.answer("cd", seen: "cd")
                let rest = try stage.client.drain(exchange.client)
                #expect(rest.int("bytes") == 0 && rest.end == "fin")
                #expect(try stage.server.drain(exchange.server).int("bytes") == 0)
                #expect(try stage.clearway.waitForRequests(1).count == 1)
                let next = try stage.client.connect(Self.variant.family.server, exchange.listener.int("port")).socket
                try stage.client.send(next, Self.request)
                #expect(try stage.client.receive(next, 12) == "HTTP/1.1 403")
            }
        }

        /// A stop waits for the response, and not for the client that keeps the connection.
        @Test func aStopInTheMiddleOfABody() throws {
            try play(Self.variant, configuration: Self.configuration()) { stage in
                let exchange = try MessageExchange(stage)
                try exchange.ask(Self.request, seen: Self.request)
                try exchange.answer(Self.head + "ab", seen: Self.head + "ab")
                let clearway = try stage.clearway
                clearway.program.signal(SIGTERM)
                try waitUntil("no listener any more") { try !stage.topology.router.listeningPorts().contains(1081) }
                try exchange.answer("cd", seen: "cd")
                #expect(try stage.client.drain(exchange.client).end == "fin")
                try stage.client.close(exchange.client)
                #expect(try clearway.program.waitForExit() == .exited(0))
            }
        }

        /// `timeouts.idle` counts between two requests, too.
        @Test func nobodyAsks() throws {
            try play(Self.variant, configuration: Self.configuration(timeouts: "idle = \"1s\"")) { stage in
                let exchange = try MessageExchange(stage)
                try exchange.ask(Self.request, seen: Self.request)
                try exchange.answer(Self.head + "abcd", seen: Self.head + "abcd")
                #expect(try stage.client.drain(exchange.client).end == "fin")
            }
        }

        /// A client that does not even take what comes before a response is not told that the server is late: it is the one who is.
        @Test func nobodyTakesInterimResponses() throws {
            try play(Self.variant, configuration: Self.configuration(timeouts: "idle = \"1s\"")) { stage in
                let (host, listener) = (Self.variant.family.server, try stage.server.listen(Self.variant.family.server))
                let client = try stage.client.connect(host, listener.int("port"), ["receive_buffer": 4_096]).socket
                try stage.client.send(client, Self.request)
                let server = try stage.server.accept(listener).socket
                #expect(try stage.server.receive(server, Self.request.utf8.count) == Self.request)
                let field = "Link: \(String(repeating: "x", count: 15_000))\r\n"
                try stage.server.send(server, "HTTP/1.1 103 Early Hints\r\n\(field)\(field)\r\n")
                let record = try stage.clearway.waitForRequests(1)[0]
                #expect(record.ending == "client-slow" && record.int("status") <= 0)
                #expect(try stage.server.drain(server).end == "ECONNRESET")
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                #expect(try stage.topology.router.require(["ss", "-Htn", "state", "fin-wait-1"]) == "")
            }
        }

        /// The server answers before it has heard the request to its end, and the client looks only when it has said everything: it has all of
        /// the answer, however much of the request is on its way to nobody, for the server has closed. The answer waits in our socket, or with us
        /// as well; more than that would not leave the server.
        @Test(arguments: [100_000, 150_000])
        func anAnswerThatComesEarly(size: Int) throws {
            try play(Self.variant, configuration: Self.configuration()) { stage in
                let host = Self.variant.family.server
                let listener = try stage.server.perform("listen", ["host": host, "receive_buffer": 65_536])
                let client = try stage.client.connect(host, listener.int("port"), ["receive_buffer": 16_384]).socket
                let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n"
                try stage.client.send(client, request)
                let server = try stage.server.accept(listener).socket
                #expect(try stage.server.receive(server, request.utf8.count) == request)
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: \(size)\r\n\r\n"
                let answer = head + String(repeating: "0123456789", count: size / 10)
                try stage.server.perform("send_acknowledged", ["socket": server, "text": answer])
                try stage.server.close(server)
                #expect(try stage.client.perform("pour", ["socket": client, "bytes": 50_000_000]).end == "done")
                #expect(try stage.client.receive(client, answer.utf8.count) == answer)
                #expect(try stage.client.drain(client).end == "fin")
            }
        }
    }
}
