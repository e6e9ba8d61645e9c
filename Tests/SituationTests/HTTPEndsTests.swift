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
                #expect(try stage.clearway.records("request").count == 1)
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
    }
}
