import Foundation
import Testing

extension Situations {
    /// Programs that people run over HTTP, before and behind us: curl, wget, ab, wrk, git and Python's websockets; nginx, Apache, lighttpd and
    /// Python's http.server.
    @Suite struct HTTPPrograms {
        /// Where we stand.
        enum Place: String, CaseIterable, CustomTestStringConvertible, Sendable {
            case intercepted
            case interceptedV6
            case forward
            case reverse

            /// Ports of the server's: of a peer, of WebSockets, and of node.
            static let peerPort = 8083
            static let socketPort = 8084
            static let nodePort = 8085

            var testDescription: String { rawValue }
            var variant: Variant { Variant(family: self == .interceptedV6 ? .v6 : .v4) }

            var configuration: ClearwayConfiguration {
                var configuration: ClearwayConfiguration
                switch self {
                case .intercepted, .interceptedV6:
                    configuration = ClearwayConfiguration(variant)
                    configuration.listeners[0].more = "http = true"
                case .forward: configuration = .serving("http", more: "ports = \"1-65535\"")
                case .reverse:
                    configuration = ClearwayConfiguration(variant)
                    configuration.listeners = []
                    let ports = WebServer.allCases.map(\.port) + [Self.peerPort, Self.socketPort, Self.nodePort]
                    configuration.policy = ports.map { port in
                        ClearwayConfiguration.servedListener(
                            "http", name: "site-\(port)", port: port, reach: nil, more: "origin = \"http://198.51.100.2:\(port)\"")
                    }.joined()
                }
                configuration.relay = "adaptive"
                return configuration
            }

            /// What clients call it.
            func url(_ port: Int, _ path: String, scheme: String = "http") -> String {
                let host = self == .reverse ? Family.v4.routerTowardsClient : variant.family.serverHost
                return "\(scheme)://\(host):\(port)/\(path)"
            }

            /// For programs that go by them.
            var environment: [String: String] {
                ["http_proxy": self == .forward ? "http://\(Family.v4.servedURL)" : "", "no_proxy": ""]
            }

            /// The address and port of the proxy, for programs that are told.
            var proxy: [String] { self == .forward ? ["192.0.2.1", "1080"] : [] }

            var curl: [String] {
                let proxy = self == .forward ? ["--proxy", "http://\(Family.v4.servedURL)"] : ["--noproxy", "*"]
                return ["curl", "-sS", "--globoff", "--max-time", "15"] + proxy
            }
        }

        /// Has curl fetch something; what it says, its output being a file.
        @discardableResult
        static func curl(_ stage: Stage, _ place: Place, _ arguments: String...) throws -> String {
            let finished = try stage.topology.client.finish(place.curl + arguments)
            #expect(finished.succeeded, "\(arguments): \(finished.errors)")
            return finished.output
        }

        /// Whether the next records are these: method, path, status, and how many bytes the body has.
        static func expect(
            _ rows: [(method: String, path: String, status: Int, body: Int)], in records: some Collection<AccessRecord>,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(records.count == rows.count, sourceLocation: sourceLocation)
            for (row, record) in zip(rows, records) {
                let words = "\(row): \(record.fields)"
                #expect(record.string("method") == row.method, "\(words)", sourceLocation: sourceLocation)
                #expect(record.string("target").hasSuffix("/" + row.path), "\(words)", sourceLocation: sourceLocation)
                #expect(record.int("status") == row.status, "\(words)", sourceLocation: sourceLocation)
                // What a head has, and the frames of chunks.
                let extra = record.int("down") - row.body
                #expect((50..<1_500).contains(extra), "\(words)", sourceLocation: sourceLocation)
            }
        }

