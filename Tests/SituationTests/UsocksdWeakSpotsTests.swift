import Foundation
import Testing

extension PatientSituations {
    /// What usocksd was known to fail at. docs/usocksd.md has the list, and which test shows what.
    @Suite struct UsocksdWeakSpots {
        private static let v4 = "192.0.2.1:1080"

        /// Once out of descriptors, usocksd never accepted again.
        @Test func itSurvivesRunningOutOfDescriptors() throws {
            try playUsocksd(wrapper: ["prlimit", "--nofile=96:96"]) { stage, usocksd in
                let port = try stage.startEcho()
                try stage.expectEcho(try stage.socksSession(to: port))
                try stage.topology.client.ip("address add 192.0.2.3/24 dev eth0\naddress add 192.0.2.4/24 dev eth0")
                let sources = ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
                let flood = try stage.client.perform(
                    "flood", ["host": Family.v4.routerTowardsClient, "port": 1_080, "count": 300, "sources": sources])
                try waitUntil("every SYN of the flood answered") {
                    try stage.topology.client.require(["ss", "-Hnt", "state", "syn-sent"]).isEmpty
                }
                try waitUntil("a word about it") {
                    usocksd.log.contains("accepting paused") || usocksd.log.contains("Accept error")
                }
                try stage.client.perform("hang_up", ["sockets": flood.ints("sockets")])
                try stage.expectEcho(try stage.socksSession(to: port))
                #expect(usocksd.program.isRunning)
            }
        }

        /// usocksd ended when it was to read its file again: its metrics' port was still its own.
        @Test func sighupTakesWhatHasChanged() throws {
            try playUsocksd { stage, usocksd in
                let port = try stage.startEcho()
                let open = try stage.socksSession(to: port)
                try stage.topology.scratch.write(
                    UsocksdConfiguration(outgoing: "deny_ports = [\(port)]").toml, to: "usocksd.toml")
                usocksd.program.signal(SIGHUP)
                try usocksd.waitUntilServing(times: 2)
                let refused = try stage.curl(["--socks5", Self.v4], "http://\(Destination.privateV4):\(port)/")
                #expect(refused.status == .exited(97) && refused.errors.contains("(2)"))
                try stage.expectEcho(open)
            }
        }

        /// A bad file ended the whole service.
        @Test(arguments: [
            "hoge = 1\n", "[incoming]\nallow_from = [\"300.1.1.1\"]\n", "[log\n", "[log]\nfilename = \"/no/such/directory/log\"\n",
            "[incoming]\naddresses = [\"203.0.113.77\"]\n", "[outgoing]\naddresses = [\"tun0\"]\n",
        ])
        func sighupWithABadFileChangesNothing(text: String) throws {
            try playUsocksd { stage, usocksd in
                let port = try stage.startEcho()
                let open = try stage.socksSession(to: port)
                try stage.topology.scratch.write(text, to: "usocksd.toml")
                usocksd.program.signal(SIGHUP)
                let refused = try usocksd.waitForRecords("reload refused, the old configuration stays")
                #expect(refused.map { $0.string("severity") } == ["error"] && refused[0].string("reason") != "")
                try stage.expectEcho(open)
                try stage.expectEcho(try stage.socksSession(to: port))
            }
        }

        /// usocksd accepted for ten seconds more, and then waited for ever, or for systemd's SIGKILL.
        @Test(arguments: [(SIGTERM, "terminated"), (SIGINT, "interrupt")])
        func openSessionsFinish(signal: Int32, name: String) throws {
            try playUsocksd { stage, usocksd in
                let open = try stage.socksSession(to: try stage.startEcho())
                usocksd.program.signal(signal)
                let said = try usocksd.waitForRecords("well: got signal")[0]
                #expect(said.string("severity") == "warning" && said.string("signal") == name && said.int("delay") == 0)
                try waitUntil("nobody listens for clients") { try !stage.topology.router.listeningPorts().contains(1_080) }
                try stage.expectEcho(open)
                // A second signal was ignored.
                usocksd.program.signal(signal)
                #expect(try usocksd.program.waitForExit() == .exited(0))
                #expect(try stage.client.drain(open).end == "ECONNRESET")
                #expect(
                    try usocksd.records("proxy ends with an error").map { $0.string("error") } == ["timeout waiting for shutdown"])
            }
        }

