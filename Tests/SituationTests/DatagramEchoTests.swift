import Foundation
import Testing

extension Situations {
    /// UDP through the gateway, from end to end.
    @Suite struct DatagramEchoes {
        /// Nothing, a byte, what fills a packet, and what takes several: the last is all that UDP can carry.
        private static let sizes = [0, 1, 1_472, 9_000, 65_507]

        @Test(arguments: Family.allCases.flatMap { [Variant(mover: .direct, family: $0), Variant(family: $0)] })
        func everySizeComesBackFromWhereItWasSent(variant: Variant) throws {
            try play(variant, start: false) { stage in
                if variant.mover != .direct { try stage.startDatagrams() }
                let echo = try stage.datagramEcho()
                let client = try stage.client.datagramSocket(variant.family.wildcard)
                let answers = try stage.client.ask(client.socket, echo, sizes: Self.sizes)
                #expect(answers == Self.sizes.map { _ in echo.name })
                let speakers = try echo.speakers
                try #require(speakers.count == 1)
                #expect(speakers[0].hasPrefix(variant.sourceSeenByServer + " "))
                guard variant.mover != .direct else { return }

                let totals = try stage.clearway.totals()
                #expect(totals.total("flows") == 1 && totals.total("sessions") == 0)
                let bytes = Self.sizes.reduce(0, +)
                #expect(totals.total("up") == bytes && totals.total("down") == bytes)
                let records = try stage.clearway.accessRecords()
                try #require(records.count == 1)
                let record = records[0]
                #expect(record.string("protocol") == "udp" && record.ending == "proxy-drain")
                #expect(record.string("listener") == "test" && record.string("upstream") == "direct")
                #expect(record.string("client") == variant.family.written(variant.family.client, client.port))
                #expect(record.string("destination") == variant.family.written(variant.family.server, echo.port))
                let outside = try #require(speakers[0].split(separator: " ").last.flatMap { Int($0) })
                #expect(record.string("local") == variant.family.written(variant.family.routerTowardsServer, outside))
                #expect(record.int("datagrams_up") == Self.sizes.count && record.int("datagrams_down") == Self.sizes.count)
                #expect(record.int("up") == bytes && record.int("down") == bytes)
            }
        }

        /// A burst of equal datagrams, which one call moves, and others between them: each arrives, in order, and nothing else does.
        @Test(arguments: [1, 256]) func burstsArriveInOrder(batch: Int) throws {
            try play(Variant(), start: false) { stage in
                try stage.startDatagrams(.datagrams(top: "batch = \(batch)"))
                let receiver = try stage.server.datagramSocket(Family.v4.server)
                let client = try stage.client.datagramSocket(Family.v4.wildcard)
                let lengths = (0..<100).map { _ in 1_200 } + [7, 0, 1_472, 1_473] + (0..<20).map { _ in 64 }
                let sent = lengths.enumerated().map { number, length in
                    hexadecimal([UInt8](repeating: UInt8(number), count: length))
                }
                // Every host has found its neighbour: while it looks, a host keeps few packets.
                let echo = try stage.datagramEcho()
                #expect(try stage.client.ask(client.socket, echo) == [echo.name])
                // What waits for a program that is not running comes to it all at once.
                let clearway = try stage.clearway
                clearway.program.signal(SIGSTOP)
                try stage.client.perform(
                    "udp_send", ["socket": client.socket, "datagrams": sent, "to": [Family.v4.server, receiver.port]])
                clearway.program.signal(SIGCONT)
                let received = try stage.server.perform("udp_take", ["socket": receiver.socket, "count": sent.count])
                #expect(received.strings("datagrams") == sent)
                let outside = try #require(received.strings("senders").first)
                // On the way back no more at once than a socket holds that nobody has made larger.
                for part in [sent[..<50], sent[50..<100], sent[100...]].map(Array.init) {
                    try stage.server.perform(
                        "udp_send", ["socket": receiver.socket, "datagrams": part, "to": place(outside)])
                    let back = try stage.client.perform("udp_take", ["socket": client.socket, "count": part.count])
                    #expect(back.strings("datagrams") == part)
                }
                let totals = try clearway.totals()
                #expect(totals.fields.keys.allSatisfy { !$0.hasPrefix("dropped") }, "\(totals.fields)")
            }
        }

