import Testing

extension PatientSituations {
    /// Sessions that nobody uses any more end by themselves.
    @Suite struct Timeouts {
        @Test(arguments: Variant.proxied)
        func anIdleSessionEnds(variant: Variant) throws {
            try play(variant, configuration: ClearwayConfiguration(variant, timeouts: "idle = \"1s\"")) { stage in
                let (client, server) = try stage.connected()
                try stage.client.send(client, "x")
                #expect(try stage.server.receive(server, 1) == "x")
                let end = try stage.client.drain(client)
                #expect(end.end == "ECONNRESET")
                #expect((0.5..<5).contains(end.double("seconds")))
                #expect(try stage.server.drain(server).end == "ECONNRESET")
                try stage.expectEnding("proxy-idle")
            }
        }

        @Test(arguments: Variant.proxied)
        func aHalfClosedSessionEnds(variant: Variant) throws {
            try play(variant, configuration: ClearwayConfiguration(variant, timeouts: "half_close = \"1s\"")) { stage in
                let (client, server) = try stage.connected()
                try stage.client.shut(client)
                #expect(try stage.server.drain(server).end == "fin")
                let end = try stage.client.drain(client)
                #expect(end.end == "ECONNRESET")
                #expect((0.5..<5).contains(end.double("seconds")))
                try stage.expectEnding("proxy-half-close")
            }
        }

        /// Three seconds of one byte now and then outlast an idle timeout of one.
        @Test(arguments: Variant.proxied)
        func everyByteStartsTheIdleTimeoutAnew(variant: Variant) throws {
            try play(variant, configuration: ClearwayConfiguration(variant, timeouts: "idle = \"1500ms\"")) { stage in
                let (client, server) = try stage.connected()
                let arriving = try stage.server.begin("receive", ["socket": server, "bytes": 6])
                try stage.client.perform("dribble", ["socket": client, "text": "abcdef", "pause": 0.6])
                #expect(try stage.server.answer(to: arriving).string("text") == "abcdef")
            }
        }
    }
}
