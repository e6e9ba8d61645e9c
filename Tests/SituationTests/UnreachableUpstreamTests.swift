import Testing

extension PatientSituations {
    /// The destination's network is gone: by an ICMP message, by a missing route, or by silence.
    @Suite struct UnreachableUpstream {
        @Test(arguments: Variant.representative)
        func anICMPMessageIsAReset(variant: Variant) throws {
            try play(variant) { stage in
                try Self.expectUnreachable(stage)
            }
        }

        @Test(arguments: Variant.representative.filter { $0.scope == .gateway })
        func aMissingRouteIsAReset(variant: Variant) throws {
            try play(variant) { stage in
                try stage.topology.router.ip(
                    """
                    route delete 203.0.113.0/24
                    route delete 2001:db8:ff::/48
                    """)
                try Self.expectUnreachable(stage)
            }
        }

        @Test(arguments: Variant.representative)
        func silenceIsAResetWhenTheTimeIsOver(variant: Variant) throws {
            try play(variant, configuration: ClearwayConfiguration(variant, timeouts: "connect = \"1s\"")) { stage in
                let direct = variant.mover == .direct
                var arguments: [String: Any] = ["host": variant.family.blackhole, "port": 80]
                if direct { arguments["timeout"] = 1 }
                let answer = try stage.client.perform("attempt", arguments)
                #expect(answer.strings("outcomes") == [direct ? "timeout" : "ECONNRESET"])
                #expect((0.9..<5).contains(answer.doubles("seconds")[0]))
                try stage.expectEnding("upstream-timeout")
            }
        }

        private static func expectUnreachable(_ stage: Stage) throws {
            let answer = try stage.client.perform("attempt", ["host": stage.variant.family.unreachable, "port": 80])
            let expected = stage.variant.mover == .direct ? ["EHOSTUNREACH", "ENETUNREACH"] : ["ECONNRESET"]
            #expect(expected.contains(answer.strings("outcomes")[0]))
            // Over IPv6 the kernel itself, with no proxy, takes the message only at its second SYN, a second later.
            #expect(answer.doubles("seconds")[0] < (stage.variant.family == .v4 ? 1 : 4))
            try stage.expectEnding("upstream-unreachable")
        }
    }
}
