import Foundation
import Testing

extension Situations {
    /// Clients and servers that would have a scanner stand still, or be passed by.
    @Suite struct ICAPAbuse {
        private static let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

        private static func play(
            _ keys: String = "", manner: String = "unchanged", _ situation: (Stage) throws -> Void
        ) throws {
            try SituationTests.play(Variant(), configuration: ICAP.configuration(response: "x", keys: keys)) { stage in
                let scanner = try stage.peer(in: stage.topology.router)
                try scanner.perform("icap", ["manner": manner])
                try situation(stage)
            }
        }

        @Test func interimResponsesWithoutEnd() throws {
            try Self.play { stage in
                let exchange = try MessageExchange(stage)
                try exchange.ask(Self.request, seen: Self.request)
                try stage.server.send(
                    exchange.server, String(repeating: "HTTP/1.1 102 Processing\r\n\r\n", count: 2_000))
                #expect(try stage.client.receiveUntil(exchange.client, "HTTP/1.1 502 ").hasSuffix("HTTP/1.1 502 "))
                #expect(try stage.clearway.waitForRequests(1)[0].ending == "upstream-protocol")
            }
        }

        /// It answers nobody.
        @Test func whatIsSaidBehindAResponse() throws {
            try Self.play { stage in
                let exchange = try MessageExchange(stage)
                try exchange.ask(Self.request, seen: Self.request)
                let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                try stage.server.send(exchange.server, response + response.replacing("ok", with: "no"))
                #expect(try stage.client.receive(exchange.client, response.utf8.count) == response)
                let second = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n"
                try stage.client.send(exchange.client, second)
                let fresh = try stage.server.accept(exchange.listener).socket
                #expect(try stage.server.receive(fresh, second.utf8.count) == second)
                let other = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"
                try stage.server.send(fresh, other)
                #expect(try stage.client.receive(exchange.client, other.utf8.count) == other)
            }
        }

        /// The server does not notice that nobody is there any more.
        @Test func aTunnelEndsWithItsClient() throws {
            try Self.play { stage in
                let first = try stage.clearway.descriptors
                for _ in 1...3 {
                    let exchange = try MessageExchange(stage)
                    let head = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                    try exchange.ask(head, seen: head)
                    let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                    try exchange.answer(agreed, seen: agreed)
                    try stage.client.send(exchange.client, "bye")
                    #expect(try stage.server.receive(exchange.server, 3) == "bye")
                    try stage.client.reset(exchange.client)
                }
                try waitUntil("the descriptors of the start") { try stage.clearway.descriptors <= first }
            }
        }

        /// Who does not take what it asked for keeps what it has of the service, which is not late for that; it has half of it at most, and
        /// others are not passed by unseen for it, whatever `on_failure` says.
        @Test func whoKeepsTheServiceBusy() throws {
            try SituationTests.play(Variant(), start: false) { stage in
                try ICAP.startScanner(stage)
                let keys = "max_connections = 2\non_failure = \"pass\"\ntimeout = \"1s\""
                let clearway = try stage.startClearway(ICAP.configuration(response: "echo", keys: keys))
                let size = 8_000_000
                let listener = try stage.server.listen(Family.v4.server)
                let slow = try stage.client.connect(Family.v4.server, listener.int("port"), ["receive_buffer": 4_096]).socket
                try stage.client.send(slow, Self.request)
                let server = try stage.server.accept(listener).socket
                #expect(try stage.server.receive(server, Self.request.utf8.count) == Self.request)
                let head = "HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n"
                try stage.server.send(server, head)
                let pouring = try stage.server.begin("pour", ["socket": server, "bytes": size])
                #expect(try stage.client.receiveUntil(slow, "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))

                let other = try MessageExchange(stage)
                try other.ask(Self.request, seen: Self.request)
                try stage.server.send(other.server, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                #expect(try stage.client.receiveUntil(other.client, "\r\n\r\n").hasPrefix("HTTP/1.1 503 "))
                #expect(try stage.client.drain(slow, limit: size).int("bytes") == size)
                #expect(try stage.server.answer(to: pouring).int("bytes") == size)
                let records = try clearway.waitForRequests(2)
                #expect(records.map { $0.int("status") } == [503, 200])
            }
        }
    }
}
