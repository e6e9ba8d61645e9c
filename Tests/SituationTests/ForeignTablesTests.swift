import Testing

extension Situations {
    /// Docker's and firewalld's tables are on the host: Clearway works beside them and changes not a byte of them.
    @Suite struct ForeignTables {
        @Test(arguments: [Variant(), Variant(mode: .redirect), Variant(scope: .local), Variant(mode: .redirect, scope: .local)])
        func theyStayAsTheyAre(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let router = stage.topology.router
                try router.nft(Self.dockerLike + Self.firewalldLike)
                let before = try HostState(of: router)

                let clearway = try stage.startClearway()
                let during = try HostState(of: router).ruleset
                #expect(during.starts(with: before.ruleset) || Self.contains(during, before.ruleset))
                let (client, server) = try stage.connected()
                try stage.client.send(client, "through")
                #expect(try stage.server.receive(server, 7) == "through")
                try stage.client.shut(client)
                try stage.server.shut(server)
                try clearway.waitForSessions(1)

                #expect(try clearway.stop() == .exited(0))
                #expect(try HostState(of: router).differences(from: before) == [])
            }
        }

        private static func contains(_ lines: [String], _ part: [String]) -> Bool {
            lines.indices.contains { lines[$0...].starts(with: part) }
        }

        private static let dockerLike = """
            table ip nat {
                chain DOCKER {
                    iifname "docker0" counter return
                    iifname != "docker0" tcp dport 8080 counter dnat to 172.17.0.2:80
                }
                chain PREROUTING {
                    type nat hook prerouting priority dstnat; policy accept;
                    fib daddr type local counter jump DOCKER
                }
                chain OUTPUT {
                    type nat hook output priority -100; policy accept;
                    ip daddr != 127.0.0.0/8 fib daddr type local counter jump DOCKER
                }
                chain POSTROUTING {
                    type nat hook postrouting priority srcnat; policy accept;
                    oifname != "docker0" ip saddr 172.17.0.0/16 counter masquerade
                }
            }
            table ip filter {
                chain DOCKER-USER {
                    counter return
                }
                chain FORWARD {
                    type filter hook forward priority filter; policy drop;
                    counter jump DOCKER-USER
                    iifname "lan" oifname "wan" counter accept
                    ct state related,established counter accept
                }
            }

            """

        private static let firewalldLike = """
            table inet firewalld {
                chain mangle_PREROUTING {
                    type filter hook prerouting priority mangle + 10; policy accept;
                }
                chain filter_INPUT {
                    type filter hook input priority filter + 10; policy accept;
                    ct state { established, related } accept
                    ct status dnat accept
                    iifname { "lo", "lan" } accept
                    ct state invalid drop
                    reject with icmpx admin-prohibited
                }
                chain filter_OUTPUT {
                    type filter hook output priority filter + 10; policy accept;
                    ct state { established, related } accept
                    oifname "lo" accept
                }
            }

            """
    }
}
