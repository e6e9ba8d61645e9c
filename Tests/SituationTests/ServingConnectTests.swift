import Foundation
import Testing

extension Situations {
    /// HTTP CONNECT byte for byte (RFC 9110 §9.3.6, RFC 9112, RFC 9931): one answer, the right one, and an end.
    @Suite struct ServingConnect {
        struct Row: Sendable {
            var name: String
            var says: [UInt8]
            var status: Int
            /// The record's words; nil: of no interest.
            var ending: String?

            init(_ name: String, _ says: [UInt8], _ status: Int, _ ending: String? = nil) {
                self.name = name
                self.says = says
                self.status = status
                self.ending = ending
            }
        }

        private static let server = Family.v4.server
        private static let authority = "198.51.100.2:443"

        private static let targets: [Row] = [
            Row("address", Says.connect(authority), 200), Row("IPv6", Says.connect("[2001:db8:2::2]:443"), 200),
            Row("name", Says.connect("four.test:443"), 200), Row("name with a dot", Says.connect("FOUR.test.:443"), 200),
            Row("HTTP/1.0 without Host", Says.connect(authority, version: "1.0", fields: []), 200),
            Row("HTTP/1.9", Says.connect(authority, version: "1.9"), 200),
            Row("Host of another", Says.connect(authority, fields: ["Host: 127.0.0.1:9"]), 200),
            Row("a length of 0", Says.connect(authority, fields: ["Host: x", "Content-Length: 0"]), 200),
            Row(
                "credentials that nobody wants",
                Says.connect(authority, fields: ["Host: x", "Proxy-Authorization: Basic bWU6bWU="]), 200),
            Row("another port", Says.connect("198.51.100.2:25"), 403, "proxy-rejected"),
            Row("a rule", Says.connect("blocked.test:443"), 403, "proxy-rejected"),
            Row("loopback", Says.connect("127.0.0.1:443"), 403, "proxy-rejected"),
            Row("loopback in hexadecimal", Says.connect("0x7f.1:443"), 403, "proxy-rejected"),
            Row("ourselves, listed", Says.connect("[2001:db8:1::1]:1080"), 403, "proxy-rejected"),
            Row("refused", Says.connect("closed.test:8443"), 502, "upstream-refused"),
            Row("unreachable", Says.connect("203.0.113.1:443"), 502, "upstream-unreachable"),
            Row("no such name", Says.connect("nobody.test:443"), 502, "upstream-unresolved"),
            Row("silence", Says.connect("203.0.113.129:443"), 504, "upstream-timeout"),
        ]

        private static let badTargets: [Row] = [
            "h", "h:", "h:0", "h:65536", "h:99999999999999999999", "h:+443", "h:-1", "h:443x", "h:0x1bb", "h:443:443", "h:0443",
            ":443", "",
            "http://198.51.100.2:443", "http://198.51.100.2:443/", "https://198.51.100.2/", "/", "*", "u@198.51.100.2:443",
            "u:p@198.51.100.2:443", "2001:db8:2::2:443", "[2001:db8:2::2]443", "[2001:db8:2::2", "[]:443", "[::1%25lo]:443",
            "198.51.100.2:443/", "198.51.100.2:443?", "198.51.100.2:443#", "four.test%00:443", "four.test\\:443", "four..test:443",
            String(repeating: "a", count: 64) + ".test:443",
        ].map { Row("target \($0)", Says.connect($0), 400, "client-protocol") }

