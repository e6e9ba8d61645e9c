import Foundation
import Testing

extension Situations {
    /// Whoever is logged in to this host when Clearway starts to carry the host's own connections stays logged in.
    @Suite struct InboundServices {
        @Test(arguments: [Variant(scope: .local), Variant(mode: .redirect, scope: .local), Variant(family: .v6, scope: .local)])
        func connectionsToThisHostGoOnUntouched(variant: Variant) throws {
            try play(variant, start: false) { stage in
                // In local scope the stage's client is the router itself: here it serves.
                let caller = try stage.peer(in: stage.topology.client)
                let listener = try stage.client.listen(variant.family.wildcard)
                let old = try caller.connect(variant.family.routerTowardsClient, listener.int("port")).socket
                let oldServed = try stage.client.accept(listener)
                #expect(oldServed.string("address") == variant.family.client)

                let clearway = try stage.startClearway()
                try caller.send(old, "still here")
                #expect(try stage.client.receive(oldServed.socket, 10) == "still here")
                try stage.client.send(oldServed.socket, "so am I")
                #expect(try caller.receive(old, 7) == "so am I")

                let new = try caller.connect(variant.family.routerTowardsClient, listener.int("port")).socket
                let newServed = try stage.client.accept(listener)
                #expect(newServed.string("address") == variant.family.client)
                try stage.client.send(newServed.socket, "welcome")
                #expect(try caller.receive(new, 7) == "welcome")
                #expect(try clearway.accessRecords().isEmpty)
            }
        }

        /// The same with a real login, from a host on either side.
        @Test(arguments: [Variant(scope: .local), Variant(mode: .redirect, scope: .local)])
        func anSSHLoginStaysOpen(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let login = try SecureShell(on: stage.topology.router)
                let session = try login.open(from: stage.topology.client, to: variant.family.routerTowardsClient)
                try session.say("before")

                let clearway = try stage.startClearway()
                try session.say("after")
                let another = try login.open(from: stage.topology.server, to: variant.family.routerTowardsServer)
                try another.say("another")

                #expect(try clearway.stop() == .exited(0))
                try session.say("at the end")
                #expect(try clearway.accessRecords().isEmpty)
            }
        }
    }
}
