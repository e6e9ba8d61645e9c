import Foundation
import Testing

extension Situations {
    /// Requests and responses that services of ICAP are shown: c-icap with ClamAV, its echo, and one that does whatever it is told.
    @Suite struct ICAP {
        static func configuration(
            request: String? = nil, response: String? = nil, keys: String = "", variant: Variant = Variant()
        ) -> ClearwayConfiguration {
            var configuration = ClearwayConfiguration(variant, timeouts: "handshake = \"2s\"\nsniff = \"200ms\"")
            configuration.workers = 1
            configuration.listeners[0].more = "http = true\nvia = false\nicap = \"scan\""
            let urls = [("request", request), ("response", response)].compactMap { key, service in
                service.map { "\(key) = \"icap://127.0.0.1:1344/\($0)\"\n" }
            }
            configuration.policy = "[[icap]]\nname = \"scan\"\n\(urls.joined())\(keys)\n"
            return configuration
        }

        /// Never as a whole in a file: scanners of whoever keeps this one would find it.
        private static let eicar =
            #"X5O!P%@AP[4\PZX54(P^)7CC)7}$"# + "EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!$H+H*"

        /// c-icap in the router, with a database of one signature.
        @discardableResult
        static func startScanner(_ stage: Stage) throws -> Program {
            let scratch = stage.topology.scratch
            let signature = hexadecimal(Array(eicar.utf8))
            try FileManager.default.createDirectory(atPath: scratch.file("signatures"), withIntermediateDirectories: true)
            try scratch.write("Eicar-Test-Signature:0:*:\(signature)\n", to: "signatures/test.ndb", mode: 0o644)
            let modules = try stage.topology.router.require(["sh", "-c", "echo /usr/lib/*/c_icap"])
                .trimmingCharacters(in: .whitespacesAndNewlines)
            let configuration = try scratch.write(
                """
                PidFile \(scratch.file("c-icap.pid"))
                CommandsSocket \(scratch.file("c-icap.ctl"))
                StartServers 1
                MaxServers 1
                MinSpareThreads 1
                MaxSpareThreads 20
                ThreadsPerChild 20
                MaxRequestsPerChild 0
                Port 127.0.0.1:1344
                User root
                Group root
                ServerAdmin nobody@example
                ServerName example
                TmpDir \(scratch.path)
                ModulesDir \(modules)
                ServicesDir \(modules)
                TemplateDir /usr/share/c_icap/templates/
                LoadMagicFile /etc/c-icap/c-icap.magic
                ServerLog \(scratch.file("c-icap.log"))
                AccessLog \(scratch.file("c-icap-access.log"))
                Service echo srv_echo.so
                Module common clamav_mod.so
                Service antivirus_module virus_scan.so
                ServiceAlias scan virus_scan?allow204=on&sizelimit=off&mode=simple
                virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE
                virus_scan.StartSendPercentDataAfter 100M
                virus_scan.MaxObjectSize 50M
                virus_scan.DefaultEngine clamav

                """, to: "c-icap.conf")
            let scanner = try stage.topology.router.start([
                "sh", "-c", #"mount --bind "$0" /var/lib/clamav && exec "$@""#, scratch.file("signatures"), "c-icap", "-N", "-D",
                "-f",
                configuration,
            ])
            try waitUntil("the scanner") {
                if let status = scanner.poll() { throw SituationError("c-icap ended: \(status)\n\(scanner.standardError)") }
                return try stage.topology.router.listeningPorts().contains(1_344)
            }
            return scanner
        }

        /// With the processes that it has begun.
        private static func kill(_ scanner: Program, _ stage: Stage) throws {
            try stage.topology.router.require(["sh", "-c", "pkill -KILL -P \(scanner.pid); kill -KILL \(scanner.pid)"])
            try waitUntil("no scanner") { try !stage.topology.router.listeningPorts().contains(1_344) }
        }

        private static func fetch(_ stage: Stage, _ name: String, _ arguments: String...) throws -> (status: Int, digest: String) {
            let output = try stage.topology.scratch.write("", to: "fetched")
            let said = try stage.topology.client.require(
                ["curl", "-sS", "--max-time", "30", "-o", output, "-w", "%{http_code}"] + arguments
                    + ["http://\(Family.v4.server)/\(name)"])
            let digest = try stage.topology.client.require(["openssl", "dgst", "-sha256", "-r", output])
            return (Int(said.suffix(3)) ?? 0, String(digest.prefix(64)))
        }

