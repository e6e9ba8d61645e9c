import Foundation
import Testing

extension Situations {
    /// Flows that end at an awkward moment, and what must not pass because of others.
    @Suite struct DatagramStrain {
        private static func configuration(_ flows: Int, policy: String = "", more: String = "") -> ClearwayConfiguration {
            var configuration = ClearwayConfiguration.datagrams(more: more, top: "max_flows = \(flows)", policy: policy)
            configuration.workers = 1
            return configuration
        }

        private static let proxied =
            "[[upstream]]\nname = \"out\"\nurl = \"socks5://198.51.100.2:1090\"\n[[rule]]\nport = 9\naction = \"out\"\n"

        private static func relay(_ stage: Stage, _ more: [String: Any] = [:]) throws -> Int {
            let arguments: [String: Any] = ["host": Family.v4.server, "port": ProxyProgram.port]
            return try stage.server.perform("slow_relay", arguments.merging(more) { $1 }).socket
        }

        /// What is sent to make room says that nothing leads there: this has ended the flow already that was to go.
        @Test func whatEndsAsItIsSentEndsOnce() throws {
            try play(Variant(), start: false) { stage in
                try stage.topology.router.require(["ip", "route", "add", "unreachable", "203.0.113.65"])
                let clearway = try stage.startDatagrams(Self.configuration(4))
                let echoes = try (0..<2).map { _ in try stage.datagramEcho() }
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                clearway.program.signal(SIGSTOP)
                for place in [["203.0.113.65", 7], echoes[0].place, echoes[1].place] {
                    try stage.client.sendDatagram(client, "x", to: place)
                }
                clearway.program.signal(SIGCONT)
                #expect(Set(try stage.client.takeDatagrams(client, 2).map(\.sender)) == Set(echoes.map(\.name)))
                let totals = try clearway.totals()
                #expect(totals.total("flows") == 3 && totals.total("evicted") == 0)
                #expect(
                    try clearway.flowRecords().map(\.ending).sorted() == ["proxy-drain", "proxy-drain", "upstream-unreachable"])
            }
        }

        /// Flows that begin and have to go in one turn: a proxy is asked for those that stay, and for no other.
        @Test func whatHasMadeRoomAsksNoProxy() throws {
            try play(Variant(), start: false) { stage in
                let relay = try Self.relay(stage)
                let clearway = try stage.startDatagrams(Self.configuration(4, policy: Self.proxied))
                let sockets = try (0..<31).map { _ in try stage.client.datagramSocket(Family.v4.wildcard).socket }
                clearway.program.signal(SIGSTOP)
                for (number, socket) in sockets.enumerated() {
                    try stage.client.sendDatagram(socket, "x", to: [Family.v4.server, number % 3 == 0 ? 9 : 7_000 + number])
                }
                clearway.program.signal(SIGCONT)
                try waitUntil("asked") { try stage.server.perform("relayed", ["socket": relay]).int("requests") > 0 }
                try stage.server.perform("release", ["socket": relay])
                #expect(try stage.client.takeDatagrams(sockets[30]).map(\.sender) == ["198.51.100.2 9"])
                #expect(try stage.server.perform("relayed", ["socket": relay]).int("requests") == 1)
                #expect(try clearway.totals().total("flows") == 31)
            }
        }

        /// The first datagram that was kept has ICMP say so, the second is told: nothing of the association stays.
        @Test func aRelayThatCannotBeReached() throws {
            try play(Variant(), start: false) { stage in
                let relay = try Self.relay(stage, ["bound": "203.0.113.1"])
                let clearway = try stage.startDatagrams(
                    .datagrams(timeouts: "flow_unanswered = \"1s\"", policy: Self.proxied))
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                for _ in 0..<3 { try stage.client.sendDatagram(client, "x", to: [Family.v4.server, 9]) }
                try waitUntil("asked") { try stage.server.perform("relayed", ["socket": relay]).int("open") == 1 }
                try stage.server.perform("release", ["socket": relay])
                _ = try clearway.waitForFlows(1)
                try waitUntil("no association left") { try stage.server.perform("relayed", ["socket": relay]).int("open") == 0 }
            }
        }

