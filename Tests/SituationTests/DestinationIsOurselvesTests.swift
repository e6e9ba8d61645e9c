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

        /// A rule of somebody else's that does not skip our mark hands our own connections back to us.
        @Test(arguments: [Variant(mode: .redirect), Variant(family: .v6, mode: .redirect)])
        func ourOwnConnectionComesBackOnce(variant: Variant) throws {
            try play(variant) { stage in
                let listener = try stage.server.listen(variant.family.server)
                try stage.topology.router.nft(
                    """
                    table inet loop {
                        chain out {
                            type nat hook output priority -100
                            tcp dport \(listener.int("port")) redirect to :1081
                        }
                    }
                    """)
                let answer = try stage.client.perform("attempt", ["host": variant.family.server, "port": listener.int("port")])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                let endings = try stage.clearway.waitForSessions(2).map(\.ending)
                #expect(endings.sorted() == ["proxy-loop", "upstream-reset"])
                #expect(try stage.clearway.log.contains("a rule does not skip our mark"))
            }
        }
    }
}
