import Foundation
import Testing

extension Situations {
    /// Intercepted HTTP: requests are understood one by one, written anew, and go to where the client was going.
    @Suite struct InterceptedHTTP {
        static let moved: [Variant] = [Variant(mover: .copy), Variant(mover: .splice, family: .v6), Variant(mode: .redirect)]

        static func configuration(_ variant: Variant, more: String = "", policy: String = "") -> ClearwayConfiguration {
            var configuration = ClearwayConfiguration(variant, timeouts: "handshake = \"2s\"\nsniff = \"200ms\"")
            configuration.workers = 1
            configuration.listeners[0].more = "http = true\nvia = false\n\(more)"
            configuration.policy = policy
            return configuration
        }

        @Test(arguments: moved)
        func requestsAndResponsesAreWrittenAnew(variant: Variant) throws {
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                try exchange.ask(
                    "GET /one HTTP/1.1\r\nX-A:  1 \r\nHost: a.example\r\nConnection: x-gone\r\nX-Gone: 1\r\n\r\n",
                    seen: "GET /one HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\n\r\n")
                try exchange.answer(
                    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer:x\r\nKeep-Alive: 5\r\n\r\nhello",
                    seen: "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello")
                // Over the same connections.
                try exchange.ask(
                    "POST /two HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc",
                    seen: "POST /two HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc")
                try exchange.answer("HTTP/1.1 204 No Content\r\n\r\n", seen: "HTTP/1.1 204 No Content\r\n\r\n")
                try stage.client.close(exchange.client)
                let records = try stage.clearway.waitForRequests(2)
                #expect(records.map { $0.string("target") } == ["/one", "/two"])
                #expect(records.map { $0.int("status") } == [200, 204])
                #expect(records.map { $0.string("method") } == ["GET", "POST"])
                #expect(records.map { $0.string("name") } == ["a.example", "a.example"])
                #expect(records[1].int("up") == 61 && records[1].int("down") == 27)
            }
        }

