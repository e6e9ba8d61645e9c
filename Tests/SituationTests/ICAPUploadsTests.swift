import Testing

extension Situations {
    /// Requests that a service of ICAP gives back changed, whose bodies still come from it when the server says something.
    @Suite struct ICAPUploads {
        private static let get = "GET /account HTTP/1.1\r\nHost: a\r\n\r\n"
        private static let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        private static let goOn = "HTTP/1.1 100 Continue\r\n\r\n"
        /// As a service would say it, in place of somebody else's request.
        private static let forged: String = {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
            return "ICAP/1.0 200 OK\r\nISTag: \"t\"\r\nEncapsulated: res-hdr=0, res-body=\(head.utf8.count)\r\n\r\n"
                + head + "5\r\npwned\r\n0\r\n\r\n"
        }()
        private static let head = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: \(forged.utf8.count)\r\n\r\n"

        private static func play(
            _ keys: String = "", response: String? = nil, policy: String = "", _ situation: (Stage, Peer) throws -> Void
        ) throws {
            var configuration = ICAP.configuration(request: "x", response: response, keys: keys)
            configuration.policy += policy
            try SituationTests.play(Variant(), configuration: configuration) { stage in
                let scanner = try stage.peer(in: stage.topology.router)
                try scanner.perform("icap", ["manner": "held"])
                try situation(stage, scanner)
            }
        }

        /// A request whose head the server has, and whose body the service holds.
        private static func held(_ stage: Stage) throws -> MessageExchange {
            let exchange = try MessageExchange(stage)
            try stage.client.send(exchange.client, head + forged)
            try exchange.ask("", seen: head)
            return exchange
        }

        private static func passes(_ stage: Stage, _ scanner: Peer) throws {
            try scanner.perform("icap", ["manner": "unchanged"])
            let exchange = try MessageExchange(stage)
            try exchange.ask(get, seen: get)
            try exchange.answer(response, seen: response)
        }

        /// Whatever the server says before it has the body, nobody else has that connection as long as the body comes over it.
        @Test(arguments: [goOn, response])
        func oneClientsBodyIsNoOtherOnesAnswer(said: String) throws {
            try Self.play { stage, scanner in
                let upload = try Self.held(stage)
                try upload.answer(said, seen: said)
                try Self.passes(stage, scanner)
                try scanner.perform("icap_release")
                guard said == Self.goOn else { return }
                #expect(try stage.server.receive(upload.server, Self.forged.utf8.count) == Self.forged)
                try upload.answer(Self.response, seen: Self.response)
                // And the place at the service is the next one's.
                try Self.passes(stage, scanner)
                #expect(try stage.clearway.waitForRequests(3).allSatisfy { $0.int("status") == 200 })
            }
        }

        /// The client was told to send its body, and need not be told again.
        @Test func bodiesThatAreAskedFor() throws {
            try Self.play { stage, scanner in
                let exchange = try MessageExchange(stage)
                let head = Self.head.replacing("Host: a\r\n", with: "Host: a\r\nExpect: 100-continue\r\n")
                try stage.client.send(exchange.client, head)
                #expect(try stage.client.receive(exchange.client, Self.goOn.utf8.count) == Self.goOn)
                try stage.client.send(exchange.client, Self.forged)
                try exchange.ask("", seen: head)
                try stage.server.send(exchange.server, "HTTP/1.1 103 Early Hints\r\n\r\n" + Self.goOn)
                #expect(try stage.client.receiveUntil(exchange.client, "\r\n\r\n") == "HTTP/1.1 103 Early Hints\r\n\r\n")
                try scanner.perform("icap_release")
                #expect(try stage.server.receive(exchange.server, Self.forged.utf8.count) == Self.forged)
                try exchange.answer(Self.response, seen: Self.response)
            }
        }

        /// A server that begins to answer may want the rest all the same, and one of them has the only place until then.
        @Test(arguments: [nil, "y"]) func anAnswerThatBeginsEarly(scannedBy service: String?) throws {
            try Self.play("max_connections = 1", response: service) { stage, scanner in
                let upload = try Self.held(stage)
                let (head, body) = (String(Self.response.dropLast(2)), String(Self.response.suffix(2)))
                // What is scanned comes when it is whole.
                try upload.answer(head, seen: service == nil ? head : "")
                try scanner.perform("icap_release")
                #expect(try stage.server.receive(upload.server, Self.forged.utf8.count) == Self.forged)
                try upload.answer(body, seen: service == nil ? body : Self.response)
                try Self.passes(stage, scanner)
            }
        }