        private static let badRequests: [Row] = [
            Row("no Host", Says.connect(authority, fields: []), 400),
            Row("two Hosts", Says.connect(authority, fields: ["Host: a", "Host: a"]), 400),
            Row("a Host of two", Says.connect(authority, fields: ["Host: a, b"]), 400),
            Row("a body", Says.connect(authority, fields: ["Host: x", "Content-Length: 5"]) + Array("hello".utf8), 400),
            Row("two lengths", Says.connect(authority, fields: ["Host: x", "Content-Length: 0", "Content-Length: 5"]), 400),
            Row("a negative length", Says.connect(authority, fields: ["Host: x", "Content-Length: -0"]), 400),
            Row(
                "chunks", Says.connect(authority, fields: ["Host: x", "Transfer-Encoding: chunked"]) + Array("0\r\n\r\n".utf8), 400),
            Row("identity", Says.connect(authority, fields: ["Host: x", "Transfer-Encoding: identity"]), 400),
            Row("a blank before the colon", Says.connect(authority, fields: ["Host: x", "Transfer-Encoding : chunked"]), 400),
            Row("a folded line", Says.connect(authority, fields: ["Host: x", " folded"]), 400),
            Row("a line without colon", Says.connect(authority, fields: ["Host: x", "nonsense"]), 400),
            Row("a field without name", Says.connect(authority, fields: ["Host: x", ": y"]), 400),
            Row("line feeds alone", Array("CONNECT \(authority) HTTP/1.1\nHost: x\n\n".utf8), 400),
            Row("a carriage return alone", Array("CONNECT \(authority) HTTP/1.1\r\nHost: x\rA: b\r\n\r\n".utf8), 400),
            Row("NUL", Says.connect(authority, fields: ["Host: x", "A: b\0c"]), 400),
            Row("DEL", Says.connect(authority, fields: ["Host: x", "A: b\u{7F}c"]), 400),
            Row("two blanks", Says.request("CONNECT  \(authority) HTTP/1.1"), 400),
            Row("a tab", Says.request("CONNECT\t\(authority) HTTP/1.1"), 400),
            Row("a blank at the end", Says.request("CONNECT \(authority) HTTP/1.1 "), 400),
            Row("no version", Says.request("CONNECT \(authority)"), 400),
            Row("a version in small letters", Says.request("CONNECT \(authority) http/1.1"), 400),
            Row("HTTP/2", Says.request("CONNECT \(authority) HTTP/2.0"), 505),
            Row("HTTP/2's preface", Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8), 505),
            Row("a web server", Says.request("GET / HTTP/1.1"), 400),
            Row("OPTIONS", Says.request("OPTIONS * HTTP/1.1"), 501),
            Row("another scheme", Says.request("GET ftp://four.test/ HTTP/1.1"), 501),
            Row("CONNECt", Says.request("CONNECt \(authority) HTTP/1.1"), 400),
            Row("no whole URL", Says.request("GET http:/four.test HTTP/1.1"), 400),
            Row("a long target", Says.request("CONNECT \(String(repeating: "a", count: 9_000)):443 HTTP/1.1"), 414),
            Row("a long field", Says.connect(authority, fields: ["Host: x", "A: " + String(repeating: "b", count: 17_000)]), 431),
            Row("101 fields", Says.connect(authority, fields: ["Host: x"] + (1...100).map { "A\($0): b" }), 431),
            Row(
                "more than 64 KiB",
                Says.connect(authority, fields: ["Host: x"] + (1...9).map { "A\($0): " + String(repeating: "b", count: 8_000) }),
                431),
            Row(
                "fields without end",
                Says.request("CONNECT \(authority) HTTP/1.1").dropLast(2) + Array(String(repeating: "A", count: 900_000).utf8), 431),
            // Whoever sees one request where we see two can be made to send the second (RFC 9931).
            Row(
                "a request behind a refused one",
                Says.connect("nobody.test:80") + Says.request("POST http://four.test/ HTTP/1.1") + Says.connect(authority), 403),
            Row("a tunnel behind a bad one", Says.connect("h:0") + Says.connect(authority), 400),
        ]

