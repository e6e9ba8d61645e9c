import Testing

extension Situations {
    /// The server sees the client's own address, and its port if that was asked for and is free.
    @Suite struct PreservedSources {
        private static func variants(_ preserved: PreservedSource) -> [Variant] {
            Family.allCases.flatMap { family in
                Mode.allCases.map { Variant(mover: .copy, family: family, mode: $0, preserved: preserved) }
            }
        }

        @Test(arguments: variants(.address) + [Variant(mover: .direct)])
        func theAddressIsTheClients(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                let client = try stage.client.connect(variant.family.server, listener.int("port"))
                let server = try stage.server.accept(listener)
                #expect(server.string("address") == variant.family.client)
                try Self.expectTraffic(stage, client, server)
            }
        }

        @Test(arguments: variants(.addressAndPort) + [Variant(mover: .direct)])
        func addressAndPortAreTheClients(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                let client = try stage.client.connect(variant.family.server, listener.int("port"))
                let server = try stage.server.accept(listener)
                #expect(server.string("address") == variant.family.client)
                #expect(server.int("port") == client.int("port"))
                try Self.expectTraffic(stage, client, server)
            }
        }

        /// The router has a connection of the very same four numbers. Not with redirect: connection tracking takes the client's
        /// packets for part of that connection, and nothing is intercepted at all.
        @Test(arguments: variants(.addressAndPort).filter { $0.mode == .tproxy })
        func aConnectionInTheWayCostsOnlyThePort(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                let router = try stage.peer(in: stage.topology.router)
                try router.perform(
                    "occupy",
                    [
                        "host": variant.family.server, "port": listener.int("port"), "source": variant.family.client,
                        "source_port": 45_678,
                    ])
                try Self.expectAnotherPort(stage, listener)
            }
        }

        /// A service of the router listens on the port that the client happens to come from.
        @Test(arguments: variants(.addressAndPort))
        func aListenerInTheWayCostsOnlyThePort(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                let router = try stage.peer(in: stage.topology.router)
                _ = try router.listen(variant.family.wildcard, port: 45_678)
                try Self.expectAnotherPort(stage, listener)
            }
        }

        /// Two hosts choose ports for the client's address, so the client's next connection may have the numbers of one of ours.
        @Test(arguments: variants(.address))
        func theClientMayChooseThePortThatWeChose(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                let first = try stage.client.connect(variant.family.server, listener.int("port"))
                let ours = try stage.server.accept(listener)
                let second = try stage.client.connect(
                    variant.family.server, listener.int("port"),
                    ["source": variant.family.client, "source_port": ours.int("port")])
                let server = try stage.server.accept(listener)
                #expect(server.int("port") != ours.int("port"))
                try Self.expectTraffic(stage, second, server)
                try Self.expectTraffic(stage, first, ours)
            }
        }

        private static func expectAnotherPort(_ stage: Stage, _ listener: Answer) throws {
            let client = try stage.client.connect(stage.variant.family.server, listener.int("port"), ["source_port": 45_678])
            // What stands in the way may itself have got through to the server.
            var server = try stage.server.accept(listener)
            if server.int("port") == 45_678 { server = try stage.server.accept(listener) }
            #expect(server.string("address") == stage.variant.family.client)
            #expect(server.int("port") != 45_678)
            try expectTraffic(stage, client, server)
        }

        private static func expectTraffic(_ stage: Stage, _ client: Answer, _ server: Answer) throws {
            try stage.client.send(client.socket, "ping")
            #expect(try stage.server.receive(server.socket, 4) == "ping")
            try stage.server.send(server.socket, "pong")
            #expect(try stage.client.receive(client.socket, 4) == "pong")
        }
    }
}
