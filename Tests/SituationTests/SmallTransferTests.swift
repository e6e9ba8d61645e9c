import Testing

extension Situations {
    /// A few kilobytes each way, in every combination there is.
    @Suite struct SmallTransfers {
        @Test(arguments: Variant.every)
        func arriveWhole(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                let client = try stage.client.connect(variant.family.server, listener.int("port"))
                let server = try stage.server.accept(listener)
                #expect(server.string("address") == variant.sourceSeenByServer)

                let up = try stage.client.perform("pour", ["socket": client.socket, "bytes": 3_001, "shut": true])
                let arrivedUp = try stage.server.drain(server.socket)
                #expect(arrivedUp.string("digest") == up.string("digest"))
                #expect(arrivedUp.end == "fin")

                let down = try stage.server.perform("pour", ["socket": server.socket, "bytes": 70_002, "seed": 2, "shut": true])
                let arrivedDown = try stage.client.drain(client.socket)
                #expect(arrivedDown.string("digest") == down.string("digest"))
                #expect(arrivedDown.end == "fin")

                guard variant.mover != .direct else { return }
                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.int("up") == 3_001)
                #expect(record.int("down") == 70_002)
            }
        }
    }
}