        @Test func eachRequestHasOneAnswer() throws {
            let configuration = ClearwayConfiguration.serving(
                reach: ClearwayConfiguration.servedNetworks + ["2001:db8:1::1/128"], timeouts: "connect = \"3s\"",
                more: "ports = [443, 8443]", policy: "[[rule]]\ndomain = \"blocked.test\"\naction = \"reject\"\n")
            try play(Variant(), start: false) { stage in
                try stage.echo(on: 443)
                let names = ["four.test": [Self.server], "blocked.test": [Self.server], "closed.test": [Self.server]]
                let (clearway, asked) = try stage.startClearway(configuration, names: names)
                let rows = Self.targets + Self.badTargets + Self.badRequests
                let heard = try stage.exchange(
                    rows.map {
                        $0.status == 200 ? Exchange($0.name, $0.says + Array("early".utf8), then: .fin) : Exchange($0.name, $0.says)
                    })
                for (row, heard) in zip(rows, heard) {
                    let text = heard.text
                    #expect(text.hasPrefix("HTTP/1.1 \(row.status) "), "\(row.name): \(text.prefix(80)) \(heard.end)")
                    #expect(heard.end == "fin" && heard.seconds < 1.2, "\(row.name): \(heard.end) after \(heard.seconds) s")
                    #expect(text.components(separatedBy: "HTTP/1.1 ").count == 2 || row.status == 505, "\(row.name): \(text)")
                    let parts = text.components(separatedBy: "\r\n\r\n")
                    #expect(parts.count == 2, "\(row.name)")
                    if row.status == 200 {
                        #expect(!parts[0].contains(/(?i)content-length|transfer-encoding/))
                        #expect(parts.last == "early", "\(row.name)")
                    } else {
                        let length = parts[0].firstMatch(of: /Content-Length: (\d+)/).flatMap { Int($0.1) }
                        #expect(length == parts.last?.utf8.count && parts[0].contains("Connection: close"), "\(row.name)")
                        // Nothing of the request's comes back.
                        #expect(!text.contains("four.test") && !text.contains("Host: x"), "\(row.name)")
                    }
                }
                let records = try clearway.waitForSessions(rows.count)
                #expect(records.count == rows.count)
                for ending in Set(rows.compactMap(\.ending)) {
                    #expect(records.count { $0.ending == ending } >= rows.count { $0.ending == ending }, "\(ending)")
                }
                // Four bytes more or less, and it is another session.
                #expect(records.filter { $0.ending == "client-fin" }.allSatisfy { $0.int("up") == 5 && $0.int("down") == 5 })
                #expect(try Set(asked.asked().map { $0.prefix { $0 != " " } }) == ["four.test", "closed.test", "nobody.test"])
            }
        }

        @Test func fourHundredAndFourtyThreeIsThePortThatIsExpected() throws {
            try play(Variant(), configuration: .serving("http")) { stage in
                for port in [443, 25, 8443] { try stage.echo(on: port) }
                let heard = try stage.exchange(
                    [443, 25, 8443].map { Exchange("", Says.connect("198.51.100.2:\($0)"), then: .fin) })
                #expect(heard.map { $0.text.prefix(12) } == ["HTTP/1.1 200", "HTTP/1.1 403", "HTTP/1.1 403"])
                // One empty line may come first (RFC 9112 §2.2), which only a listener for HTTP alone can know.
                let late = try stage.exchange([Exchange("", [13, 10] + Says.connect("198.51.100.2:443"), then: .fin)])
                #expect(late[0].text.hasPrefix("HTTP/1.1 200 "))
                // A method that is written in small letters is another one.
                let small = try stage.exchange([Exchange("", Says.request("connect 198.51.100.2:443 HTTP/1.1"))])
                #expect(small[0].text.hasPrefix("HTTP/1.1 400 "))
            }
        }