        /// Piece by piece, in both directions.
        @Test(arguments: moved)
        func byteByByte(variant: Variant) throws {
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                let request =
                    "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\nHost: b\r\n\r\n"
                let pouring = try stage.client.begin("dribble", ["socket": exchange.client, "text": request, "pause": 0.002])
                try exchange.accept()
                let head = "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                #expect(try stage.server.receive(exchange.server, head.utf8.count) == head)
                let body = try stage.server.receiveUntil(exchange.server, "X-T: 1\r\n\r\n")
                #expect(dechunked(body) == "hello")
                _ = try stage.client.answer(to: pouring)
                let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                let answering = try stage.server.begin("dribble", ["socket": exchange.server, "text": response, "pause": 0.002])
                let seen = try stage.client.receiveUntil(exchange.client, "0\r\n\r\n")
                let answered = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                #expect(seen.hasPrefix(answered) && dechunked(String(seen.dropFirst(answered.count))) == "abcde")
                _ = try stage.server.answer(to: answering)
            }
        }

        /// Bodies of some size, which go by splice where it is used.
        @Test(arguments: moved)
        func bulk(variant: Variant) throws { try Self.move(20_000_003, variant) }

        @Test func aGibibyteEachWay() throws { try Self.move(1 << 30, Variant(mover: .splice)) }

        private static func move(_ bytes: Int, _ variant: Variant) throws {
            try play(variant, configuration: configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                try stage.client.send(exchange.client, "PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: \(bytes)\r\n\r\n")
                let pouring = try stage.client.begin("pour", ["socket": exchange.client, "bytes": bytes])
                try exchange.accept()
                let head = "PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: \(bytes)\r\n\r\n"
                #expect(try stage.server.receive(exchange.server, head.utf8.count) == head)
                let arrived = try stage.server.drain(exchange.server, limit: bytes)
                #expect(try stage.client.answer(to: pouring).string("digest") == arrived.string("digest"))

                let responseHead = "HTTP/1.1 200 OK\r\nContent-Length: \(bytes)\r\n\r\n"
                try stage.server.send(exchange.server, responseHead)
                let answering = try stage.server.begin("pour", ["socket": exchange.server, "bytes": bytes])
                #expect(try stage.client.receive(exchange.client, responseHead.utf8.count) == responseHead)
                let back = try stage.client.drain(exchange.client, limit: bytes)
                #expect(try stage.server.answer(to: answering).string("digest") == back.string("digest"))

                // And the connection goes on.
                try exchange.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", seen: "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                try exchange.answer(
                    "HTTP/1.0 200 OK\r\n\r\nup to the end", seen: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nup to the end",
                    ends: true)
                let records = try stage.clearway.waitForRequests(2)
                #expect(
                    records[0].int("up") == bytes + head.utf8.count && records[0].int("down") == bytes + responseHead.utf8.count)
            }
        }

        @Test func pipelinedRequestsAreAnsweredInOrder() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                let requests = (1...5).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }
                try stage.client.send(exchange.client, requests.joined())
                try exchange.accept()
                for (number, request) in requests.enumerated() {
                    #expect(try stage.server.receive(exchange.server, request.utf8.count) == request)
                    let response = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\(number)"
                    try stage.server.send(exchange.server, response)
                    #expect(try stage.client.receive(exchange.client, response.utf8.count) == response)
                }
            }
        }

        @Test func interimResponses() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                let head = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
                try exchange.ask(head, seen: head)
                try stage.server.send(exchange.server, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
                let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
                #expect(try stage.client.receive(exchange.client, interim.utf8.count) == interim)
                try stage.client.send(exchange.client, "body")
                #expect(try stage.server.receive(exchange.server, 4) == "body")
                try exchange.answer(
                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", seen: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            }
        }

        /// Only when the server has agreed; then nothing is looked at any more.
        @Test func anotherProtocol() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                let head = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                try exchange.ask(head, seen: head)
                let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                try exchange.answer(agreed + "frame", seen: agreed + "frame")
                try stage.client.send(exchange.client, "\u{1}\u{2} GET")
                #expect(try stage.server.receive(exchange.server, 6) == "\u{1}\u{2} GET")
                try stage.server.shut(exchange.server)
                try stage.client.shut(exchange.client)
                #expect(try stage.client.drain(exchange.client).end == "fin")
                try stage.client.close(exchange.client)
                #expect(try stage.clearway.waitForRequests(1)[0].int("status") == 101)
                #expect(try stage.clearway.waitForSessions(1)[0].ending == "upstream-fin")
            }
        }

        /// Each request is judged by itself; a name is a claim, which can forbid.
        @Test func requestsAreJudgedOneByOne() throws {
            let variant = Variant()
            let policy = "[[rule]]\ndomain = [\"blocked.example\", \"*.blocked.example\"]\naction = \"reject\""
            try play(variant, configuration: Self.configuration(variant, policy: policy)) { stage in
                let exchange = try MessageExchange(stage)
                try exchange.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", seen: "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                try exchange.answer(
                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", seen: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                for request in [
                    "GET / HTTP/1.1\r\nHost: blocked.example\r\n\r\n", "GET / HTTP/1.1\r\nHost: BLOCKED.example.:80\r\n\r\n",
                    "GET http://blocked.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: www.blocked.example\r\n\r\n",
                ] {
                    try stage.client.send(exchange.client, request)
                    let page = try stage.client.receiveUntil(exchange.client, "request.\n")
                    #expect(page.hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
                }
                try exchange.ask("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", seen: "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
                let records = try stage.clearway.waitForRequests(5)
                #expect(records.map { $0.int("status") } == [200, 403, 403, 403, 403])
                #expect(records[1].ending == "proxy-rejected" && records[1].int("rule") == 1)
            }
        }

        /// By what they ask for, one by one; nothing of what is rejected reaches the server.
        @Test func requestsAreJudgedByMethodAndPath() throws {
            let variant = Variant()
            let policy = """
                [[rule]]
                path = ["/admin", "/admin/*"]
                action = "reject"
                [[rule]]
                method = ["DELETE"]
                action = "reject"
                """
            try play(variant, configuration: Self.configuration(variant, policy: policy)) { stage in
                let exchange = try MessageExchange(stage)
                for line in ["GET /a", "DELETE /a", "GET /x/%2e%2e/admin/y", "POST /b"] {
                    let request = "\(line) HTTP/1.1\r\nHost: a\r\n\r\n"
                    if line.hasPrefix("DELETE") || line.contains("admin") {
                        try stage.client.send(exchange.client, request)
                        let page = try stage.client.receiveUntil(exchange.client, "request.\n")
                        #expect(page.hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
                    } else {
                        try exchange.ask(request, seen: request)
                        let response = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                        try exchange.answer(response, seen: response)
                    }
                }
                let records = try stage.clearway.waitForRequests(4)
                #expect(records.map { $0.string("rule") } == ["default", "(no rule)", "(no rule)", "default"])
                #expect(records.map { $0.int("rule") } == [-1, 2, 1, -1])
            }
        }

        /// The table of what must be refused: nothing of it reaches the server.
        @Test func badRequestsAreRefused() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                for (number, (request, status)) in Self.badRequests.enumerated() {
                    let exchange = try MessageExchange(stage)
                    try stage.client.send(exchange.client, request + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
                    let head = "HTTP/1.1 \(status) "
                    #expect(try stage.client.receive(exchange.client, head.utf8.count) == head, "\(request)")
                    #expect(["fin", "ECONNRESET"].contains(try stage.client.drain(exchange.client).end), "\(request)")
                    try stage.client.close(exchange.client)
                    let record = try stage.clearway.waitForRequests(number + 1)[number]
                    #expect(record.int("status") == status && record.ending == "client-protocol", "\(request)")
                }
            }
        }

        static let badRequests = [
            ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n", 400), ("GET / HTTP/1.1\nHost: a\n\n", 400),
            (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400), ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET /\r\n", 400), ("get / http/1.1\r\nHost: a\r\n\r\n", 400), ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\(String(repeating: "a", count: 9_000)) HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            ("GET / HTTP/1.1\r\nHost: a\r\n\(String(repeating: "X: y\r\n", count: 200))\r\n", 431),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", 400),
        ]

        @Test func slowHeadsAreGivenUp() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                try stage.client.send(exchange.client, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow")
                let head = "HTTP/1.1 408 Request Timeout\r\n"
                #expect(try stage.client.receive(exchange.client, head.utf8.count) == head)
                #expect(try stage.client.drain(exchange.client).end == "fin")
            }
        }

        /// What the upstream says must make sense, or the client hears that it does not.
        @Test func badResponses() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                for (number, response) in Self.badAnswers.enumerated() {
                    let exchange = try MessageExchange(stage)
                    try exchange.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", seen: "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    try stage.server.send(exchange.server, response)
                    let heard = try stage.client.receiveUntil(exchange.client, "HTTP/1.1 502 Bad Gateway\r\n")
                    #expect(heard.hasSuffix("HTTP/1.1 502 Bad Gateway\r\n"), "\(response)")
                    _ = try stage.client.drain(exchange.client)
                    try stage.client.close(exchange.client)
                    let record = try stage.clearway.waitForRequests(number + 1)[number]
                    #expect(record.int("status") == 502 && record.ending == "upstream-protocol", "\(response)")
                }
            }
        }

        static let badAnswers = [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 40),
        ]

        /// A response that ends early must not look whole.
        @Test(arguments: ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"])
        func truncatedResponses(response: String) throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                try exchange.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", seen: "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                try stage.server.send(exchange.server, "HTTP/1.1 200 OK\r\n\(response)")
                try stage.server.close(exchange.server)
                #expect(try stage.client.drain(exchange.client).end == "ECONNRESET")
                #expect(try stage.clearway.waitForRequests(1)[0].ending == "upstream-protocol")
            }
        }

        /// What comes behind a response was asked for by nobody, and answers nobody.
        @Test func leftoverBytesAnswerNobody() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                try exchange.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", seen: "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                try exchange.answer(response + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", seen: response)
                try stage.client.send(exchange.client, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
                try exchange.accept()
                #expect(try stage.server.receive(exchange.server, 31) == "GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
                try exchange.answer(response, seen: response)
            }
        }

        /// A server that closes a connection nobody uses costs no request.
        @Test func aConnectionThatHasEndedIsOpenedAgain() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                try exchange.ask(request, seen: request)
                try exchange.answer(response, seen: response)
                try stage.server.close(exchange.server)
                try stage.client.send(exchange.client, request)
                try exchange.accept()
                #expect(try stage.server.receive(exchange.server, request.utf8.count) == request)
                // Having read the request it ends without an answer: that may be asked again, once the connection is not fresh.
                try exchange.answer(response, seen: response)
                try stage.client.send(exchange.client, request)
                #expect(try stage.server.receive(exchange.server, request.utf8.count) == request)
                try stage.server.close(exchange.server)
                try exchange.accept()
                #expect(try stage.server.receive(exchange.server, request.utf8.count) == request)
                try stage.server.close(exchange.server)
                let head = "HTTP/1.1 502 Bad Gateway\r\n"
                #expect(try stage.client.receive(exchange.client, head.utf8.count) == head)
            }
        }

        @Test func whatIsNotIdempotentIsAskedOnce() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                try exchange.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", seen: "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                try exchange.answer(response, seen: response)
                let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                try exchange.ask(request, seen: request)
                try stage.server.close(exchange.server)
                let head = "HTTP/1.1 502 Bad Gateway\r\n"
                #expect(try stage.client.receive(exchange.client, head.utf8.count) == head)
            }
        }

        /// Servers and clients write heads and bodies one after the other, and wait for the first to be acknowledged (Nagle). The quickest of
        /// several counts: it is a delay of 40 ms and more, or none.
        @Test func whatIsNotWholeIsAcknowledged() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let exchange = try MessageExchange(stage)
                var (requests, responses) = ([Double](), [Double]())
                for _ in 1...8 {
                    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
                    let sent = try stage.client.perform("send_acknowledged", ["socket": exchange.client, "text": request])
                    requests.append(sent.double("seconds"))
                    try exchange.ask("body", seen: request + "body")
                    let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
                    let answered = try stage.server.perform("send_acknowledged", ["socket": exchange.server, "text": response])
                    responses.append(answered.double("seconds"))
                    try exchange.answer("ok", seen: response + "ok")
                }
                #expect(requests.min()! < 0.03 && responses.min()! < 0.03, "\(requests) \(responses)")
            }
        }

        /// A client keeps its connection for as long as it likes: the next request meets the new rules all the same.
        @Test func rulesThatHaveChanged() throws {
            let variant = Variant()
            try play(variant, configuration: Self.configuration(variant)) { stage in
                let (busy, idle) = (try MessageExchange(stage), try MessageExchange(stage))
                let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                try idle.ask(request, seen: request)
                try idle.answer(response, seen: response)
                try busy.ask(request, seen: request)
                try stage.clearway.reload(
                    Self.configuration(variant, policy: "[[rule]]\nmethod = \"GET\"\naction = \"reject\"\n"))
                #expect(try stage.client.drain(idle.client).end == "fin")
                try busy.answer(response, seen: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                #expect(try stage.client.drain(busy.client).end == "fin")
                let next = try stage.client.connect(variant.family.server, busy.listener.int("port")).socket
                try stage.client.send(next, request)
                #expect(try stage.client.receive(next, 12) == "HTTP/1.1 403")
            }
        }
    }
}

