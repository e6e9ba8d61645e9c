import Foundation
import Testing

extension Situations {
    /// Clearway in the place of usocksd: what its clients get, and what its log says.
    @Suite struct UsocksdServes {
        private static let v4 = "192.0.2.1:1080"
        private static let v6 = "[2001:db8:1::1]:1080"

        struct Way: CustomTestStringConvertible, Sendable {
            var options: [String]
            var host: String
            var address: String
            var version = "SOCKS5"
            var testDescription: String { options.joined(separator: " ") + " " + host }
        }

        static let ways = [
            Way(options: ["--socks4", v4], host: Destination.privateV4, address: Destination.privateV4, version: "SOCKS4/4a"),
            Way(options: ["--socks4a", v4], host: "any.example", address: Destination.privateV4, version: "SOCKS4/4a"),
            Way(options: ["--socks5", v4], host: Destination.privateV4, address: Destination.privateV4),
            Way(options: ["--socks5", v6], host: Destination.privateV4, address: Destination.privateV4),
            Way(options: ["--socks5", v4], host: "[\(Destination.privateV6)]", address: "[\(Destination.privateV6)]"),
            Way(options: ["--socks5-hostname", v4], host: "any.example", address: Destination.privateV4),
            Way(options: ["--socks5-hostname", v6], host: "six.example", address: "[\(Destination.privateV6)]"),
            Way(options: ["--socks5-hostname", v4], host: "public.example", address: Destination.publicV4),
            // Whatever is shown is good, as ever.
            Way(
                options: ["--socks5-hostname", v4, "--proxy-user", "somebody:s3cret", "--socks5-basic"], host: "any.example",
                address: Destination.privateV4),
        ]

        /// The matrix of usocksd's own tests.
        @Test func curlGetsItsPage() throws {
            try playUsocksd { stage, usocksd in
                try stage.startPages()
                for (index, way) in Self.ways.enumerated() {
                    let finished = try stage.curl(way.options, "http://\(way.host):\(Destination.port)/page")
                    #expect(finished.succeeded && finished.output == "the page\n", "\(way.testDescription): \(finished.errors)")
                    let starts = try usocksd.waitForRecords("proxy starts", index + 1)[index]
                    #expect(starts.string("severity") == "info" && starts.string("type") == "access")
                    #expect(starts.string("protocol") == way.version && starts.string("command") == "connect")
                    #expect(starts.string("dest_host") == way.host.filter { !"[]".contains($0) })
                    #expect(starts.string("dest_addr") == "\(way.address):\(Destination.port)")
                    let ours = way.address.hasPrefix("[") ? "[2001:db8:2::1]:" : "198.51.100.1:"
                    #expect(starts.string("src_addr").hasPrefix(ours))
                    #expect(
                        starts.string("client_addr").hasPrefix(way.options[1].hasPrefix("[") ? "[2001:db8:1::2]:" : "192.0.2.2:"))
                    let ends = try usocksd.waitForRecords("proxy ends", index + 1)[index]
                    #expect(ends.string("request_id") == starts.string("request_id"))
                    #expect(ends.int("down") > 9 && ends.int("up") > 50)
                }
                #expect(try usocksd.stop() == .exited(0))
                #expect(!usocksd.log.contains("s3cret"))
            }
        }

        @Test func curlIsToldThatItIsRefused() throws {
            try playUsocksd { stage, usocksd in
                let refused = "http://any.example:9/"
                let five = try stage.curl(["--socks5-hostname", Self.v4], refused)
                #expect(five.status == .exited(97) && five.errors.contains("(5)"))
                let four = try stage.curl(["--socks4a", Self.v4], refused)
                #expect(four.status == .exited(97) && four.errors.contains("(91)"))
                let failed = try usocksd.waitForRecords("dial to destination failed", 2)
                for record in failed {
                    #expect(record.string("error") == "dial tcp 10.9.0.2:9: connect: connection refused")
                    #expect(record.string("severity") == "error" && record.int("dest_port") == 9)
                    #expect(record.string("dest_host") == "any.example")
                }
                let unknown = try stage.curl(["--socks5-hostname", Self.v4], "http://nowhere.invalid/")
                #expect(unknown.status == .exited(97) && unknown.errors.contains("(4)"))
                let lookup = try usocksd.waitForRecords("dial to destination failed", 3)[2]
                #expect(lookup.string("error").hasPrefix("lookup nowhere.invalid: "))
            }
        }

        struct Lists: CustomTestStringConvertible, Sendable {
            var outgoing: String
            /// URLs, and for those that are refused what the log says beside `client_addr`.
            var goes: [String]
            var stays: [String]
            var testDescription: String { outgoing }
        }

