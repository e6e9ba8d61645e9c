import Foundation
import Testing

extension PatientSituations {
    /// Answers of ours that are more than a socket takes at once, to clients that take little at once.
    @Suite struct HTTPPages {
        private static let variant = Variant()
        private static let page = "<html>" + String(repeating: "x", count: 64_000) + "</html>"
        private static let policy = """
            [[rule]]
            path = "/big*"
            action = "reject"
            page = "big.html"

            """

        private static func configuration(timeouts: String = "", policy: String = policy) -> ClearwayConfiguration {
            var configuration = Situations.InterceptedHTTP.configuration(variant, policy: policy)
            configuration.timeouts = timeouts
            return configuration
        }

        private static func connect(_ stage: Stage) throws -> Int {
            let listener = try stage.server.listen(variant.family.server)
            return try stage.client.connect(variant.family.server, listener.int("port"), ["receive_buffer": 4_096]).socket
        }

        private static func length(_ head: String) -> Int {
            let line = head.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }
            return line.flatMap { Int($0.dropFirst(16)) } ?? -1
        }

        /// A client has the time of a head from when it has the last answer, and hears nothing else in the middle of that.
        @Test func aHeadBehindAPageThatIsOnItsWay() throws {
            try play(Self.variant, start: false) { stage in
                try stage.topology.scratch.write(Self.page, to: "big.html")
                let clearway = try stage.startClearway(Self.configuration(timeouts: "handshake = \"500ms\""))
                let client = try Self.connect(stage)
                let request = "GET /big HTTP/1.1\r\nHost: a\r\n\r\n"
                try stage.client.send(client, String(repeating: request, count: 4) + "GET /late")
                // Longer than a head may take.
                Thread.sleep(forTimeInterval: 1)
                var sizes: [Int] = []
                for _ in 1...4 {
                    let head = try stage.client.receiveUntil(client, "\r\n\r\n")
                    #expect(head.hasPrefix("HTTP/1.1 403 ") && Self.length(head) == Self.page.utf8.count)
                    #expect(try stage.client.receive(client, Self.page.utf8.count) == Self.page)
                    sizes.append(head.utf8.count + Self.page.utf8.count)
                }
                #expect(try stage.client.receive(client, 12) == "HTTP/1.1 408")
                #expect(try stage.client.drain(client).end == "fin")
                // Each has its own bytes.
                #expect(try clearway.waitForRequests(4).map { $0.int("down") } == sizes)
            }
        }

        private static let lastRequests = [
            "GET /big HTTP/1.0\r\n\r\n", "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "GET /big?\(String(repeating: "\"", count: 1_000)) HTTP/1.0\r\n\r\n",
        ]

        /// Whole, though the connection ends behind them.
        @Test func pagesThatEndTheConnection() throws {
            try play(Self.variant, start: false) { stage in
                try stage.topology.scratch.write(Self.page + String(repeating: "{url}", count: 8), to: "big.html")
                let clearway = try stage.startClearway(Self.configuration(timeouts: ""))
                for (number, request) in Self.lastRequests.enumerated() {
                    let client = try Self.connect(stage)
                    try stage.client.send(client, request)
                    let record = try clearway.waitForRequests(number + 1)[number]
                    let head = try stage.client.receiveUntil(client, "\r\n\r\n")
                    #expect(head.hasPrefix("HTTP/1.1 403 ") && head.contains("\r\nConnection: close\r\n"))
                    let body = try stage.client.drain(client)
                    #expect(body.int("bytes") == Self.length(head) && body.end == "fin", "\(request.prefix(30))")
                    #expect(record.int("down") == head.utf8.count + body.int("bytes") && record.ending == "proxy-rejected")
                    try stage.client.close(client)
                }
            }
        }

        /// Also where a rule is asked as the way of a request is sought.
        @Test func pagesOfForwardedRequests() throws {
            try play(Self.variant, start: false) { stage in
                try stage.topology.scratch.write(Self.page + String(repeating: "{url}", count: 8), to: "big.html")
                try stage.startClearway(.serving("http", more: "via = false", policy: Self.policy))
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080, ["receive_buffer": 4_096]).socket
                let query = String(repeating: "\"", count: 1_000)
                try stage.client.send(
                    client, "GET http://\(Self.variant.family.server)/big?\(query) HTTP/1.1\r\nHost: a\r\n\r\n")
                let head = try stage.client.receiveUntil(client, "\r\n\r\n")
                #expect(head.hasPrefix("HTTP/1.1 403 "))
                let body = try stage.client.drain(client)
                #expect(body.int("bytes") == Self.length(head) && body.int("bytes") > 100_000 && body.end == "fin")
            }
        }

        /// Whoever does not take one is not waited for without end.
        @Test(arguments: ["1.0", "1.1"])
        func nobodyReads(version: String) throws {
            try play(Self.variant, start: false) { stage in
                try stage.topology.scratch.write(Self.page + String(repeating: "{url}", count: 8), to: "big.html")
                let clearway = try stage.startClearway(Self.configuration(timeouts: "idle = \"1s\""))
                let client = try Self.connect(stage)
                let request = "GET /big?\(String(repeating: "\"", count: 1_000)) HTTP/\(version)\r\nHost: a\r\n\r\n"
                try stage.client.send(client, request)
                #expect(try clearway.waitForRequests(1)[0].ending == "proxy-rejected")
                // Nothing is left to the kernel, either.
                try waitUntil("no socket any more", limit: 8) {
                    try stage.topology.router.require(["ss", "-Htn", "dst", Self.variant.family.client]).isEmpty
                }
            }
        }

        /// What the server has said before comes first, whole.
        @Test func anAnswerOfOursBehindAnInterimResponse() throws {
            try play(Self.variant, configuration: Self.configuration(policy: "")) { stage in
                let listener = try stage.server.listen(Self.variant.family.server)
                let client = try stage.client.connect(
                    Self.variant.family.server, listener.int("port"), ["receive_buffer": 4_096]
                ).socket
                let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                try stage.client.send(client, request)
                let server = try stage.server.accept(listener).socket
                #expect(try stage.server.receive(server, request.utf8.count) == request)
                let fields = (1...4).map { "X-\($0): \(String(repeating: "x", count: 15_900))\r\n" }.joined()
                let interim = "HTTP/1.1 103 Early Hints\r\n\(fields)\r\n"
                for _ in 1...4 { try stage.server.send(server, interim) }
                #expect(try stage.client.receive(client, 12) == "HTTP/1.1 103")
                try stage.client.send(client, "no length\r\n")
                #expect(try stage.clearway.waitForRequests(1)[0].int("status") == 400)
                // As many as were begun.
                var status = "HTTP/1.1 103"
                while status == "HTTP/1.1 103" {
                    let rest = interim.dropFirst(status.utf8.count)
                    #expect(try stage.client.receive(client, rest.utf8.count) == rest)
                    status = try stage.client.receive(client, 12)
                }
                #expect(status == "HTTP/1.1 400")
                #expect(try stage.client.drain(client).end == "fin")
            }
        }
    }
}
