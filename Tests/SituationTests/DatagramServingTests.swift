import Foundation
import Testing

extension Situations {
    /// UDP ASSOCIATE (RFC 1928 §7): what a relay does for its client, and for nobody else.
    @Suite struct DatagramServing {
        /// An association, and a client's socket for it.
        struct Association {
            let control: Int
            let socket: Int
            /// Of the socket.
            let source: Int
            let host: String
            let port: Int

            var place: [Any] { [host, port] }
        }

        static func associate(_ stage: Stage, _ family: Family = .v4, declaring: Bool = false) throws -> Association {
            let socket = try stage.client.datagramSocket(family.client)
            let unknown: [Any] = [family.wildcard, 0]
            let answer = try stage.client.perform(
                "associate",
                [
                    "host": family.routerTowardsClient, "port": 1080,
                    "declared": declaring ? [family.client, socket.port] : unknown,
                ])
            #expect(answer.string("host") == family.routerTowardsClient, "\(answer.fields)")
            return Association(
                control: answer.socket, socket: socket.socket, source: socket.port, host: answer.string("host"),
                port: answer.int("port"))
        }

        private static func send(_ stage: Stage, _ datagrams: [[UInt8]], to association: Association, from socket: Int? = nil)
            throws
        {
            try stage.client.perform(
                "udp_send",
                [
                    "socket": socket ?? association.socket, "datagrams": datagrams.map(hexadecimal), "to": association.place,
                ])
        }

        /// Has the association carry a datagram to the echo and back.
        private static func expectEcho(_ stage: Stage, _ association: Association, _ echo: DatagramEcho, sizes: [Int] = [4]) throws
        {
            let answers = try stage.client.perform(
                "udp_ask",
                [
                    "socket": association.socket, "to": association.place, "sizes": sizes,
                    "prefix": hexadecimal(Says.header(echo.host, echo.port)),
                ])
            // The header says who has answered, and the datagram comes from the relay.
            #expect(answers.strings("answers") == sizes.map { _ in "\(association.host) \(association.port)" })
        }

        private static func relays(_ stage: Stage) throws -> [Substring] {
            try stage.topology.router.require(["ss", "-Hun", "-a"]).split(separator: "\n")
        }

        @Test(arguments: Family.allCases) func anAssociationLivesAsLongAsItsConnection(family: Family) throws {
            let configuration = ClearwayConfiguration.servingDatagrams()
            try play(Variant(family: family), configuration: configuration) { stage in
                let echo = try stage.datagramEcho()
                let association = try Self.associate(stage, family)
                let largest = 65_507 - (family == .v4 ? 10 : 22)
                let sizes = [0, 1, 1_472, 9_000, largest]
                try Self.expectEcho(stage, association, echo, sizes: sizes)
                let other = try stage.datagramEcho()
                try Self.expectEcho(stage, association, other)
                #expect(try echo.speakers == other.speakers && echo.speakers.count == 1)
                // To the other family as well.
                let foreign = try stage.datagramEcho(family == .v4 ? Family.v6.server : Family.v4.server)
                try Self.expectEcho(stage, association, foreign)

                let clearway = try stage.clearway
                #expect(try clearway.accessRecords().isEmpty)
                try stage.client.close(association.control)
                let records = try clearway.waitForSessions(4)
                #expect(records.allSatisfy { $0.ending == "client-fin" })
                let flow = try #require(records.first { $0.string("destination") == family.written(echo.host, echo.port) })
                #expect(flow.string("client") == family.written(family.client, association.source))
                #expect(flow.string("protocol") == "udp" && flow.string("listener") == "served")
                #expect(flow.int("up") == sizes.reduce(0, +) && flow.int("down") == flow.int("up"))
                #expect(flow.int("datagrams_up") == sizes.count && flow.int("datagrams_down") == sizes.count)
                try waitUntil("its port gone") { try !Self.relays(stage).contains { $0.contains(":\(association.port) ") } }
            }
        }

        /// By the connection nothing more is said. Whoever pours bytes into it would have others wait for their reading.
        @Test func theConnectionIsNotForBytes() throws {
            try play(Variant(), configuration: .servingDatagrams()) { stage in
                let echo = try stage.datagramEcho()
                let association = try Self.associate(stage)
                try stage.client.send(association.control, "a few do no harm")
                try Self.expectEcho(stage, association, echo)
                _ = try? stage.client.perform("pour", ["socket": association.control, "bytes": 8 << 20])
                let record = try #require(try stage.clearway.waitForSessions(2).first { $0.ending == "client-protocol" })
                #expect(record.string("reason") == "bytes without end, where datagrams were asked for")
                try waitUntil("its port gone") { try !Self.relays(stage).contains { $0.contains(":\(association.port) ") } }
            }
        }