        /// What is clean comes as it was, however long; what is not does not come.
        @Test(arguments: ["scan", "echo"]) func downloads(service: String) throws {
            try play(Variant(), start: false) { stage in
                let site = try stage.startSite(.nginx)
                try Self.startScanner(stage)
                let clearway = try stage.startClearway(Self.configuration(response: service))
                for size in [0, 1, 4_096, 65_536, 65_537, 5 << 20] {
                    let digest = try site.digest(ofNew: "www/\(size)", size, in: stage.topology.server)
                    let fetched = try Self.fetch(stage, "\(size)")
                    #expect(fetched.status == 200 && fetched.digest == digest, "\(size) bytes")
                    // Of a length that nobody knows before.
                    let compressed = try Self.fetch(stage, "\(size)", "--compressed")
                    #expect(compressed.digest == digest, "\(size) bytes, again")
                }
                // And several over one connection.
                let both = try stage.topology.client.require([
                    "curl", "-sS", "--max-time", "30", "-w", "%{http_code} %{num_connects} ", "-o", "/dev/null", "-o", "/dev/null",
                    "http://\(Family.v4.server)/1", "http://\(Family.v4.server)/4096",
                ])
                #expect(both == "200 1 200 0 ")
                #expect(try clearway.waitForRequests(14).allSatisfy { $0.ending != "proxy-service" })
            }
        }

        /// More at a time than there are connections: each waits its turn.
        @Test func fewConnections() throws {
            try play(Variant(), start: false) { stage in
                let site = try stage.startSite(.nginx)
                _ = try site.digest(ofNew: "www/some", 100, in: stage.topology.server)
                try Self.startScanner(stage)
                let clearway = try stage.startClearway(Self.configuration(response: "echo", keys: "max_connections = 2"))
                let request = Array("GET /some HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8)
                let heard = try stage.exchange((0..<40).map { _ in Exchange("", request) }, host: Family.v4.server, port: 80)
                #expect(heard.count == 40)
                #expect(
                    heard.allSatisfy { $0.text.hasPrefix("HTTP/1.1 200 OK\r\n") && $0.text.utf8.count > 100 && $0.end == "fin" })
                #expect(try clearway.waitForRequests(40).allSatisfy { $0.int("status") == 200 })
            }
        }

        @Test func whatIsInfectedDoesNotPass() throws {
            try play(Variant(), start: false) { stage in
                let site = try stage.startSite(.nginx, .apache)
                try Self.startScanner(stage)
                let clearway = try stage.startClearway(Self.configuration(request: "scan", response: "scan"))
                try site.scratch.write(Self.eicar, to: "www/evil", mode: 0o644)
                let page = try stage.topology.client.require([
                    "curl", "-sS", "-i", "--max-time", "30", "http://\(Family.v4.server)/evil",
                ])
                #expect(page.hasPrefix("HTTP/1.1 403 Forbidden") && page.contains("VIRUS FOUND") && !page.contains(Self.eicar))
                // The other way.
                let sent = try stage.topology.client.require([
                    "curl", "-sS", "-i", "--max-time", "30", "--data-binary", "@\(site.scratch.file("www/evil"))",
                    "http://\(Family.v4.server):8080/digest.sh",
                ])
                #expect(sent.contains("HTTP/1.1 403 Forbidden") && sent.contains("VIRUS FOUND"))
                // And what is clean arrives whole.
                let digest = try site.digest(ofNew: "sent", 5 << 20, in: stage.topology.server)
                let arrived = try stage.topology.client.require([
                    "curl", "-sS", "--max-time", "30", "-T", site.scratch.file("sent"),
                    "http://\(Family.v4.server):8080/digest.sh",
                ])
                #expect(arrived == "PUT \(digest)")
                let records = try clearway.waitForRequests(3)
                #expect(records.map { $0.int("status") } == [403, 403, 200])
                #expect(records[..<2].allSatisfy { $0.ending == "proxy-rejected" })
                #expect(records[..<2].allSatisfy { $0.string("reason") == "icap: scan: Eicar-Test-Signature.UNOFFICIAL" })
            }
        }

