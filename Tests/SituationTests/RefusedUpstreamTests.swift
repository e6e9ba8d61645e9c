import Testing

extension Situations {
    /// Nobody listens where the client wants to go: it must learn so at once, and not when it has waited.
    @Suite struct RefusedUpstream {
        @Test(arguments: Variant.representative)
        func theClientSeesAResetAtOnce(variant: Variant) throws {
            try play(variant) { stage in
                let answer = try stage.client.perform("attempt", ["host": variant.family.server, "port": 9, "count": 20])
                let expected = variant.mover == .direct ? "ECONNREFUSED" : "ECONNRESET"
                #expect(answer.strings("outcomes") == Array(repeating: expected, count: 20))

                let seconds = answer.doubles("seconds").sorted()
                print("refused, \(variant.testDescription): median \(seconds[10] * 1000) ms, slowest \(seconds[19] * 1000) ms")
                #expect(seconds[10] < 0.010)
                #expect(seconds[19] < 0.100)
                if variant.mover != .direct {
                    let endings = try stage.clearway.waitForSessions(20).map(\.ending)
                    #expect(endings == Array(repeating: "upstream-refused", count: 20))
                }
            }
        }
    }
}