        /// Who has not asked for it is not heard, whatever he sends; nor is a port that was not declared, or was not the first.
        @Test(arguments: [false, true]) func nobodyElseIsHeard(declaring: Bool) throws {
            try play(Variant(), configuration: .servingDatagrams()) { stage in
                try stage.topology.client.require(["ip", "address", "add", "192.0.2.3/24", "dev", "eth0"])
                let echo = try stage.datagramEcho()
                let association = try Self.associate(stage, declaring: declaring)
                let stranger = try stage.client.datagramSocket("192.0.2.3").socket
                let second = try stage.client.datagramSocket(Family.v4.client).socket
                let datagram = Says.header(echo.host, echo.port) + [1]
                try Self.send(stage, [datagram], to: association, from: stranger)
                // Before the client has spoken, only what it has declared tells its ports apart.
                if declaring { try Self.send(stage, [datagram], to: association, from: second) }
                try Self.expectEcho(stage, association, echo)
                for socket in [stranger, second] { try Self.send(stage, [datagram, []], to: association, from: socket) }
                // A server that was not asked, too.
                let outside = try echo.speakers
                try #require(outside.count == 1)
                try stage.addServerAddress("198.51.100.3")
                let unasked = try stage.server.datagramSocket("198.51.100.3").socket
                try stage.server.sendDatagram(unasked, "unasked", to: place(outside[0]))
                try Self.expectEcho(stage, association, echo)
                for socket in [stranger, second, association.socket] {
                    #expect(try stage.client.perform("udp_waiting", ["socket": socket]).int("count") == 0)
                }
                #expect(try echo.count == 2)
                try stage.client.close(association.control)
                #expect(try stage.clearway.totals().total("dropped_unwanted") == (declaring ? 7 : 6))
            }
        }

        private static let malformed: [[UInt8]] = {
            let header = Says.header(Family.v4.server, 7)
            let name = Says.header(name: "x.test", 7)
            var all: [[UInt8]] = (0..<header.count).map { Array(header.prefix($0)) }
            all += (5..<name.count).map { Array(name.prefix($0)) }
            all += [10, 21].map { Array(Says.header(Family.v6.server, 7).prefix($0)) }
            for fragment: UInt8 in [1, 0x7F, 0x80, 0xFF] { all.append([0, 0, fragment] + header[3...] + [1]) }
            for reserved in [bytes("00 01"), bytes("01 00"), bytes("ff ff")] { all.append(reserved + header[2...] + [1]) }
            for type: UInt8 in [0, 2, 5, 0xFF] { all.append([0, 0, 0, type] + header[4...] + [1]) }
            all.append(Says.header(Family.v4.server, 0) + [1])
            for host in ["", "a b", "a\0b", "a/b", "a@b", "a\r\nb", "\u{FF}"] { all.append(Says.header(name: host, 7) + [1]) }
            return all
        }()

        /// Datagrams that are none are dropped and counted, one by one or in bursts; nothing is said, and the association lives.
        @Test func whatIsNoDatagramIsDropped() throws {
            try play(Variant(), configuration: .servingDatagrams()) { stage in
                let echo = try stage.datagramEcho(port: 7)
                let association = try Self.associate(stage)
                try Self.send(stage, Self.malformed, to: association)
                try Self.expectEcho(stage, association, echo)
                #expect(try echo.count == 1)
                #expect(try stage.client.perform("udp_waiting", ["socket": association.socket]).int("count") == 0)
                try stage.client.close(association.control)
                let totals = try stage.clearway.totals()
                #expect(totals.total("dropped_malformed") == Self.malformed.count && totals.total("flows") == 1)
            }
        }

