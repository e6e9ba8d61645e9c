import Testing

extension Situations {
    /// Another program listens on our port: we say so, and leave the host as it was.
    @Suite struct TakenPort {
        @Test(arguments: [Variant(), Variant(mode: .redirect), Variant(scope: .local)])
        func nothingIsHalfApplied(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let router = stage.topology.router
                _ = try stage.peer(in: router).listen("::", port: 1081)
                let before = try HostState(of: router)

                let clearway = try Clearway(in: router, configuration: ClearwayConfiguration(variant))
                #expect(try clearway.program.waitForExit() == .exited(71))
                #expect(clearway.log.contains("1081"))
                #expect(try HostState(of: router).differences(from: before) == [])
            }
        }
    }
}
