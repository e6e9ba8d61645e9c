import Testing

extension Situations {
    /// What this host or this user lacks is named, and nothing is half applied.
    @Suite struct MissingPrerequisites {
        @Test(arguments: Mode.allCases)
        func theCapabilityIsNamed(mode: Mode) throws {
            try play(Variant(mode: mode), start: false) { stage in
                let router = stage.topology.router
                let before = try HostState(of: router)
                let clearway = try Clearway(
                    in: router, configuration: ClearwayConfiguration(stage.variant),
                    wrapper: ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"])
                #expect(try clearway.program.waitForExit() == .exited(77))
                #expect(clearway.log.contains("CAP_NET_ADMIN"))
                #expect(try HostState(of: router).differences(from: before) == [])
            }
        }

        @Test(arguments: Mode.allCases)
        func thePackageIsNamed(mode: Mode) throws {
            try play(Variant(mode: mode), start: false) { stage in
                let router = stage.topology.router
                let before = try HostState(of: router)
                let clearway = try Clearway(
                    in: router, configuration: ClearwayConfiguration(stage.variant), wrapper: withoutNft)
                #expect(try clearway.program.waitForExit() == .exited(69))
                #expect(clearway.log.contains("nftables"))
                #expect(try HostState(of: router).differences(from: before) == [])
            }
        }
    }
}
