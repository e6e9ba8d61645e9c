import Foundation
import Testing

extension PatientSituations {
    /// What clients and servers that mean harm, or are only odd, have done to the relay of requests: mostly, to let it wait.
    @Suite struct HTTPAttacks {
        private static let variant = Variant()
        private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

        private static func configuration(timeouts: String = "handshake = \"2s\"\nsniff = \"200ms\"", policy: String = "")
            -> ClearwayConfiguration
        {
            var configuration = Situations.InterceptedHTTP.configuration(variant, policy: policy)
            configuration.timeouts = timeouts
            return configuration
        }

        /// The protocol changes in the middle of a body: what of it was on its way must neither be lost nor keep a pipe.
        @Test func aChangeOfProtocolInTheMiddleOfABody() throws {
            try play(Self.variant, configuration: Self.configuration()) { stage in
                let first = try stage.clearway.descriptors
                for _ in 1...5 {
                    let exchange = try MessageExchange(stage)
                    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 90000000\r\n\r\n"
                    try stage.client.send(exchange.client, head)
                    try exchange.accept()
                    _ = try stage.client.answer(to: try stage.client.begin("stuff", ["socket": exchange.client]))
                    try stage.server.send(exchange.server, "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
                    let refusal = "HTTP/1.1 502 "
                    #expect(try stage.client.receive(exchange.client, refusal.utf8.count) == refusal)
                    try stage.client.close(exchange.client)
                    try stage.server.close(exchange.server)
                }
                _ = try stage.clearway.waitForRequests(5)
                // A pipe that is full when its session ends is closed, and none is kept.
                try waitUntil("the descriptors of the start") { try stage.clearway.descriptors <= first + 2 }
            }
        }

        /// A CONNECT that goes to another proxy: until that one has agreed there is no tunnel, in which nothing is judged.
        @Test func behindARefusedConnectNothingPasses() throws {
            let policy = "[[rule]]\ndomain = \"blocked.example\"\naction = \"reject\""
            try play(Self.variant, configuration: Self.configuration(policy: policy)) { stage in
                let hidden = "GET /hidden HTTP/1.1\r\nHost: blocked.example\r\n\r\n"
                let connect = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
                let refused = try MessageExchange(stage)
                try stage.client.send(refused.client, connect + hidden)
                try refused.accept()
                #expect(try stage.server.receive(refused.server, connect.utf8.count) == connect)
                let no = "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"
                try refused.answer(no, seen: "HTTP/1.1 405 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                #expect(try stage.client.drain(refused.client).int("bytes") == 0)
                #expect(try stage.server.drain(refused.server).int("bytes") == 0)

                let agreed = try MessageExchange(stage)
                try stage.client.send(agreed.client, connect + "early")
                try agreed.accept()
                #expect(try stage.server.receive(agreed.server, connect.utf8.count) == connect)
                try agreed.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbanner", seen: "HTTP/1.1 200 OK\r\n\r\nbanner")
                #expect(try stage.server.receive(agreed.server, 5) == "early")
                try stage.client.send(agreed.client, "late")
                #expect(try stage.server.receive(agreed.server, 4) == "late")

                // Nor behind one that we refuse ourselves.
                let ours = try MessageExchange(stage)
                try stage.client.send(
                    ours.client, "CONNECT blocked.example:443 HTTP/1.1\r\nHost: a\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n")
                let page = try stage.client.receiveUntil(ours.client, "request.\n")
                #expect(page.hasPrefix("HTTP/1.1 403 ") && page.contains("\r\nConnection: close\r\n"))
                #expect(try stage.client.drain(ours.client).int("bytes") == 0)
                #expect(try stage.clearway.waitForRequests(3).map { $0.int("status") } == [405, 200, 403])
            }
        }

        /// The next head has the time of a head, however long the exchange before it was allowed to take.
        @Test func aHeadBehindALongExchange() throws {
            try play(Self.variant, configuration: Self.configuration(timeouts: "handshake = \"1s\"")) { stage in
                let exchange = try MessageExchange(stage)
                try stage.client.send(exchange.client, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /slow")
                try exchange.accept()
                #expect(try stage.server.receive(exchange.server, 27) == "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                // The deadline has been looked at in the meantime, and has moved to that of the exchange.
                Thread.sleep(forTimeInterval: 1.5)
                try exchange.answer(Self.ok, seen: Self.ok)
                let head = "HTTP/1.1 408 Request Timeout\r\n"
                #expect(try stage.client.receive(exchange.client, head.utf8.count) == head)
                #expect(try stage.client.drain(exchange.client).end == "fin")
            }
        }

        /// The time between two requests is none in which the server was silent.
        @Test func aRequestAfterAPause() throws {
            try play(Self.variant, configuration: Self.configuration(timeouts: "handshake = \"300ms\"\nidle = \"3s\"")) { stage in
                let exchange = try MessageExchange(stage)
                let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                try exchange.ask(request, seen: request)
                try exchange.answer(Self.ok, seen: Self.ok)
                Thread.sleep(forTimeInterval: 2.2)
                try exchange.ask(request, seen: request)
                Thread.sleep(forTimeInterval: 1.5)
                try exchange.answer(Self.ok, seen: Self.ok)
            }
        }

        /// A client that takes its response slowly is not taken for one that is slow to ask.
        @Test(arguments: [Variant(mover: .copy), Variant(mover: .splice)])
        func aSlowReaderThatHasAskedAgain(variant: Variant) throws {
            var configuration = Situations.InterceptedHTTP.configuration(variant)
            configuration.timeouts = "handshake = \"500ms\""
            try play(variant, configuration: configuration) { stage in
                let listener = try stage.server.listen(variant.family.server)
                let client = try stage.client.connect(variant.family.server, listener.int("port"), ["receive_buffer": 4_096]).socket
                let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                try stage.client.send(client, request + request)
                let server = try stage.server.accept(listener).socket
                #expect(try stage.server.receive(server, request.utf8.count) == request)
                // As much as all buffers on the way hold, and no more.
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n"
                try stage.server.send(server, head)
                let pouring = try stage.server.begin("pour", ["socket": server, "bytes": 8_000_000])
                #expect(try stage.client.receive(client, head.utf8.count) == head)
                var taken = 0
                while taken < 8_000_000 {
                    taken += try stage.client.drain(client, limit: min(200_000, 8_000_000 - taken)).int("bytes")
                    // From here on the end of it is in our hands alone.
                    if taken > 3_000_000 { Thread.sleep(forTimeInterval: taken < 7_000_000 ? 0.2 : 0.1) }
                }
                #expect(taken == 8_000_000)
                _ = try stage.server.answer(to: pouring)
                #expect(try stage.server.receive(server, request.utf8.count) == request)
                try stage.server.send(server, Self.ok)
                #expect(try stage.client.receive(client, Self.ok.utf8.count) == Self.ok)
            }
        }

        /// Rules for users count for each request: what was opened for one is not used for another.
        @Test func anotherUserIsJudgedAnew() throws {
            try play(Self.variant, start: false) { stage in
                let file = try stage.writeUsers()
                let policy = "[[rule]]\nuser = \"bob\"\naction = \"reject\"\n"
                var configuration = ClearwayConfiguration.serving("http", more: "users = \"\(file)\"\nvia = false", policy: policy)
                configuration.workers = 1
                let clearway = try stage.startClearway(configuration)
                let listener = try stage.server.listen(Self.variant.family.server, port: 80)
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                func get(_ credentials: String) -> String {
                    "GET http://\(Self.variant.family.server)/ HTTP/1.1\r\nHost: a\r\n\(Says.authorization(credentials))\r\n\r\n"
                }
                try stage.client.send(client, get("alice:secret"))
                let server = try stage.server.accept(listener).socket
                _ = try stage.server.receiveUntil(server, "\r\n\r\n")
                try stage.server.send(server, Self.ok)
                #expect(try stage.client.receive(client, Self.ok.utf8.count) == Self.ok)
                try stage.client.send(client, get("bob:hunter2"))
                #expect(try stage.client.receive(client, 12) == "HTTP/1.1 403")
                #expect(try stage.server.drain(server).int("bytes") == 0)
                #expect(try clearway.waitForRequests(2).map { $0.string("user") } == ["alice", "bob"])
            }
        }

        /// A request that is asked again is told of, too, when nobody can be asked.
        @Test func aRequestThatNobodyCouldBeAskedAgain() throws {
            try play(Self.variant, configuration: Self.configuration()) { stage in
                let exchange = try MessageExchange(stage)
                let request = "GET /again HTTP/1.1\r\nHost: a\r\n\r\n"
                try exchange.ask(request, seen: request)
                try exchange.answer(Self.ok, seen: Self.ok)
                try stage.server.close(exchange.listener.socket)
                try stage.client.send(exchange.client, request)
                #expect(try stage.server.receive(exchange.server, request.utf8.count) == request)
                try stage.server.close(exchange.server)
                #expect(try stage.client.receive(exchange.client, 12) == "HTTP/1.1 502")
                let records = try stage.clearway.waitForRequests(2)
                #expect(records.map { $0.int("status") } == [200, 502] && records[1].string("target") == "/again")
            }
        }

        /// The beginning of a request for a page is none: its client has no more of the places than others who are slow to ask.
        @Test func slowRequestsForPagesHaveHalfOfThePlaces() throws {
            var configuration = ClearwayConfiguration.serving("http", timeouts: "handshake = \"60s\"")
            configuration.workers = 1
            configuration.top = "max_sessions = 20"
            try play(Self.variant, configuration: configuration) { stage in
                var slow: [Int] = []
                for _ in 1...10 {
                    let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                    try stage.client.send(client, "GET http://a")
                    slow.append(client)
                }
                // Each has been looked at by then.
                Thread.sleep(forTimeInterval: 0.5)
                // As it connects, or a moment later.
                let late = try stage.client.perform("connect", ["host": Family.v4.routerTowardsClient, "port": 1080])
                let end = late.outcome == "connected" ? try stage.client.drain(late.socket).end : late.outcome
                #expect(end == "ECONNRESET")
                // What is over does not count.
                for client in slow { try stage.client.close(client) }
                _ = try stage.clearway.waitForSessions(11)
                let next = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                try stage.client.send(next, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try stage.client.receive(next, 12) == "HTTP/1.1 400")
            }
        }

        /// An answer to HEAD has no body, and neither has one of ours.
        @Test(arguments: ["nonsense\r\n\r\n", ""])
        func pagesOfOursForHEAD(answer: String) throws {
            try play(Self.variant, configuration: Self.configuration(timeouts: "handshake = \"1s\"\nidle = \"1s\"")) { stage in
                let exchange = try MessageExchange(stage)
                let request = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
                try exchange.ask(request, seen: request)
                try stage.server.send(exchange.server, answer)
                let page = try stage.client.receiveUntil(exchange.client, "\r\n\r\n")
                #expect(page.hasPrefix("HTTP/1.1 50"))
                #expect(try stage.client.drain(exchange.client).int("bytes") == 0)
            }
        }
    }
}