        /// Servers say that they want a body before they have it, and it goes on.
        @Test func uploads() throws {
            try play(Variant(), start: false) { stage in
                let site = try stage.startSite(.nginx, .apache)
                try Self.startScanner(stage)
                let clearway = try stage.startClearway(Self.configuration(request: "echo"))
                let digest = try site.digest(ofNew: "sent", 3_000_000, in: stage.topology.server)
                for _ in 1...4 {
                    let arrived = try stage.topology.client.require([
                        "curl", "-sS", "--max-time", "30", "-T", site.scratch.file("sent"),
                        "http://\(Family.v4.server):8080/digest.sh",
                    ])
                    #expect(arrived == "PUT \(digest)")
                }
                #expect(try clearway.waitForRequests(4).allSatisfy { $0.int("status") == 200 })
            }
        }

        /// Without the service, and after it was killed in the middle.
        @Test(arguments: ["reject", "pass"]) func aServiceThatIsGone(manner: String) throws {
            try play(Variant(), start: false) { stage in
                let site = try stage.startSite(.nginx)
                let digest = try site.digest(ofNew: "www/page1", 4_096, in: stage.topology.server)
                let clearway = try stage.startClearway(
                    Self.configuration(response: "scan", keys: "on_failure = \"\(manner)\"\ntimeout = \"2s\""))
                func check(_ what: String) throws {
                    let fetched = try Self.fetch(stage, "page1")
                    #expect(fetched.status == (manner == "pass" ? 200 : 503), "\(what)")
                    #expect((fetched.digest == digest) == (manner == "pass"), "\(what)")
                }
                try check("never there")
                let scanner = try Self.startScanner(stage)
                let fetched = try Self.fetch(stage, "page1")
                #expect(fetched.status == 200 && fetched.digest == digest)
                try Self.kill(scanner, stage)
                try check("gone")
                let records = try clearway.waitForRequests(3)
                #expect(records.map { $0.ending == "proxy-service" } == [manner == "reject", false, manner == "reject"])
                #expect(clearway.log.contains("icap: scan: "))
            }
        }

        // MARK: A service that does what it is told

        private static let body = "as it was, and longer than a preview"
        private static let response = "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        private static let heard =
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        private static let request = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"

        /// One request and its response, over a connection of its own: what the client hears, and how it ends.
        private func exchange(_ stage: Stage) throws -> (text: String, end: String) {
            let exchange = try MessageExchange(stage)
            try stage.client.send(exchange.client, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            try exchange.ask("", seen: Self.request)
            try stage.server.send(exchange.server, Self.response)
            let heard = try stage.client.perform("receive", ["socket": exchange.client, "bytes": 100_000, "timeout": 10])
            return (heard.string("text"), heard.end)
        }

        private static let broken = [
            "silent", "gone", "half a head", "no ICAP", "endless head", "no Encapsulated", "too short a head", "too long a head",
            "a huge head", "parts in disorder", "a request for a response", "two lengths", "a body and none", "an error",
            "not found", "more, of nothing", "no body", "bad chunks", "too short a body", "too long a body",
        ]
        private static let found = [
            "found, and an error", "found, and a page that does not fit", "found, and unchanged", "found, and no body",
            "found, and bad chunks",
        ]
        private static let brokenOff = ["cut off", "found, and cut off"]

        @Test(arguments: ["reject", "pass"]) func aServiceThatIsBroken(manner: String) throws {
            let configuration = Self.configuration(response: "x", keys: "timeout = \"300ms\"\non_failure = \"\(manner)\"")
            try play(Variant(), configuration: configuration) { stage in
                let scanner = try stage.peer(in: stage.topology.router)
                for fault in Self.broken {
                    try scanner.perform("icap", ["manner": fault])
                    let heard = try exchange(stage)
                    if manner == "pass" {
                        #expect(heard.text == Self.heard && heard.end == "fin", "\(fault)")
                    } else {
                        #expect(heard.text.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"), "\(fault): \(heard.text)")
                    }
                }
                // It was scanned, and named.
                for fault in Self.found {
                    try scanner.perform("icap", ["manner": fault])
                    let heard = try exchange(stage).text
                    #expect(heard.hasPrefix("HTTP/1.1 403 Forbidden\r\n") && heard.contains("Evil"), "\(fault): \(heard)")
                }
                // Visibly broken off.
                for fault in Self.brokenOff {
                    try scanner.perform("icap", ["manner": fault])
                    let heard = try exchange(stage)
                    #expect(heard.end == "ECONNRESET", "\(fault): \(heard)")
                }
                let count = Self.broken.count + Self.found.count + Self.brokenOff.count
                let endings = try stage.clearway.waitForRequests(count).map {
                    $0.string("reason") == "icap: scan: Evil" ? "\($0.ending): Evil" : $0.ending
                }
                #expect(endings[..<Self.broken.count].allSatisfy { ($0 == "proxy-service") == (manner == "reject") })
                #expect(endings[Self.broken.count...].dropLast(2).allSatisfy { $0 == "proxy-rejected: Evil" })
                #expect(endings.suffix(2) == ["proxy-service", "proxy-rejected: Evil"])
                let seen = try scanner.perform("icap_seen")
                #expect(seen.strings("heads").allSatisfy { $0.hasPrefix("RESPMOD icap://127.0.0.1:1344/x ICAP/1.0\r\n") })
                #expect(
                    seen.strings("heads").allSatisfy { $0.contains("\r\nPreview: 16\r\n") && $0.contains("\r\nAllow: 204\r\n") })
                #expect(seen.strings("bodies").allSatisfy { $0 == Self.body.prefix(16) })
            }
        }

