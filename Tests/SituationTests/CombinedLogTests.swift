import Foundation
import Testing

extension Situations {
    /// Requests in the format of web servers' logs: their file has them and nothing else.
    @Suite struct CombinedLog {
        private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

        /// Everything about requests that must not be found in a log.
        private static let secrets = ["c2VjcmV0", "cookie-of-mine", "token-of-mine", "hunter2"]

        private static func configuration(_ file: String, format: String, query: Bool = true) -> ClearwayConfiguration {
            var configuration = InterceptedHTTP.configuration(Variant())
            configuration.logFormat = format
            configuration.logFile = file
            configuration.logMore = "query = \(query)"
            return configuration
        }

        private static func lines(_ file: String) -> [String] {
            ((try? String(contentsOfFile: file, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
        }

        private static func ask(_ stage: Stage, _ path: String) throws {
            let exchange = try MessageExchange(stage)
            try stage.client.send(
                exchange.client,
                "GET \(path) HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic c2VjcmV0\r\nCookie: id=cookie-of-mine\r\n"
                    + "Referer: http://me:hunter2@b.example/x?y=token-of-mine\r\nUser-Agent: a \"quoted\" \u{E9} one\r\n\r\n")
            try exchange.accept()
            _ = try stage.server.receiveUntil(exchange.server, "\r\n\r\n")
            try exchange.answer(Self.ok, seen: Self.ok)
            try stage.client.close(exchange.client)
        }

        @Test func requestsHaveTheFileToThemselves() throws {
            let scratch = try ScratchDirectory()
            defer { scratch.remove() }
            let file = scratch.file("access.log")
            try play(Variant(), start: false) { stage in
                let configuration = Self.configuration(file, format: "combined", query: false)
                let clearway = try Clearway(in: stage.topology.router, configuration: configuration)
                func said() -> String { clearway.program.standardError }
                try waitUntil("Clearway ready") { said().contains("\"ready\"") }
                try Self.ask(stage, "/one?key=token-of-mine")
                try waitUntil("the request's line") { Self.lines(file).count == 1 }
                let line =
                    /192\.0\.2\.2 - - \[\d\d\/[A-Z][a-z][a-z]\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/one\? HTTP\/1\.1" 200 2 "http:\/\/b\.example\/x\?" "a \\"quoted\\" \\xe9 one"/
                #expect(Self.lines(file)[0].wholeMatch(of: line) != nil, "\(Self.lines(file))")

                // What is no HTTP, and what Clearway says of itself.
                let (client, server) = try stage.connected()
                try stage.client.send(client, "\u{1}\u{2}")
                #expect(try stage.server.receive(server, 2) == "\u{1}\u{2}")
                try stage.client.shut(client)
                try stage.server.shut(server)
                try waitUntil("the session's record") { said().contains(" clearway info: \"session\" ") }

                // After logrotate.
                try FileManager.default.moveItem(atPath: file, toPath: file + ".1")
                clearway.program.signal(SIGUSR1)
                try waitUntil("a new file") { FileManager.default.fileExists(atPath: file) }
                try Self.ask(stage, "/two")
                try waitUntil("the request's line") { Self.lines(file).count == 1 }

                // Another format takes the file over for everything.
                try Self.configuration(file, format: "logfmt").toml.write(
                    toFile: clearway.configurationFile, atomically: true, encoding: .utf8)
                clearway.program.signal(SIGHUP)
                try waitUntil("the new format") { Self.lines(file).contains { $0.contains("message=\"reloaded\"") } }
                try Self.ask(stage, "/three?shown")
                try waitUntil("the request's record") { Self.lines(file).contains { $0.contains("target=\"/three?shown\"") } }
                #expect(try clearway.stop() == .exited(0))
                #expect(Self.lines(file).first?.contains("\"GET /two HTTP/1.1\" 200 2 ") == true)
                #expect(Self.lines(file + ".1").count == 1 && !said().contains("/one"))
            }
        }

        /// Of answers that end a connection, and of those in place of others.
        @Test func ourOwnAnswersHaveTheirBytes() throws {
            let scratch = try ScratchDirectory()
            defer { scratch.remove() }
            let file = scratch.file("access.log")
            try play(Variant(), start: false) { stage in
                var configuration = Self.configuration(file, format: "combined")
                configuration.policy = """
                    [[rule]]
                    path = "/shut"
                    action = "reject"
                    [[rule]]
                    content_type = "video/*"
                    action = "reject"

                    """
                let clearway = try Clearway(in: stage.topology.router, configuration: configuration)
                try waitUntil("Clearway ready") { clearway.program.standardError.contains("\"ready\"") }
                func ask(_ request: String, _ answer: String? = nil) throws -> String {
                    let exchange = try MessageExchange(stage)
                    try stage.client.send(exchange.client, request)
                    if let answer {
                        try exchange.accept()
                        _ = try stage.server.receiveUntil(exchange.server, "\r\n\r\n")
                        try stage.server.send(exchange.server, answer)
                    }
                    let heard = try stage.client.receiveUntil(exchange.client, "\r\n\r\n")
                    try stage.client.close(exchange.client)
                    return heard
                }
                let rows: [(request: String, answer: String?)] = [
                    ("POST /shut HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok", nil),
                    ("GET /shut HTTP/1.1\r\nHost: a\r\n\r\n", nil),
                    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", nil),
                    (
                        "GET /video HTTP/1.1\r\nHost: a\r\n\r\n",
                        "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 2\r\n\r\nok"
                    ),
                    ("GET /senseless HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/9 hm\r\n\r\n"),
                    ("HEAD /shut HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", nil),
                ]
                for (number, row) in rows.enumerated() {
                    let heard = try ask(row.request, row.answer)
                    try waitUntil("its line") { Self.lines(file).count == number + 1 }
                    let length = heard.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }?.dropFirst(16)
                    let bytes = Self.lines(file)[number].firstMatch(of: /" \d{3} (\S+) "/)?.1
                    #expect(row.request.hasPrefix("HEAD") ? bytes == "-" : bytes == length, "\(Self.lines(file)[number]): \(heard)")
                }
            }
        }

        @Test(arguments: ["plain", "logfmt", "json", "combined"])
        func secretsAreNowhere(format: String) throws {
            let scratch = try ScratchDirectory()
            defer { scratch.remove() }
            let file = scratch.file("access.log")
            try play(Variant(), start: false) { stage in
                var configuration = ClearwayConfiguration.serving(
                    "http", more: "users = \"\(try stage.writeUsers())\"\nvia = false", policy: "")
                configuration.logFormat = format
                configuration.logFile = file
                configuration.logMore = "query = false"
                let clearway = try Clearway(in: stage.topology.router, configuration: configuration)
                func all() -> String { Self.lines(file).joined(separator: "\n") + clearway.program.standardError }
                try waitUntil("Clearway ready") { all().contains("\"ready\"") }
                let listener = try stage.server.listen(Family.v4.server, port: 80)
                for (number, login) in ["alice:hunter2", "alice:secret"].enumerated() {
                    let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                    try stage.client.send(
                        client,
                        "GET http://\(Family.v4.server)/for-\(number)?key=token-of-mine HTTP/1.1\r\nHost: a\r\n"
                            + "\(Says.authorization(login))\r\nCookie: cookie-of-mine\r\nAuthorization: Basic c2VjcmV0\r\n"
                            + "Connection: close\r\n\r\n")
                    if number == 1 {
                        let server = try stage.server.accept(listener).socket
                        _ = try stage.server.receiveUntil(server, "\r\n\r\n")
                        try stage.server.send(server, Self.ok)
                    }
                    #expect(try stage.client.receive(client, 12) == (number == 1 ? "HTTP/1.1 200" : "HTTP/1.1 407"))
                    #expect(try stage.client.drain(client).end == "fin")
                }
                try waitUntil("records of both") {
                    all().split(separator: "\n").count { $0.contains("/for-") } >= 2
                }
                #expect(try clearway.stop() == .exited(0))
                for secret in Self.secrets + ["YWxpY2U6"] { #expect(!all().contains(secret), "\(secret) in \(all())") }
            }
        }
    }
}