        /// A service that never goes on is late, whatever the server has said, and keeps nobody's place.
        @Test(arguments: [goOn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"])
        func aServiceThatStops(said: String) throws {
            try Self.play("max_connections = 1\ntimeout = \"1s\"") { stage, scanner in
                let first = try stage.clearway.descriptors
                let upload = try Self.held(stage)
                try upload.answer(said, seen: said)
                if said == Self.goOn {
                    #expect(try stage.client.receiveUntil(upload.client, "\r\n\r\n").hasPrefix("HTTP/1.1 503 "))
                    #expect(try stage.clearway.waitForRequests(1)[0].ending == "proxy-service")
                    #expect(try stage.clearway.log.contains("no answer in time"))
                    try Self.passes(stage, scanner)
                } else {
                    // The answer counts, though the request is not whole. Its client, its server, and a pair between them stay.
                    try waitUntil("an end of the service's connection") { try stage.clearway.descriptors <= first + 4 }
                    try Self.passes(stage, scanner)
                    try upload.answer("ok", seen: "ok")
                }
                try stage.client.close(upload.client)
                try waitUntil("nothing left of the first") { try stage.clearway.descriptors <= first + 5 }
            }
        }

        /// What is left of the request would be lost between two protocols.
        @Test func anotherProtocolTooEarly() throws {
            try Self.play { stage, _ in
                let exchange = try MessageExchange(stage)
                let head = Self.head.replacing("Host: a\r\n", with: "Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
                try stage.client.send(exchange.client, head + Self.forged)
                try exchange.ask("", seen: head)
                try stage.server.send(
                    exchange.server, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
                #expect(try stage.client.receiveUntil(exchange.client, "\r\n\r\n").hasPrefix("HTTP/1.1 502 "))
            }
        }

        /// What is left of a body that was replaced is no request.
        @Test func theRestOfABody() throws {
            try Self.play { stage, scanner in
                try scanner.perform("icap", ["manner": "a request replaced"])
                let exchange = try MessageExchange(stage)
                let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
                let body = String(repeating: "x", count: 16) + smuggled + String(repeating: "y", count: 70_000)
                let head = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
                try stage.client.send(exchange.client, head + body.prefix(16))
                let seen = "POST /replaced HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                try exchange.ask("", seen: seen)
                try scanner.perform("icap", ["manner": "unchanged"])
                try stage.client.send(exchange.client, String(body.dropFirst(16)))
                try stage.server.send(exchange.server, Self.response)
                #expect(try stage.client.receiveUntil(exchange.client, "ok").hasPrefix("HTTP/1.1 200 OK\r\n"))
                #expect(try stage.server.drain(exchange.server).int("bytes") == 0)
            }
        }

        /// What a service has refused is not said of the next request, though a rule has had the last word on the first.
        @Test func whatIsSaidOfOneRequest() throws {
            let rule = "[[rule]]\ncontent_type = [\"text/plain\"]\naction = \"reject\"\n"
            try Self.play(policy: rule) { stage, scanner in
                try scanner.perform("icap", ["manner": "refused"])
                let exchange = try MessageExchange(stage)
                try stage.client.send(exchange.client, Self.get)
                #expect(try stage.client.receiveUntil(exchange.client, "this request.\n").hasPrefix("HTTP/1.1 403 "))
                try exchange.accept()
                try scanner.perform("icap", ["manner": "unchanged"])
                try stage.client.send(exchange.client, Self.get)
                #expect(try stage.server.drain(exchange.server).int("bytes") == 0)
                try exchange.accept()
                try exchange.ask("", seen: Self.get)
                let page = Self.response.replacing("OK\r\n", with: "OK\r\nContent-Type: text/html\r\n")
                try exchange.answer(page, seen: page)
                let records = try stage.clearway.waitForRequests(2)
                #expect(records.map { $0.int("status") } == [403, 200])
                #expect(records.map { $0.ending == "proxy-rejected" } == [true, false])
            }
        }
    }
}