        /// A client's other associations, or those of other clients, are not what a known one waits for; and one client has half.
        @Test func oneClientHasHalfOfTheAssociations() throws {
            try play(Variant(), start: false) { stage in
                try stage.topology.client.require(["ip", "address", "add", "192.0.2.3/24", "dev", "eth0"])
                let relay = try Self.relay(stage)
                try stage.server.perform("release", ["socket": relay])
                let policy = ClearwayConfiguration.datagramsThrough("socks5://198.51.100.2:1090")
                let clearway = try stage.startDatagrams(Self.configuration(8, policy: policy))
                func speak(_ socket: Int, _ port: Int) throws {
                    try stage.client.sendDatagram(socket, "x", to: [Family.v4.server, port])
                    #expect(try stage.client.takeDatagrams(socket).map(\.sender) == ["198.51.100.2 \(port)"])
                }
                let greedy = try (0..<3).map { _ in try stage.client.datagramSocket("192.0.2.2").socket }
                try speak(greedy[0], 9)
                try speak(greedy[1], 9)
                try stage.client.sendDatagram(greedy[2], "x", to: [Family.v4.server, 9])
                try waitUntil("refused") { !(try clearway.records("session failed")).isEmpty }
                let other = try (0..<2).map { _ in try stage.client.datagramSocket("192.0.2.3").socket }
                for socket in other { try speak(socket, 9) }
                // All there may be are there.
                try speak(other[0], 10)
                try speak(greedy[0], 10)
                #expect(try stage.server.perform("relayed", ["socket": relay]).int("requests") == 4)
                #expect(try clearway.totals().total("dropped_refused") == 1)
            }
        }

        /// An association takes two descriptors, a flow that goes by itself one: all there may be fit side by side.
        @Test func flowsOfBothKindsTakeNoMoreThanWasPlanned() throws {
            try play(Variant(), start: false) { stage in
                let hosts = (10..<14).map { "192.0.2.\($0)" }
                for host in hosts { try stage.topology.client.require(["ip", "address", "add", "\(host)/24", "dev", "eth0"]) }
                let relay = try Self.relay(stage)
                try stage.server.perform("release", ["socket": relay])
                let clearway = try stage.startDatagrams(Self.configuration(8, policy: Self.proxied))
                let echo = try stage.datagramEcho(port: 7)
                let atStart = clearway.descriptors
                for host in hosts {
                    let socket = try stage.client.datagramSocket(host).socket
                    try stage.client.sendDatagram(socket, "x", to: [Family.v4.server, 9])
                    #expect(try stage.client.takeDatagrams(socket).map(\.sender) == ["198.51.100.2 9"])
                    #expect(try stage.client.ask(try stage.client.datagramSocket(host).socket, echo) == [echo.name])
                }
                // What answers from either port has a socket, too.
                #expect(clearway.descriptors == atStart + 8 + 4 + 2)
                #expect(try clearway.totals().total("evicted") == 0)
            }
        }

        /// Whoever has never been sent to, for a rule forbids it, may not answer; nor when everybody may.
        @Test(arguments: ["address-dependent", "endpoint-independent"]) func whatIsRejectedDoesNotAnswer(filtering: String) throws {
            let policy = "[[rule]]\ndestination = \"198.51.100.3\"\naction = \"reject\"\n"
            try play(Variant(), start: false) { stage in
                try stage.addServerAddress("198.51.100.3")
                try stage.startDatagrams(Self.configuration(8, policy: policy, more: "filtering = \"\(filtering)\""))
                let rejected = try stage.server.datagramSocket("198.51.100.3")
                let server = try stage.server.datagramSocket(Family.v4.server)
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                try stage.client.sendDatagram(client, "x", to: ["198.51.100.3", rejected.port])
                try stage.client.sendDatagram(client, "x", to: [Family.v4.server, server.port])
                let seen = try stage.server.takeDatagrams(server.socket)[0].sender
                try stage.server.sendDatagram(rejected.socket, "in", to: place(seen))
                try stage.server.sendDatagram(server.socket, "answer", to: place(seen))
                #expect(try stage.client.takeDatagrams(client).map(\.bytes) == [Array("answer".utf8)])
                #expect(try stage.clearway.totals().total("dropped_unwanted") == 1)
            }
        }

