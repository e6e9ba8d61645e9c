import Foundation
import Testing

extension PatientSituations {
    /// SIGTERM: open sessions finish, new connections go their own way, and the host is left as it was found.
    @Suite struct Draining {
        @Test(
            arguments: [
                Variant(), Variant(mover: .splice, mode: .redirect), Variant(family: .v6), Variant(scope: .local),
                Variant(mode: .redirect, scope: .local), Variant(preserved: .addressAndPort),
            ])
        func openSessionsFinishAndNewConnectionsGoDirect(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let before = try HostState(of: stage.topology.router)
                let clearway = try stage.startClearway()
                let (client, server) = try stage.connected()
                try stage.client.send(client, "one")
                #expect(try stage.server.receive(server, 3) == "one")

                clearway.program.signal(SIGTERM)
                try Self.waitUntilNewConnectionsGoDirect(stage)
                #expect(clearway.program.isRunning)

                try stage.client.send(client, "two")
                #expect(try stage.server.receive(server, 3) == "two")
                try stage.server.send(server, "three")
                #expect(try stage.client.receive(client, 5) == "three")
                try stage.client.shut(client)
                #expect(try stage.server.drain(server).end == "fin")
                try stage.server.shut(server)
                #expect(try stage.client.drain(client).end == "fin")

                #expect(try clearway.program.waitForExit() == .exited(0))
                #expect(try HostState(of: stage.topology.router).differences(from: before) == [])
                let records = try clearway.accessRecords().filter { $0.int("up") == 6 && $0.int("down") == 5 }
                #expect(records.map(\.ending) == ["client-fin"])
            }
        }

