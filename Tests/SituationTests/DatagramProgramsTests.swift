import Foundation
import Testing

extension Situations {
    /// Programs that people run over UDP: dig, netcat, iperf3, ntpdig, PySocks, dante's socksify, redsocks, and Clearway itself.
    @Suite struct DatagramPrograms {
        private static func dig(_ host: Namespace, _ options: String...) throws -> Finished {
            try host.finish(["dig", "+short", "+tries=1", "+time=10", "@\(Family.v4.server)", "far.test"] + options)
        }

        private static func farServer(_ stage: Stage) throws {
            try stage.topology.server.startDNSMasq(["far.test": "203.0.113.5"])
        }

        @Test func digAsksOverBoth() throws {
            try play(Variant(), start: false) { stage in
                try Self.farServer(stage)
                let clearway = try stage.startDatagrams()
                for option in ["+notcp", "+tcp"] {
                    #expect(try Self.dig(stage.topology.client, option).output == "203.0.113.5\n", "\(option)")
                }
                let records = try clearway.waitForSessions(1)
                #expect(records[0].string("destination") == "198.51.100.2:53" && records[0].ending.hasSuffix("-fin"))
                let totals = try clearway.totals()
                #expect(totals.total("sessions") == 1 && totals.total("flows") == 1)
            }
        }

        /// What this host sends is intercepted; what its own server is asked, and answers, is not.
        @Test func thisHostsOwn() throws {
            try play(Variant(scope: .local), start: false) { stage in
                try Self.farServer(stage)
                try stage.topology.router.startDNSMasq(["near.test": "192.0.2.1"])
                var configuration = ClearwayConfiguration.datagrams()
                configuration.listeners[0].scope = .local
                let clearway = try stage.startDatagrams(configuration)
                #expect(try Self.dig(stage.topology.router).output == "203.0.113.5\n")
                let asked = try stage.topology.client.finish([
                    "dig", "+short", "+tries=1", "+time=10", "@192.0.2.1", "near.test",
                ])
                #expect(asked.output == "192.0.2.1\n")
                let echo = try stage.datagramEcho()
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                #expect(try stage.client.ask(client, echo, sizes: [1, 9_000]) == [echo.name, echo.name])
                #expect(try clearway.totals().total("flows") == 2)
                let destinations = try clearway.flowRecords().map { $0.string("destination") }
                #expect(destinations.sorted() == ["198.51.100.2:53", "198.51.100.2:\(echo.port)"].sorted())
            }
        }

        @Test func netcatTalks() throws {
            try play(Variant(), start: false) { stage in
                try stage.startDatagrams()
                let echo = try stage.datagramEcho()
                let pipe = Pipe()
                let program = try stage.topology.client.start(
                    ["nc.openbsd", "-u", Family.v4.server, "\(echo.port)"], input: pipe.fileHandleForReading.fileDescriptor)
                for text in ["hello\n", "hello\nagain\n"] {
                    try pipe.fileHandleForWriting.write(contentsOf: Data(text.suffix(6).utf8))
                    try waitUntil("the echo") { program.standardOutput == text }
                }
                withExtendedLifetime(pipe) {}
            }
        }

        /// 8 Mbit/s for a second: nothing is lost either way.
        @Test(arguments: [false, true]) func iperf3LosesNothing(reverse: Bool) throws {
            try play(Variant(), start: false) { stage in
                try stage.startDatagrams()
                let server = try stage.topology.server.start(["iperf3", "-s", "-1"])
                try stage.topology.server.waitUntilListening(on: 5201)
                let finished = try stage.topology.client.finish(
                    ["iperf3", "-u", "-c", Family.v4.server, "-b", "8M", "-t", "1", "-J"] + (reverse ? ["-R"] : []))
                try #require(finished.succeeded, "\(finished.output)\(server.standardError)")
                let result = try JSONSerialization.jsonObject(with: Data(finished.output.utf8)) as? [String: Any]
                let sum = (result?["end"] as? [String: Any])?["sum"] as? [String: Any] ?? [:]
                #expect((sum["lost_packets"] as? NSNumber)?.intValue == 0, "\(sum)")
                #expect((sum["packets"] as? NSNumber)?.intValue ?? 0 > 100)
            }
        }

