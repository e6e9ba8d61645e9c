import Foundation
import Testing

extension Situations {
    /// Where a relay does not send, however it is written: not a byte, and no word about it.
    @Suite struct DatagramReach {
        private static let port = 7_777

        private static let addresses = [
            "127.0.0.1", "127.255.255.254", "0.0.0.0", "169.254.169.254", "10.0.0.1", "192.168.1.1", "192.0.2.1", "198.51.100.1",
            "224.0.0.1", "255.255.255.255", "::1", "::", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
            "fe80::1", "fd00::1", "ff02::1", "2001:db8:1::1",
        ]

        private static let spelt = [
            "127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1.", "::1", "::ffff:127.0.0.1", "localhost",
            "LOCALHOST.", "x.localhost", "192.0.2.1",
        ]

        private static let names = [
            "inside.test": ["127.0.0.1"], "mixed.test": ["198.51.100.2", "10.0.0.1"], "router.test": ["198.51.100.1"],
            "good.test": ["198.51.100.2"],
        ]

        @Test func nothingGoesWhereItMayNot() throws {
            try play(Variant(), start: false) { stage in
                let (clearway, server) = try stage.startClearway(.servingDatagrams(), names: Self.names)
                let router = try stage.peer(in: stage.topology.router)
                let canaries = try [
                    (router, router.datagramSocket("0.0.0.0", port: Self.port)),
                    (router, router.datagramSocket("::", port: Self.port)),
                    (stage.server, stage.server.datagramSocket(Family.v4.server, port: Self.port)),
                ]
                let echo = try stage.datagramEcho()
                let association = try DatagramServing.associate(stage)
                let headers =
                    Self.addresses.map { Says.header($0, Self.port) } + Self.spelt.map { Says.header(name: $0, Self.port) }
                    // The relay itself, and the listener.
                    + [Says.header(association.host, association.port), Says.header(association.host, 1080)]
                    + ["inside.test", "mixed.test", "router.test", "unknown.test"].map { Says.header(name: $0, Self.port) }
                func send(_ datagrams: [[UInt8]]) throws {
                    try stage.client.perform(
                        "udp_send",
                        ["socket": association.socket, "datagrams": datagrams.map(hexadecimal), "to": association.place])
                }
                // One by one, so that none waits behind sixteen others for its name.
                for header in headers { try send([header + Array("secret".utf8)]) }
                try waitUntil("all names asked for") {
                    let asked = try server.asked()
                    return ["inside.test A", "mixed.test A", "router.test A", "unknown.test A"].allSatisfy(asked.contains)
                }
                // A name that leads somewhere is asked for once, and the answer says where from.
                for number in 0..<3 {
                    try send([Says.header(name: "good.test", echo.port) + [UInt8(number)]])
                    let answer = try stage.client.takeDatagrams(association.socket)[0]
                    #expect(answer.bytes == Says.header(Family.v4.server, echo.port) + [UInt8(number)])
                }
                let asked = try server.asked()
                #expect(asked.count { $0 == "good.test A" } == 1)
                #expect(!asked.contains { $0.contains("localhost") || $0.contains("127") })
                for (peer, canary) in canaries {
                    #expect(try peer.perform("udp_waiting", ["socket": canary.socket]).int("count") == 0)
                }
                #expect(try stage.client.perform("udp_waiting", ["socket": association.socket]).int("count") == 0)
                try stage.client.close(association.control)
                let record = try clearway.waitForFlows(1)[0]
                #expect(record.string("name") == "good.test" && record.int("up") == 3)
                let totals = try clearway.totals()
                #expect(totals.total("dropped_refused") == headers.count && totals.total("flows") == 1, "\(totals.fields)")
            }
        }
    }
}
