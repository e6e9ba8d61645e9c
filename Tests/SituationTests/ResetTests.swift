import Testing

extension Situations {
    /// A RST is a RST on the other side too: whoever sees a FIN believes that what it has is whole.
    @Suite struct Resets {
        @Test(arguments: Variant.representative)
        func theServerSeesTheClientsReset(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                try stage.client.send(client, "x")
                #expect(try stage.server.receive(server, 1) == "x")
                try stage.client.reset(client)
                let end = try stage.server.drain(server).end
                #expect(end == "ECONNRESET")
                try stage.expectEnding("client-reset")
            }
        }

        @Test(arguments: Variant.representative)
        func theClientSeesTheServersReset(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                try stage.server.send(server, "x")
                #expect(try stage.client.receive(client, 1) == "x")
                try stage.server.reset(server)
                let end = try stage.client.drain(client).end
                #expect(end == "ECONNRESET")
                try stage.expectEnding("upstream-reset")
            }
        }

        @Test(arguments: Variant.movers)
        func theClientResetsInTheMiddleOfADownload(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                let sending = try stage.server.begin("pour", ["socket": server, "bytes": 1 << 34])
                #expect(try stage.client.drain(client, limit: 20_000_000).end == "limit")
                try stage.client.reset(client)
                let end = try stage.server.answer(to: sending).end
                #expect(end == "ECONNRESET")
                try stage.expectEnding("client-reset")
            }
        }

        @Test(arguments: Variant.movers)
        func theServerResetsInTheMiddleOfAnUpload(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                let sending = try stage.client.begin("pour", ["socket": client, "bytes": 1 << 34])
                #expect(try stage.server.drain(server, limit: 20_000_000).end == "limit")
                try stage.server.reset(server)
                let end = try stage.client.answer(to: sending).end
                #expect(end == "ECONNRESET")
                try stage.expectEnding("upstream-reset")
            }
        }

        @Test(arguments: Variant.movers)
        func theServerResetsInTheMiddleOfItsOwnDownload(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                let reading = try stage.client.begin("drain", ["socket": client])
                #expect(try stage.server.perform("pour", ["socket": server, "bytes": 20_000_000]).end == "done")
                try stage.server.reset(server)
                let end = try stage.client.answer(to: reading).end
                #expect(end == "ECONNRESET")
                try stage.expectEnding("upstream-reset")
            }
        }

        /// After its own FIN a client may still reset; the server, which is sending, must learn of it.
        @Test(arguments: Variant.movers)
        func theClientResetsAfterItsEnd(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                try stage.client.shut(client)
                #expect(try stage.server.drain(server).end == "fin")
                let sending = try stage.server.begin("pour", ["socket": server, "bytes": 1 << 34])
                #expect(try stage.client.drain(client, limit: 1_000_000).end == "limit")
                try stage.client.reset(client)
                let end = try stage.server.answer(to: sending).end
                // The kernel tells a sender that has already read the FIN so.
                #expect(["ECONNRESET", "EPIPE"].contains(end))
                try stage.expectEnding("client-reset")
            }
        }
    }
}