        /// Whatever comes, the association lives, and each datagram went its way or is counted where it was dropped.
        @Test func mutationsOfHeaders() throws {
            try play(Variant(), start: false) { stage in
                let (clearway, _) = try stage.startClearway(.servingDatagrams(), names: ["four.test": ["198.51.100.2"]])
                let echo = try stage.datagramEcho()
                let first = try Self.associate(stage)
                try Self.expectEcho(stage, first, echo)
                try stage.client.close(first.control)
                _ = try clearway.waitForSessions(2)
                let descriptors = clearway.descriptors

                let association = try Self.associate(stage)
                let barrier = Says.header(echo.host, echo.port)
                let texts = [
                    barrier, Says.header(Family.v6.server, echo.port), Says.header(name: "four.test", echo.port),
                ].map { hexadecimal($0 + Array("hello".utf8)) }
                let count = 10_000
                let sent = try stage.client.perform(
                    "udp_mutations",
                    [
                        "socket": association.socket, "to": association.place, "texts": texts, "count": count, "seed": 22,
                        "barrier": hexadecimal(barrier),
                    ])
                try Self.expectEcho(stage, association, echo)
                #expect(clearway.program.isRunning)
                try stage.client.close(association.control)
                try waitUntil("its port gone") { try !Self.relays(stage).contains { $0.contains(":\(association.port) ") } }
                try waitUntil("no more descriptors than before") { clearway.descriptors <= descriptors }
                let totals = try clearway.totals()
                let dropped = totals.fields.keys.filter { $0.hasPrefix("dropped_") }.reduce(0) { $0 + totals.total($1) }
                let carried = try clearway.flowRecords().reduce(0) { $0 + $1.int("datagrams_up") }
                #expect(dropped + carried == count + sent.int("barriers") + 2, "\(totals.fields)")
                // All kinds of datagrams were among them.
                #expect(totals.total("dropped_malformed") > count / 10 && totals.total("flows") > count / 100, "\(totals.fields)")
            }
        }

        /// A name server that says nothing, and a client that does not wait for it: neither does what was the client's.
        @Test func whatWaitsForANameEndsWithTheConnection() throws {
            try play(Variant(), start: false) { stage in
                let (clearway, server) = try stage.startClearway(.servingDatagrams(), names: [:], dead: "slow.test", timeout: 30)
                let association = try Self.associate(stage)
                let datagrams = (0..<3).map { Says.header(name: "slow.test", 7) + [$0] }
                try Self.send(stage, datagrams, to: association)
                try waitUntil("asked for") { try server.asked().contains("slow.test A") }
                try stage.client.close(association.control)
                try waitUntil("its port gone") { try !Self.relays(stage).contains { $0.contains(":\(association.port) ") } }
                let totals = try clearway.totals()
                #expect(totals.total("dropped_waiting") == 3 && totals.total("flows") == 0, "\(totals.fields)")
            }
        }

        /// What cannot be delivered, either way, is lost in silence.
        @Test func whatDoesNotArriveIsLostInSilence() throws {
            try play(Variant(), configuration: .servingDatagrams(timeouts: "flow_unanswered = \"1s\"")) { stage in
                let server = try stage.server.datagramSocket(Family.v4.server)
                let association = try Self.associate(stage)
                try Self.send(stage, [Says.header(Family.v4.server, server.port) + [1]], to: association)
                let outside = try stage.server.takeDatagrams(server.socket)[0].sender
                // With a header before it, this is more than a datagram can hold.
                let all = [[UInt8](repeating: 1, count: 65_507), [2]].map(hexadecimal)
                try stage.server.perform("udp_send", ["socket": server.socket, "datagrams": all, "to": place(outside)])
                #expect(
                    try stage.client.takeDatagrams(association.socket)[0].bytes == Says.header(Family.v4.server, server.port) + [2])
                // A closed port, and one that nobody reaches.
                let echo = try stage.datagramEcho()
                try Self.send(
                    stage,
                    [
                        Says.header(Family.v4.server, 1) + [1], Says.header(Family.v4.unreachable, 1) + [1],
                        Says.header(name: "unknown.test", 1) + [1],
                    ], to: association)
                let records = try stage.clearway.waitForFlows(2)
                #expect(Set(records.map(\.ending)) == ["upstream-refused", "upstream-unreachable"])
                try Self.expectEcho(stage, association, echo)
                #expect(try stage.client.perform("udp_waiting", ["socket": association.socket]).int("count") == 0)
                try stage.client.close(association.control)
                #expect(try stage.clearway.totals().total("dropped_unsent") == 1)
            }
        }
    }
}

extension Says {
    /// A relay's header.
    static func header(_ address: String, _ port: Int) -> [UInt8] { [0, 0, 0] + socks5(address, port).dropFirst(3) }

    /// Each scalar of the name is a byte.
    static func header(name: String, _ port: Int) -> [UInt8] {
        [0, 0, 0] + socks5(name: name.unicodeScalars.map { UInt8($0.value) }, port).dropFirst(3)
    }
}
