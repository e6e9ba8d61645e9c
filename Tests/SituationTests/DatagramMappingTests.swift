import Testing

extension Situations {
    /// A client's port is one port outside, towards everybody (RFC 4787): what telephony and games between clients build on.
    @Suite struct DatagramMappings {
        @Test(arguments: Family.allCases) func onePortTowardsEverybodyAndWhoMayAnswerThere(family: Family) throws {
            for filtering in ["address-dependent", "endpoint-independent"] {
                try play(Variant(family: family), start: false) { stage in
                    let third = family == .v4 ? "198.51.100.3" : "2001:db8:2::3"
                    try stage.addServerAddress(third)
                    try stage.startDatagrams(.datagrams(more: "filtering = \"\(filtering)\""))
                    let client = try stage.client.datagramSocket(family.wildcard)
                    let servers = try (0..<2).map { _ in try stage.server.datagramSocket(family.server) }
                    for server in servers {
                        try stage.client.sendDatagram(client.socket, "hello", to: [family.server, server.port])
                    }
                    let seen = try servers.map { try stage.server.takeDatagrams($0.socket)[0].sender }
                    #expect(seen[0] == seen[1] && seen[0].hasPrefix(family.routerTowardsServer + " "))

                    let stranger = try stage.server.datagramSocket(third)
                    let neighbour = try stage.server.datagramSocket(family.server)
                    for sender in [stranger, neighbour] {
                        try stage.server.sendDatagram(sender.socket, "unasked", to: place(seen[0]))
                    }
                    let isOpen = filtering == "endpoint-independent"
                    let heard = try stage.client.takeDatagrams(client.socket, isOpen ? 2 : 1).map(\.sender)
                    #expect(heard == (isOpen ? ["\(third) \(stranger.port)"] : []) + ["\(family.server) \(neighbour.port)"])
                    let totals = try stage.clearway.totals()
                    #expect(totals.total("dropped_unwanted") == (isOpen ? 0 : 1))
                    #expect(totals.total("down") == (isOpen ? 14 : 7))
                }
            }
        }

        /// However many workers there are, all of a client port's datagrams come to the same one.
        @Test func aPortIsOneWorkers() throws {
            try play(Variant(), start: false) { stage in
                var configuration = ClearwayConfiguration.datagrams()
                configuration.workers = 4
                try stage.startDatagrams(configuration)
                let echoes = try (0..<8).map { _ in try stage.datagramEcho() }
                let clients = try stage.client.perform("udp", ["host": Family.v4.wildcard, "count": 64])
                let asked = try stage.client.perform(
                    "udp_ask_all", ["sockets": clients.ints("sockets"), "to": echoes.map(\.place)])
                #expect(asked.int("correct") == 64 * 8)
                let speakers = try echoes.map { try $0.speakers }
                #expect(speakers[0].count == 64)
                #expect(speakers.allSatisfy { $0 == speakers[0] })
            }
        }

        /// The server sees the client, and beside that another server does not: the same client's port, two listeners.
        @Test(arguments: [PreservedSource.address, .addressAndPort], Family.allCases)
        func aPreservedSourceBesideOneThatIsNot(preserved: PreservedSource, family: Family) throws {
            var configuration = ClearwayConfiguration.datagrams(preserved: preserved)
            configuration.listeners[0].more += "\nports = [7001]"
            configuration.listeners.append(
                ClearwayConfiguration.Listener(
                    name: "plain", listen: "[::]:1082", more: "protocols = [\"udp\"]\nports = [7002]"))
            try play(Variant(family: family), start: false) { stage in
                try stage.startDatagrams(configuration)
                let (seeing, plain) = try (stage.datagramEcho(port: 7_001), stage.datagramEcho(port: 7_002))
                let client = try stage.client.datagramSocket(family.wildcard)
                for _ in 0..<2 {
                    #expect(try stage.client.ask(client.socket, seeing, sizes: [1, 20_000]) == [seeing.name, seeing.name])
                    #expect(try stage.client.ask(client.socket, plain) == [plain.name])
                }
                let speakers = try seeing.speakers
                try #require(speakers.count == 1)
                switch preserved {
                case .addressAndPort: #expect(speakers == ["\(family.client) \(client.port)"])
                default: #expect(speakers[0].hasPrefix("\(family.client) "))
                }
                #expect(try plain.speakers.allSatisfy { $0.hasPrefix("\(family.routerTowardsServer) ") })
                #expect(try stage.clearway.totals().total("flows") == 2)
            }
        }

        /// What the router itself sends from that port later is no loop.
        @Test func aPreservedPortIsTheRoutersAgain() throws {
            var configuration = ClearwayConfiguration.datagrams(preserved: .addressAndPort, timeouts: "flow = \"1s\"")
            configuration.listeners.append(
                ClearwayConfiguration.Listener(
                    name: "own", listen: "[::]:1082", scope: .local, more: "protocols = [\"udp\"]\nports = [7001]"))
            try play(Variant(), start: false) { stage in
                let clearway = try stage.startDatagrams(configuration)
                let echo = try stage.datagramEcho(port: 7_001)
                #expect(
                    try stage.client.ask(try stage.client.datagramSocket(Family.v4.client, port: 5_555).socket, echo) == [echo.name]
                )
                _ = try clearway.waitForFlows(1)
                let router = try stage.peer(in: stage.topology.router)
                #expect(try router.ask(try router.datagramSocket(Family.v4.wildcard, port: 5_555).socket, echo) == [echo.name])
                #expect(try clearway.totals().total("flows") == 2)
            }
        }

        /// A service of the router has the client's port: the flow gets another, as connections do.
        @Test func aPortInTheWayCostsOnlyThePort() throws {
            try play(Variant(), start: false) { stage in
                let router = try stage.peer(in: stage.topology.router)
                _ = try router.datagramSocket(Family.v4.wildcard, port: 45_678)
                try stage.startDatagrams(.datagrams(preserved: .addressAndPort))
                let echo = try stage.datagramEcho()
                let client = try stage.client.datagramSocket(Family.v4.wildcard, port: 45_678)
                #expect(try stage.client.ask(client.socket, echo) == [echo.name])
                let speakers = try echo.speakers
                #expect(speakers.count == 1 && speakers[0].hasPrefix("192.0.2.2 ") && speakers[0] != "192.0.2.2 45678")
            }
        }
    }
}