        static let lists = [
            Lists(
                outgoing: """
                    allow_sites = ["www.amazon.com", ".google.com"]
                    deny_sites = [".2ch.net", "bad.google.com"]
                    """,
                goes: ["www.amazon.com", "WWW.AMAZON.COM", "www.google.com", "a.b.google.com", "www.google.com."],
                stays: ["amazon.com", "google.com", "bad.google.com", "bad.google.com.", "x.2ch.net", Destination.privateV4]),
            Lists(
                outgoing: "deny_sites = [\"\"]", goes: ["any.example"],
                stays: [Destination.privateV4, "[\(Destination.privateV6)]"]),
            Lists(
                outgoing: "deny_sites = [\"bad.example\"]", goes: ["any.example", Destination.privateV4], stays: ["bad.example."]),
            Lists(
                outgoing: "deny_sites = [\"\(Destination.privateV4)\"]", goes: ["six.example"],
                stays: [Destination.privateV4, "any.example"]),
            Lists(outgoing: "deny_ports = [22, 8000]", goes: [], stays: ["any.example", Destination.privateV4]),
        ]

        /// The truth table of its lists, as curl sees it.
        @Test(arguments: lists)
        func sitesAndPorts(lists: Lists) throws {
            try playUsocksd(UsocksdConfiguration(outgoing: lists.outgoing)) { stage, usocksd in
                try stage.startPages()
                for host in lists.goes {
                    let finished = try stage.curl(["--socks5-hostname", Self.v4], "http://\(host):\(Destination.port)/page")
                    #expect(finished.output == "the page\n", "\(host): \(finished.errors)")
                }
                for (index, host) in lists.stays.enumerated() {
                    let five = try stage.curl(["--socks5-hostname", Self.v4], "http://\(host):\(Destination.port)/page")
                    #expect(five.status == .exited(97) && five.errors.contains("(2)"), "\(host): \(five.errors)")
                    let denied = try usocksd.waitForRecords("denied access", index + 1)[index]
                    #expect(denied.string("severity") == "warning" && denied.int("dest_port") == Destination.port)
                    #expect(denied.string("client_addr").hasPrefix("192.0.2.2:"))
                    let isName = host.first?.isLetter == true
                    #expect(denied.fields["fqdn"] as? String == (isName ? host.trimmed : nil))
                    let mismatch = try usocksd.waitForRecords("ruleset mismatch", index + 1)[index]
                    #expect(mismatch.string("severity") == "error" && mismatch.string("request_id") == denied.string("request_id"))
                }
            }
        }

        struct Talk: CustomTestStringConvertible, Sendable {
            var message: String
            /// What the client says, in pieces, each of which gets an answer but the last.
            var said: [String]
            /// What it gets in the end.
            var answer = ""
            var severity = "error"
            /// The client ends after its last word.
            var ends = false
            var testDescription: String { "\(message): \(said)" }
        }

        static let talks = [
            Talk(message: "failed to read preamble", said: [], severity: "info", ends: true),
            Talk(message: "unknown SOCKS version", said: ["GET / HTTP/1.1\r\n\r\n"]),
            Talk(message: "unknown SOCKS version", said: ["\u{16}\u{3}\u{1}"]),
            Talk(message: "failed to read auth methods", said: ["\u{5}\u{2}\0"], severity: "info", ends: true),
            Talk(message: "no acceptable auth methods", said: ["\u{5}\u{1}\u{1}"], answer: "\u{5}\u{FF}"),
            Talk(
                message: "failed to read username/password", said: ["\u{5}\u{1}\u{2}", "\u{1}\u{5}a"], severity: "info", ends: true),
            Talk(message: "invalid auth version", said: ["\u{5}\u{1}\u{2}", "\u{2}\u{1}a\u{1}b"], answer: "\u{1}\u{1}"),
            Talk(message: "authentication failure", said: ["\u{5}\u{1}\u{2}", "\u{1}\0\u{1}b"], answer: "\u{1}\u{1}"),
            Talk(
                message: "request is not SOCKS5", said: ["\u{5}\u{1}\0", "\u{4}\u{1}"], answer: "\u{5}\u{1}\0\u{1}\0\0\0\0\0\0"),
            Talk(
                message: "command not supported", said: ["\u{5}\u{1}\0", "\u{5}\u{2}\0\u{1}\u{A}\u{9}\0\u{2}\0\u{50}"],
                answer: "\u{5}\u{7}\0\u{1}\0\0\0\0\0\0"),
            Talk(
                message: "command not supported", said: ["\u{5}\u{1}\0", "\u{5}\u{3}\0\u{1}\0\0\0\0\0\0"],
                answer: "\u{5}\u{7}\0\u{1}\0\0\0\0\0\0"),
            Talk(
                message: "command not supported", said: ["\u{5}\u{1}\0", "\u{5}\u{9}"], answer: "\u{5}\u{7}\0\u{1}\0\0\0\0\0\0"),
            Talk(
                message: "unknown address type", said: ["\u{5}\u{1}\0", "\u{5}\u{1}\0\u{5}"],
                answer: "\u{5}\u{8}\0\u{1}\0\0\0\0\0\0"),
            Talk(
                message: "failed to read address", said: ["\u{5}\u{1}\0", "\u{5}\u{1}\0\u{3}\0"],
                answer: "\u{5}\u{4}\0\u{1}\0\0\0\0\0\0"),
            Talk(
                message: "failed to read address", said: ["\u{5}\u{1}\0", "\u{5}\u{1}\0\u{1}\u{A}"], severity: "info", ends: true),
            Talk(message: "failed to read port/ip", said: ["\u{4}\u{1}\0"], severity: "info", ends: true),
            Talk(message: "command not supported", said: ["\u{4}\u{2}\0\u{50}\u{A}\u{9}\0\u{2}\0"], answer: "\0\u{5B}\0\0\0\0\0\0"),
            Talk(
                message: "failed to read hostname", said: ["\u{4}\u{1}\0\u{50}\0\0\0\u{1}\0a b\0"], answer: "\0\u{5B}\0\0\0\0\0\0"),
        ]

