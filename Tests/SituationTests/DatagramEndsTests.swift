import Foundation
import Testing

extension Situations {
    /// How UDP ends: by a reload, by a stop, by a kill.
    @Suite struct DatagramEnds {
        private static func udpSockets(_ stage: Stage) throws -> [Substring] {
            try stage.topology.router.require(["ss", "-Hun", "-a"]).split(separator: "\n")
        }

        /// Without UDP in the configuration nothing of it is left, and the client's datagrams go on by themselves.
        @Test func aReloadThatTakesItAwayEndsItsFlows() throws {
            try play(Variant(), start: false) { stage in
                let clearway = try stage.startDatagrams()
                let echo = try stage.datagramEcho()
                let client = try stage.client.datagramSocket(Family.v4.wildcard)
                #expect(try stage.client.ask(client.socket, echo) == [echo.name])
                let without = ClearwayConfiguration()
                try clearway.reload(without)
                #expect(try clearway.waitForFlows(1)[0].ending == "proxy-drain")
                #expect(try Self.udpSockets(stage).allSatisfy { !$0.contains(":1081 ") })
                #expect(try stage.client.ask(client.socket, echo) == [echo.name])
                #expect(try echo.speakers.contains("192.0.2.2 \(client.port)"))
                // And back.
                try clearway.reload(.datagrams())
                let another = try stage.client.datagramSocket(Family.v4.wildcard).socket
                #expect(try stage.client.ask(another, echo) == [echo.name])
                #expect(try echo.speakers.filter { $0.hasPrefix("198.51.100.1 ") }.count == 2)
            }
        }

        @Test func aKillLeavesNothingAndANewOneTakesOver() throws {
            try play(Variant(), start: false) { stage in
                let before = try HostState(of: stage.topology.router)
                let clearway = try stage.startDatagrams()
                let echo = try stage.datagramEcho()
                let client = try stage.client.datagramSocket(Family.v4.wildcard)
                #expect(try stage.client.ask(client.socket, echo) == [echo.name])
                clearway.program.end()
                #expect(try Self.udpSockets(stage) == [])
                try waitUntil("the rules gone") {
                    try !stage.topology.router.require(["nft", "list", "tables"]).contains("clearway")
                }
                // Directly, now.
                #expect(try stage.client.ask(client.socket, echo) == [echo.name])
                #expect(try echo.speakers.contains("192.0.2.2 \(client.port)"))
                let next = try stage.startClearway(.datagrams(), name: "next")
                let another = try stage.client.datagramSocket(Family.v4.wildcard).socket
                #expect(try stage.client.ask(another, echo) == [echo.name])
                #expect(try next.totals().total("flows") == 1)
                let after = try HostState(of: stage.topology.router)
                #expect(after == before, "\(after.differences(from: before))")
            }
        }
    }
}
