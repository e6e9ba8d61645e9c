import Foundation
import Testing

extension Situations {
    /// Started and killed again and again. CLEARWAY_RESTARTS says how often; `make soak` asks for a thousand.
    @Suite struct RepeatedStarts {
        @Test(arguments: [Variant(), Variant(mode: .redirect), Variant(scope: .local)])
        func nothingAccumulates(variant: Variant) throws {
            let count = ProcessInfo.processInfo.environment["CLEARWAY_RESTARTS"].flatMap { Int($0) } ?? 20
            try play(variant, start: false) { stage in
                let router = stage.topology.router
                let untouched = try HostState(of: router)
                var afterTheFirst: HostState?
                for _ in 0..<count {
                    let clearway = try stage.startClearway()
                    try Self.session(stage)
                    clearway.program.end()
                    try waitUntil("the table gone") { try !router.require(["nft", "list", "tables"]).contains("clearway") }
                    let state = try HostState(of: router)
                    #expect(state.differences(from: afterTheFirst ?? state) == [])
                    if afterTheFirst == nil { afterTheFirst = state }
                }
                // A clean stop puts even that back which the killed ones left.
                #expect(try stage.startClearway().stop() == .exited(0))
                #expect(try HostState(of: router).differences(from: untouched) == [])
                try Self.session(stage)
            }
        }

        private static func session(_ stage: Stage) throws {
            let (client, server) = try stage.connected(["source_port": 41_234])
            try stage.client.send(client, "hello")
            #expect(try stage.server.receive(server, 5) == "hello")
            try stage.server.shut(server)
            #expect(try stage.client.drain(client).end == "fin")
            try stage.client.close(client)
            #expect(try stage.server.drain(server).end == "fin")
        }
    }
}