        @Test func whatTheServiceSays() throws {
            try play(Variant(), configuration: Self.configuration(response: "x")) { stage in
                let scanner = try stage.peer(in: stage.topology.router)
                try scanner.perform("icap", ["manner": "unchanged"])
                #expect(try exchange(stage).text == Self.heard)
                try scanner.perform("icap", ["manner": "changed"])
                #expect(
                    try exchange(stage).text
                        == "HTTP/1.1 200 OK\r\nX-Scanned: yes\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
                try scanner.perform("icap", ["manner": "refused"])
                let refused = try exchange(stage).text
                #expect(
                    refused.hasPrefix("HTTP/1.1 403 Forbidden\r\n") && refused.contains("_b_Evil_/b_") && !refused.contains("<b>"))
                try scanner.perform("icap", ["manner": "found"])
                #expect(try exchange(stage).text.hasSuffix("\r\n\r\npage"))
                let records = try stage.clearway.waitForRequests(4)
                #expect(records.map { $0.ending == "proxy-rejected" } == [false, false, true, true])
                #expect(records[3].string("reason") == "icap: scan: Evil")
                // One connection served all of them.
                #expect(try scanner.perform("icap_seen").strings("heads").count == 4)
            }
        }

        /// For its options a service is asked over a connection that rests, and over one behind whose answer something may come it is asked nothing.
        @Test func connectionsThatAreUsedAgain() throws {
            try play(Variant(), configuration: Self.configuration(response: "x")) { stage in
                let scanner = try stage.peer(in: stage.topology.router)
                func connections(after manners: String...) throws -> Int {
                    for manner in manners {
                        try scanner.perform("icap", ["manner": manner])
                        #expect(try exchange(stage).text == Self.heard)
                    }
                    return try scanner.perform("icap_seen").int("connections")
                }
                #expect(try connections(after: "unchanged", "unchanged, of another service", "unchanged") == 1)
                #expect(try connections(after: "unchanged, and a body", "unchanged") == 2)
            }
        }

        /// It keeps no place at the service that others wait for.
        @Test func aClientThatLeaves() throws {
            try play(Variant(), configuration: Self.configuration(response: "x", keys: "max_connections = 1")) { stage in
                let scanner = try stage.peer(in: stage.topology.router)
                try scanner.perform("icap", ["manner": "silent"])
                for round in 1...2 {
                    let leaving = try MessageExchange(stage)
                    try leaving.ask(Self.request, seen: Self.request)
                    try stage.server.send(leaving.server, Self.response)
                    try waitUntil("a message at the service") {
                        try scanner.perform("icap_seen").strings("heads").count == round
                    }
                    try stage.client.reset(leaving.client)
                    #expect(try stage.server.drain(leaving.server).end != "timeout")
                }
                try scanner.perform("icap", ["manner": "unchanged"])
                #expect(try exchange(stage).text == Self.heard)
            }
        }

