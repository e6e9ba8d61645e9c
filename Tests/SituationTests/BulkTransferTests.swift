import Testing

extension Situations {
    /// A gibibyte, compared by digest.
    @Suite struct BulkTransfers {
        private static let size = 1 << 30

        @Test(arguments: Variant.movers)
        func upArrivesWhole(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                let reading = try stage.server.begin("drain", ["socket": server])
                let sent = try stage.client.perform("pour", ["socket": client, "bytes": Self.size, "shut": true])
                try Self.compare(sent, stage.server.answer(to: reading))
                try stage.server.shut(server)
                if variant.mover != .direct {
                    #expect(try stage.clearway.waitForSessions(1)[0].int("up") == Self.size)
                }
            }
        }

        @Test(arguments: Variant.movers)
        func downArrivesWhole(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                let reading = try stage.client.begin("drain", ["socket": client])
                let sent = try stage.server.perform("pour", ["socket": server, "bytes": Self.size, "shut": true])
                try Self.compare(sent, stage.client.answer(to: reading))
                try stage.client.shut(client)
                if variant.mover != .direct {
                    #expect(try stage.clearway.waitForSessions(1)[0].int("down") == Self.size)
                }
            }
        }

        /// Both directions at once, as one may starve the other.
        @Test(arguments: Variant.movers)
        func bothAtOnceArriveWhole(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                let readingUp = try stage.server.begin("drain", ["socket": server])
                let readingDown = try stage.client.begin("drain", ["socket": client])
                let sendingUp = try stage.client.begin("pour", ["socket": client, "bytes": 100_000_001, "shut": true])
                let sendingDown = try stage.server.begin("pour", ["socket": server, "bytes": 100_000_002, "seed": 2, "shut": true])
                try Self.compare(stage.client.answer(to: sendingUp), stage.server.answer(to: readingUp))
                try Self.compare(stage.server.answer(to: sendingDown), stage.client.answer(to: readingDown))
            }
        }

        private static func compare(_ sent: Answer, _ arrived: Answer) throws {
            #expect(sent.end == "done")
            #expect(arrived.end == "fin")
            #expect(arrived.int("bytes") == sent.int("bytes"))
            #expect(arrived.string("digest") == sent.string("digest"))
        }
    }
}
