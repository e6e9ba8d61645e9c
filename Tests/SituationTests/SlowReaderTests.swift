import Testing

extension Situations {
    /// The server pours and the client does not read: the bytes wait at the server, and not in Clearway.
    @Suite struct SlowReader {
        private static let sessions = 50
        /// What a session may hold at most of what it could not hand on.
        private static let memoryBound = sessions * 65_536

        @Test(arguments: Variant.movers)
        func memoryStaysBoundedAndNothingIsLost(variant: Variant) throws {
            // The kernel's own buffers are not the subject: small ones fill sooner.
            try play(variant, start: false) { stage in
                try stage.topology.router.require([
                    "sysctl", "-qw", "net.ipv4.tcp_rmem=4096 65536 262144", "net.ipv4.tcp_wmem=4096 65536 262144",
                ])
                if variant.mover != .direct { try stage.startClearway() }
                let listener = try stage.server.listen(variant.family.server)

                // The first session of all brings in what is made once.
                let first = try stage.client.connect(variant.family.server, listener.int("port"))
                let firstServed = try stage.server.accept(listener)
                _ = try stage.server.begin("pour", ["socket": firstServed.socket, "bytes": 1_000_000, "shut": true])
                #expect(try stage.client.drain(first.socket).int("bytes") == 1_000_000)
                let before = stage.running?.residentMemory ?? 0

                let pairs = try (0..<Self.sessions).map { _ in
                    let client = try stage.client.connect(variant.family.server, listener.int("port"), ["receive_buffer": 32_768])
                    return (client: client.socket, server: try stage.server.accept(listener).socket)
                }
                let stuffing = try pairs.map { try stage.server.begin("stuff", ["socket": $0.server]) }
                let stuffed = try stuffing.map { try stage.server.answer(to: $0) }
                if variant.mover != .direct {
                    let growth = try stage.clearway.residentMemory - before
                    print("slow reader, \(variant.testDescription): \(growth / 1024) KiB more for \(Self.sessions) sessions")
                    #expect(growth < Self.memoryBound)
                }

                for (pair, sent) in zip(pairs, stuffed) {
                    try stage.server.shut(pair.server)
                    let arrived = try stage.client.drain(pair.client)
                    #expect(arrived.int("bytes") == sent.int("bytes"))
                    #expect(arrived.string("digest") == sent.string("digest"))
                    #expect(arrived.end == "fin")
                }
            }
        }
    }
}
