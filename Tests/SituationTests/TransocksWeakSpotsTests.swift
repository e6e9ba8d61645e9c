import Foundation
import TestSupport
import Testing

extension PatientSituations {
    /// What transocks was known to fail at. docs/transocks.md has the list, and which test shows what.
    @Suite struct TransocksWeakSpots {
        private static let port = TransocksConfiguration.proxyPort
        /// What an HTTP proxy is sent for 198.51.100.2:7777.
        private static let connect =
            "CONNECT 198.51.100.2:7777 HTTP/1.1\r\nHost: 198.51.100.2:7777\r\nUser-Agent: Go-http-client/1.1\r\n\r\n"

        private static let withoutCapabilities = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]

        /// Once out of descriptors, transocks never accepted again.
        @Test func itSurvivesRunningOutOfDescriptors() throws {
            try playTransocks(wrapper: ["prlimit", "--nofile=64:64"]) { stage, transocks in
                try stage.startProxy(.microsocks)
                let listener = try stage.server.listen(Family.v4.server)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "echo"])
                let port = listener.int("port")
                #expect(try stage.echoes(port))
                let flood = try stage.client.perform("flood", ["host": Family.v4.server, "port": port, "count": 300])
                try waitUntil("every SYN of the flood answered") {
                    try stage.topology.client.require(["ss", "-Hnt", "state", "syn-sent"]).isEmpty
                }
                try waitUntil("a word about it") {
                    transocks.log.contains("accepting paused") || transocks.log.contains("Accept error")
                }
                #expect(transocks.program.isRunning)
                try stage.client.perform("hang_up", ["sockets": flood.ints("sockets")])
                try waitUntil("new connections served again") { try stage.echoes(port) }
            }
        }

        /// transocks waited for ever, two descriptors for each.
        @Test(arguments: ["socks5", "http"])
        func aSilentProxyIsGivenUp(scheme: String) throws {
            try playTransocks(TransocksConfiguration(proxy: "\(scheme)://198.51.100.2:\(Self.port)")) { stage, transocks in
                _ = try stage.server.listen(Family.v4.server, port: Self.port)
                let before = transocks.descriptors("socket")
                let attempt = try stage.client.perform("attempt", ["host": Family.v4.server, "port": 7_777])
                #expect(attempt.strings("outcomes") == ["ECONNRESET"])
                #expect((9.9..<14).contains(attempt.doubles("seconds")[0]))
                let failed = try transocks.waitForRecords("failed to connect to proxy server")[0]
                #expect(failed.string("error").hasSuffix(": i/o timeout"))
                try waitUntil("no more sockets than before") { transocks.descriptors("socket") <= before }
            }
        }

        /// In transocks the other direction waited for its own end.
        @Test func anErrorOfOneSideEndsBoth() throws {
            try playTransocks(TransocksConfiguration(proxy: "http://198.51.100.2:\(Self.port)")) { stage, transocks in
                let listener = try stage.server.listen(Family.v4.server, port: Self.port)
                let client = try stage.client.connect(Family.v4.server, 7_777).socket
                let proxy = try stage.server.accept(listener).socket
                #expect(try stage.server.receive(proxy, Self.connect.utf8.count) == Self.connect)
                try stage.server.send(proxy, "HTTP/1.1 200 OK\r\n\r\n")
                try transocks.waitForRecords("proxy starts")
                try stage.server.reset(proxy)
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                let ends = try transocks.waitForRecords("proxy ends with an error")[0]
                #expect(ends.string("error") == "upstream: connection reset by peer")
                #expect(ends.string("severity") == "error")
            }
        }

        /// transocks asked its proxy for its own address, which led back to it.
        @Test func whoConnectsToItDirectlyGetsNowhere() throws {
            try playTransocks { stage, transocks in
                let proxy = try stage.server.listen(Family.v4.server, port: Self.port)
                let answer = try stage.client.perform("attempt", ["host": Family.v4.routerTowardsClient, "port": 1081])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                let loop = try transocks.waitForRecords("connection loop")[0]
                #expect(loop.string("severity") == "error")
                #expect(loop.string("dest_addr") == "\(Family.v4.routerTowardsClient):1081")
                #expect(throws: PeerFailure.self) { try stage.server.perform("accept", ["socket": proxy.socket, "timeout": 0]) }
            }
        }

        /// The rule that everybody forgets once: that the connections to the proxy are not to be redirected.
        @Test(arguments: [[], Self.withoutCapabilities])
        func itsOwnConnectionThatComesBackEndsThere(wrapper: [String]) throws {
            try play(Variant(mode: .redirect), start: false) { stage in
                try stage.redirectToTransocks(sparesProxy: false)
                try stage.startProxy(.microsocks)
                let transocks = try stage.startTransocks(wrapper: wrapper)
                let answer = try stage.client.perform("attempt", ["host": Family.v4.server, "port": 7_777])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                try transocks.waitForRecords("failed to connect to proxy server")
                let loops = try transocks.waitForRecords("connection loop")
                #expect(loops.map { $0.string("dest_addr") } == ["198.51.100.2:\(Self.port)"])
                #expect(try transocks.records("proxy starts").isEmpty)
            }
        }

        /// transocks needed no permission at all, and nor does its stand-in.
        @Test func itNeedsNoCapability() throws {
            try playTransocks(wrapper: Self.withoutCapabilities) { stage, transocks in
                try stage.startProxy(.microsocks)
                let (client, server) = try stage.connected()
                try stage.client.send(client, "x")
                #expect(try stage.server.receive(server, 1) == "x")
                let status = try String(contentsOfFile: "/proc/\(transocks.program.pid)/status", encoding: .utf8)
                #expect(status.contains(/CapEff:\t0+\n/))
            }
        }

        /// transocks worked in a child, with an environment of one variable. `pkill -HUP transocks` killed it.
        @Test func itIsOneProcessWithItsEnvironment() throws {
            try playTransocks(environment: ["TZ": "Asia/Tokyo"]) { _, transocks in
                let pid = transocks.program.pid
                for task in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task") {
                    #expect(try String(contentsOfFile: "/proc/\(pid)/task/\(task)/children", encoding: .utf8) == "")
                }
                let environment = try String(contentsOfFile: "/proc/\(pid)/environ", encoding: .utf8)
                #expect(environment.split(separator: "\0").contains("TZ=Asia/Tokyo"))
                // Its log is in UTC all the same.
                let logged = try transocks.records("well: new child")[0].string("logged_at")
                let time = try #require(try? Date(logged.prefix(19) + "Z", strategy: .iso8601))
                #expect(abs(time.timeIntervalSinceNow) < 60)
            }
        }

        /// A client that resets is everyday; in transocks' log it was an error.
        @Test func aResetOfTheClientsIsNoError() throws {
            try playTransocks { stage, transocks in
                try stage.startProxy(.microsocks)
                let (client, server) = try stage.connected()
                try stage.client.send(client, "x")
                #expect(try stage.server.receive(server, 1) == "x")
                try stage.client.reset(client)
                let ends = try transocks.waitForRecords("proxy ends with an error")[0]
                #expect(ends.string("severity") == "info")
                #expect(ends.string("error") == "client: connection reset by peer")
            }
        }

        /// A failure is a reset for the client, who may then tell it from an empty answer. (transocks: an end.)
        @Test(arguments: [
            ("http", "HTTP/1.1 502 Bad Gateway\r\n\r\n", "proxy returns 502 Bad Gateway"),
            ("http", "", "reset proxy connection: EOF"),
            (
                "socks5", "\u{5}\u{FF}",
                "socks connect tcp 198.51.100.2:1090->198.51.100.2:7777: no acceptable authentication methods"
            ),
        ])
        func theCauseOfAFailureIsTold(scheme: String, answer: String, error: String) throws {
            try playTransocks(TransocksConfiguration(proxy: "\(scheme)://198.51.100.2:\(Self.port)")) { stage, transocks in
                let listener = try stage.server.listen(Family.v4.server, port: Self.port)
                let client = try stage.client.connect(Family.v4.server, 7_777).socket
                let proxy = try stage.server.accept(listener).socket
                _ = try stage.server.receive(proxy, scheme == "http" ? Self.connect.utf8.count : 3)
                if answer.isEmpty { try stage.server.shut(proxy) } else { try stage.server.send(proxy, answer) }
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                let failed = try transocks.waitForRecords("failed to connect to proxy server")[0]
                #expect(failed.string("error") == error)
            }
        }

        /// transocks knew no `https`; and what it told an HTTP proxy, a password too, everybody on the way could read.
        @Test func itSpeaksTLSWithItsProxy() throws {
            try play(Variant(mode: .redirect), start: false) { stage in
                let authority = try stage.certificates.authority()
                let certificate = try stage.certificates.server(names: "IP:198.51.100.2", by: authority)
                try stage.startProxy(.tinyproxy)
                // Of the two ports that the administrator's rules spare.
                try stage.startTLS(port: Self.port + 1, with: certificate)
                try stage.redirectToTransocks()
                let url = "https://me:secret@198.51.100.2:\(Self.port + 1)?ca=\(authority.file)"
                let transocks = try stage.startTransocks(TransocksConfiguration(proxy: url))
                let (client, server) = try stage.connected()
                try stage.client.send(client, "question")
                #expect(try stage.server.receive(server, 8) == "question")
                let pouring = try stage.server.begin("pour", ["socket": server, "bytes": 1_000_003, "shut": true])
                let arrived = try stage.client.drain(client)
                #expect(try stage.server.answer(to: pouring).string("digest") == arrived.string("digest"))
                #expect(arrived.end == "fin")
                try stage.client.close(client)
                let ends = try transocks.waitForRecords("proxy ends")[0]
                #expect(ends.int("up") == 8 && ends.int("down") == 1_000_003)
                #expect(!transocks.log.contains("secret"))
            }
        }

        /// Nor is it believed because it answers.
        @Test func aProxyThatIsSomebodyElseGetsNothing() throws {
            try play(Variant(mode: .redirect), start: false) { stage in
                let authority = try stage.certificates.authority()
                let certificate = try stage.certificates.server(names: "IP:198.51.100.3", by: authority)
                try stage.startTLS(port: Self.port + 1, with: certificate)
                try stage.redirectToTransocks()
                let url = "https://me:secret@198.51.100.2:\(Self.port + 1)?ca=\(authority.file)"
                let transocks = try stage.startTransocks(TransocksConfiguration(proxy: url))
                let answer = try stage.client.perform("attempt", ["host": Family.v4.server, "port": 7_777])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                let failed = try transocks.waitForRecords("failed to connect to proxy server")[0]
                #expect(failed.string("error").contains("its certificate is not accepted: IP address mismatch"))
            }
        }

        /// Six descriptors, two pipes and 128 KiB for each idle connection; here the two sockets.
        @Test func anIdleSessionHoldsTwoSockets() throws {
            try playTransocks { stage, transocks in
                try stage.startProxy(.microsocks)
                let listener = try stage.server.listen(Family.v4.server)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "echo"])
                func open() throws -> Int {
                    let client = try stage.client.connect(Family.v4.server, listener.int("port")).socket
                    try stage.client.send(client, "ping")
                    #expect(try stage.client.receive(client, 4) == "ping")
                    return client
                }
                // The first one brings in what is made once.
                let first = try open()
                let before = (transocks.descriptors("socket"), transocks.descriptors("pipe"))
                let memory = transocks.anonymousMemory
                let clients = try (0..<40).map { _ in try open() }
                #expect(transocks.descriptors("socket") == before.0 + 2 * clients.count)
                #expect(transocks.descriptors("pipe") == before.1)
                #expect(transocks.anonymousMemory - memory < clients.count * 32_768)
                try stage.client.close(first)
            }
        }

        /// transocks wrote its log within the sessions: who read it too slowly stopped them all.
        @Test func aLogThatNobodyReadsStopsNoSession() throws {
            let scratch = try ScratchDirectory()
            defer { scratch.remove() }
            let pipe = scratch.file("log")
            #expect(mkfifo(pipe, 0o600) == 0)
            let reader = open(pipe, O_RDWR | O_NONBLOCK | O_CLOEXEC)
            defer { close(reader) }
            try play(Variant(mode: .redirect), start: false) { stage in
                try stage.redirectToTransocks()
                try stage.startProxy(.microsocks)
                let transocks = try Transocks(in: stage.topology.router, TransocksConfiguration(file: pipe).toml)
                try stage.topology.router.waitUntilListening(on: 1081)
                var filling = [UInt8](repeating: UInt8(ascii: "\n"), count: 4_096)
                while write(reader, &filling, filling.count) > 0 {}
                #expect(errno == EAGAIN)
                // More records than a pipe holds.
                let listener = try stage.server.listen(Family.v4.server)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "greet"])
                let churn = try stage.client.perform(
                    "churn",
                    [
                        "host": Family.v4.server, "port": listener.int("port"), "count": 300, "source": Family.v4.client,
                        "source_ports": Array(20_000..<20_300),
                    ])
                #expect(churn.strings("failures") == [])
                #expect(transocks.program.isRunning)
                // Once somebody reads, all of it arrives.
                var said = Data()
                try waitUntil("every record") {
                    var piece = [UInt8](repeating: 0, count: 65_536)
                    let count = read(reader, &piece, piece.count)
                    if count > 0 { said += piece[..<count] }
                    return String(decoding: said, as: UTF8.self).components(separatedBy: "\"proxy ends\"").count > 300
                }
                #expect(try transocks.stop() == .exited(0))
            }
        }
    }
}
