import Foundation
import Testing

extension Situations {
    /// `doctor` says whether interception works here; its probe finds out by doing it.
    @Suite struct Doctor {
        @Test(arguments: [[], ["--probe"]])
        func aSoundHostIsSound(options: [String]) throws {
            try play(Variant(), start: false) { stage in
                let router = stage.topology.router
                let before = try HostState(of: router)
                let links = try router.require(["ip", "-o", "link"])
                let finished = try router.finish([clearwayBinary, "doctor", "-c", configuration(stage)] + options)
                #expect(finished.status == .exited(0), "\(finished.output)\(finished.errors)")
                #expect(!finished.output.isEmpty)
                #expect(try HostState(of: router).differences(from: before) == [])
                #expect(try router.require(["ip", "-o", "link"]) == links)
            }
        }

        @Test func aMissingCapabilityIsNamed() throws {
            try play(Variant(), start: false) { stage in
                let finished = try stage.topology.router.finish(
                    [
                        "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", clearwayBinary, "doctor", "-c",
                        configuration(stage),
                    ])
                #expect(finished.status == .exited(77))
                #expect((finished.output + finished.errors).contains("CAP_NET_ADMIN"))
            }
        }

        @Test func aMissingProgramIsNamed() throws {
            try play(Variant(), start: false) { stage in
                let finished = try stage.topology.router.finish(
                    withoutNft + [clearwayBinary, "doctor", "-c", configuration(stage)])
                #expect(finished.status == .exited(69))
                #expect((finished.output + finished.errors).contains("nftables"))
            }
        }

        /// Somebody else listens on our port.
        @Test func aTakenPortIsNamed() throws {
            try play(Variant(), start: false) { stage in
                _ = try stage.peer(in: stage.topology.router).listen("::", port: 1081)
                let finished = try stage.topology.router.finish([clearwayBinary, "doctor", "-c", configuration(stage)])
                #expect(finished.output.contains("1081"))
            }
        }

        /// With rules made by hand: what is there is wanted, what is not there is missed.
        @Test func rulesByHandAreWanted() throws {
            try play(Variant(), start: false) { stage in
                let router = stage.topology.router
                var configuration = ClearwayConfiguration(stage.variant)
                configuration.firewall = "manage = false"
                let file = try stage.topology.scratch.write(configuration.toml, to: "doctor.toml")
                func doctor(_ status: Int32) throws -> String {
                    let finished = try router.finish([clearwayBinary, "doctor", "-c", file])
                    #expect(finished.status == .exited(status), "\(finished.output)\(finished.errors)")
                    return finished.output
                }
                func faults(_ said: String) -> Set<Substring> {
                    Set(said.split(separator: "\n").filter { $0.hasPrefix("warning: ") || $0.hasPrefix("problem: ") })
                }
                let before = try faults(doctor(71))
                #expect(before.contains { $0.hasPrefix("problem: rules by hand: neither") })

                let script = try router.require([clearwayBinary, "rules", "-c", file, "--format", "shell"])
                try router.require(["sh", stage.topology.scratch.write(script, to: "rules.sh")])
                let clearway = try stage.startClearway(configuration)
                // What else is amiss is the machine's.
                let rest = try faults(doctor(0))
                #expect(rest.isSubset(of: before) && !rest.contains { $0.contains("by hand") || $0.contains(" ip r") }, "\(rest)")

                try router.require(["nft", "delete", "table", "inet", "clearway"])
                try router.require(["ip", "-6", "rule", "flush", "protocol", "193"])
                let missed = try doctor(71)
                #expect(missed.contains("problem: rules by hand: neither") && missed.contains("warning: ip rule: missing"))
                #expect(try clearway.stop() == .exited(0))
            }
        }

        /// The doctor and the program count sessions alike.
        @Test func sessionsAreThoseOfTheProgram() throws {
            try play(Variant(), start: false) { stage in
                let few = ["prlimit", "--nofile=600:600"]
                let said = try stage.topology.router.require(few + [clearwayBinary, "doctor", "-c", configuration(stage)])
                let clearway = try stage.startClearway(ClearwayConfiguration(stage.variant), wrapper: few)
                let ready = clearway.log.components(separatedBy: "\"max_sessions\":").dropFirst().first ?? ""
                let sessions = ready.prefix { $0.isNumber }
                #expect(!sessions.isEmpty && said.contains(": \(sessions) sessions at once"), "\(clearway.log)")
                #expect(try clearway.stop() == .exited(0))
            }
        }

        private func configuration(_ stage: Stage) throws -> String {
            try stage.topology.scratch.write(ClearwayConfiguration(stage.variant).toml, to: "doctor.toml")
        }
    }
}