        /// Several pages over one connection, a head, a range, HTTP/1.0, what is not there, and what was compressed.
        @Test(arguments: Place.allCases)
        func curlFetches(place: Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                let site = try stage.startSite(.nginx, .apache, .lighttpd, .python)
                let page = try site.page
                let got = site.scratch.file("got")
                func file() throws -> Data { try Data(contentsOf: URL(fileURLWithPath: got)) }
                var rows: [(method: String, path: String, status: Int, body: Int)] = []
                for server in WebServer.allCases {
                    func url(_ path: String) -> String { place.url(server.port, path) }
                    let outputs = (1...4).flatMap { ["-o", "\(got)-\($0)", url("page?\($0)")] }
                    let connects = try stage.topology.client.finish(place.curl + ["-f", "-w", "%{num_connects} "] + outputs)
                    #expect(connects.output == "1 0 0 0 ", "\(server): \(connects.errors)")
                    for number in 1...4 {
                        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(got)-\(number)")) == page, "\(server)")
                        rows.append(("GET", "page?\(number)", 200, page.count))
                    }

                    let head = try Self.curl(stage, place, "-I", url("page"))
                    #expect(head.lowercased().contains("\r\ncontent-length: \(page.count)\r\n"), "\(server): \(head)")
                    rows.append(("HEAD", "page", 200, 0))

                    if server.knowsRanges {
                        #expect(
                            try Self.curl(stage, place, "-r", "1000-2999", "-w", "%{http_code}", "-o", got, url("page")) == "206")
                        #expect(try file() == page[1_000..<3_000], "\(server)")
                        rows.append(("GET", "page", 206, 2_000))
                    }

                    try Self.curl(stage, place, "-0", "-o", got, url("page"))
                    #expect(try file() == page, "\(server)")
                    rows.append(("GET", "page", 200, page.count))

                    #expect(try Self.curl(stage, place, "-w", "%{http_code}", "-o", got, url("nothing")) == "404")
                    rows.append(("GET", "nothing", 404, try file().count))

                    if server.compresses {
                        let size = try Self.curl(stage, place, "--compressed", "-w", "%{size_download}", "-o", got, url("page"))
                        #expect(Int(size)! < page.count / 2, "\(server)")
                        #expect(try file() == page, "\(server)")
                        rows.append(("GET", "page", 200, Int(size)!))
                    }
                    // In chunks, which HTTP/1.0 does not know.
                    for version in server.runsScripts ? ["--http1.1", "-0"] : [] {
                        try Self.curl(stage, place, version, "-o", got, url("stream.sh"))
                        #expect(try file() == page, "\(server)")
                        rows.append(("GET", "stream.sh", 200, page.count))
                    }
                }
                Self.expect(rows, in: try stage.clearway.waitForRequests(rows.count))
            }
        }

        /// 5 MB: asked for leave first, and in chunks; slowly; and with a length that HTTP/1.0 knows.
        @Test(arguments: Place.allCases)
        func curlUploads(place: Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                let site = try stage.startSite(.apache, .lighttpd)
                let count = 5_000_000
                let digest = try site.digest(ofNew: "upload", count, in: stage.topology.client)
                let little = try site.digest(ofNew: "little", 300_000, in: stage.topology.client)
                let upload = site.scratch.file("upload")
                let servers = [WebServer.apache, .lighttpd]
                for server in servers {
                    let url = place.url(server.port, "digest.sh")
                    let trace = site.scratch.file("trace")
                    let posted = try Self.curl(
                        stage, place, "-v", "--stderr", trace, "-H", "Expect: 100-continue", "--data-binary", "@\(upload)", url)
                    #expect(posted == "POST \(digest)", "\(server)")
                    #expect(try String(contentsOfFile: trace, encoding: .utf8).contains("< HTTP/1.1 100 Continue"), "\(server)")

                    let file = try #require(FileHandle(forReadingAtPath: upload))
                    let chunked = try stage.topology.client.start(
                        place.curl + ["-T", "-", url], input: file.fileDescriptor)
                    #expect(try chunked.waitForExit() == .exited(0))
                    #expect(chunked.standardOutput == "PUT \(digest)", "\(server): \(chunked.standardError)")

                    #expect(try Self.curl(stage, place, "-0", "--data-binary", "@\(upload)", url) == "POST \(digest)", "\(server)")

                    let slow = try Self.curl(
                        stage, place, "--limit-rate", "1M", "--data-binary", "@\(site.scratch.file("little"))", url)
                    #expect(slow == "POST \(little)", "\(server)")
                }
                let records = try stage.clearway.waitForRequests(4 * servers.count)
                let rows = servers.flatMap { _ in
                    ["POST", "PUT", "POST", "POST"].map { ($0, "digest.sh", 200, $0.utf8.count + 1 + digest.utf8.count) }
                }
                Self.expect(rows, in: records)
                #expect(records.prefix(2).allSatisfy { (count..<count + 10_000).contains($0.int("up")) })
            }
        }

        /// What has come goes on, in both directions, while the message is far from whole.
        @Test(arguments: Place.allCases)
        func nothingIsHeldBack(place: Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                let listener = try stage.server.listen(place.variant.family.server, port: Place.peerPort)
                let pipe = Pipe()
                let curl = try stage.topology.client.start(
                    place.curl + [
                        "-N", "-H", "Expect:", "-H", "Accept: text/event-stream", "-T", "-", place.url(Place.peerPort, "events"),
                    ],
                    input: pipe.fileHandleForReading.fileDescriptor)
                let socket = try stage.server.accept(listener).socket
                let head = try stage.server.receiveUntil(socket, "\r\n\r\n")
                #expect(head.hasPrefix("PUT /events HTTP/1.1\r\n"))
                for text in ["one", "two", "three"] {
                    try pipe.fileHandleForWriting.write(contentsOf: Data(text.utf8))
                    #expect(try stage.server.receiveUntil(socket, "\(text)\r\n").hasSuffix("\(text.utf8.count)\r\n\(text)\r\n"))
                }
                try pipe.fileHandleForWriting.close()
                _ = try stage.server.receiveUntil(socket, "0\r\n\r\n")

                try stage.server.send(
                    socket, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                var seen = ""
                for number in 1...5 {
                    let event = "data: \(number)\n\n"
                    try stage.server.send(socket, "\(event.utf8.count)\r\n\(event)\r\n")
                    seen += event
                    try waitUntil("event \(number)") { curl.standardOutput == seen }
                }
                try stage.server.send(socket, "0\r\n\r\n")
                #expect(try curl.waitForExit() == .exited(0))
                Self.expect([("PUT", "events", 200, seen.utf8.count)], in: try stage.clearway.waitForRequests(1))
            }
        }

        @Test(arguments: [Place.intercepted, .forward, .reverse])
        func twoHundredMegabytes(place: Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                let site = try stage.startSite(.nginx)
                let count = 200_000_000
                let digest = try site.digest(ofNew: "www/much", count, in: stage.topology.server)
                let fetched = try stage.topology.client.finish(
                    ["sh", "-c", #""$@" | openssl dgst -sha256 -r"#, "sh"] + place.curl + [
                        "--max-time", "60", "-f", place.url(80, "much"),
                    ],
                    limit: 60)
                #expect(fetched.output.prefix(64) == digest, "\(fetched.errors)")
                Self.expect([("GET", "much", 200, count)], in: try stage.clearway.waitForRequests(1))
            }
        }

        /// However slowly they are read: a response is told of when the client's socket has all of it, and with all of it.
        @Test func recordsAreWhole() throws {
            let place = Place.intercepted
            try play(place.variant, configuration: place.configuration) { stage in
                let site = try stage.startSite(.nginx)
                try site.page.prefix(60_000).write(to: URL(fileURLWithPath: site.folder + "/part"))
                let count = 100
                let request = "GET /part HTTP/1.1\r\nHost: a\r\n"
                let socket = try stage.client.connect(place.variant.family.server, 80, ["receive_buffer": 4_096]).socket
                try stage.client.send(
                    socket, String(repeating: request + "\r\n", count: count - 1) + request + "Connection: close\r\n\r\n")
                let heard = try stage.client.drain(socket)
                #expect(heard.end == "fin")
                let sizes = try stage.clearway.waitForRequests(count).map { $0.int("down") }
                #expect(sizes.reduce(0, +) == heard.int("bytes"))
                // The last one says that it is.
                #expect(Set(sizes.dropLast()).count == 1, "\(sizes)")
            }
        }

        /// And goes on where it was broken off.
        @Test(arguments: Place.allCases)
        func wgetFetches(place: Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                let site = try stage.startSite(.nginx, .apache, .lighttpd)
                let page = try site.page
                let got = site.scratch.file("got")
                let servers = [WebServer.nginx, .apache, .lighttpd]
                for server in servers {
                    try page.prefix(100_000).write(to: URL(fileURLWithPath: got))
                    for options in [["-c", "-O", got], ["-O", got]] {
                        let finished = try stage.topology.client.finish(
                            ["wget", "-nv", "--tries=1", "--timeout=15"] + options + [place.url(server.port, "page")],
                            environment: place.environment)
                        #expect(finished.succeeded, "\(server): \(finished.errors)")
                        #expect(try Data(contentsOf: URL(fileURLWithPath: got)) == page, "\(server)")
                    }
                }
                let rows = servers.flatMap { _ in [("GET", "page", 206, page.count - 100_000), ("GET", "page", 200, page.count)] }
                Self.expect(rows, in: try stage.clearway.waitForRequests(rows.count))
            }
        }

        /// Hundreds of requests over some connections: none fails, and each is told of.
        @Test(arguments: Place.allCases)
        func abAsksAgainAndAgain(place: Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                _ = try stage.startSite(.nginx, .apache, .lighttpd)
                let servers = [WebServer.nginx, .apache, .lighttpd]
                for server in servers {
                    let proxy = place == .forward ? ["-X", Family.v4.servedURL] : []
                    let finished = try stage.topology.client.finish(
                        ["ab", "-q", "-k", "-n", "200", "-c", "8", "-s", "15"] + proxy + [place.url(server.port, "note")])
                    #expect(finished.succeeded, "\(server): \(finished.errors)")
                    for line in ["Complete requests:      200\n", "Failed requests:        0\n"] {
                        #expect(finished.output.contains(line), "\(server): \(finished.output)")
                    }
                    #expect(!finished.output.contains("Non-2xx"), "\(server): \(finished.output)")
                }
                let records = try stage.clearway.waitForRequests(200 * servers.count)
                #expect(records.count == 200 * servers.count)
                #expect(records.allSatisfy { $0.int("status") == 200 && $0.string("method") == "GET" })
            }
        }

        @Test(arguments: [Place.intercepted, .interceptedV6, .reverse])
        func wrkAsksAsFastAsItCan(place: Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                _ = try stage.startSite(.nginx)
                let finished = try stage.topology.client.finish([
                    "wrk", "-t1", "-c16", "-d1s", "--timeout", "10s", place.url(80, "note"),
                ])
                #expect(finished.succeeded && finished.output.contains(" requests in "), "\(finished.output)\(finished.errors)")
                #expect(!finished.output.contains("Socket errors") && !finished.output.contains("Non-2xx"), "\(finished.output)")
                // What is under way when it stops is broken off.
                let records = try stage.clearway.waitForRequests(100)
                #expect(records.count { $0.int("status") != 200 } == 0)
            }
        }

        /// From files, and from git's own server, to which it is pushed as well.
        @Test(arguments: Place.allCases)
        func gitClonesAndPushes(place: Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                let site = try stage.startSite(.nginx, .apache)
                let scratch = site.scratch
                _ = try site.digest(ofNew: "noise", 3_000_000, in: stage.topology.client)
                let environment = [
                    "GIT_CONFIG_NOSYSTEM": "1", "HOME": scratch.path, "GIT_AUTHOR_NAME": "me", "GIT_AUTHOR_EMAIL": "me@site.test",
                    "GIT_COMMITTER_NAME": "me", "GIT_COMMITTER_EMAIL": "me@site.test", "GIT_TERMINAL_PROMPT": "0",
                ].merging(place.environment) { one, _ in one }
                func git(_ arguments: String..., folder: String? = nil) throws -> String {
                    let place = folder.map { ["-C", scratch.file($0)] } ?? []
                    let finished = try stage.topology.client.finish(["git"] + place + arguments, environment: environment)
                    guard finished.succeeded else { throw SituationError("git \(arguments): \(finished.errors)") }
                    return finished.output
                }
                _ = try git("init", "-q", "--bare", "-b", "main", scratch.file("www/project.git"))
                _ = try git("config", "http.receivepack", "true", folder: "www/project.git")
                // What came in a pack stays in one.
                _ = try git("config", "transfer.unpackLimit", "1", folder: "www/project.git")
                _ = try git("init", "-q", "-b", "main", scratch.file("work"))
                for number in 1...3 {
                    try scratch.write(String(repeating: "\(number)\n", count: 10_000), to: "work/file-\(number)")
                    _ = try git("add", ".", folder: "work")
                    _ = try git("commit", "-q", "-m", "\(number)", folder: "work")
                }
                try FileManager.default.copyItem(atPath: scratch.file("noise"), toPath: scratch.file("work/noise"))
                _ = try git("add", ".", folder: "work")
                _ = try git("commit", "-q", "-m", "noise", folder: "work")
                // More than git keeps before it sends: in chunks.
                let smart = place.url(WebServer.apache.port, "git/project.git")
                _ = try git("push", "-q", smart, "main", folder: "work")
                _ = try git("update-server-info", folder: "www/project.git")
                let head = try git("rev-parse", "main", folder: "work")
                for (name, url) in [("smart", smart), ("dumb", place.url(WebServer.nginx.port, "project.git"))] {
                    _ = try git("clone", "-q", url, scratch.file(name))
                    #expect(try git("rev-parse", "HEAD", folder: name) == head, "\(name)")
                    _ = try git("fsck", "--strict", folder: name)
                }
                try waitUntil("the record of the pack") {
                    try stage.clearway.records("request").contains {
                        $0.string("target").hasSuffix(".pack") && $0.int("down") > 3_000_000 && $0.int("status") == 200
                    }
                }
                let records = try stage.clearway.records("request")
                #expect(records.contains { $0.string("method") == "POST" && $0.int("up") > 3_000_000 && $0.int("status") == 200 })
            }
        }

        /// An echo, which answers as soon as it is asked, with messages of all sizes.
        @Test(arguments: Place.allCases)
        func webSockets(place: Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                let script = peerScript("websocket.py")
                _ = try stage.topology.server.start(["/usr/bin/python3", script, "serve", "\(Place.socketPort)"])
                try stage.topology.server.waitUntilListening(on: Place.socketPort)
                let asked = try stage.topology.client.finish(
                    ["/usr/bin/python3", script, "ask", place.url(Place.socketPort, "echo", scheme: "ws")] + place.proxy)
                #expect(asked.output == "1000\n", "\(asked.errors)")
                // A tunnel is a session, and no more.
                if place != .forward { Self.expect([("GET", "echo", 101, 0)], in: try stage.clearway.waitForRequests(1)) }
                #expect(try stage.clearway.waitForSessions(1)[0].int("down") > 3_000_000)
            }
        }
    }
}