        @Test(arguments: [Variant(), Variant(mode: .redirect)])
        func aSecondSignalStopsAtOnce(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let before = try HostState(of: stage.topology.router)
                let clearway = try stage.startClearway()
                let (client, server) = try stage.connected()
                try stage.client.send(client, "x")
                #expect(try stage.server.receive(server, 1) == "x")
                clearway.program.signal(SIGTERM)
                try Self.waitUntilNewConnectionsGoDirect(stage)
                #expect(clearway.program.isRunning)

                clearway.program.signal(SIGTERM)
                #expect(try clearway.program.waitForExit(limit: 5) == .exited(0))
                #expect(try HostState(of: stage.topology.router).differences(from: before) == [])
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                // Connections that tried whether interception had ended may have been carried before it had.
                let endings = try clearway.accessRecords().filter { $0.int("up") == 1 }.map(\.ending)
                #expect(endings == ["proxy-drain"])
            }
        }

        @Test(arguments: [Variant(), Variant(mode: .redirect)])
        func theDrainTimeoutCutsWhatIsLeft(variant: Variant) throws {
            try play(variant, configuration: ClearwayConfiguration(variant, timeouts: "drain = \"1s\"")) { stage in
                let clearway = try stage.clearway
                let (client, server) = try stage.connected()
                try stage.client.send(client, "x")
                #expect(try stage.server.receive(server, 1) == "x")
                let started = now()
                #expect(try clearway.stop() == .exited(0))
                #expect((0.9..<5).contains(now() - started))
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                #expect(try stage.server.drain(server).end == "ECONNRESET")
                let endings = try clearway.accessRecords().map(\.ending)
                #expect(endings == ["proxy-drain"])
            }
        }

        /// The sockets of finished sessions linger for a minute; they must not swallow what is now only routed.
        @Test(arguments: [Variant(), Variant(family: .v6), Variant(mode: .redirect)])
        func theSamePortsGoDirectAfterwards(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "greet"])
                let churn: [String: Any] = [
                    "host": variant.family.server, "port": listener.int("port"), "count": 40, "source": variant.source,
                    "source_ports": [40_001, 40_002, 40_003, 40_004],
                ]
                #expect(try stage.client.perform("churn", churn).strings("failures") == [])
                #expect(try stage.clearway.stop() == .exited(0))

                let afterwards = try stage.client.perform("churn", churn)
                #expect(afterwards.strings("failures") == [])
                #expect(afterwards.double("slowest") < 0.5)
            }
        }

        /// The same while a session is still open, whether or not this kernel can destroy sockets.
        @Test(
            arguments: [Variant(), Variant(family: .v6), Variant(mode: .redirect), Variant(preserved: .address)], [true, false])
        func theSamePortsGoDirectMeanwhile(variant: Variant, canSweep: Bool) throws {
            try play(variant, start: false) { stage in
                let clearway = try stage.startClearway(wrapper: canSweep ? [] : withoutSs)
                let (open, served) = try stage.connected()
                let listener = try stage.server.listen(variant.family.server)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "greet"])
                let churn: [String: Any] = [
                    "host": variant.family.server, "port": listener.int("port"), "count": 40, "source": variant.source,
                    "source_ports": [40_001, 40_002, 40_003, 40_004],
                ]
                #expect(try stage.client.perform("churn", churn).strings("failures") == [])
                try clearway.waitForSessions(40)
                clearway.program.signal(SIGTERM)
                try waitUntil("no listener any more") { try !stage.topology.router.listeningPorts().contains(1081) }

                let afterwards = try stage.client.perform("churn", churn)
                #expect(afterwards.strings("failures") == [])
                #expect(afterwards.double("slowest") < 0.5)
                try stage.client.send(open, "still here")
                #expect(try stage.server.receive(served, 10) == "still here")
                try stage.client.reset(open)
                #expect(try clearway.program.waitForExit() == .exited(0))
                #expect(try clearway.accessRecords().count == 41)
            }
        }

        /// A session that ends while others go on leaves a socket in the way of the next connection from its port; not for long.
        @Test(arguments: [Variant(), Variant(family: .v6)])
        func aPortIsFreeSoonAfterItsSession(variant: Variant) throws {
            try play(variant) { stage in
                let clearway = try stage.clearway
                let (open, _) = try stage.connected()
                let port = ["source": variant.source, "source_port": 40_001] as [String: Any]
                let listener = try stage.server.listen(variant.family.server)
                let client = try stage.client.connect(variant.family.server, listener.int("port"), port).socket
                let server = try stage.server.accept(listener).socket
                clearway.program.signal(SIGTERM)
                try waitUntil("no listener any more") { try !stage.topology.router.listeningPorts().contains(1081) }

                try stage.server.shut(server)
                #expect(try stage.client.drain(client).end == "fin")
                try stage.client.close(client)
                try clearway.waitForSessions(1)
                let again = try stage.client.connect(variant.family.server, listener.int("port"), port)
                #expect(again.double("seconds") < 5)
                #expect(try stage.server.accept(listener).int("port") == 40_001)
                try stage.client.reset(open)
                #expect(try clearway.program.waitForExit() == .exited(0))
            }
        }

        /// With `max_sessions` reached, a listener looks for room ten times a second; not after it has stopped.
        @Test func nobodyLooksForRoomAnyMore() throws {
            let variant = Variant()
            var configuration = ClearwayConfiguration(variant)
            configuration.top = "max_sessions = 1"
            configuration.workers = 1
            try play(variant, configuration: configuration) { stage in
                let clearway = try stage.clearway
                let (open, served) = try stage.connected()
                let listener = try stage.server.listen(variant.family.server)
                _ = try stage.client.perform(
                    "flood", ["host": variant.family.server, "port": listener.int("port"), "count": 1])
                try waitUntil("no room for the second") { clearway.log.contains("accepting paused") }
                clearway.program.signal(SIGTERM)
                try waitUntil("no listener any more") { try !stage.topology.router.listeningPorts().contains(1081) }
                // Two seconds of watching are the measure itself: twenty looks, or those of the admin thread alone.
                let before = clearway.waits
                sleep(2)
                #expect(clearway.waits - before < 15)
                try stage.client.send(open, "still here")
                #expect(try stage.server.receive(served, 10) == "still here")
                try stage.client.reset(open)
                #expect(try clearway.program.waitForExit() == .exited(0))
            }
        }

        /// With nothing preserved, the server tells a direct connection by its source address: the client's, or in local scope the
        /// one it had anyway. There the access log tells: no session is begun.
        private static func waitUntilNewConnectionsGoDirect(_ stage: Stage) throws {
            let variant = stage.variant
            let listener = try stage.server.listen(variant.family.server)
            if variant.scope == .gateway && variant.preserved == .off {
                try waitUntil("a direct connection") {
                    let answer = try stage.client.perform("connect", ["host": variant.family.server, "port": listener.int("port")])
                    guard answer.outcome == "connected" else { return false }
                    let server = try stage.server.accept(listener)
                    try stage.client.reset(answer.socket)
                    return server.string("address") == variant.family.client
                }
            } else {
                try waitUntil("no listener any more") { try !stage.topology.router.listeningPorts().contains(1081) }
                let client = try stage.client.connect(variant.family.server, listener.int("port"))
                let server = try stage.server.accept(listener)
                try stage.client.send(client.socket, "direct")
                #expect(try stage.server.receive(server.socket, 6) == "direct")
                #expect(server.string("address") == client.string("address"))
                #expect(server.int("port") == client.int("port"))
                try stage.client.reset(client.socket)
            }
        }
    }
}
