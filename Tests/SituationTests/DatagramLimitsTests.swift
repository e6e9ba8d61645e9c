import Foundation
import Testing

extension Situations {
    /// However many flows are begun, what they take is bounded and comes back.
    @Suite struct DatagramLimits {
        private static func configuration(_ flows: Int) -> ClearwayConfiguration {
            var configuration = ClearwayConfiguration.datagrams(
                timeouts: "flow_unanswered = \"1s\"", top: "max_flows = \(flows)")
            configuration.workers = 1
            return configuration
        }

        @Test func theLongestSilentGoesAndNobodyHasMoreThanHalf() throws {
            try play(Variant(), start: false) { stage in
                for host in ["192.0.2.3", "192.0.2.4"] {
                    try stage.topology.client.require(["ip", "address", "add", "\(host)/24", "dev", "eth0"])
                }
                try stage.startDatagrams(Self.configuration(4))
                let echoes = try (0..<3).map { _ in try stage.datagramEcho() }
                func speak(_ socket: Int, _ number: Int) throws {
                    #expect(try stage.client.ask(socket, echoes[number]) == [echoes[number].name])
                }
                let greedy = try stage.client.datagramSocket("192.0.2.2").socket
                for number in [0, 1, 0] { try speak(greedy, number) }
                // Half is what it may have: the one that was silent for longest is not the oldest.
                try speak(greedy, 2)
                let second = try stage.client.datagramSocket("192.0.2.3").socket
                for number in [0, 1] { try speak(second, number) }
                // The table is full; the first of all, whosever it is, makes room.
                try speak(try stage.client.datagramSocket("192.0.2.4").socket, 0)
                let evicted = try stage.clearway.waitForFlows(2)
                let told = evicted.map { "\($0.string("client").prefix { $0 != ":" }) \($0.string("destination")) \($0.ending)" }
                #expect(
                    told == [
                        "192.0.2.2 198.51.100.2:\(echoes[1].port) flow-evicted",
                        "192.0.2.2 198.51.100.2:\(echoes[0].port) flow-evicted",
                    ])
                // Whoever had to go comes again.
                try speak(greedy, 1)
                let totals = try stage.clearway.totals()
                #expect(totals.total("evicted") == 3 && totals.total("flows") == 7)
            }
        }

        /// Who opens a flow keeps its outside endpoint as long as another can go: one asks who it is, and then speaks with its peer.
        @Test func whoOpensAFlowKeepsItsPort() throws {
            try play(Variant(), start: false) { stage in
                try stage.startDatagrams(Self.configuration(4))
                let echoes = try (0..<3).map { _ in try stage.datagramEcho() }
                let clients = try (0..<2).map { _ in try stage.client.datagramSocket("192.0.2.2").socket }
                for (client, echo) in [(0, 0), (1, 1), (0, 2)] {
                    #expect(try stage.client.ask(clients[client], echoes[echo]) == [echoes[echo].name])
                }
                #expect(try echoes[0].speakers == echoes[2].speakers)
                let evicted = try stage.clearway.waitForFlows(1)
                #expect(
                    evicted.map { "\($0.string("destination")) \($0.ending)" } == ["198.51.100.2:\(echoes[1].port) flow-evicted"])
            }
        }

        @Test func whatIsTooManyAfterAReloadGoes() throws {
            try play(Variant(), start: false) { stage in
                let clearway = try stage.startDatagrams(Self.configuration(8))
                let echo = try stage.datagramEcho()
                let atStart = clearway.descriptors
                for _ in 0..<4 {
                    #expect(try stage.client.ask(try stage.client.datagramSocket("192.0.2.2").socket, echo) == [echo.name])
                }
                try clearway.reload(Self.configuration(2))
                #expect(try clearway.waitForFlows(2).map(\.ending) == ["flow-evicted", "flow-evicted"])
                // What answers from the echo's port has one as well.
                try waitUntil("descriptors of two") { clearway.descriptors == atStart + 2 + 1 }
                #expect(try clearway.totals().total("evicted") == 2)
            }
        }

        /// Datagrams for more places than there may be flows, all at once: each is sent before its flow has to go.
        @Test func whatComesTogetherIsSentBeforeItsFlowGoes() throws {
            try play(Variant(), start: false) { stage in
                try stage.startDatagrams(Self.configuration(4))
                let clearway = try stage.clearway
                let servers = try (0..<6).map { _ in try stage.server.datagramSocket(Family.v4.server) }
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                clearway.program.signal(SIGSTOP)
                for server in servers { try stage.client.sendDatagram(client, "one", to: [Family.v4.server, server.port]) }
                clearway.program.signal(SIGCONT)
                for server in servers {
                    #expect(try stage.server.takeDatagrams(server.socket).map(\.bytes) == [Array("one".utf8)])
                }
                let totals = try clearway.totals()
                #expect(totals.total("evicted") == 4 && totals.total("up") == 18)
                #expect(totals.fields.keys.allSatisfy { !$0.hasPrefix("dropped") }, "\(totals.fields)")
            }
        }

        /// 50,000 flows from 250 endpoints of five clients, in two rounds: what the second leaves is measured against the first, for the C
        /// library keeps memory for the next, and tables that have grown stay.
        @Test func abandonedFlowsLeaveNothing() throws {
            var configuration = Self.configuration(100_000)
            configuration.timeouts += "\nflow = \"1s\""
            configuration.logLevel = "notice"
            try play(Variant(), start: false) { stage in
                let sources = (10..<15).map { "192.0.2.\($0)" }
                for host in sources { try stage.topology.client.require(["ip", "address", "add", "\(host)/24", "dev", "eth0"]) }
                let clearway = try stage.startDatagrams(configuration)
                let atStart = clearway.descriptors
                let echo = try stage.datagramEcho()
                let memory = try [20_000, 20_025].map { port in
                    let opened = try stage.client.perform(
                        "udp_abandon",
                        [
                            "sources": sources, "ports": [port, port + 25], "to": Family.v4.blackhole,
                            "destination_ports": [1_000, 1_200], "barrier": echo.place,
                        ])
                    #expect(opened.int("opened") == 25_000)
                    #expect(clearway.descriptors > atStart + 1)
                    // What answers from the echo's port have left by stays.
                    try waitUntil("descriptors as at the start") { clearway.descriptors == atStart + 1 }
                    return clearway.residentMemory
                }
                #expect(memory[1] - memory[0] < 3 << 20, "\(memory)")
                let totals = try clearway.totals()
                // More than there is room for: some had to go before their time.
                #expect(totals.total("flows") >= 50_002)
                #expect(totals.fields.keys.allSatisfy { !$0.hasPrefix("dropped") }, "\(totals.fields)")
            }
        }
    }
}