        /// Whatever a client breaks has the message that it had, and the answer of the protocol.
        @Test func whatClientsBreakIsSaid() throws {
            try playUsocksd { stage, usocksd in
                var counts: [String: Int] = [:]
                for talk in Self.talks {
                    let socket = try stage.callUsocksd()
                    for (index, piece) in talk.said.enumerated() {
                        try stage.say(piece, on: socket)
                        if index < talk.said.count - 1 { #expect(try stage.client.receive(socket, 2).hasPrefix("\u{5}")) }
                    }
                    if talk.ends { try stage.client.shut(socket) }
                    if !talk.answer.isEmpty {
                        #expect(
                            try stage.client.receive(socket, talk.answer.unicodeScalars.count) == talk.answer,
                            "\(talk.testDescription)")
                    }
                    try stage.client.close(socket)
                    counts[talk.message, default: 0] += 1
                    let said = try usocksd.waitForRecords(talk.message, counts[talk.message]!).last!
                    #expect(said.string("severity") == talk.severity, "\(talk.testDescription)")
                    #expect(said.string("client_addr").hasPrefix("192.0.2.2:") && said.string("error") != "")
                }
                let all = Self.talks.count
                #expect(
                    try stage.metrics().filter { $0.key.hasPrefix("usocksd_connections_total") }.values.reduce(0, +) == Double(all))
            }
        }

        /// The bytes of the replies: the address that we have towards the destination, and not the one asked for.
        @Test func repliesTellTheRealAddress() throws {
            try playUsocksd { stage, _ in
                let port = try stage.startEcho()
                let socket = try stage.callUsocksd()
                try stage.say("\u{5}\u{1}\0", on: socket)
                #expect(try stage.client.receive(socket, 2) == "\u{5}\0")
                // What comes behind the request is the destination's.
                try stage.say("\u{5}\u{1}\0\u{1}\u{A}\u{9}\0\u{2}" + Stage.bytes(port) + "early", on: socket)
                let reply = try stage.client.receive(socket, 10)
                #expect(reply.hasPrefix("\u{5}\0\0\u{1}\u{C6}\u{33}\u{64}\u{1}"))
                #expect(try stage.client.receive(socket, 5) == "early")
            }
        }

        @Test(arguments: ["plain", "logfmt"])
        func recordsHaveTheirFormats(format: String) throws {
            try playUsocksd(UsocksdConfiguration(format: format)) { stage, usocksd in
                let socket = try stage.socksSession(to: try stage.startEcho())
                try stage.expectEcho(socket)
                try stage.client.shut(socket)
                try waitUntil("the end of it") { usocksd.log.contains("\"proxy ends\"") }
                let time = #"[-0-9]{10}T[:0-9]{8}\.[0-9]{6}Z"#
                let start =
                    format == "plain"
                    ? #"\#(time) \S+ usocksd info: "proxy "#
                    : #"topic=usocksd logged_at=\#(time) severity=info utsname=\S+ message="proxy "#
                let fields =
                    #"client_addr="192\.0\.2\.2:[0-9]+" command="connect" dest_addr="10\.9\.0\.2:[0-9]+" dest_host="10\.9\.0\.2" "#
                let rest =
                    #"pid=[0-9]+ protocol="SOCKS5" request_id="[-0-9a-f]{36}" src_addr="198\.51\.100\.1:[0-9]+" type="access""#
                for pattern in [
                    start + #"starts" "# + fields + rest,
                    start + #"ends" "# + fields + #"down=4 elapsed=[0-9.]+ ending="client-fin" "# + rest + " up=4",
                ] {
                    let expression = try Regex(pattern)
                    #expect(usocksd.log.split(separator: "\n").contains { $0.wholeMatch(of: expression) != nil }, "\(usocksd.log)")
                }
            }
        }
    }
}

extension String {
    /// As names are logged: in lower case, without a dot at the end.
    fileprivate var trimmed: String { (hasSuffix(".") ? String(dropLast()) : self).lowercased() }
}
