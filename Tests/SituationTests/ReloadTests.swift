import Foundation
import Testing

extension Situations {
    /// SIGHUP: a good configuration comes into force without hurting anybody; a bad one changes nothing.
    @Suite struct Reload {
        private static func listener(_ name: String, _ listen: String, ports: String, mode: Mode) -> ClearwayConfiguration.Listener
        {
            ClearwayConfiguration.Listener(name: name, mode: mode, listen: listen, more: "ports = [\"\(ports)\"]")
        }

        @Test(arguments: [Variant(), Variant(mode: .redirect)])
        func aGoodOneComesIntoForce(variant: Variant) throws {
            let first = Self.listener("first", "[::]:1081", ports: "7001", mode: variant.mode)
            var initial = ClearwayConfiguration(variant)
            initial.listeners = [first]
            try play(variant, configuration: initial) { stage in
                let clearway = try stage.clearway
                let (open, served) = try Self.connected(stage, 7001, seenAs: variant.family.routerTowardsServer)
                try Self.expectEcho(stage, open, served)
                _ = try Self.connected(stage, 7002, seenAs: variant.family.client)

                var configuration = ClearwayConfiguration(variant)
                configuration.listeners = [
                    first, Self.listener("second", "[::]:1082", ports: "7002-7003", mode: variant.mode),
                ]
                configuration.timeouts = "connect = \"1s\""
                try stage.topology.scratch.write(configuration.toml, to: "clearway.toml")
                clearway.program.signal(SIGHUP)
                try waitUntil("the new listener in force") {
                    try Self.sourceOfAConnection(stage, 7002) == variant.family.routerTowardsServer
                }

                try Self.expectEcho(stage, open, served)
                let attempt = try stage.client.perform("attempt", ["host": variant.family.blackhole, "port": 7003])
                #expect(attempt.strings("outcomes") == ["ECONNRESET"])
                #expect((0.9..<5).contains(attempt.doubles("seconds")[0]))
                #expect(clearway.program.isRunning)
            }
        }

        @Test(arguments: [
            "unknown_key = 1\n", "workers = \"many\"\n", "[[listener]\n",
            "[[listener]]\nmode = \"tproxy\"\nlisten = [\"[::]:0\"]\n",
        ])
        func aBadOneIsRefused(text: String) throws {
            let variant = Variant()
            try play(variant) { stage in
                let clearway = try stage.clearway
                let (open, served) = try stage.connected()
                let before = try HostState(of: stage.topology.router)
                try stage.topology.scratch.write(text, to: "clearway.toml")
                clearway.program.signal(SIGHUP)
                try waitUntil("a word about the bad configuration") { clearway.log.contains("clearway.toml:") }

                try Self.expectEcho(stage, open, served)
                #expect(try Self.sourceOfAConnection(stage, 7001) == variant.family.routerTowardsServer)
                #expect(try HostState(of: stage.topology.router).differences(from: before) == [])
                #expect(clearway.program.isRunning)
            }
        }

        /// New rules are for new sessions; what is open stays where it is.
        @Test func newRulesComeIntoForce() throws {
            let variant = Variant()
            try play(variant) { stage in
                let clearway = try stage.clearway
                let (open, served) = try stage.connected()
                var configuration = ClearwayConfiguration(variant)
                configuration.policy = "[[rule]]\ndestination = \"\(variant.family.server)/32\"\naction = \"reject\"\n"
                try stage.topology.scratch.write(configuration.toml, to: "clearway.toml")
                clearway.program.signal(SIGHUP)
                let listener = try stage.server.listen(variant.family.server)
                try waitUntil("the new rule in force") {
                    let answer = try stage.client.perform(
                        "attempt", ["host": variant.family.server, "port": listener.int("port"), "timeout": 0.3])
                    return answer.strings("outcomes") == ["ECONNRESET"]
                }
                try Self.expectEcho(stage, open, served)

                try stage.topology.scratch.write(ClearwayConfiguration(variant).toml, to: "clearway.toml")
                clearway.program.signal(SIGHUP)
                try waitUntil("the old rules in force") {
                    try stage.client.perform(
                        "attempt", ["host": variant.family.server, "port": listener.int("port"), "timeout": 0.3]
                    ).strings("outcomes") == ["timeout"]
                }
                try Self.expectEcho(stage, open, served)
            }
        }

        /// A reload that takes away the interception which an open session began under.
        struct Removal: CustomTestStringConvertible {
            let testDescription: String
            var variant = Variant()
            let before: [ClearwayConfiguration.Listener]
            let after: [ClearwayConfiguration.Listener]
        }

