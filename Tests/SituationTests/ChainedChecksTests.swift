import Foundation
import TestSupport
import Testing

extension PatientSituations {
    /// Health checks of proxies that are reached through others.
    @Suite struct ChainedChecks {
        private static let server = Family.v4.server

        @Test func aMemberThatDiesBehindAnother() throws {
            try play(Variant(), start: false) { stage in
                for port in [1090, 1092] { _ = try stage.microsocks(port) }
                let first = try stage.microsocks(1091)
                try Self.start(stage, front: Self.upstream("near", [1090]))
                let port = try stage.echo()
                try stage.roundTrip(port)
                #expect(try stage.clearway.waitForSessions(1)[0].string("member") == Self.member(1091))

                first.end()
                try stage.wait("upstream check failed", Self.member(1091))
                let line = try stage.said("upstream check failed", of: Self.member(1091))[0]
                #expect(line.contains("socks5://198.51.100.2:1090: SOCKS5 reply 5"))
                try stage.roundTrip(port)
                #expect(try stage.clearway.waitForSessions(2)[1].string("member") == Self.member(1092))

                _ = try stage.microsocks(1091)
                try stage.wait("upstream works again", Self.member(1091))
                try stage.roundTrip(port)
                #expect(try stage.clearway.waitForSessions(3)[2].string("member") == Self.member(1091))
                #expect(try stage.said("upstream check failed", of: Self.member(1092)).isEmpty)
                #expect(try !stage.clearway.log.contains("left out"))
            }
        }

        /// One proxy in front, or two which are checked as well.
        @Test(arguments: [[1090], [1089, 1090]])
        func proxiesThatDieInFrontOfOthersSayNothingOfThem(ports: [Int]) throws {
            try play(Variant(), start: false) { stage in
                var front = try ports.map { try stage.microsocks($0) }
                _ = try stage.microsocks(1092)
                try Self.start(stage, front: Self.upstream("near", ports, ports.count > 1 ? "check = \"500ms\"" : ""))
                try stage.wait("upstream check failed", Self.member(1091))

                for program in front { program.end() }
                if ports.count > 1 { for port in ports { try stage.wait("upstream check failed", Self.member(port)) } }
                // Checks come, and come no farther.
                let listener = try stage.server.listen(Self.server, port: ports[0])
                for _ in 0..<6 { try stage.server.close(stage.server.accept(listener).socket) }
                try stage.server.close(listener.socket)
                #expect(try stage.said("upstream check failed", of: Self.member(1091)).count == 1)
                #expect(try stage.said("upstream works again", of: Self.member(1091)).isEmpty)
                #expect(try stage.said("upstream check failed", of: Self.member(1092)).isEmpty)

                // Whoever was down still is, whoever worked works.
                front = try ports.map { try stage.microsocks($0) }
                if ports.count > 1 { for port in ports { try stage.wait("upstream works again", Self.member(port)) } }
                let port = try stage.echo()
                try stage.roundTrip(port)
                #expect(try stage.clearway.waitForSessions(1)[0].string("member") == Self.member(1092))
                #expect(try !stage.clearway.log.contains("left out"))
                _ = try stage.microsocks(1091)
                try stage.wait("upstream works again", Self.member(1091))
            }
        }

        /// Each of its own kind: TLS, TLS within that, a PROXY header; and whose the fault is comes through all of them.
        @Test func throughAChainOfThree() throws {
            try play(Variant(), start: false) { stage in
                let authority = try stage.certificates.authority()
                let certificate = try stage.certificates.server(names: "IP:\(Self.server)", by: authority)
                _ = try stage.tinyproxy(1085)
                _ = try stage.startTLS(port: 1086, to: 1085, with: certificate)
                let second = try stage.startTLS(port: 1087, to: 1085, with: certificate)
                _ = try stage.squid(1088, "require-proxy-header")
                let front = """
                    [[upstream]]
                    name = "first"
                    url = "https://198.51.100.2:1086?ca=\(authority.file)"
                    [[upstream]]
                    name = "second"
                    url = "https://198.51.100.2:1087?ca=\(authority.file)"
                    via = "first"
                    check = "2s"
                    [[upstream]]
                    name = "near"
                    url = "http://198.51.100.2:1088"
                    via = "second"
                    send_proxy = true
                    """
                try Self.start(stage, front: front, "2s")
                for port in [1091, 1092] { try stage.wait("upstream check failed", Self.member(port)) }
                #expect(
                    try stage.said("upstream check failed", of: Self.member(1091))[0].contains(
                        "http://198.51.100.2:1088: HTTP status 503"))
                let first = try stage.microsocks(1091)
                try stage.wait("upstream works again", Self.member(1091))

                second.end()
                try stage.wait("upstream check failed", "https://198.51.100.2:1087")
                _ = try stage.startTLS(port: 1087, to: 1085, with: certificate)
                try stage.wait("upstream works again", "https://198.51.100.2:1087")
                #expect(try stage.said("upstream check failed", of: Self.member(1091)).count == 1)
                first.end()
                try stage.wait("upstream check failed", Self.member(1091), count: 2)
            }
        }