        /// The answer that comes when the request does not.
        @Test func aRequestThatDoesNotComeIsToldSo() throws {
            try play(Variant(), configuration: .serving(timeouts: "handshake = \"1s\"")) { stage in
                let began = now()
                let heard = try stage.exchange([
                    Exchange("", Array("CONNECT 198".utf8)), Exchange("", Says.greeting), Exchange("", []),
                    Exchange("", bytes("04 01 01")),
                    // Bytes all the time, none of them the last.
                    Exchange("", pieces: (0..<40).map { _ in Array("CONNECT".utf8) }, pause: 0.1),
                ])
                #expect(heard[0].text.hasPrefix("HTTP/1.1 408 ") && heard[0].end == "fin")
                #expect(heard[1].hex == "0500" && heard[2].hex.isEmpty && heard[3].hex.isEmpty)
                #expect(heard[4].text.hasPrefix("HTTP/1.1 4"))
                #expect(now() - began < 8)
                let records = try stage.clearway.waitForSessions(5)
                #expect(
                    records.allSatisfy { $0.ending == "client-slow" && (0.9..<3).contains($0.fields["duration"] as? Double ?? 0) })
            }
        }

        /// What the server said before it ended arrives whole, however slowly it is read, and the client may go on speaking.
        @Test(arguments: Variant.proxied)
        func anEndedDirectionIsEmptiedFirst(variant: Variant) throws {
            var configuration = ClearwayConfiguration.serving()
            configuration.relay = variant.mover.rawValue
            try play(variant, configuration: configuration) { stage in
                let listener = try stage.server.listen(Self.server, port: 443)
                let client = try stage.client.connect("192.0.2.1", 1080, ["receive_buffer": 8_192]).socket
                try stage.client.send(client, "CONNECT 198.51.100.2:443 HTTP/1.1\r\nHost: x\r\n\r\n")
                let server = try stage.server.accept(listener).socket
                let answer = "HTTP/1.1 200 Connection established\r\n\r\n"
                #expect(try stage.client.receive(client, answer.utf8.count) == answer)
                let pouring = try stage.server.begin("pour", ["socket": server, "bytes": 10_000_000, "shut": true])
                let arrived = try stage.client.drain(client)
                #expect(arrived.int("bytes") == 10_000_000 && arrived.end == "fin")
                #expect(try stage.server.answer(to: pouring).string("digest") == arrived.string("digest"))
                try stage.client.send(client, "still here")
                try stage.client.shut(client)
                #expect(try stage.server.receive(server, 10) == "still here")
                #expect(try stage.server.drain(server).end == "fin")
                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.int("up") == 10 && record.int("down") == 10_000_000 && record.ending == "upstream-fin")
            }
        }

        @Test(arguments: [Variant(), Variant(mover: .splice)])
        func aResetIsHandedOnBehindWhatWasSaid(variant: Variant) throws {
            var configuration = ClearwayConfiguration.serving()
            configuration.relay = variant.mover.rawValue
            try play(variant, configuration: configuration) { stage in
                let listener = try stage.server.listen(Self.server, port: 443)
                for who in ["upstream", "client"] {
                    let client = try stage.client.connect("192.0.2.1", 1080).socket
                    try stage.client.send(client, "\u{5}\u{1}\0\u{5}\u{1}\0\u{1}\u{C6}\u{33}\u{64}\u{2}\u{1}\u{BB}")
                    let server = try stage.server.accept(listener).socket
                    #expect(try stage.client.receive(client, 12).hasPrefix("\u{5}\0\u{5}\0\0\u{1}"))
                    try stage.server.send(server, "last words")
                    #expect(try stage.client.receive(client, 10) == "last words")
                    try who == "client" ? stage.client.reset(client) : stage.server.reset(server)
                    let other = try who == "client" ? stage.server.drain(server) : stage.client.drain(client)
                    #expect(other.end == "ECONNRESET")
                }
                #expect(try Set(stage.clearway.waitForSessions(2).map(\.ending)) == ["client-reset", "upstream-reset"])
            }
        }

        /// A CONNECT that is intercepted is between its client and some other proxy.
        @Test func onAnInterceptedConnectionItIsNotForUs() throws {
            var configuration = ClearwayConfiguration()
            configuration.policy = ClearwayConfiguration.servedListener("socks+http")
            try play(Variant(), configuration: configuration) { stage in
                let listener = try stage.server.listen(Self.server, port: 3128)
                let client = try stage.client.connect(Self.server, 3128).socket
                let request = "CONNECT 203.0.113.1:443 HTTP/1.1\r\nHost: x\r\n\r\n"
                try stage.client.send(client, request)
                let server = try stage.server.accept(listener).socket
                #expect(try stage.server.receive(server, request.utf8.count) == request)
            }
        }
    }
}
