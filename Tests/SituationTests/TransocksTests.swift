import Foundation
import Testing

extension Situations {
    /// Clearway in the place of transocks, behind rules that its administrator made for transocks.
    @Suite struct Transparently {
        struct Proxy: CustomTestStringConvertible, Sendable {
            var testDescription: String
            var url: String
            var program: ProxyProgram
            var variant = Variant(mode: .redirect)
        }

        private static let port = TransocksConfiguration.proxyPort

        static let proxies = [
            Proxy(testDescription: "microsocks", url: "socks5://198.51.100.2:\(port)", program: .microsocks),
            Proxy(
                testDescription: "microsocks, IPv6", url: "socks5://[2001:db8:2::2]:\(port)", program: .microsocks,
                variant: Variant(family: .v6, mode: .redirect)),
            Proxy(
                testDescription: "microsocks with a password, of this host", url: "socks5://me:s%40cret@198.51.100.2:\(port)",
                program: .microsocksWithPassword, variant: Variant(mode: .redirect, scope: .local)),
            Proxy(
                testDescription: "microsocks, IPv6 of this host", url: "socks5://198.51.100.2:\(port)", program: .microsocks,
                variant: Variant(family: .v6, mode: .redirect, scope: .local)),
            Proxy(testDescription: "dante, a user and no password", url: "socks5://me@198.51.100.2:\(port)", program: .dante),
            Proxy(testDescription: "tinyproxy", url: "http://me:secret@198.51.100.2:\(port)", program: .tinyproxy),
        ]

        @Test(arguments: proxies)
        func sessionsLeaveThroughItsProxy(proxy: Proxy) throws {
            var configuration = TransocksConfiguration(proxy: proxy.url)
            // Of this host itself, the default is enough: both families.
            if proxy.variant.scope == .local { configuration.listen = "localhost:1081" }
            try playTransocks(configuration, variant: proxy.variant) { stage, transocks in
                try stage.startProxy(proxy.program)
                let (client, server) = try stage.connected()
                let peer = try stage.client.perform("local", ["socket": client])
                try stage.client.send(client, "question")
                #expect(try stage.server.receive(server, 8) == "question")
                let starts = try transocks.waitForRecords("proxy starts")[0]
                let pouring = try stage.server.begin("pour", ["socket": server, "bytes": 5_000_003, "shut": true])
                let arrived = try stage.client.drain(client)
                #expect(try stage.server.answer(to: pouring).string("digest") == arrived.string("digest"))
                #expect(arrived.end == "fin")
                try stage.client.close(client)

                let ends = try transocks.waitForRecords("proxy ends")[0]
                for record in [starts, ends] {
                    #expect(record.string("severity") == "info")
                    #expect(record.string("topic") == "transocks")
                    #expect(record.string("type") == "access")
                    #expect(record.int("pid") == Int(transocks.program.pid))
                    let address = proxy.variant.family == .v6 ? "[\(peer.string("address"))]" : peer.string("address")
                    #expect(record.string("client_addr") == "\(address):\(peer.int("port"))")
                    #expect(
                        record.string("dest_addr").hasPrefix(proxy.variant.family == .v6 ? "[2001:db8:2::2]:" : "198.51.100.2:"))
                }
                #expect(starts.string("request_id") == ends.string("request_id"))
                #expect(starts.string("request_id").count == 36)
                #expect(ends.fields["elapsed"] is NSNumber)
                // What transocks never told.
                #expect(ends.int("up") == 8 && ends.int("down") == 5_000_003)
                #expect(try transocks.stop() == .exited(0))
            }
        }

        /// The same three formats, from a running one.
        @Test(arguments: ["plain", "logfmt"])
        func recordsAreOneLine(format: String) throws {
            try playTransocks(TransocksConfiguration(format: format)) { stage, transocks in
                try stage.startProxy(.microsocks)
                let (client, server) = try stage.connected()
                try stage.client.shut(client)
                // The client's end comes first, as the record says.
                #expect(try stage.server.drain(server).end == "fin")
                try stage.server.shut(server)
                try waitUntil("the end of the session") { transocks.log.contains("\"proxy ends\"") }
                let fields = #"client_addr="192\.0\.2\.2:[0-9]+" dest_addr="198\.51\.100\.2:[0-9]+" "#
                let id = #"pid=[0-9]+ request_id="[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}" type="access""#
                let time = #"[-0-9]{10}T[:0-9]{8}\.[0-9]{6}Z"#
                let (starts, ends) =
                    format == "plain"
                    ? (#"\#(time) \S+ transocks info: "proxy starts" "#, #"\#(time) \S+ transocks info: "proxy ends" "#)
                    : (
                        #"topic=transocks logged_at=\#(time) severity=info utsname=\S+ message="proxy starts" "#,
                        #"topic=transocks logged_at=\#(time) severity=info utsname=\S+ message="proxy ends" "#
                    )
                for pattern in [
                    starts + fields + id,
                    ends + fields + #"down=0 elapsed=[0-9.]+ ending="client-fin" \#(id) up=0"#,
                ] {
                    let expression = try Regex(pattern)
                    #expect(
                        transocks.log.split(separator: "\n").contains { $0.wholeMatch(of: expression) != nil }, "\(transocks.log)")
                }
            }
        }