        /// An answer in place of the request, which the server never hears.
        @Test func requestsAreAnswered() throws {
            try play(Variant(), configuration: Self.configuration(request: "x")) { stage in
                let scanner = try stage.peer(in: stage.topology.router)
                try scanner.perform("icap", ["manner": "found"])
                let exchange = try MessageExchange(stage)
                try stage.client.send(exchange.client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nevil")
                #expect(try stage.client.receiveUntil(exchange.client, "\r\n\r\npage").hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
                try exchange.accept()
                #expect(try stage.server.drain(exchange.server).int("bytes") == 0)
                // And one that passes.
                try scanner.perform("icap", ["manner": "unchanged"])
                let next = try MessageExchange(stage)
                let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
                try stage.client.send(next.client, head)
                let goOn = "HTTP/1.1 100 Continue\r\n\r\n"
                #expect(try stage.client.receive(next.client, goOn.utf8.count) == goOn)
                try stage.client.send(next.client, "good")
                try next.accept()
                #expect(try stage.server.receive(next.server, head.utf8.count + 4) == head + "good")
                try next.answer(
                    "HTTP/1.1 204 No Content\r\n\r\n", seen: "HTTP/1.1 204 No Content\r\n\r\n")
                #expect(try scanner.perform("icap_seen").strings("bodies") == ["evil", "good"])
            }
        }

        /// Behind a change of the protocol nothing is scanned, and both ends are passed on.
        @Test func anotherProtocol() throws {
            try play(Variant(), configuration: Self.configuration(request: "x", response: "x")) { stage in
                let scanner = try stage.peer(in: stage.topology.router)
                try scanner.perform("icap", ["manner": "unchanged"])
                let exchange = try MessageExchange(stage)
                let head = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                try exchange.ask(head, seen: head)
                let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                try exchange.answer(agreed + "frame", seen: agreed + "frame")
                try stage.client.send(exchange.client, "\u{1}\u{2} GET")
                #expect(try stage.server.receive(exchange.server, 6) == "\u{1}\u{2} GET")
                try stage.server.shut(exchange.server)
                #expect(try stage.client.drain(exchange.client).end == "fin")
                try stage.client.shut(exchange.client)
                #expect(try stage.server.drain(exchange.server).end == "fin")
                #expect(try stage.clearway.waitForSessions(1)[0].ending == "upstream-fin")
            }
        }

        /// Killed as a response is on its way: what has come cannot be called back, and must not look whole.
        @Test func killedInTheMiddle() throws {
            try play(Variant(), start: false) { stage in
                let scanner = try Self.startScanner(stage)
                let clearway = try stage.startClearway(Self.configuration(response: "echo", keys: "on_failure = \"pass\""))
                let exchange = try MessageExchange(stage)
                try exchange.ask(Self.request, seen: Self.request)
                try stage.server.send(exchange.server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3d0900\r\n")
                try stage.server.perform("pour", ["socket": exchange.server, "bytes": 1_000_000])
                _ = try stage.client.receiveUntil(exchange.client, "\r\n\r\n")
                try Self.kill(scanner, stage)
                #expect(try stage.client.drain(exchange.client).end == "ECONNRESET")
                #expect(try clearway.waitForRequests(1)[0].ending == "proxy-service")
            }
        }

        /// A body of 20 MB either way, to a service that gives it back as it comes: held by nobody as a whole.
        @Test func memory() throws {
            try play(Variant(), start: false) { stage in
                try Self.startScanner(stage)
                let clearway = try stage.startClearway(Self.configuration(response: "echo"))
                let exchange = try MessageExchange(stage)
                try exchange.ask(Self.request, seen: Self.request)
                let before = clearway.residentMemory
                let bytes = 20_000_003
                try stage.server.send(exchange.server, "HTTP/1.1 200 OK\r\nContent-Length: \(bytes)\r\n\r\n")
                let pouring = try stage.server.begin("pour", ["socket": exchange.server, "bytes": bytes])
                let head = try stage.client.receiveUntil(exchange.client, "\r\n\r\n")
                #expect(head.hasPrefix("HTTP/1.1 200 OK\r\n") && head.contains("\r\nContent-Length: \(bytes)\r\n"))
                let arrived = try stage.client.drain(exchange.client, limit: bytes)
                #expect(try stage.server.answer(to: pouring).string("digest") == arrived.string("digest"))
                #expect(clearway.residentMemory - before < 6 << 20)
            }
        }
    }
}
