import Foundation
import Testing

extension Situations {
    /// Rules that ask for more of requests than their method and path, for responses, or for the time; and what they answer.
    @Suite struct HTTPRules {
        private static let server = Family.v4.server
        private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

        private static let policy = """
            [[rule]]
            url = ["http://site.test/ads/*", "http://*.ads.test/*"]
            action = "reject"
            status = 451
            page = "blocked.html"
            [[rule]]
            header = { "User-Agent" = "*badbot*", Accept = "*/*" }
            action = "reject"
            page = "blocked.txt"
            [[rule]]
            path = "/old/*"
            action = "redirect"
            location = "https://new.test/?from={url}&by={client}"
            status = 307
            [[rule]]
            content_type = "image/*"
            action = "reject"

            """

        private static func writePages(_ stage: Stage) throws {
            let html = "<html><body>Blocked: <a href=\"{url}\">{url}</a> on {name} by rule {rule}</body></html>\n"
            try stage.topology.scratch.write(html, to: "blocked.html")
            try stage.topology.scratch.write("No bots, {client}. {braces}\n", to: "blocked.txt")
        }

        /// Wherever we stand: with nginx and curl.
        @Test(arguments: [HTTPPrograms.Place.intercepted, .forward, .reverse])
        func eachCriterionAndAnswer(place: HTTPPrograms.Place) throws {
            try play(place.variant, start: false) { stage in
                try Self.writePages(stage)
                var configuration = place.configuration
                configuration.policy += Self.policy
                let (clearway, _) = try stage.startClearway(configuration, names: ["site.test": [Self.server]])
                let site = try stage.startSite(.nginx)
                try site.scratch.write("GIF89a, or so", to: "www/image.gif", mode: 0o644)
                let host = place == .reverse ? Family.v4.routerTowardsClient : Self.server
                func get(_ arguments: String...) throws -> String {
                    let finished = try stage.topology.client.finish(
                        place.curl + ["-i", "--resolve", "site.test:80:\(host)", "--resolve", "www.ads.test:80:\(host)"] + arguments
                    )
                    #expect(finished.succeeded, "\(arguments): \(finished.errors)")
                    return finished.output
                }
                #expect(try get("http://site.test/note").hasPrefix("HTTP/1.1 200 OK\r\n"))
                let blocked = try get("http://site.test/x/..%2fads/1?a=%3Cb%3E&c", "--path-as-is")
                #expect(
                    blocked.hasPrefix("HTTP/1.1 451 Unavailable For Legal Reasons\r\nContent-Type: text/html; charset=utf-8\r\n"))
                let shown = "http://site.test/x/..%2fads/1?a&#61;%3Cb%3E&#38;c"
                #expect(
                    blocked.hasSuffix(
                        "<html><body>Blocked: <a href=\"\(shown)\">\(shown)</a> on site.test by rule 1</body></html>\n"))
                if place != .forward { #expect(try get("http://www.ads.test/note").hasPrefix("HTTP/1.1 451 ")) }
                let bot = try get("http://site.test/note", "-A", "BadBot/1.0")
                #expect(bot.hasPrefix("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"))
                #expect(bot.hasSuffix("\r\n\r\nNo bots, 192.0.2.2. {braces}\n"))
                #expect(try get("http://site.test/note", "-A", "BadBot", "-H", "Accept:").hasPrefix("HTTP/1.1 200 "))
                let moved = try get("http://site.test/old/a?b=c&d")
                #expect(moved.hasPrefix("HTTP/1.1 307 Temporary Redirect\r\n"))
                #expect(
                    moved.contains(
                        "\r\nLocation: https://new.test/?from=http%3A%2F%2Fsite.test%2Fold%2Fa%3Fb%3Dc%26d&by=192.0.2.2\r\n"))
                // In place of the response; and the connection goes on.
                let image = try get("http://site.test/image.gif", "http://site.test/note", "-H", "Accept: text/html, */*;q=0.1")
                #expect(image.hasPrefix("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html; charset=utf-8\r\n"))
                #expect(
                    image.contains("<h1>403 Forbidden</h1>") && !image.contains("GIF89a") && image.contains("HTTP/1.1 200 OK\r\n"))
                #expect(try get("-I", "http://site.test/image.gif").hasSuffix("\r\n\r\n"))

