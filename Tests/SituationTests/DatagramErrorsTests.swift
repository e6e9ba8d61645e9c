import Foundation
import Testing

extension Situations {
    /// What ICMP says to us is said to the client, concerns one flow alone, and ends none before its time.
    @Suite struct DatagramErrors {
        private static let configuration = ClearwayConfiguration.datagrams(timeouts: "flow_unanswered = \"1s\"")

        @Test(arguments: Family.allCases.flatMap { [Variant(mover: .direct, family: $0), Variant(family: $0)] })
        func aClosedPortIsRefusedAndOthersGoOn(variant: Variant) throws {
            let family = variant.family
            try play(variant, start: false) { stage in
                if variant.mover != .direct { try stage.startDatagrams(Self.configuration) }
                let echo = try stage.datagramEcho()
                let client = try stage.client.datagramSocket(family.wildcard)
                #expect(try stage.client.ask(client.socket, echo) == [echo.name])
                // A port that was just free.
                let closed: [Any] = [family.server, try stage.server.datagramSocket(family.server).port + 1]
                let refused = try stage.client.datagramSocket(family.wildcard, to: closed).socket
                for _ in 0..<2 {
                    let heard = try stage.client.perform("udp_ask", ["socket": refused, "to": closed]).strings("answers")
                    #expect(heard == ["ECONNREFUSED"])
                }
                try stage.client.sendDatagram(client.socket, "nobody", to: closed)
                #expect(try stage.client.ask(client.socket, echo, sizes: [10, 2_000]) == [echo.name, echo.name])
                #expect(try echo.speakers.count == 1)
                guard variant.mover != .direct else { return }
                let records = try stage.clearway.waitForFlows(2)
                #expect(records.allSatisfy { $0.ending == "upstream-refused" })
                #expect(records.map { $0.int("datagrams_up") }.sorted() == [1, 2])
            }
        }

        /// RFC 4787, REQ-10: the client's port outside stays what it is. It has no other flow, and nobody has answered.
        @Test(arguments: Family.allCases) func aServerThatIsStartedAgainHearsTheSamePort(family: Family) throws {
            try play(Variant(family: family), start: false) { stage in
                let clearway = try stage.startDatagrams()
                let first = try stage.server.datagramSocket(family.server)
                let destination: [Any] = [family.server, first.port]
                let client = try stage.client.datagramSocket(family.wildcard, to: destination).socket
                try stage.client.sendDatagram(client, "first", to: destination)
                let seen = try stage.server.takeDatagrams(first.socket)[0].sender
                let outside = place(seen)
                try stage.server.close(first.socket)
                for _ in 0..<3 {
                    let heard = try stage.client.perform("udp_ask", ["socket": client, "to": destination]).strings("answers")
                    #expect(heard == ["ECONNREFUSED"])
                }
                let second = try stage.server.datagramSocket(family.server, port: first.port).socket
                try stage.client.sendDatagram(client, "second", to: destination)
                #expect(try stage.server.takeDatagrams(second)[0].sender == seen)
                try stage.server.sendDatagram(second, "answer", to: outside)
                #expect(try stage.client.takeDatagrams(client)[0].bytes == Array("answer".utf8))
                #expect(try clearway.totals().total("flows") == 1)
                #expect(try clearway.flowRecords().map(\.ending) == ["proxy-drain"])
            }
        }

        /// What ICMP has said of the first is told by the call that sends the next ones: they go, and the record has them.
        @Test func whatIsToldAsItIsSentIsCountedBefore() throws {
            try play(Variant(), start: false) { stage in
                let clearway = try stage.startDatagrams(Self.configuration)
                let (router, absent) = (stage.topology.router, "198.51.100.77")
                // Nobody is there, and that comes out when the test says so.
                try router.require(["sysctl", "-qw", "net.ipv4.neigh.wan.retrans_time_ms=60000"])
                let echo = try stage.datagramEcho()
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                #expect(try stage.client.ask(client, echo) == [echo.name])
                try stage.client.sendDatagram(client, "first", to: [absent, 9])
                try waitUntil("asked for a neighbour") {
                    try router.require(["ip", "neigh", "show", absent]).contains("INCOMPLETE")
                }
                clearway.program.signal(SIGSTOP)
                for text in ["2nd", "third"] { try stage.client.sendDatagram(client, text, to: [absent, 9]) }
                try router.require(["ip", "neigh", "replace", absent, "dev", "wan", "nud", "failed"])
                clearway.program.signal(SIGCONT)
                let record = try clearway.waitForFlows(1)[0]
                #expect(record.ending == "upstream-unreachable" && record.int("datagrams_up") == 3 && record.int("up") == 13)
                #expect(try stage.client.ask(client, echo) == [echo.name])
                let totals = try clearway.totals()
                #expect(
                    totals.total("flows") == 2 && totals.fields.keys.allSatisfy { !$0.hasPrefix("dropped") }, "\(totals.fields)")
            }
        }

        /// A router behind us says that there is no way, or we have none ourselves.
        @Test(arguments: Family.allCases.flatMap { [Variant(mover: .direct, family: $0), Variant(family: $0)] })
        func noWayThere(variant: Variant) throws {
            let family = variant.family
            try play(variant, start: false) { stage in
                if variant.mover != .direct { try stage.startDatagrams(Self.configuration) }
                let nowhere = family == .v4 ? "192.0.0.99" : "2001:db8:dead::1"
                for host in [family.unreachable, nowhere] {
                    let place: [Any] = [host, 4_000]
                    let client = try stage.client.datagramSocket(family.wildcard, to: place).socket
                    let heard = try stage.client.perform("udp_ask", ["socket": client, "to": place]).strings("answers")
                    #expect(heard == ["EHOSTUNREACH"] || heard == ["ENETUNREACH"], "\(host)")
                }
                guard variant.mover != .direct else { return }
                let records = try stage.clearway.waitForFlows(2)
                #expect(records.map(\.ending) == ["upstream-unreachable", "upstream-unreachable"])
            }
        }
    }
}
