import Testing

extension Situations {
    /// One side has said all it has to say; the other goes on.
    @Suite struct HalfClose {
        @Test(arguments: Variant.representative)
        func theClientEndsFirst(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                try stage.client.send(client, "question")
                try stage.client.shut(client)
                let question = try stage.server.drain(server)
                #expect(question.int("bytes") == 8)
                #expect(question.end == "fin")

                let reading = try stage.client.begin("drain", ["socket": client])
                let sent = try stage.server.perform("pour", ["socket": server, "bytes": 5_000_000, "shut": true])
                let answer = try stage.client.answer(to: reading)
                #expect(answer.string("digest") == sent.string("digest"))
                #expect(answer.end == "fin")
                try stage.expectEnding("client-fin")
            }
        }

        @Test(arguments: Variant.representative)
        func theServerEndsFirst(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                try stage.server.send(server, "enough")
                try stage.server.shut(server)
                let last = try stage.client.drain(client)
                #expect(last.int("bytes") == 6)
                #expect(last.end == "fin")

                let reading = try stage.server.begin("drain", ["socket": server])
                let sent = try stage.client.perform("pour", ["socket": client, "bytes": 5_000_000, "shut": true])
                let rest = try stage.server.answer(to: reading)
                #expect(rest.string("digest") == sent.string("digest"))
                #expect(rest.end == "fin")
                try stage.expectEnding("upstream-fin")
            }
        }
    }
}