        /// What one proxy cannot do is asked of the next, as sessions do.
        @Test func aProxyInFrontThatCannotConnectIsPassedBy() throws {
            try play(Variant(), start: false) { stage in
                // An address that it does not have: it answers 500 whatever it is asked for.
                _ = try stage.tinyproxy(1089, "Bind 192.0.2.99")
                _ = try stage.microsocks(1090)
                let first = try stage.microsocks(1091)
                let front = Self.upstream("near", ["http://198.51.100.2:1089", Self.member(1090)])
                try Self.start(stage, front: front)
                try stage.wait("upstream check failed", Self.member(1092))
                _ = try stage.microsocks(1092)
                try stage.wait("upstream works again", Self.member(1092))
                #expect(try stage.said("upstream check failed", of: Self.member(1091)).isEmpty)
                first.end()
                try stage.wait("upstream check failed", Self.member(1091))
                #expect(try stage.said("upstream check failed", of: Self.member(1091))[0].contains("1090: SOCKS5 reply 5"))
            }
        }

        /// The proxy in front answers, and waits for a member that does not; or says nothing itself.
        @Test func whoIsSilentIsTold() throws {
            try play(Variant(), start: false) { stage in
                let silent = try stage.server.listen(Self.server, port: 1089)
                _ = try stage.microsocks(1090)
                try stage.topology.server.nft(
                    "table inet silent { chain in { type filter hook input priority 0; tcp dport 1091 drop; }; }")
                let policy = """
                    \(Self.upstream("near", [1090]))
                    \(Self.upstream("silent", [1089]))
                    \(Self.upstream("lost", [1091], "via = \"near\"\ncheck = \"500ms\""))
                    \(Self.upstream("unknown", [1092], "via = \"silent\"\ncheck = \"500ms\""))
                    """
                var configuration = ClearwayConfiguration(Variant())
                configuration.policy = policy
                try stage.startClearway(configuration)
                try stage.wait("upstream check failed", Self.member(1091))
                #expect(try stage.said("upstream check failed", of: Self.member(1091))[0].contains("no answer"))
                for _ in 0..<3 { _ = try stage.server.accept(silent) }
                #expect(try stage.said("upstream check failed", of: Self.member(1092)).isEmpty)
            }
        }

        // MARK: Stage properties

        private static func member(_ port: Int) -> String { "socks5://198.51.100.2:\(port)" }

        private static func upstream(_ name: String, _ ports: [Int], _ more: String = "") -> String {
            upstream(name, ports.map(member), more)
        }

        /// Without checks, unless it says so.
        private static func upstream(_ name: String, _ urls: [String], _ more: String = "") -> String {
            """
            [[upstream]]
            name = "\(name)"
            urls = [\(urls.map { "\"\($0)\"" }.joined(separator: ", "))]
            \(more.contains("check") ? more : "\(more)\ncheck = \"0s\"")
            """
        }

        /// Two members behind the upstream called "near".
        private static func start(_ stage: Stage, front: String, _ interval: String = "500ms") throws {
            var configuration = ClearwayConfiguration(Variant())
            configuration.policy = """
                \(front)
                \(upstream("out", [1091, 1092], "via = \"near\"\ncheck = \"\(interval)\""))
                [[rule]]
                action = "out"
                """
            try stage.startClearway(configuration)
        }
    }
}