        /// TFTP answers from another port than it was asked at: through a proxy as well.
        @Test func anotherPortOfTheSameAddressAnswersThroughAProxy() throws {
            try play(Variant(), start: false) { stage in
                let relay = try Self.relay(stage, ["answer_port": 4_000])
                try stage.server.perform("release", ["socket": relay])
                try stage.startDatagrams(.datagrams(policy: Self.proxied))
                let client = try stage.client.datagramSocket(Family.v4.wildcard).socket
                try stage.client.sendDatagram(client, "x", to: [Family.v4.server, 9])
                #expect(try stage.client.takeDatagrams(client).map(\.sender) == ["198.51.100.2 4000"])
            }
        }

        /// Two names of one address: each is judged by itself.
        @Test func aNameThatIsRejectedDoesNotPassByAnothers() throws {
            let policy = "[[rule]]\ndomain = \"shut.test\"\naction = \"reject\"\n"
            try play(Variant(), start: false) { stage in
                let names = ["open.test": ["198.51.100.2"], "shut.test": ["198.51.100.2"]]
                let (clearway, _) = try stage.startClearway(.servingDatagrams(policy: policy), names: names)
                let echo = try stage.datagramEcho()
                // Whichever was first.
                for order in [["open.test", "shut.test", "open.test"], ["shut.test", "open.test"]] {
                    let association = try DatagramServing.associate(stage)
                    for name in order {
                        let datagram = Says.header(name: name, echo.port) + Array(name.utf8)
                        try stage.client.perform(
                            "udp_send",
                            ["socket": association.socket, "datagrams": [hexadecimal(datagram)], "to": association.place])
                        guard name == "open.test" else { continue }
                        let answer = try stage.client.takeDatagrams(association.socket)[0]
                        #expect(answer.bytes == Says.header(Family.v4.server, echo.port) + Array(name.utf8))
                    }
                    // By then it has taken what came before.
                    try stage.client.close(association.control)
                }
                #expect(try echo.count == 3)
                // One that still waits for its name as its association ends is dropped for that.
                let totals = try clearway.totals()
                #expect(totals.total("dropped_refused") + totals.total("dropped_waiting") == 2)
            }
        }

        /// A client that has only its interface's own address, which is an address on that interface alone.
        @Test func aLinkLocalClientIsServed() throws {
            try play(Variant(family: .v6), start: false) { stage in
                try stage.topology.router.require(["ip", "address", "add", "fe80::1/64", "dev", "lan", "nodad"])
                try stage.topology.client.require(["ip", "address", "add", "fe80::9/64", "dev", "eth0", "nodad"])
                var configuration = ClearwayConfiguration.servingDatagrams()
                configuration.policy = ClearwayConfiguration.servedListener(
                    "socks", clients: ["fe80::/10"], more: "protocols = [\"tcp\", \"udp\"]")
                try stage.startClearway(configuration)
                let echo = try stage.datagramEcho()
                let association = try stage.client.perform(
                    "associate", ["host": "fe80::1%eth0", "port": 1080, "declared": ["::", 0], "source": "fe80::9%eth0"])
                #expect(association.string("reply").hasPrefix("050005000004fe80"), "\(association.fields)")
                let client = try stage.client.datagramSocket("fe80::9%eth0").socket
                let datagram = Says.header(echo.host, echo.port) + [1]
                try stage.client.perform(
                    "udp_send",
                    ["socket": client, "datagrams": [hexadecimal(datagram)], "to": ["fe80::1%eth0", association.int("port")]])
                #expect(try stage.client.takeDatagrams(client)[0].bytes == datagram)
            }
        }
    }
}