        /// A question and its answer are all there is to DNS; elsewhere an answered flow stays, and one that nobody answers is over sooner.
        @Test func flowsEndWhenNothingMoreIsToCome() throws {
            try play(Variant(), start: false) { stage in
                try stage.startDatagrams(.datagrams(timeouts: "flow_unanswered = \"1s\""))
                let name = try stage.datagramEcho(port: 53)
                let other = try stage.datagramEcho(port: 5_353)
                let client = try stage.client.datagramSocket(Family.v4.wildcard)
                try stage.client.sendDatagram(client.socket, "nobody", to: [Family.v4.blackhole, 7])
                // Nobody answers here either, but for another reason.
                try stage.client.sendDatagram(client.socket, "nobody", to: [Family.v4.blackhole, 53])
                #expect(try stage.client.ask(client.socket, name) == [name.name])
                #expect(try stage.client.ask(client.socket, other) == [other.name])
                let records = try stage.clearway.waitForFlows(3)
                let endings = records.map { "\($0.string("destination")) \($0.ending)" }
                #expect(
                    Set(endings) == [
                        "203.0.113.129:7 flow-unanswered", "203.0.113.129:53 flow-unanswered", "198.51.100.2:53 flow-idle",
                    ])
                let asked = try #require(records.first { $0.ending == "flow-idle" })
                #expect(asked.double("duration") >= 2 && asked.int("datagrams_down") == 1)
                for record in records where record.ending == "flow-unanswered" {
                    #expect(record.double("duration") >= 1 && record.int("datagrams_down") == 0 && record.int("up") == 6)
                }
                _ = try stage.clearway.totals()
                let last = try stage.clearway.flowRecords().last
                #expect(last?.string("destination") == "198.51.100.2:5353" && last?.ending == "proxy-drain")
            }
        }

        /// Resolvers ask for both families from one port, and one answer may be late. What says more than questions on their port is
        /// treated as all else.
        @Test func aQuestionWaitsForAllItsAnswers() throws {
            try play(Variant(), start: false) { stage in
                let clearway = try stage.startDatagrams()
                try stage.addServerAddress("198.51.100.3")
                let (server, echo) = try (stage.server.datagramSocket("198.51.100.3", port: 53), stage.datagramEcho(port: 53))
                let asker = try stage.client.datagramSocket(Family.v4.wildcard).socket
                for text in ["A", "AAAA"] { try stage.client.sendDatagram(asker, text, to: ["198.51.100.3", 53]) }
                let asked = try stage.server.takeDatagrams(server.socket, 2).map(\.sender)
                try #require(Set(asked).count == 1)
                try stage.server.sendDatagram(server.socket, "A", to: place(asked[0]))
                #expect(try stage.client.takeDatagrams(asker)[0].bytes == Array("A".utf8))

                let talker = try stage.client.datagramSocket(Family.v4.wildcard).socket
                let sizes = Array(repeating: 9, count: 12)
                #expect(try stage.client.ask(talker, echo, sizes: sizes) == sizes.map { _ in echo.name })
                let outside = try echo.speakers

                // By when this one is over, those would be that were done before it.
                let other = try stage.client.datagramSocket(Family.v4.wildcard).socket
                #expect(try stage.client.ask(other, echo) == [echo.name])
                #expect(try clearway.waitForFlows(1).map(\.ending) == ["flow-idle"])
                #expect(try clearway.flowRecords().map { $0.int("datagrams_up") } == [1])
                try stage.server.sendDatagram(server.socket, "AAAA", to: place(asked[0]))
                #expect(try stage.client.takeDatagrams(asker)[0].bytes == Array("AAAA".utf8))
                #expect(try stage.client.ask(talker, echo) == [echo.name])
                let speakers = try echo.speakers
                #expect(outside.count == 1 && speakers.count == 2 && speakers.contains(outside[0]))
            }
        }
    }
}
