import Foundation
import Testing

extension Situations {
    /// UDP through a SOCKS5 proxy: one association for each port of a client's.
    @Suite struct DatagramUpstreams {
        private static func configuration(_ url: String = "socks5://198.51.100.2:1090", flow: String = "180s")
            -> ClearwayConfiguration
        {
            .datagrams(
                timeouts: "flow = \"\(flow)\"\nflow_unanswered = \"1s\"", policy: ClearwayConfiguration.datagramsThrough(url))
        }

        /// Connections with the proxy that are open on the router.
        private static func connections(_ stage: Stage) throws -> Int {
            let lines = try stage.topology.router.require(["ss", "-Htn", "state", "established", "dport", "=", ":1090"])
            return lines.split(separator: "\n").count
        }

        /// dante relays them all, and nothing is left when the last flow is over.
        @Test func danteRelaysAClientsFlowsThroughOneAssociation() throws {
            try play(Variant(), start: false) { stage in
                try stage.startProxy(.dante)
                let clearway = try stage.startDatagrams(Self.configuration(flow: "1s"))
                let descriptors = clearway.descriptors
                let echoes = try (0..<3).map { _ in try stage.datagramEcho() }
                let client = try stage.client.datagramSocket(Family.v4.wildcard)
                let sizes = [1, 1_472, 9_000, 60_000, 0]
                for echo in echoes {
                    #expect(try stage.client.ask(client.socket, echo, sizes: sizes) == sizes.map { _ in echo.name })
                }
                #expect(try Self.connections(stage) == 1)
                let speakers = try echoes.map { try $0.speakers }
                #expect(speakers[0].count == 1 && speakers.allSatisfy { $0 == speakers[0] })
                let records = try clearway.waitForFlows(3)
                for record in records {
                    #expect(record.ending == "flow-idle" && record.string("upstream") == "out")
                    #expect(record.int("datagrams_up") == 5 && record.int("datagrams_down") == 5)
                    #expect(record.int("up") == sizes.reduce(0, +) && record.int("down") == record.int("up"))
                }
                try waitUntil("no association left") { try Self.connections(stage) == 0 }
                // What answers from each echo's port have left by stays.
                try waitUntil("its descriptors closed") { clearway.descriptors == descriptors + 3 }
                #expect(try clearway.totals().fields.keys.allSatisfy { !$0.hasPrefix("dropped") })
            }
        }

