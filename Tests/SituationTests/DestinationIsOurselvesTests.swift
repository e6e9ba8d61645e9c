import Testing

extension Situations {
    /// Somebody connects to the listener itself: dialling on would be dialling ourselves, for ever.
    @Suite struct DestinationIsOurselves {
        @Test(
            arguments: [
                Variant(), Variant(mode: .redirect), Variant(family: .v6), Variant(family: .v6, mode: .redirect),
                Variant(scope: .local), Variant(mode: .redirect, scope: .local),
            ])
        func itEndsAtOnceAndLeavesNothing(variant: Variant) throws {
            try play(variant) { stage in
                let clearway = try stage.clearway
                let target: [String: Any] = ["host": variant.family.routerTowardsClient, "port": 1081]
                // The first one brings in what is made once.
                try stage.client.perform("attempt", target)
                try clearway.waitForSessions(1)
                let before = clearway.descriptors

                let answer = try stage.client.perform("attempt", target.merging(["count": 10]) { _, new in new })
                #expect(answer.strings("outcomes") == Array(repeating: "ECONNRESET", count: 10))
                #expect(answer.doubles("seconds").allSatisfy { $0 < 0.5 })
                let records = try clearway.waitForSessions(11)
                #expect(records.map(\.ending) == Array(repeating: "proxy-self", count: 11))
                try waitUntil("no more descriptors than before") { clearway.descriptors <= before }
            }
        }
    }
}
