import Foundation
import Testing

extension Situations {
    /// Connections on which something else than HTTP is spoken where requests are understood, and what only seems to be.
    @Suite struct HTTPOthers {
        /// What is no HTTP is carried as it is, whoever speaks first.
        @Test func otherProtocolsAreRelayed() throws {
            let variant = Variant()
            try play(variant, configuration: InterceptedHTTP.configuration(variant)) { stage in
                for clientFirst in [true, false] {
                    let exchange = try MessageExchange(stage)
                    if clientFirst { try stage.client.send(exchange.client, "SSH-2.0-Client me\r\n") }
                    try exchange.accept()
                    if clientFirst { #expect(try stage.server.receive(exchange.server, 19) == "SSH-2.0-Client me\r\n") }
                    try stage.server.send(exchange.server, "220 ready\r\n")
                    #expect(try stage.client.receive(exchange.client, 11) == "220 ready\r\n")
                    try stage.client.close(exchange.client)
                    try stage.server.close(exchange.server)
                }
                let records = try stage.clearway.waitForSessions(2)
                #expect(records.map { $0.int("down") } == [11, 11])
            }
        }

        /// Having waited until nobody seems to listen, a client is still judged.
        @Test func silenceIsNoWayAround() throws {
            let variant = Variant()
            let policy = "[[rule]]\ndomain = \"blocked.example\"\naction = \"reject\""
            try play(variant, configuration: InterceptedHTTP.configuration(variant, policy: policy)) { stage in
                let exchange = try MessageExchange(stage)
                // Its upstream is connected, for it may be one that speaks first.
                try exchange.accept()
                try stage.client.send(exchange.client, "GET / HTTP/1.1\r\nHost: blocked.example\r\n\r\n")
                let head = "HTTP/1.1 403 Forbidden\r\n"
                #expect(try stage.client.receive(exchange.client, head.utf8.count) == head)
                try stage.client.close(exchange.client)
                #expect(try stage.server.drain(exchange.server).int("bytes") == 0)
            }
        }

        /// Nor does a segment that ends in the middle of a method, however long that is, let what follows pass unseen.
        @Test func aLongMethodInPieces() throws {
            let variant = Variant()
            let policy = "[[rule]]\npath = \"/admin/*\"\naction = \"reject\""
            try play(variant, configuration: InterceptedHTTP.configuration(variant, policy: policy)) { stage in
                let exchange = try MessageExchange(stage)
                let method = String(repeating: "A", count: 70)
                try stage.client.send(exchange.client, method)
                // Other protocols begin so, too: it is carried.
                try exchange.accept()
                #expect(try stage.server.receive(exchange.server, 70) == method)
                try stage.client.send(exchange.client, " / HTTP/1.1\r\nHost: a\r\n\r\nGET /admin/ HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try stage.client.drain(exchange.client).end == "ECONNRESET")
                #expect(try stage.server.drain(exchange.server).int("bytes") == 0)
                #expect(try stage.clearway.waitForSessions(1)[0].ending == "client-protocol")
            }
        }

        /// Nor is it one behind which there is no time left for a request in pieces.
        @Test func aRequestInPiecesAfterSilence() throws {
            let variant = Variant()
            var configuration = InterceptedHTTP.configuration(variant)
            configuration.timeouts = "handshake = \"1s\"\nsniff = \"50ms\""
            try play(variant, configuration: configuration) { stage in
                let exchange = try MessageExchange(stage)
                try exchange.accept()
                Thread.sleep(forTimeInterval: 1.2)
                try stage.client.send(exchange.client, "GE")
                Thread.sleep(forTimeInterval: 0.2)
                try exchange.ask("T / HTTP/1.1\r\nHost: a\r\n\r\n", seen: "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            }
        }

        /// HTTP/2 is carried like other protocols, unless somebody asks for what its requests say.
        @Test(
            arguments: [
                ("", ""), ("path = \"/admin/*\"", ""), ("domain = \"blocked.example\"", ""), ("content_type = \"video/*\"", ""),
                ("", "request_headers = { set = { X = \"1\" } }"), ("", "response_headers = { remove = [\"X\"] }"),
            ])
        func theNextVersion(criterion: String, more: String) throws {
            let variant = Variant()
            let policy = criterion.isEmpty ? "" : "[[rule]]\n\(criterion)\naction = \"reject\"\n"
            try play(variant, configuration: InterceptedHTTP.configuration(variant, more: more, policy: policy)) { stage in
                let exchange = try MessageExchange(stage)
                let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u{0}\u{0}\u{0}\u{4}\u{0}\u{0}\u{0}\u{0}\u{0}"
                try stage.client.send(exchange.client, preface)
                if criterion.isEmpty, more.isEmpty {
                    try exchange.accept()
                    #expect(try stage.server.receive(exchange.server, preface.utf8.count) == preface)
                } else {
                    #expect(try stage.client.receive(exchange.client, 12) == "HTTP/1.1 505")
                }
            }
        }

        @Test func othersCanBeRejected() throws {
            let variant = Variant()
            try play(variant, configuration: InterceptedHTTP.configuration(variant, more: "on_other = \"reject\"")) { stage in
                let exchange = try MessageExchange(stage)
                try stage.client.send(exchange.client, "EHLO me\r\n")
                #expect(try stage.client.drain(exchange.client).end == "ECONNRESET")
                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.ending == "client-protocol" && record.string("reason") == "it speaks no HTTP")
            }
        }

        private static let judged = "[[rule]]\npath = \"/admin*\"\naction = \"reject\""

        /// Protocols whose first words have no line's end, and whose clients wait for an answer to them: they get it, and what follows is
        /// theirs, whatever it looks like.
        @Test(arguments: ["", judged])
        func whatHasNoLines(policy: String) throws {
            let variant = Variant()
            try play(variant, configuration: InterceptedHTTP.configuration(variant, policy: policy)) { stage in
                let words = [
                    "<?xml version='1.0'?><stream:stream to='x' version='1.0'>",
                    "{\"jsonrpc\": \"2.0\", \"method\": \"GET /admin\"}", "ruok",
                    "{\"text\": \"" + String(repeating: "a ", count: 20_000), "FOO /x", "=",
                ]
                for (number, word) in words.enumerated() {
                    let exchange = try MessageExchange(stage)
                    try stage.client.send(exchange.client, word)
                    try exchange.accept()
                    #expect(try stage.server.receive(exchange.server, word.utf8.count) == word)
                    try stage.server.send(exchange.server, "answer")
                    #expect(try stage.client.receive(exchange.client, 6) == "answer")
                    try stage.client.send(exchange.client, "<a> HTTP/1.1\n/admin\n")
                    #expect(try stage.server.receive(exchange.server, 20) == "<a> HTTP/1.1\n/admin\n")
                    try stage.client.close(exchange.client)
                    try stage.server.close(exchange.server)
                    let record = try stage.clearway.waitForSessions(number + 1)[number]
                    #expect(record.int("up") == word.utf8.count + 20 && record.int("down") == 6, "\(word.prefix(40))")
                }
            }
        }

        /// As many bytes of it as there may be were carried; its end is not.
        @Test func requestsThatDoNotSayWhatTheyAre() throws {
            let variant = Variant()
            try play(variant, configuration: InterceptedHTTP.configuration(variant, policy: Self.judged)) { stage in
                let requests = [
                    ("G@T /admin/", "x HTTP/1.1\r\n\r\n"), ("FOO /admin", "\n"),
                    ("{} " + String(repeating: "x", count: 20_000), " http/1.0\r\n"),
                    ("FOO h", "ttp://a/admin\r\n"), ("FOO /admin", ""),
                ]
                for (number, (begin, end)) in requests.enumerated() {
                    let exchange = try MessageExchange(stage)
                    try stage.client.send(exchange.client, begin)
                    try exchange.accept()
                    #expect(try stage.server.receive(exchange.server, begin.utf8.count) == begin)
                    // Or with the connection.
                    if end.isEmpty { try stage.client.shut(exchange.client) } else { try stage.client.send(exchange.client, end) }
                    #expect(try stage.client.drain(exchange.client).end == "ECONNRESET")
                    let rest = try stage.server.drain(exchange.server)
                    #expect(rest.int("bytes") == 0 && rest.end == "ECONNRESET", "\(begin.prefix(40))")
                    let record = try stage.clearway.waitForSessions(number + 1)[number]
                    #expect(record.ending == "client-protocol" && record.int("up") == begin.utf8.count, "\(begin.prefix(40))")
                }
            }
        }

        /// A server of HTTP/2 answers before the line is whole, or speaks first; nobody would judge what it is asked.
        @Test(arguments: ["PRI", "", "\u{1}"])
        func serversThatAnswerEarly(word: String) throws {
            let variant = Variant()
            try play(variant, configuration: InterceptedHTTP.configuration(variant, policy: Self.judged)) { stage in
                let exchange = try MessageExchange(stage)
                if !word.isEmpty { try stage.client.send(exchange.client, word) }
                try exchange.accept()
                #expect(try stage.server.receive(exchange.server, word.utf8.count) == word)
                let settings = "\u{0}\u{0}\u{0}\u{4}\u{0}\u{0}\u{0}\u{0}\u{0}"
                if word != "\u{1}" {
                    try stage.server.send(exchange.server, settings)
                    #expect(try stage.client.receive(exchange.client, 9) == settings)
                }
                let request = word == "\u{1}" ? "FOO /admin HTTP/1.1\r\n" : "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                try stage.client.send(exchange.client, String(request.dropFirst(word == "\u{1}" ? 0 : word.count)))
                #expect(try stage.client.drain(exchange.client).end == "ECONNRESET")
                #expect(try stage.server.drain(exchange.server).int("bytes") == 0)
                #expect(try stage.clearway.waitForSessions(1)[0].ending == "client-protocol")
            }
        }

        /// git's own protocol, whose request has a NUL and no line's end.
        @Test(arguments: ["", judged])
        func gitByItself(policy: String) throws {
            let variant = Variant()
            try play(variant, configuration: InterceptedHTTP.configuration(variant, policy: policy)) { stage in
                let base = stage.topology.scratch.file("git")
                try stage.topology.server.require(["git", "init", "-q", "--bare", "\(base)/project.git"])
                _ = try stage.topology.server.start(["git", "daemon", "--export-all", "--base-path=\(base)", "--reuseaddr", base])
                try stage.topology.server.waitUntilListening(on: 9_418)
                let heard = try stage.topology.client.finish(["git", "ls-remote", "git://\(Family.v4.server)/project.git"])
                #expect(heard.succeeded, "\(heard)")
            }
        }
    }
}
