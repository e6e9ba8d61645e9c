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

        private func configuration(_ stage: Stage) throws -> String {
            try stage.topology.scratch.write(ClearwayConfiguration(stage.variant).toml, to: "doctor.toml")
        }
    }
}