        private typealias L = ClearwayConfiguration.Listener
        static let removals = [
            Removal(
                testDescription: "the source is not preserved any more", variant: Variant(preserved: .address),
                before: [L(preserved: .address)], after: [L()]),
            Removal(
                testDescription: "the source is not preserved any more, IPv6", variant: Variant(family: .v6, preserved: .address),
                before: [L(preserved: .address)], after: [L()]),
            Removal(
                testDescription: "a redirect does not preserve the source any more",
                variant: Variant(mode: .redirect, preserved: .addressAndPort),
                before: [L(mode: .redirect, preserved: .addressAndPort)], after: [L(mode: .redirect)]),
            Removal(testDescription: "another interface", before: [L()], after: [L(interfaces: ["wan"])]),
            Removal(
                testDescription: "one listener of two",
                before: [L(name: "a"), L(name: "b", listen: "[::]:1082", interfaces: ["wan"])],
                after: [L(name: "b", listen: "[::]:1082", interfaces: ["wan"])]),
            Removal(
                testDescription: "this host's own connections", variant: Variant(scope: .local), before: [L(more: "local = true")],
                after: [L()]),
            Removal(
                testDescription: "this host's own connections, redirected, the others kept",
                variant: Variant(mode: .redirect, scope: .local), before: [L(mode: .redirect, more: "local = true")],
                after: [L(mode: .redirect)]),
            Removal(
                testDescription: "tproxy in place of redirect", variant: Variant(mode: .redirect), before: [L(mode: .redirect)],
                after: [L(listen: "[::]:1082")]),
            Removal(
                testDescription: "tproxy in place of redirect, for this host", variant: Variant(mode: .redirect, scope: .local),
                before: [L(mode: .redirect, scope: .local)], after: [L(listen: "[::]:1082", scope: .local)]),
            Removal(
                testDescription: "redirect in place of tproxy", before: [L()], after: [L(mode: .redirect, listen: "[::]:1082")]),
        ]

        @Test(arguments: removals)
        func openSessionsKeepWhatTheyLiveBy(removal: Removal) throws {
            var configuration = ClearwayConfiguration(removal.variant)
            configuration.listeners = removal.before
            try play(removal.variant, configuration: configuration) { stage in
                let clearway = try stage.clearway
                let listener = try stage.server.listen(removal.variant.family.server)
                let open = try stage.client.connect(removal.variant.family.server, listener.int("port")).socket
                let served = try stage.server.accept(listener).socket
                try Self.expectEcho(stage, open, served)

                configuration.listeners = removal.after
                try clearway.reload(configuration)
                try Self.expectEcho(stage, open, served)
                // Nor is it forgotten at the next reload, and when draining.
                configuration.firewall = "priority = -140"
                try clearway.reload(configuration)
                try Self.expectEcho(stage, open, served)
                clearway.program.signal(SIGTERM)
                try waitUntil("draining") { clearway.log.contains("\"draining\"") }
                try Self.expectEcho(stage, open, served)
                try stage.client.shut(open)
                #expect(try stage.server.drain(served).end == "fin")
                try stage.server.shut(served)
                #expect(try stage.client.drain(open).end == "fin")
                #expect(try clearway.program.waitForExit() == .exited(0))
                #expect(try clearway.accessRecords().map(\.ending) == ["client-fin"])
            }
        }

        /// What is intercepted no longer goes direct from the same ports: the sockets of finished sessions are not in its way.
        @Test(arguments: [Variant(), Variant(family: .v6), Variant(preserved: .address)])
        func theSamePortsGoDirectWhereNothingIsInterceptedAnyMore(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "greet"])
                let churn: [String: Any] = [
                    "host": variant.family.server, "port": listener.int("port"), "count": 40, "source": variant.source,
                    "source_ports": [40_001, 40_002, 40_003, 40_004],
                ]
                #expect(try stage.client.perform("churn", churn).strings("failures") == [])
                try stage.clearway.waitForSessions(40)

                var configuration = ClearwayConfiguration(variant)
                configuration.listeners[0].more = "exclude = [\"\(variant.family.server)\"]"
                try stage.clearway.reload(configuration)
                let afterwards = try stage.client.perform("churn", churn)
                #expect(afterwards.strings("failures") == [])
                #expect(afterwards.double("slowest") < 0.5)
                #expect(try stage.clearway.accessRecords().count == 40)
            }
        }

        private static func connected(_ stage: Stage, _ port: Int, seenAs source: String) throws -> (Int, Int) {
            let listener = try stage.server.listen(stage.variant.family.server, port: port)
            let client = try stage.client.connect(stage.variant.family.server, port)
            let server = try stage.server.accept(listener)
            #expect(server.string("address") == source)
            try stage.server.close(listener.socket)
            return (client.socket, server.socket)
        }

        private static func sourceOfAConnection(_ stage: Stage, _ port: Int) throws -> String {
            let listener = try stage.server.listen(stage.variant.family.server, port: port)
            let client = try stage.client.connect(stage.variant.family.server, port)
            let server = try stage.server.accept(listener)
            try stage.client.reset(client.socket)
            try stage.server.close(listener.socket)
            return server.string("address")
        }

        private static func expectEcho(_ stage: Stage, _ client: Int, _ server: Int) throws {
            try stage.client.send(client, "ping")
            try #require(stage.server.receive(server, 4) == "ping")
            try stage.server.send(server, "pong")
            try #require(stage.client.receive(client, 4) == "pong")
        }
    }
}