        /// What the proxy of old was sent, byte for byte.
        @Test(arguments: [
            (
                "http://u%40x:p%3Aw@198.51.100.2:1090",
                "CONNECT 198.51.100.2:7777 HTTP/1.1\r\nHost: 198.51.100.2:7777\r\nUser-Agent: Go-http-client/1.1\r\n"
                    + "Proxy-Authorization: Basic dUB4OnA6dw==\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"
            ),
            // Not 200, and without CR: transocks refused the one and hung on the other.
            (
                "http://198.51.100.2:1090",
                "CONNECT 198.51.100.2:7777 HTTP/1.1\r\nHost: 198.51.100.2:7777\r\nUser-Agent: Go-http-client/1.1\r\n\r\n",
                "HTTP/1.1 204 Fine\nA: b\n\n"
            ),
            ("socks5://198.51.100.2:1090", "\u{5}\u{1}\0", "\u{5}\0"),
            ("socks5://a:b@198.51.100.2:1090", "\u{5}\u{2}\0\u{2}", "\u{5}\0"),
        ])
        func theBytesOfItsHandshakes(url: String, asked: String, answer: String) throws {
            try playTransocks(TransocksConfiguration(proxy: url)) { stage, transocks in
                let listener = try stage.server.listen(Family.v4.server, port: Self.port)
                let client = try stage.client.connect(Family.v4.server, 7_777).socket
                let proxy = try stage.server.accept(listener).socket
                #expect(try stage.server.receive(proxy, asked.unicodeScalars.count) == asked)
                try stage.server.send(proxy, answer)
                if url.hasPrefix("socks5") {
                    let request = "\u{5}\u{1}\0\u{1}\u{C6}\u{33}\u{64}\u{2}\u{1E}\u{61}"
                    #expect(try stage.server.receive(proxy, 10) == request)
                    try stage.server.send(proxy, "\u{5}\0\0\u{1}\0\0\0\0\0\0")
                }
                try stage.server.send(proxy, "hello")
                #expect(try stage.client.receive(client, 5) == "hello")
                try transocks.waitForRecords("proxy starts")
            }
        }

        /// The record of old for a connection that nobody redirected, or whose conntrack entry is gone.
        @Test func withoutARuleThereIsNoDestination() throws {
            try play(Variant(mode: .redirect), start: false) { stage in
                let transocks = try stage.startTransocks()
                let answer = try stage.client.perform("attempt", ["host": Family.v4.routerTowardsClient, "port": 1081])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                let failed = try transocks.waitForRecords("GetOriginalDST failed")[0]
                #expect(failed.string("error") == "getsockopt: no such file or directory")
                #expect(failed.string("severity") == "error" && failed.string("type") == "access")
            }
        }

        /// A name, asked for now and then, and not for every connection.
        @Test func theProxyMayHaveAName() throws {
            try play(Variant(mode: .redirect), start: false) { stage in
                try stage.redirectToTransocks()
                try stage.startProxy(.microsocks)
                let hosts = try stage.topology.scratch.write("198.51.100.2 proxy.test\n", to: "hosts", mode: 0o644)
                let transocks = try stage.startTransocks(
                    TransocksConfiguration(proxy: "socks5://proxy.test:\(Self.port)"),
                    wrapper: ["sh", "-c", "mount --bind \(hosts) /etc/hosts && exec \"$@\"", "sh"])
                // In place: another file would not be the one that is mounted.
                let file = FileHandle(forWritingAtPath: hosts)
                try file?.truncate(atOffset: 0)
                try file?.close()
                for count in 1...3 {
                    let (client, server) = try stage.connected()
                    try stage.client.shut(client)
                    try stage.server.shut(server)
                    try transocks.waitForRecords("proxy ends", count)
                }
            }
        }
    }
}