        /// An open proxy without a word: whoever reached it was served.
        @Test func withoutAllowFromStrangersAreNotServed() throws {
            try playUsocksd(UsocksdConfiguration(incoming: "")) { stage, usocksd in
                try stage.startPages()
                let stranger = try stage.curl(["--socks5", Self.v4], "http://\(Destination.publicV4):8000/page")
                #expect(stranger.status != .exited(0) && stranger.output == "")
                #expect(try usocksd.waitForRecords("denied access")[0].string("client_addr").hasPrefix("192.0.2.2:"))
                #expect(try stage.metrics()[#"usocksd_connections_total{version="unknown",status="not_allowed"}"#] == 1)
                let page = { (host: String) in
                    try stage.topology.router.finish(
                        ["curl", "-sS", "--max-time", "10", "--socks5", "127.0.0.1:1080", "http://\(host):8000/page"])
                }
                #expect(try page(Destination.publicV4).output == "the page\n")
                #expect(try page("[\(Destination.publicV6)]").output == "the page\n")
                // And where it has not been told of an inner network, it does not lead into one.
                #expect(try page(Destination.privateV4).errors.contains("(2)"))
            }
        }

        /// Before its first byte, and not after ten seconds' worth of them.
        @Test func whoIsNotServedIsNotHeard() throws {
            try playUsocksd(UsocksdConfiguration(incoming: #"allow_from = ["192.0.2.200"]"#)) { stage, usocksd in
                // The reset may come before whoever connects has looked.
                let attempt = ["host": Family.v4.routerTowardsClient, "port": UsocksdConfiguration.port] as [String: Any]
                #expect(try stage.client.perform("attempt", attempt).strings("outcomes") == ["ECONNRESET"])
                try usocksd.waitForRecords("ruleset mismatch")
            }
        }

        /// One IPv6 address let in its whole provider.
        @Test func anIPv6AddressIsOneClient() throws {
            try playUsocksd(UsocksdConfiguration(incoming: #"allow_from = ["2001:db8:1::9"]"#)) { stage, usocksd in
                try stage.startPages()
                let url = "http://\(Destination.privateV4):8000/page"
                #expect(try stage.curl(["--socks5", "[2001:db8:1::1]:1080"], url).status != .exited(0))
                try stage.topology.client.ip("address add 2001:db8:1::9/64 dev eth0 nodad")
                let served = try stage.curl(["--interface", "2001:db8:1::9", "--socks5", "[2001:db8:1::1]:1080"], url)
                // curl takes the interface for the proxy's connection, which is the only one.
                #expect(served.output == "the page\n", "\(served.errors)")
            }
        }

        /// Loopback, metadata and the host's own services were everybody's, in whatever spelling.
        @Test func nobodyGetsInside() throws {
            try playUsocksd { stage, usocksd in
                let router = try stage.peer(in: stage.topology.router)
                let canary = try router.listen("::", port: 8_500)
                let spellings = [
                    "127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001", "0.0.0.0", "127.0.0.1.", "loopback.example",
                    "metadata.example", "169.254.169.254", "router.example", "198.51.100.1", "192.0.2.1", "localhost",
                ]
                for (index, host) in spellings.enumerated() {
                    let socket = try stage.callUsocksd()
                    try stage.say("\u{5}\u{1}\0", on: socket)
                    #expect(try stage.client.receive(socket, 2) == "\u{5}\0")
                    let length = String(Character(UnicodeScalar(UInt8(host.utf8.count))))
                    try stage.say("\u{5}\u{1}\0\u{3}\(length)\(host)" + Stage.bytes(8_500), on: socket)
                    #expect(try stage.client.receive(socket, 2) == "\u{5}\u{2}", "\(host)")
                    try stage.client.close(socket)
                    try usocksd.waitForRecords("ruleset mismatch", index + 1)
                }
                for host in ["[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[::]", "[fe80::1]"] {
                    let finished = try stage.curl(["--socks5", Self.v4], "http://\(host):8500/")
                    #expect(finished.status == .exited(97) && finished.errors.contains("(2)"), "\(host): \(finished.errors)")
                }
                #expect(throws: PeerFailure.self) { try router.perform("accept", ["socket": canary.socket, "timeout": 0]) }
            }
        }

        /// Names of any length were read byte by byte, and logs could be broken by what was in them.
        @Test func whatClientsWriteIsBoundedAndEscaped() throws {
            try playUsocksd { stage, usocksd in
                let endless = try stage.callUsocksd()
                try stage.say("\u{4}\u{1}\0\u{50}\u{A}\u{9}\0\u{2}" + String(repeating: "u", count: 300), on: endless)
                #expect(try stage.client.receive(endless, 8) == "\0\u{5B}\0\0\0\0\0\0")
                let odd = try stage.callUsocksd()
                try stage.say("\u{5}\u{1}\0", on: odd)
                #expect(try stage.client.receive(odd, 2) == "\u{5}\0")
                try stage.say("\u{5}\u{1}\0\u{3}\u{6}a\u{1}\"\n\u{7}\0\0\u{50}", on: odd)
                #expect(try stage.client.receive(odd, 2) == "\u{5}\u{4}")
                // Each line is JSON, or this throws.
                try usocksd.waitForRecords("failed to read address")
                try usocksd.waitForRecords("failed to read hostname")
            }
        }

        /// `debug` wrote passwords down.
        @Test func noPasswordIsLogged() throws {
            try playUsocksd(UsocksdConfiguration(level: "debug")) { stage, usocksd in
                try stage.startPages()
                let finished = try stage.curl(
                    ["--socks5", Self.v4, "--proxy-user", "somebody:s3cret", "--socks5-basic"],
                    "http://\(Destination.privateV4):8000/page")
                #expect(finished.output == "the page\n")
                try usocksd.waitForRecords("proxy ends")
                #expect(!usocksd.log.contains("s3cret") && !usocksd.log.contains("somebody"))
            }
        }

        /// Negotiation and dialling were to take ten seconds together, and nothing held them to it.
        @Test func slowClientsAndSilentDestinationsAreGivenUp() throws {
            try playUsocksd { stage, usocksd in
                let silent = try stage.callUsocksd()
                try stage.say("\u{5}", on: silent)
                // On the way to its destination, nobody answers.
                try stage.topology.router.ip("route add 45.9.0.99/32 via 198.51.100.2")
                try stage.topology.server.ip("route add blackhole 45.9.0.99/32")
                let waiting = try stage.callUsocksd()
                try stage.say("\u{5}\u{1}\0", on: waiting)
                #expect(try stage.client.receive(waiting, 2) == "\u{5}\0")
                try stage.say("\u{5}\u{1}\0\u{1}\u{2D}\u{9}\0\u{63}\0\u{50}", on: waiting)
                let slow = try usocksd.waitForRecords("failed to read auth methods")[0]
                #expect(slow.string("error") == "i/o timeout" && slow.string("severity") == "error")
                let dead = try usocksd.waitForRecords("dial to destination failed")[0]
                #expect(dead.string("error") == "dial tcp 45.9.0.99:80: i/o timeout")
                #expect(try stage.client.receive(waiting, 2) == "\u{5}\u{4}")
            }
        }

        /// One process with its environment, and sessions of two sockets, as of transocks.
        @Test func anIdleSessionHoldsTwoSockets() throws {
            try playUsocksd { stage, usocksd in
                let port = try stage.startEcho()
                try stage.expectEcho(try stage.socksSession(to: port))
                let before = (usocksd.descriptors("socket"), usocksd.descriptors("pipe"))
                let memory = usocksd.anonymousMemory
                for _ in 0..<40 { try stage.expectEcho(try stage.socksSession(to: port)) }
                #expect(usocksd.descriptors("socket") == before.0 + 80)
                #expect(usocksd.descriptors("pipe") == before.1)
                #expect(usocksd.anonymousMemory - memory < 40 * 32_768)
            }
        }

        /// usocksd needed no permission at all, and nor does its stand-in.
        @Test func itNeedsNoCapability() throws {
            try playUsocksd(wrapper: ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]) { stage, usocksd in
                try stage.expectEcho(try stage.socksSession(to: try stage.startEcho()))
                let status = try String(contentsOfFile: "/proc/\(usocksd.program.pid)/status", encoding: .utf8)
                #expect(status.contains(/CapEff:\t0+\n/))
            }
        }
    }
}