        /// A router in front of the relay says that what one flow has sent cannot get there, and the call that sends another flow's next
        /// tells it: that one's datagram goes all the same, and neither flow ends.
        @Test func whatIsSaidOfOneFlowsDatagramCostsNoOtherOne() throws {
            try play(Variant(), start: false) { stage in
                try stage.startProxy(.dante)
                let clearway = try stage.startDatagrams(Self.configuration())
                let (one, other) = (try stage.datagramEcho(), try stage.datagramEcho())
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                for echo in [one, other] { #expect(try stage.client.ask(client, echo) == [echo.name]) }
                // 100 bytes, behind the headers of SOCKS and UDP.
                try stage.topology.server.nft(
                    """
                    table inet away {
                        chain in {
                            type filter hook input priority 0
                            udp length 118 reject with icmp type host-unreachable
                        }
                    }
                    """)
                let lost = String(repeating: "x", count: 100)
                for number in 10..<30 {
                    clearway.program.signal(SIGSTOP)
                    try stage.client.sendDatagram(client, lost, to: one.place)
                    try stage.client.sendDatagram(client, "\(number)", to: other.place)
                    clearway.program.signal(SIGCONT)
                    #expect(try stage.client.takeDatagrams(client).map(\.bytes) == [Array("\(number)".utf8)])
                }
                #expect(try stage.client.ask(client, one) == [one.name])
                #expect(try clearway.flowRecords().isEmpty)
                let totals = try clearway.totals()
                #expect(totals.total("flows") == 2 && totals.total("dropped_unsent") == 0, "\(totals.fields)")
            }
        }

        @Test func aProxyThatDiesEndsItsFlowsAndTheClientGoesOnWhenItIsBack() throws {
            try play(Variant(), start: false) { stage in
                let dante = try stage.startProxy(.dante)
                let clearway = try stage.startDatagrams(Self.configuration())
                let echo = try stage.datagramEcho()
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                #expect(try stage.client.ask(client, echo) == [echo.name])
                // With the processes that serve for it, which are of its group.
                kill(-dante.pid, SIGKILL)
                let ended = try clearway.waitForFlows(1)
                #expect(["upstream-fin", "upstream-reset"].contains(ended[0].ending), "\(ended[0].ending)")
                try waitUntil("its port closed") { try !stage.topology.server.listeningPorts().contains(ProxyProgram.port) }
                try stage.startProxy(.dante)
                #expect(try stage.client.ask(client, echo) == [echo.name])
            }
        }

        /// One does not know the command, another does not know SOCKS, and one is not there. The client hears that nothing arrives.
        @Test(arguments: [
            ("microsocks", "socks5://198.51.100.2:1090", "upstream-rejected"),
            ("", "http://198.51.100.2:1090", "upstream-rejected"),
            ("", "socks5://198.51.100.2:1090", "upstream-refused"),
        ])
        func proxiesThatDoNotRelay(program: String, url: String, ending: String) throws {
            try play(Variant(), start: false) { stage in
                if program == "microsocks" { try stage.startProxy(.microsocks) }
                let clearway = try stage.startDatagrams(Self.configuration(url))
                let echo = try stage.datagramEcho()
                let client = try stage.client.datagramSocket(Family.v4.wildcard, to: echo.place).socket
                #expect(try stage.client.ask(client, echo) == ["EHOSTUNREACH"])
                let record = try clearway.waitForFlows(1)[0]
                #expect(record.ending == ending && record.string("upstream") == "out" && record.int("datagrams_up") == 0)
                #expect(try echo.count == 0)
                // Whoever sends on is not the cause of a dial for each datagram.
                for _ in 0..<50 { try stage.client.perform("udp_send", ["socket": client, "datagrams": ["00"], "to": echo.place]) }
                let totals = try clearway.totals()
                #expect(totals.total("flows") <= 3)
                #expect(totals.total("dropped_waiting") + totals.total("dropped_refused") == 51, "\(totals.fields)")
            }
        }

        /// What comes while the proxy is asked waits for it: the first sixteen, in order.
        @Test func aSlowProxyGetsTheFirstDatagrams() throws {
            try play(Variant(), start: false) { stage in
                let relay = try stage.server.perform("slow_relay", ["host": Family.v4.server, "port": ProxyProgram.port]).socket
                let clearway = try stage.startDatagrams(Self.configuration())
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                clearway.program.signal(SIGSTOP)
                let datagrams = (0..<20).map { hexadecimal([UInt8($0)]) }
                try stage.client.perform(
                    "udp_send", ["socket": client, "datagrams": datagrams, "to": [Family.v4.server, 9]])
                clearway.program.signal(SIGCONT)
                try waitUntil("asked for a relay") {
                    try stage.server.perform("relayed", ["socket": relay]).int("requests") == 1
                }
                try stage.server.perform("release", ["socket": relay])
                let echoed = try stage.client.takeDatagrams(client, 16)
                #expect(echoed.map(\.bytes) == (0..<16).map { [UInt8($0)] })
                #expect(echoed.allSatisfy { $0.sender == "198.51.100.2 9" })
                let asked = try stage.server.perform("relayed", ["socket": relay])
                #expect(asked.strings("heard") == (0..<16).map { "00000001c63364020009" + hexadecimal([UInt8($0)]) })
                #expect(asked.int("requests") == 1)
                #expect(try clearway.totals().total("dropped_waiting") == 4)
                try waitUntil("the association gone") { try stage.server.perform("relayed", ["socket": relay]).int("open") == 0 }
            }
        }
    }
}