        /// The server is an hour ahead, and a clock that was set by it would be too, to a second.
        @Test(arguments: Family.allCases) func ntpdigAsksForTheTime(family: Family) throws {
            try play(Variant(family: family), start: false) { stage in
                let clearway = try stage.startDatagrams()
                try stage.server.perform("ntp_server", ["host": family.server, "ahead": 3_600])
                let finished = try stage.topology.client.finish(["ntpdig", "--json", "--timeout=10", family.server])
                try #require(finished.succeeded, "\(finished.errors)")
                let said = try JSONSerialization.jsonObject(with: Data(finished.output.utf8)) as? [String: Any] ?? [:]
                let offset = (said["offset"] as? NSNumber)?.doubleValue ?? 0
                #expect(abs(offset - 3_600) < 1 && said["ip"] as? String == family.server, "\(finished.output)")
                #expect(try clearway.totals().total("flows") == 1)
                let record = try #require(try clearway.flowRecords().first)
                #expect(record.string("destination") == family.written(family.server, 123))
                #expect(record.int("up") == 48 && record.int("down") == 48 && record.int("datagrams_down") == 1)
            }
        }

        @Test func pythonsSocksIsServed() throws {
            try play(Variant(), configuration: .servingDatagrams()) { stage in
                let echo = try stage.datagramEcho()
                let script = """
                    import socks
                    sock = socks.socksocket(type=socks.socket.SOCK_DGRAM)
                    sock.set_proxy(socks.SOCKS5, "192.0.2.1", 1080)
                    sock.settimeout(10)
                    for text in (b"hello", b"again" * 1000):
                        sock.sendto(text, ("\(Family.v4.server)", \(echo.port)))
                        data, peer = sock.recvfrom(65536)
                        print(data == text, peer[0], peer[1])
                    """
                let python = try stage.topology.client.finish(["/usr/bin/python3", "-c", script])
                let line = "True \(Family.v4.server) \(echo.port)\n"
                #expect(python.output == line + line, "\(python.errors)")
                #expect(try echo.count == 2)
            }
        }

        /// In programs that know nothing of SOCKS. (Of dig's calls it misses some.)
        @Test func whatSocksifyIntercepts() throws {
            try play(Variant(), configuration: .servingDatagrams()) { stage in
                let echo = try stage.datagramEcho()
                let file = try stage.topology.scratch.write(
                    """
                    resolveprotocol: fake
                    route {
                        from: 0.0.0.0/0 to: 0.0.0.0/0 via: 192.0.2.1 port = 1080
                        protocol: udp
                        command: udpassociate
                        proxyprotocol: socks_v5
                        method: none
                    }

                    """, to: "socks.conf")
                let script = """
                    import socket
                    echo = ("\(Family.v4.server)", \(echo.port))
                    for text in (b"hello", b"again" * 1000):
                        with socket.socket(type=socket.SOCK_DGRAM) as sock:
                            sock.settimeout(10)
                            sock.sendto(text, echo)
                            print(sock.recvfrom(65536) == (text, echo))
                        with socket.socket(type=socket.SOCK_DGRAM) as sock:
                            sock.settimeout(10)
                            sock.connect(echo)
                            sock.send(text)
                            print(sock.recv(65536) == text)
                    """
                let python = try stage.topology.client.finish(
                    ["socksify", "/usr/bin/python3", "-c", script], environment: ["SOCKS_CONF": file])
                #expect(python.output == String(repeating: "True\n", count: 4), "\(python.errors)")

                let pipe = Pipe()
                let netcat = try stage.topology.client.start(
                    ["socksify", "nc.openbsd", "-u", Family.v4.server, "\(echo.port)"], environment: ["SOCKS_CONF": file],
                    input: pipe.fileHandleForReading.fileDescriptor)
                try pipe.fileHandleForWriting.write(contentsOf: Data("hello\n".utf8))
                try waitUntil("the echo") { netcat.standardOutput == "hello\n" }
                withExtendedLifetime(pipe) {}
                // Its association goes with it.
                netcat.end()
                #expect(try stage.clearway.waitForFlows(5).allSatisfy { $0.ending == "client-fin" })
                // Nobody has come by another way.
                #expect(try echo.speakers.count == 5 && echo.speakers.allSatisfy { $0.hasPrefix("198.51.100.1 ") })
                let totals = try stage.clearway.totals()
                #expect(
                    totals.total("flows") == 5 && totals.fields.keys.allSatisfy { !$0.hasPrefix("dropped") }, "\(totals.fields)")
            }
        }