/// The two ends of what is carried, with the messages that each sends and sees.
final class MessageExchange {
    let stage: Stage
    let listener: Answer
    let client: Int
    private(set) var server = -1

    init(_ stage: Stage) throws {
        self.stage = stage
        listener = try stage.server.listen(stage.variant.family.server)
        client = try stage.client.connect(stage.variant.family.server, listener.int("port")).socket
    }

    func accept() throws { server = try stage.server.accept(listener).socket }

    func ask(_ request: String, seen: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try stage.client.send(client, request)
        if server < 0 { try accept() }
        #expect(try stage.server.receive(server, seen.utf8.count) == seen, sourceLocation: sourceLocation)
    }

    func answer(_ response: String, seen: String, ends: Bool = false, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try stage.server.send(server, response)
        if ends { try stage.server.close(server) }
        #expect(try stage.client.receive(client, seen.utf8.count) == seen, sourceLocation: sourceLocation)
        if ends { #expect(try stage.client.drain(client).end == "fin", sourceLocation: sourceLocation) }
    }
}

/// The data in a body of chunks.
private func dechunked(_ body: String) -> String {
    let lines = body.split(separator: "\r\n", omittingEmptySubsequences: false)
    var data = ""
    var index = 0
    while index + 1 < lines.count, let size = Int(lines[index], radix: 16), size > 0 {
        data += lines[index + 1]
        index += 2
    }
    return data
}
