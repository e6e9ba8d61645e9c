import Testing

extension Situations {
    /// One byte at a time, each way.
    @Suite struct Dribble {
        @Test(arguments: Variant.movers)
        func everyByteArrives(variant: Variant) throws {
            let text = String((0..<1000).map { Character(UnicodeScalar(UInt8(32 + $0 % 90))) })
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                let up = try stage.server.begin("receive", ["socket": server, "bytes": text.count])
                let down = try stage.client.begin("receive", ["socket": client, "bytes": text.count])
                let sendingUp = try stage.client.begin("dribble", ["socket": client, "text": text])
                let sendingDown = try stage.server.begin("dribble", ["socket": server, "text": text])
                _ = try (stage.client.answer(to: sendingUp), stage.server.answer(to: sendingDown))
                #expect(try stage.server.answer(to: up).string("text") == text)
                #expect(try stage.client.answer(to: down).string("text") == text)
            }
        }
    }
}
