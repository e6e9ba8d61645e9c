import Foundation
import Testing

extension Situations {
    /// A resolver of the router's own on port 53 of all its addresses, beside queries that are intercepted on their way elsewhere.
    @Suite struct DatagramNeighbours {
        private static let configuration = ClearwayConfiguration.datagrams(timeouts: "flow_unanswered = \"1s\"")

        /// A resolver that answers for `near.test`, with a port that it shares with nobody.
        private static func alone(_ stage: Stage) throws {
            let peer = try stage.peer(in: stage.topology.router)
            try peer.perform("name_server", ["names": ["near.test": [["192.0.2.1"]]], "host": "0.0.0.0"])
        }

        private static func farServer(_ stage: Stage) throws {
            try stage.server.perform("name_server", ["names": ["far.test": [["203.0.113.5"]]], "host": Family.v4.server])
        }

        private static func dig(_ stage: Stage, _ server: String, _ name: String, limit: Int = 10) throws -> String {
            let asked = try stage.topology.client.finish(["dig", "+short", "+tries=1", "+time=\(limit)", "@\(server)", name])
            return asked.output.trimmingCharacters(in: .whitespacesAndNewlines)
        }

        @Test(arguments: ["dnsmasq", "alone"]) func bothAnswer(resolver: String) throws {
            try play(Variant(), start: false) { stage in
                resolver == "dnsmasq" ? try stage.topology.router.startDNSMasq(["near.test": "192.0.2.1"]) : try Self.alone(stage)
                try Self.farServer(stage)
                try stage.startDatagrams(Self.configuration)
                for _ in 0..<2 {
                    #expect(try Self.dig(stage, "192.0.2.1", "near.test") == "192.0.2.1")
                    #expect(try Self.dig(stage, Family.v4.server, "far.test") == "203.0.113.5")
                }
                let totals = try stage.clearway.totals()
                #expect(totals.total("flows") == 2 && totals.fields.keys.allSatisfy { !$0.hasPrefix("dropped") })
            }
        }

        /// What was intercepted before takes nothing that the resolver needs.
        @Test func aResolverCanBeStartedLater() throws {
            try play(Variant(), start: false) { stage in
                try Self.farServer(stage)
                try stage.startDatagrams(Self.configuration)
                #expect(try Self.dig(stage, Family.v4.server, "far.test") == "203.0.113.5")
                try Self.alone(stage)
                #expect(try Self.dig(stage, "192.0.2.1", "near.test") == "192.0.2.1")
                #expect(try Self.dig(stage, Family.v4.server, "far.test") == "203.0.113.5")
            }
        }

        /// Without the right to raw sockets these answers cannot be given, and the log says so. Others can.
        @Test func withoutRawSocketsTheseAloneFail() throws {
            try play(Variant(), start: false) { stage in
                try Self.alone(stage)
                try Self.farServer(stage)
                let clearway = try stage.startDatagrams(
                    Self.configuration, wrapper: ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"])
                let echo = try stage.datagramEcho()
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                #expect(try stage.client.ask(client, echo) == [echo.name])
                #expect(try !Self.dig(stage, Family.v4.server, "far.test", limit: 1).contains("203.0.113.5"))
                try waitUntil("an event") { try !clearway.records("session failed").isEmpty }
                let event = try clearway.records("session failed")[0]
                #expect(event.ending == "proxy-limit" && event.string("reason").contains("port 53"), "\(event.fields)")
                #expect(try Self.dig(stage, "192.0.2.1", "near.test") == "192.0.2.1")
                #expect(try stage.client.ask(client, echo) == [echo.name])
                #expect(try clearway.totals().total("dropped_unsent") == 1)
            }
        }
    }
}