        /// Redsocks on the client's host: a port of its own that stands for the echo, or TPROXY for whatever is on its way there.
        @Test(arguments: [false, true]) func redsocksIsServed(intercepts: Bool) throws {
            try play(Variant(), configuration: .servingDatagrams()) { stage in
                let echo = try stage.datagramEcho()
                let place = intercepts ? echo.name : "127.0.0.1 10053"
                if intercepts {
                    try stage.topology.client.ip("rule add fwmark 1 lookup 100\nroute add local default dev lo table 100")
                    try stage.topology.client.nft(
                        """
                        table ip redsocks {
                            chain output {
                                type route hook output priority mangle
                                ip daddr \(echo.host) udp dport \(echo.port) meta mark set 1
                            }
                            chain prerouting {
                                type filter hook prerouting priority mangle
                                meta mark 1 meta l4proto udp tproxy to :10053 accept
                            }
                        }
                        """)
                }
                let file = try stage.topology.scratch.write(
                    """
                    base { log_debug = off; log_info = off; log = stderr; daemon = off; redirector = iptables; }
                    redudp {
                        local_ip = \(intercepts ? "0.0.0.0" : "127.0.0.1"); local_port = 10053; ip = 192.0.2.1; port = 1080;
                        \(intercepts ? "" : "dest_ip = \(echo.host); dest_port = \(echo.port);")
                        udp_timeout = 30; udp_timeout_stream = 180;
                    }

                    """, to: "redsocks.conf")
                let redsocks = try stage.topology.client.start(["redsocks", "-c", file])
                try waitUntil("redudp") {
                    guard redsocks.isRunning else { throw SituationError("redsocks: \(redsocks.standardError)") }
                    return try stage.topology.client.require(["ss", "-Huln"]).contains(":10053")
                }
                let client = try stage.client.datagramSocket(intercepts ? Family.v4.client : "127.0.0.1").socket
                let asked = try stage.client.perform(
                    "udp_ask", ["socket": client, "to": SituationTests.place(place), "sizes": [5, 1_000]])
                #expect(asked.strings("answers") == [place, place], "\(redsocks.standardError)")
                #expect(try echo.count == 2 && echo.speakers.allSatisfy { $0.hasPrefix("198.51.100.1 ") })
            }
        }

        /// One intercepts, the other serves it: the largest datagram that has room for the header between them.
        @Test(arguments: Family.allCases) func clearwayInFront(family: Family) throws {
            try play(Variant(family: family), start: false) { stage in
                let echo = try stage.datagramEcho()
                let behind = try stage.startClearwayBehind()
                let front = try stage.startDatagrams(
                    .datagrams(policy: ClearwayConfiguration.datagramsThrough("socks5://\(family.serverHost):1090")))
                let client = try stage.client.datagramSocket(family.wildcard).socket
                let sizes = [0, 1, 1_472, 9_000, 65_507 - (family == .v4 ? 10 : 22)]
                #expect(try stage.client.ask(client, echo, sizes: sizes) == sizes.map { _ in echo.name })
                #expect(try front.totals().total("down") == sizes.reduce(0, +))
                #expect(try behind.waitForFlows(1)[0].int("datagrams_down") == sizes.count)
                #expect(try behind.stop() == .exited(0))
            }
        }
    }
}
