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
            #expect(try stage.server.receive(server, 4) == "ping")
            try stage.server.send(server, "pong")
            #expect(try stage.client.receive(client, 4) == "pong")
        }
    }
}
