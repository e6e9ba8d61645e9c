import Foundation
import Testing

extension PatientSituations {
    /// What `rules` prints is for people who load it themselves: it must load, work, and be undone by what it says.
    @Suite struct PrintedRules {
        private static let variants = [
            Variant(), Variant(mode: .redirect), Variant(scope: .local), Variant(mode: .redirect, scope: .local),
            Variant(preserved: .addressAndPort),
        ]

        @Test(arguments: variants)
        func nftAcceptsThem(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let rules = try print(stage, format: "nft")
                let file = try stage.topology.scratch.write(rules, to: "rules.nft")
                let finished = try stage.topology.router.finish(["nft", "-c", "-f", file])
                #expect(finished.succeeded, "\(finished.errors)\(rules)")
            }
        }

        @Test(arguments: variants)
        func theShellScriptWorksAndIsUndone(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let router = stage.topology.router
                let before = try HostState(of: router)
                let script = try print(stage, format: "shell")
                let file = try stage.topology.scratch.write(script, to: "rules.sh")
                try router.require(["sh", file])
                let once = try HostState(of: router)
                try router.require(["sh", file])
                #expect(try HostState(of: router).differences(from: once) == [])
                try expectInterception(stage)

                try router.require(["sh", "-e", stage.topology.scratch.write(undo(script), to: "undo.sh")])
                let after = try HostState(of: router)
                #expect(after.ruleset == before.ruleset)
                #expect(after.rules == before.rules)
                #expect(after.routes == before.routes)
            }
        }

        @Test(arguments: [Variant(), Variant(mode: .redirect), Variant(scope: .local), Variant(mode: .redirect, scope: .local)])
        func theIptablesRulesWorkAndAreUndone(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let router = stage.topology.router
                let before = try HostState(of: router)
                let text = try print(stage, format: "iptables")
                let file = try stage.topology.scratch.write(text, to: "rules.sh")
                try router.require(["sh", file])
                let once = try state(router)
                try router.require(["sh", file])
                #expect(try state(router) == once)
                try expectInterception(stage)

                try router.require(["sh", "-e", stage.topology.scratch.write(undo(text), to: "undo.sh")])
                let after = try HostState(of: router)
                #expect(after.rules == before.rules)
                #expect(after.routes == before.routes)
                // iptables leaves its own empty chains behind; nothing of ours may stand in them.
                for program in ["iptables-save", "ip6tables-save"] {
                    #expect(try !router.require([program]).contains("\n-A "))
                }
            }
        }

        /// Somebody has pasted it, and something fails: the next line is still theirs to type.
        @Test(arguments: ["shell", "iptables"])
        func aFailureDoesNotCloseTheShell(format: String) throws {
            try play(Variant(), start: false) { stage in
                let text = try print(stage, format: format)
                let pasted = try stage.topology.scratch.write(
                    "nft() { false; }; ip() { echo no >&2; false; }\n\(text)\necho \"status $?\"\n", to: "pasted.sh")
                let finished = try stage.topology.router.finish(["sh", pasted])
                #expect(finished.output.contains("status 1"))
                #expect(try stage.topology.router.require(["ip", "rule"]).contains("proto 193") == false)
            }
        }

        /// Without counters, which `iptables-save` has, and without times.
        private func state(_ router: Namespace) throws -> [String] {
            let saved = try ["iptables-save", "ip6tables-save"].map { try router.require([$0]) }.joined()
            let lines = saved.split(separator: "\n").filter { !$0.hasPrefix("#") && !$0.hasPrefix(":") }.map(String.init)
            let rest = try HostState(of: router)
            return lines + rest.rules + rest.routes + rest.settings
        }

        private func print(_ stage: Stage, format: String) throws -> String {
            let file = try stage.topology.scratch.write(ClearwayConfiguration(stage.variant).toml, to: "printed.toml")
            return try stage.topology.router.require([clearwayBinary, "rules", "-c", file, "--format", format])
        }

        /// The commands after the line "# Undo:", each of them a comment.
        private func undo(_ text: String) throws -> String {
            let parts = text.components(separatedBy: "\n# Undo:")
            guard parts.count == 2 else { throw SituationError("no undo in:\n\(text)") }
            return parts[1].split(separator: "\n").filter { $0.hasPrefix("#") }.map { "\($0.dropFirst())\n" }.joined()
        }

        private func expectInterception(_ stage: Stage) throws {
            var configuration = ClearwayConfiguration(stage.variant)
            configuration.firewall = "manage = false"
            let clearway = try stage.startClearway(configuration)
            let listener = try stage.server.listen(stage.variant.family.server)
            let client = try stage.client.connect(stage.variant.family.server, listener.int("port"))
            let server = try stage.server.accept(listener)
            #expect(server.string("address") == stage.variant.sourceSeenByServer)
            try stage.client.send(client.socket, "by hand")
            #expect(try stage.server.receive(server.socket, 7) == "by hand")
            try stage.client.shut(client.socket)
            try stage.server.shut(server.socket)
            try clearway.waitForSessions(1)
            #expect(try clearway.stop() == .exited(0))
        }
    }
}
