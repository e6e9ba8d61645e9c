import Testing

extension Situations {
    /// A busy client comes back from the same few ports as fast as it can, while Clearway still remembers the last connection from each.
    @Suite struct PortReuse {
        @Test(
            arguments: Variant.movers + [
                Variant(mover: .copy, family: .v6), Variant(mover: .copy, mode: .redirect),
                Variant(mover: .splice, family: .v6, mode: .redirect), Variant(mover: .copy, scope: .local),
                Variant(mover: .copy, preserved: .address), Variant(mover: .copy, preserved: .addressAndPort),
            ])
        func noConnectStalls(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "greet"])
                let answer = try stage.client.perform(
                    "churn",
                    [
                        "host": variant.family.server, "port": listener.int("port"), "count": 400, "source": variant.source,
                        "source_ports": [40_001, 40_002, 40_003, 40_004],
                    ])
                print("port reuse, \(variant.testDescription): slowest \(answer.double("slowest") * 1000) ms")
                #expect(answer.strings("failures") == [])
                #expect(answer.double("slowest") < 0.5)
            }
        }
    }
}
