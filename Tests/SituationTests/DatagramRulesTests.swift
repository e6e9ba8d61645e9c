import Foundation
import Testing

extension Situations {
    /// Rules decide for flows as they do for sessions, and a client hears of what does not arrive.
    @Suite struct DatagramRules {
        private static let proxy = "[[upstream]]\nname = \"out\"\nurl = \"socks5://198.51.100.2:1090\"\n"

        private static func rule(_ lines: String, _ action: String) -> String {
            "[[rule]]\n\(lines)\naction = \"\(action)\"\n"
        }

        @Test func protocolPortClientAndDestinationDecide() throws {
            let policy =
                Self.proxy + Self.rule("protocol = \"tcp\"", "reject") + Self.rule("port = 7001", "reject")
                + Self.rule("client = \"192.0.2.3\"", "reject") + Self.rule("destination = \"198.51.100.3\"", "reject")
                + Self.rule("port = 7004", "out")
            try play(Variant(), start: false) { stage in
                try stage.addServerAddress("198.51.100.3")
                try stage.topology.client.require(["ip", "address", "add", "192.0.2.3/24", "dev", "eth0"])
                let relay = try stage.server.perform("slow_relay", ["host": Family.v4.server, "port": ProxyProgram.port]).socket
                try stage.server.perform("release", ["socket": relay])
                try stage.startDatagrams(.datagrams(policy: policy))
                let echoes = try [7_001, 7_002].map { try stage.datagramEcho(port: $0) }
                let elsewhere = try stage.datagramEcho("198.51.100.3", port: 7_002)
                let rows: [(client: String, place: [Any], answer: String)] = [
                    ("192.0.2.2", echoes[0].place, "ECONNREFUSED"), ("192.0.2.2", echoes[1].place, echoes[1].name),
                    ("192.0.2.3", echoes[1].place, "ECONNREFUSED"), ("192.0.2.2", elsewhere.place, "ECONNREFUSED"),
                    ("192.0.2.2", [Family.v4.server, 7_004], "198.51.100.2 7004"),
                ]
                for row in rows {
                    let client = try stage.client.datagramSocket(row.client, to: row.place).socket
                    let answer = try stage.client.perform("udp_ask", ["socket": client, "to": row.place, "sizes": [100]])
                    #expect(answer.strings("answers") == [row.answer], "\(row)")
                }
                let unheard = try (echoes[0].count, elsewhere.count)
                #expect(unheard == (0, 0))
                // As TCP the same goes nowhere.
                let listener = try stage.server.listen(Family.v4.server, port: 7_002)
                #expect(
                    try stage.client.perform("attempt", ["host": Family.v4.server, "port": 7_002]).strings("outcomes") != ["data"])
                withExtendedLifetime(listener) {}
                let heard = try stage.server.perform("relayed", ["socket": relay]).strings("heard")
                #expect(heard.count == 1 && heard[0].hasPrefix("00000001c63364021b5c") && heard[0].count == 220)

                let totals = try stage.clearway.totals()
                #expect(totals.total("dropped_refused") == 3 && totals.total("flows") == 5)
                let records = try stage.clearway.flowRecords()
                let told = records.map {
                    "\($0.string("destination")) \($0.ending) \($0.string("upstream")) \($0.fields["rule"] ?? "")"
                }
                #expect(
                    told.sorted() == [
                        "198.51.100.2:7001 proxy-rejected reject 2", "198.51.100.2:7002 proxy-drain direct default",
                        "198.51.100.2:7002 proxy-rejected reject 3", "198.51.100.2:7004 proxy-drain out 5",
                        "198.51.100.3:7002 proxy-rejected reject 4",
                    ])
            }
        }

        /// New rules are for new flows; what was rejected is judged anew.
        @Test func aReloadJudgesAnewWhatWasRejected() throws {
            let rules = [7_001, 7_002].map { ClearwayConfiguration.datagrams(policy: Self.rule("port = \($0)", "reject")) }
            try play(Variant(), start: false) { stage in
                try stage.startDatagrams(rules[0])
                let echoes = try [7_001, 7_002].map { try stage.datagramEcho(port: $0) }
                let clients = try echoes.map { try stage.client.datagramSocket(Family.v4.wildcard, to: $0.place).socket }
                #expect(try stage.client.ask(clients[0], echoes[0]) == ["ECONNREFUSED"])
                #expect(try stage.client.ask(clients[1], echoes[1]) == [echoes[1].name])
                try stage.clearway.reload(rules[1])
                #expect(try stage.client.ask(clients[0], echoes[0]) == [echoes[0].name])
                #expect(try stage.client.ask(clients[1], echoes[1]) == [echoes[1].name])
                let late = try stage.client.datagramSocket(Family.v4.wildcard, to: echoes[1].place).socket
                #expect(try stage.client.ask(late, echoes[1]) == ["ECONNREFUSED"])
            }
        }
    }
}
