import Foundation
import Testing

extension Situations {
    /// SIGKILL: nobody is left to clean up, and the network works all the same.
    @Suite struct Killed {
        @Test(
            arguments: [
                Variant(), Variant(mode: .redirect), Variant(family: .v6), Variant(family: .v6, mode: .redirect),
                Variant(scope: .local),
                Variant(mode: .redirect, scope: .local),
            ])
        func directTrafficFlowsWithinASecond(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "greet"])
                // The same client ports before and after: what the dead left in the kernel must not be in their way.
                let churn: [String: Any] = [
                    "host": variant.family.server, "port": listener.int("port"), "count": 40, "source": variant.source,
                    "source_ports": [40_001, 40_002, 40_003, 40_004],
                ]
                #expect(try stage.client.perform("churn", churn).strings("failures") == [])
                try stage.clearway.waitForSessions(40)

                try stage.clearway.program.signal(SIGKILL)
                let killed = now()
                try waitUntil("no table of ours") {
                    try !stage.topology.router.require(["nft", "list", "tables"]).contains("clearway")
                }
                let gone = now() - killed
                let afterwards = try stage.client.perform("churn", churn)
                print(
                    "killed, \(variant.testDescription): table gone in \(gone) s, slowest connect \(afterwards.double("slowest")) s"
                )
                #expect(gone < 1)
                #expect(afterwards.strings("failures") == [])
                #expect(afterwards.double("slowest") < 1)
                #expect(try stage.clearway.accessRecords().count == 40)
            }
        }

        /// Under `on_down = "reject"` a table stays that refuses; the doctor names it, and what to do.
        @Test func whatRefusesIsNamed() throws {
            var configuration = ClearwayConfiguration(Variant())
            configuration.firewall = "on_down = \"reject\""
            try play(Variant(), configuration: configuration) { stage in
                let router = stage.topology.router
                let file = try stage.topology.scratch.write(configuration.toml, to: "doctor.toml")
                func doctor() throws -> String { try router.finish([clearwayBinary, "doctor", "-c", file]).output }
                #expect(try !doctor().contains("clearway_down"))
                try stage.clearway.program.end()
                try waitUntil("no table that intercepts") {
                    try !router.require(["nft", "list", "tables"]).contains("table inet clearway\n")
                }
                let listener = try stage.server.listen(Family.v4.server)
                let attempt = try stage.client.perform("attempt", ["host": Family.v4.server, "port": listener.int("port")])
                #expect(attempt.strings("outcomes") == ["ECONNREFUSED"])
                let said = try doctor()
                let mend = try #require(said.matches(of: #/mend: (nft delete table inet clearway_down)/#).first, "\(said)")
                try router.require(["sh", "-c", String(mend.output.1)])
                _ = try stage.client.connect(Family.v4.server, listener.int("port"))
                #expect(try !doctor().contains("clearway_down"))
            }
        }

        /// What sweeps up after the killed one must not touch the sessions of the next, which bears the same mark.
        @Test func theNextOneIsLeftAlone() throws {
            try play(Variant()) { stage in
                try stage.clearway.program.end()
                try stage.startClearway()
                let (client, server) = try stage.connected()
                try stage.server.shut(server)
                #expect(try stage.client.drain(client).end == "fin")
                try waitUntil("the sweeper of the killed one gone") { try Self.sweepers(stage.topology.router) == 1 }
                try stage.client.send(client, "still here")
                #expect(try stage.server.receive(server, 10) == "still here")
            }
        }

        private static func sweepers(_ namespace: Namespace) throws -> Int {
            try namespace.require(["sh", "-c", "ip netns pids \(namespace.name)"]).split(separator: "\n").filter { pid in
                let line = try? String(contentsOfFile: "/proc/\(pid)/cmdline", encoding: .utf8)
                return line?.contains("read -r _\n") ?? false
            }.count
        }

        /// Whoever was being served learns of it, instead of waiting for ever.
        @Test func openSessionsAreReset() throws {
            try play(Variant()) { stage in
                let (client, server) = try stage.connected()
                try stage.client.send(client, "x")
                #expect(try stage.server.receive(server, 1) == "x")
                try stage.clearway.program.end()
                do {
                    try stage.client.send(client, "y")
                    #expect(try stage.client.drain(client).end != "timeout")
                } catch let failure as PeerFailure {
                    // The reset was there before.
                    #expect(["EPIPE", "ECONNRESET"].contains(failure.name))
                }
            }
        }
    }
}
