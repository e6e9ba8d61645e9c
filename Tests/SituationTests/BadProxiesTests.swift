import Testing

extension PatientSituations {
    /// Proxies that say no, say nonsense, or say nothing: the session ends as it must, and the next one is well.
    @Suite struct BadProxies {
        struct Script: CustomTestStringConvertible, Sendable {
            var testDescription: String
            var url = "socks5"
            /// Sent as soon as the request is here, in these pieces.
            var answer: [String] = []
            var closes = false
            var ending: String
            /// It is the destination that is refused, and a warning names that.
            var saysWhatWasAsked: Bool { ending == "upstream-rejected" && testDescription != "no method accepted" }
        }

        static let scripts: [Script] =
            (1...8).map { code in
                let causes = [3: "unreachable", 4: "unreachable", 5: "refused", 6: "timeout"]
                return Script(
                    testDescription: "SOCKS5 reply \(code)",
                    answer: ["\u{5}\0\u{5}\(Character(UnicodeScalar(UInt8(code))))\0\u{1}\0\0\0\0\0\0"],
                    ending: "upstream-\(causes[code] ?? "rejected")")
            } + [
                Script(testDescription: "no method accepted", answer: ["\u{5}\u{FF}"], ending: "upstream-rejected"),
                Script(testDescription: "another protocol", answer: ["SSH-2.0-x\r\n"], ending: "upstream-protocol"),
                Script(testDescription: "an end", closes: true, ending: "upstream-protocol"),
                Script(
                    testDescription: "an end in mid-reply", answer: ["\u{5}\0\u{5}\0\0"], closes: true, ending: "upstream-protocol"),
                Script(testDescription: "silence", ending: "upstream-timeout"),
                Script(testDescription: "half a reply, then silence", answer: ["\u{5}\0\u{5}"], ending: "upstream-timeout"),
                Script(
                    testDescription: "SOCKS4 refused", url: "socks4a", answer: ["\0\u{5B}\0\0\0\0\0\0"], ending: "upstream-rejected"
                ),
                Script(
                    testDescription: "CONNECT forbidden", url: "http", answer: ["HTTP/1.1 403 No\r\n\r\n"],
                    ending: "upstream-rejected"),
                Script(
                    testDescription: "CONNECT, bad gateway", url: "http", answer: ["HTTP/1.0 502 Bad\r\n\r\n"],
                    ending: "upstream-refused"),
                Script(
                    testDescription: "CONNECT, gateway timeout", url: "http", answer: ["HTTP/1.0 504 x\r\n\r\n"],
                    ending: "upstream-timeout"),
                Script(
                    testDescription: "CONNECT, a header without end", url: "http",
                    answer: ["HTTP/1.1 200 OK\r\n"]
                        + Array(repeating: "X: " + String(repeating: "y", count: 4_000) + "\r\n", count: 5),
                    ending: "upstream-protocol"),
            ]

        @Test(arguments: scripts)
        func theSessionEnds(script: Script) throws {
            try play(script) { stage, listener in
                let client = try stage.client.connect(Family.v4.server, 7_777)
                let proxy = try stage.server.accept(listener)
                _ = try stage.server.receive(proxy.socket, 3)
                for piece in script.answer {
                    // It may have heard enough already.
                    do { try stage.server.send(proxy.socket, piece) } catch is PeerFailure { break }
                }
                if script.closes { try stage.server.close(proxy.socket) }
                #expect(try stage.client.drain(client.socket).end == "ECONNRESET")
                try stage.expectEnding(script.ending)
                guard script.saysWhatWasAsked else { return }
                try waitUntil("what was asked for") {
                    try stage.clearway.records("session failed").contains {
                        $0.string("reason").hasSuffix(", asked for 198.51.100.2:7777")
                    }
                }
            }
        }

        /// Bytes all the time, up to the deadline and beyond: the last of them must not make it be forgotten.
        @Test(arguments: [1_000, 1_300])
        func oneThatDribblesPastTheDeadlineIsGivenUp(count: Int) throws {
            try play(Script(testDescription: "", url: "http", ending: "")) { stage, listener in
                let clients = try (0..<8).map { _ in try stage.client.connect(Family.v4.server, 7_777) }
                let proxies = try clients.map { _ in try stage.server.accept(listener) }
                let text = "HTTP/1.1 200 OK\r\nX: " + String(repeating: "y", count: count)
                let dribbles = try proxies.map {
                    try stage.server.begin("dribble", ["socket": $0.socket, "text": text, "pause": 0.001])
                }
                for client in clients { #expect(try stage.client.drain(client.socket).end == "ECONNRESET") }
                for dribble in dribbles { do { _ = try stage.server.answer(to: dribble) } catch is PeerFailure {} }
                let records = try stage.clearway.waitForSessions(clients.count)
                #expect(records.allSatisfy { $0.ending == "upstream-timeout" })
            }
        }

        @Test(arguments: ["socks5", "http"])
        func aSlowOneIsWaitedForAndLosesNothing(url: String) throws {
            let steps: [(asked: String, answer: String)] =
                url == "http"
                ? [("CONNECT 198.51.100.2:7777 HTTP/1.1\r\nHost: 198.51.100.2:7777\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n")]
                : [
                    ("\u{5}\u{1}\0", "\u{5}\0"),
                    ("\u{5}\u{1}\0\u{1}\u{C6}\u{33}\u{64}\u{2}\u{1E}\u{61}", "\u{5}\0\0\u{1}\0\0\0\0\0\0"),
                ]
            try play(Script(testDescription: "", url: url, ending: "")) { stage, listener in
                let client = try stage.client.connect(Family.v4.server, 7_777)
                try stage.client.send(client.socket, "early")
                let proxy = try stage.server.accept(listener)
                for (asked, answer) in steps {
                    #expect(try stage.server.receive(proxy.socket, asked.unicodeScalars.count) == asked)
                    let bytes = Array(answer.unicodeScalars)
                    let start = String(String.UnicodeScalarView(bytes.dropLast()))
                    try stage.server.perform("dribble", ["socket": proxy.socket, "text": start, "pause": 0.01])
                    // The upstream's first bytes come in one piece with the last of the answer's.
                    let end = String(String.UnicodeScalarView(bytes.suffix(1)))
                    try stage.server.send(proxy.socket, answer == steps.last?.answer ? end + "220 ready\r\n" : end)
                }
                #expect(try stage.client.receive(client.socket, 11) == "220 ready\r\n")
                #expect(try stage.server.receive(proxy.socket, 5) == "early")
            }
        }

        /// A Clearway whose only upstream is a listener of the server's.
        private func play(_ script: Script, _ situation: (Stage, Answer) throws -> Void) throws {
            var configuration = ClearwayConfiguration(Variant(), timeouts: "connect = \"1s\"")
            configuration.policy = Situations.Upstreams.everything(through: "\(script.url)://198.51.100.2:PORT")
            try SituationTests.play(Variant(), configuration: configuration) { stage in
                try situation(stage, try stage.server.listen(Family.v4.server, port: 1090))
            }
        }
    }
}
