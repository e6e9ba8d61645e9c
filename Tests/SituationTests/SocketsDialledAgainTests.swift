import Testing

extension Situations {
    /// A short session leaves its upstream socket to the next one, which must not notice: whatever came between.
    @Suite struct SocketsDialledAgain {
        @Test(arguments: [
            Variant(mover: .direct), Variant(mover: .copy), Variant(mover: .splice), Variant(mover: .copy, family: .v6),
            Variant(mover: .copy, family: .v6, mode: .redirect, scope: .local), Variant(mover: .copy, preserved: .address),
        ])
        func everySessionIsLikeTheFirst(variant: Variant) throws {
            try play(variant) { stage in
                let fresh = try? stage.clearway.sockets
                try short(stage, serverEndsFirst: true)
                let used = try stage.running.map { clearway in
                    _ = try clearway.waitForSessions(1)
                    return clearway.sockets
                }
                for round in 0..<20 { try short(stage, serverEndsFirst: round % 2 == 0) }
                if let fresh, let used {
                    // One socket stays, and goes from session to session; with a bound source there is none to keep.
                    #expect(used.subtracting(fresh).count == (variant.preserved == .off ? 1 : 0))
                    _ = try stage.clearway.waitForSessions(21)
                    let now = try stage.clearway.sockets
                    // A session may begin before the last one is over, and then there is one more.
                    #expect(used.isSubset(of: now) && now.count <= used.count + 4)
                }

                for host in [variant.family.server, variant.family.unreachable] {
                    let failed = try stage.client.perform("attempt", ["host": host, "port": 9])
                    #expect(failed.strings("outcomes").allSatisfy { $0 != "data" && $0 != "fin" })
                    try short(stage, serverEndsFirst: true)
                    try short(stage, serverEndsFirst: false)
                }

                let broken = try stage.connected()
                try stage.client.send(broken.client, "unheard")
                try stage.server.reset(broken.server)
                #expect(try stage.client.drain(broken.client).end == "ECONNRESET")
                try short(stage, serverEndsFirst: true)

                let long = try stage.connected()
                let pouring = try stage.server.begin("pour", ["socket": long.server, "bytes": 8_000_001, "shut": true])
                let arrived = try stage.client.drain(long.client)
                #expect(try stage.server.answer(to: pouring).string("digest") == arrived.string("digest"))
                try stage.client.close(long.client)
                for _ in 0..<3 { try short(stage, serverEndsFirst: true) }
            }
        }

        /// Speaks both ways, ends one way and the other.
        private func short(_ stage: Stage, serverEndsFirst: Bool) throws {
            let listener = try stage.server.listen(stage.variant.family.server)
            let client = try stage.client.connect(stage.variant.family.server, listener.int("port"))
            let server = try stage.server.accept(listener)
            #expect(server.string("address") == stage.variant.sourceSeenByServer)
            try stage.client.send(client.socket, "question")
            #expect(try stage.server.receive(server.socket, 8) == "question")
            try stage.server.send(server.socket, "answer")
            #expect(try stage.client.receive(client.socket, 6) == "answer")
            let (first, itsSocket, second, otherSocket) =
                serverEndsFirst
                ? (stage.server, server.socket, stage.client, client.socket)
                : (stage.client, client.socket, stage.server, server.socket)
            try first.shut(itsSocket)
            #expect(try second.drain(otherSocket).end == "fin")
            try second.close(otherSocket)
            #expect(try first.drain(itsSocket).end == "fin")
            try first.close(itsSocket)
            try stage.server.close(listener.socket)
        }
    }
}