                let records = try clearway.waitForRequests(place == .forward ? 8 : 9)
                let rejected = records.filter { $0.ending == "proxy-rejected" }
                let rules = place == .forward ? [1, 2, 3, 4, 4] : [1, 1, 2, 3, 4, 4]
                #expect(rejected.map { $0.int("rule") } == rules)
                #expect(rejected.map { $0.int("status") } == rules.map { [1: 451, 2: 403, 3: 307, 4: 403][$0] })
            }
        }

        private static func configuration(_ policy: String) -> ClearwayConfiguration {
            InterceptedHTTP.configuration(Variant(), policy: policy)
        }

        /// Whatever a client writes is text in a page, and nothing in a header.
        @Test func hostileText() throws {
            try play(Variant(), start: false) { stage in
                try Self.writePages(stage)
                try stage.startClearway(Self.configuration(Self.policy))
                let exchange = try MessageExchange(stage)
                try stage.client.send(
                    exchange.client,
                    "GET /ads/\"><script>alert('{client}')</script>&<!--`${x}\\ HTTP/1.1\r\nHost: SITE.test\r\n\r\n")
                let page = try stage.client.receiveUntil(exchange.client, "</html>\n")
                let body = try #require(page.components(separatedBy: "\r\n\r\n").last)
                let shown =
                    "http://SITE.test/ads/&#34;&#62;&#60;script&#62;alert&#40;&#39;&#123;client&#125;&#39;&#41;&#60;/script&#62;"
                    + "&#38;&#60;!--&#96;&#36;&#123;x&#125;&#92;"
                #expect(body == "<html><body>Blocked: <a href=\"\(shown)\">\(shown)</a> on site.test by rule 1</body></html>\n")
                // Long URLs are cut.
                let long = String(repeating: "<", count: 5_000)
                try stage.client.send(exchange.client, "GET /ads/\(long) HTTP/1.1\r\nHost: site.test\r\n\r\n")
                let cut = try stage.client.receiveUntil(exchange.client, "</html>\n")
                // The peer takes each octet for a character.
                #expect(cut.contains("&#60;\u{E2}\u{80}\u{A6}\"") && cut.utf8.count < 16_000)

                try stage.client.send(
                    exchange.client, "GET /old/{url}&by=x<\">%0d%0aX:y HTTP/1.1\r\nHost: site.test\r\n\r\n")
                let moved = try stage.client.receiveUntil(exchange.client, "elsewhere.\n")
                #expect(
                    moved.contains(
                        "\r\nLocation: https://new.test/?from=http%3A%2F%2Fsite.test%2Fold%2F%7Burl%7D%26by%3Dx%3C%22%3E%250d%250aX%3Ay"
                            + "&by=192.0.2.2\r\n"))
                #expect(!moved.contains("\r\nX:y"))
            }
        }

        /// The page in place of a response: the upstream's is read no further, whatever the request is about.
        @Test func responsesAreReplaced() throws {
            let policy = "[[rule]]\ncontent_type = [\"video/*\", \"none\"]\naction = \"reject\"\n"
            try play(Variant(), configuration: Self.configuration(policy)) { stage in
                let exchange = try MessageExchange(stage)
                let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                try exchange.ask(request, seen: request)
                let early = "HTTP/1.1 103 Early Hints\r\nContent-Type: video/mp4\r\n\r\n"
                try exchange.answer(early, seen: early)
                try stage.server.send(
                    exchange.server,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\ncontent-type: Video/mp4;x\r\nContent-Length: 9\r\n\r\nsecret")
                let page = try stage.client.receiveUntil(exchange.client, "request.\n")
                #expect(page.hasPrefix("HTTP/1.1 403 Forbidden\r\n") && !page.contains("secret") && !page.contains("close"))
                #expect(["fin", "ECONNRESET"].contains(try stage.server.drain(exchange.server).end))
                // Over the same connection, with another upstream.
                try stage.client.send(exchange.client, request)
                try exchange.accept()
                #expect(try stage.server.receive(exchange.server, request.utf8.count) == request)
                let unchanged = "HTTP/1.1 304 Not Modified\r\n\r\n"
                try exchange.answer(unchanged, seen: unchanged)
                try exchange.ask(request, seen: request)
                try stage.server.send(exchange.server, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
                #expect(try stage.client.receiveUntil(exchange.client, "request.\n").hasPrefix("HTTP/1.1 403 "))

                // In the middle of a body the rest of it would be taken for the next request.
                try stage.client.send(exchange.client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nGET")
                try exchange.accept()
                _ = try stage.server.receiveUntil(exchange.server, "\r\n\r\nGET")
                try stage.server.send(exchange.server, "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n")
                let last = try stage.client.receiveUntil(exchange.client, "request.\n")
                #expect(last.contains("\r\nConnection: close\r\n"))
                #expect(try stage.client.drain(exchange.client).int("bytes") == 0)
                let records = try stage.clearway.waitForRequests(4)
                #expect(records.map { $0.int("status") } == [403, 304, 403, 403])
                #expect(records.map { $0.int("rule") } == [1, -1, 1, 1])
                #expect(records.map(\.ending) == ["proxy-rejected", "(no ending)", "proxy-rejected", "proxy-rejected"])
            }
        }

        /// Behind its body a request brings no field that a rule would have rejected in its head.
        @Test func trailersPassNoRule() throws {
            let policy = "[[rule]]\nheader = { X-Evil = \"*\" }\naction = \"reject\"\n"
            try play(Variant(), configuration: Self.configuration(policy)) { stage in
                let exchange = try MessageExchange(stage)
                let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                let response = "HTTP/1.1 204 No Content\r\n\r\n"
                try exchange.ask(
                    request + "0\r\nX-Evil: 1\r\nx_evil: 2\r\nX-Good: 3\r\n\r\n", seen: request + "0\r\nX-Good: 3\r\n\r\n")
                try exchange.answer(response, seen: response)
                try stage.client.send(exchange.client, "GET / HTTP/1.1\r\nHost: a\r\nX_Evil: 2\r\n\r\n")
                #expect(try stage.client.receiveUntil(exchange.client, "request.\n").hasPrefix("HTTP/1.1 403 "))
            }
        }

        /// What an earlier rule lets pass, passes; by a name only when it was verified.
        @Test func namesOfURLsAreVerified() throws {
            let policy = """
                [[rule]]
                url = ["http://good.test/pub/*", "http://liar.test/*", "http://198.51.100.2/*", "http://203.0.113.9/*"]
                action = "direct"
                [[rule]]
                action = "reject"

                """
            try play(Variant(), start: false) { stage in
                var configuration = Self.configuration(policy)
                configuration.listeners[0].more += "\nports = [8000]"
                let listener = try stage.server.listen(Self.server, port: 8_000)
                try stage.startClearway(configuration, names: ["good.test": [Self.server], "liar.test": ["203.0.113.9"]])
                // Port 80 is meant.
                for host in ["good.test:8000", "good.test", "198.51.100.2:8000"] {
                    let client = try stage.client.connect(Self.server, 8_000).socket
                    try stage.client.send(client, "GET /pub/x HTTP/1.1\r\nHost: \(host)\r\n\r\n")
                    #expect(try stage.client.receiveUntil(client, "request.\n").hasPrefix("HTTP/1.1 403 "), "\(host)")
                }
                configuration.policy = configuration.policy.replacing("test/", with: "test:8000/").replacing(
                    "2/*", with: "2:8000/*"
                )
                .replacing("9/*", with: "9:8000/*")
                try stage.clearway.reload(configuration)
                let wanted = [
                    ("good.test:8000", "/pub/x", true), ("good.test:8000", "/pub/../x", false), ("good.test", "/pub/x", false),
                    ("liar.test:8000", "/", false), ("198.51.100.2:8000", "/", true), ("203.0.113.9:8000", "/", false),
                ]
                for (host, path, passes) in wanted {
                    let client = try stage.client.connect(Self.server, 8_000).socket
                    try stage.client.send(client, "GET \(path) HTTP/1.1\r\nHost: \(host)\r\n\r\n")
                    if passes {
                        let server = try stage.server.accept(listener).socket
                        try stage.server.send(server, Self.ok)
                        #expect(try stage.client.receive(client, Self.ok.utf8.count) == Self.ok, "\(host)\(path)")
                        try stage.server.close(server)
                    } else {
                        #expect(try stage.client.receiveUntil(client, "request.\n").hasPrefix("HTTP/1.1 403 "), "\(host)\(path)")
                    }
                }
            }
        }

        /// Tunnels, and what is no HTTP: nobody reads a page there.
        @Test func whatIsNoRequestForAPage() throws {
            let policy = """
                [[rule]]
                destination = "198.51.100.2"
                action = "redirect"
                location = "https://new.test/{url}"

                """
            try play(Variant(), configuration: Self.configuration(policy)) { stage in
                let other = try MessageExchange(stage)
                try stage.client.send(other.client, "SSH-2.0-Client me\r\n")
                #expect(try stage.client.drain(other.client).end == "ECONNRESET")
                let tunnel = try MessageExchange(stage)
                try stage.client.send(tunnel.client, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
                let refusal = try stage.client.receiveUntil(tunnel.client, "request.\n")
                #expect(refusal.hasPrefix("HTTP/1.1 403 Forbidden\r\n") && !refusal.contains("Location"))
                let page = try MessageExchange(stage)
                try stage.client.send(page.client, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
                let moved = try stage.client.receiveUntil(page.client, "elsewhere.\n")
                #expect(
                    moved.hasPrefix("HTTP/1.1 302 Found\r\n")
                        && moved.contains("\r\nLocation: https://new.test/http%3A%2F%2Fa%2Fx\r\n"))
            }
        }

        /// A page is read again at a reload; one that is missing refuses it.
        @Test func pagesAreReadAgain() throws {
            let policy = "[[rule]]\naction = \"reject\"\npage = \"page.txt\"\n"
            try play(Variant(), start: false) { stage in
                let configuration = Self.configuration(policy)
                try stage.topology.scratch.write("one\n", to: "page.txt")
                try stage.startClearway(configuration)
                func heard(_ last: String) throws -> Bool {
                    let exchange = try MessageExchange(stage)
                    try stage.client.send(exchange.client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    return try stage.client.receiveUntil(exchange.client, last).hasPrefix("HTTP/1.1 403 ")
                }
                #expect(try heard("\r\n\r\none\n"))
                try stage.topology.scratch.write("two\n", to: "page.txt")
                try stage.clearway.reload(configuration)
                #expect(try heard("\r\n\r\ntwo\n"))
                try FileManager.default.removeItem(atPath: stage.topology.scratch.file("page.txt"))
                try stage.clearway.program.signal(SIGHUP)
                try waitUntil("the refusal") { try stage.clearway.log.contains("clearway.toml:") }
                #expect(try stage.clearway.log.contains("page.txt\\\" cannot be read"))
                #expect(try heard("\r\n\r\ntwo\n"))
            }
        }

        /// 2026-01-05 12:00:58, in seconds.
        private static let mondayBeforeNoon = 1_767_614_458

        /// A wall clock that shows what a file says, in place of the C library's.
        private static let clock = """
            #include <fcntl.h>
            #include <stdlib.h>
            #include <sys/syscall.h>
            #include <time.h>
            #include <unistd.h>
            int clock_gettime(clockid_t which, struct timespec *time) {
                if (which != CLOCK_REALTIME) return syscall(SYS_clock_gettime, which, time);
                char text[32] = "";
                int file = open(getenv("TEST_CLOCK"), O_RDONLY | O_CLOEXEC);
                ssize_t count = read(file, text, sizeof text - 1);
                close(file);
                if (count <= 0) abort();
                time->tv_sec = atoll(text);
                time->tv_nsec = 0;
                return 0;
            }
            """

        /// What was let pass is not rejected because its answer takes until another minute.
        @Test func anAnswerIsJudgedByTheTimeOfItsRequest() throws {
            let policy = """
                [[rule]]
                time = "Mon 12:01-13:00"
                action = "reject"
                [[rule]]
                content_type = "video/*"
                action = "reject"

                """
            try play(Variant(), start: false) { stage in
                let clock = try stage.topology.scratch.write("\(Self.mondayBeforeNoon)", to: "clock", mode: 0o644)
                let source = try stage.topology.scratch.write(Self.clock, to: "clock.c")
                let library = stage.topology.scratch.file("clock.so")
                let compiled = try stage.topology.router.finish(["gcc", "-shared", "-fPIC", "-o", library, source])
                #expect(compiled.succeeded, "\(compiled.errors)")
                try stage.startClearway(
                    Self.configuration(policy), wrapper: ["env", "TZ=UTC0", "LD_PRELOAD=\(library)", "TEST_CLOCK=\(clock)"])
                let exchange = try MessageExchange(stage)
                let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                try exchange.ask(request, seen: request)
                try stage.topology.scratch.write("\(Self.mondayBeforeNoon + 65)", to: "clock", mode: 0o644)
                try exchange.answer(Self.ok, seen: Self.ok)
                // The next one is of this minute.
                try stage.client.send(exchange.client, request)
                #expect(try stage.client.receiveUntil(exchange.client, "request.\n").hasPrefix("HTTP/1.1 403 "))
            }
        }

        /// One connection of a client's, and of ours: each request by the rule that let it pass.
        @Test func eachRequestHasItsOwnRule() throws {
            let policy = ["/a", "/b"].map { "[[rule]]\npath = \"\($0)\"\naction = \"direct\"\n" }.joined()
            try play(Variant(), configuration: .serving("http", more: "via = false", policy: policy)) { stage in
                let listener = try stage.server.listen(Self.server, port: 80)
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                var socket = -1
                for path in ["/a", "/b", "/c", "/a"] {
                    try stage.client.send(client, "GET http://\(Self.server)\(path) HTTP/1.1\r\nHost: a\r\n\r\n")
                    if socket < 0 { socket = try stage.server.accept(listener).socket }
                    let seen = "GET \(path) HTTP/1.1\r\nHost: \(Self.server)\r\n\r\n"
                    #expect(try stage.server.receive(socket, seen.utf8.count) == seen)
                    try stage.server.send(socket, Self.ok)
                    #expect(try stage.client.receive(client, Self.ok.utf8.count) == Self.ok)
                }
                #expect(try stage.clearway.waitForRequests(4).map { $0.int("rule") } == [1, 2, -1, 1])
            }
        }

        /// By this host's clock and time zone; connections, datagrams and requests alike.
        @Test func times() throws {
            let minutes = Int(Date().timeIntervalSince1970) / 60
            func window(_ offset: Int) -> String {
                func clock(_ minute: Int) -> String { String(format: "%02d:%02d", minute / 60 % 24, minute % 60) }
                return "\(clock(minutes + offset - 120))-\(clock(minutes + offset + 120))"
            }
            // Six hours east of Greenwich it is later.
            for (zone, now, later) in [("UTC0", window(0), window(360)), ("XXX-6", window(360), window(0))] {
                func configuration(_ time: String) -> ClearwayConfiguration {
                    ClearwayConfiguration.datagrams(
                        more: "http = true\nvia = false", policy: "[[rule]]\ntime = \"\(time)\"\naction = \"reject\"\n")
                }
                try play(Variant(), start: false) { stage in
                    let datagrams = try stage.datagramEcho(port: 7_002)
                    try stage.startDatagrams(configuration(later), wrapper: ["env", "TZ=\(zone)"])
                    let exchange = try MessageExchange(stage)
                    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                    try exchange.ask(request, seen: request)
                    try exchange.answer(Self.ok, seen: Self.ok)
                    let plain = try MessageExchange(stage)
                    try plain.ask("\u{1}\u{2}", seen: "\u{1}\u{2}")
                    let open = try stage.client.datagramSocket(Family.v4.wildcard, to: datagrams.place).socket
                    #expect(try stage.client.ask(open, datagrams) == [datagrams.name])

                    try stage.clearway.reload(configuration(now))
                    let refused = try MessageExchange(stage)
                    try stage.client.send(refused.client, "\u{1}\u{2}")
                    #expect(try stage.client.drain(refused.client).end == "ECONNRESET")
                    // What is open goes on.
                    try plain.ask("\u{3}", seen: "\u{3}")
                    let fresh = try MessageExchange(stage)
                    try stage.client.send(fresh.client, request)
                    #expect(try stage.client.receiveUntil(fresh.client, "request.\n").hasPrefix("HTTP/1.1 403 "))
                    let late = try stage.client.datagramSocket(Family.v4.wildcard, to: datagrams.place).socket
                    #expect(try stage.client.ask(late, datagrams) == ["ECONNREFUSED"])
                }
            }
        }
    }
}
