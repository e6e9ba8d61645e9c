import Foundation
import Testing

extension Situations {
    /// Sessions leave through proxies that people run.
    @Suite struct Upstreams {
        struct Proxy: CustomTestStringConvertible, Sendable {
            var testDescription: String
            /// The URL, with PORT to be filled in.
            var url: String
            var command: @Sendable (Stage) throws -> [String]
            var variant = Variant()
        }

        private static let port = 1090

        private static func microsocks(_ more: String...) -> @Sendable (Stage) throws -> [String] {
            { _ in ["microsocks", "-i", "::", "-p", "\(port)"] + more }
        }

        @Sendable private static func dante(_ stage: Stage) throws -> [String] {
            let configuration = try stage.topology.scratch.write(
                """
                errorlog: stderr
                internal: 198.51.100.2 port = \(port)
                external: 198.51.100.2
                clientmethod: none
                socksmethod: none
                user.privileged: root
                user.unprivileged: root
                client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
                socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
                """, to: "danted.conf")
            return ["danted", "-f", configuration, "-p", stage.topology.scratch.file("danted.pid")]
        }

        @Sendable private static func tinyproxy(_ stage: Stage) throws -> [String] {
            let configuration = try stage.topology.scratch.write(
                """
                Port \(port)
                Timeout 600
                BasicAuth me secret
                LogLevel Error
                """, to: "tinyproxy.conf")
            return ["tinyproxy", "-d", "-c", configuration]
        }

        @Sendable private static func squid(_ stage: Stage) throws -> [String] {
            let configuration = try stage.topology.scratch.write(
                """
                http_port \(port)
                http_access allow all
                cache deny all
                access_log none
                cache_log /dev/stderr
                pid_filename none
                pinger_enable off
                shutdown_lifetime 0 seconds
                visible_hostname proxy.example
                """, to: "squid.conf")
            return ["squid", "-N", "-f", configuration]
        }

        static let proxies = [
            Proxy(testDescription: "microsocks", url: "socks5://198.51.100.2:PORT", command: microsocks()),
            Proxy(
                testDescription: "microsocks, IPv6, splice", url: "socks5://[2001:db8:2::2]:PORT", command: microsocks(),
                variant: Variant(mover: .splice, family: .v6)),
            Proxy(
                testDescription: "microsocks with a password", url: "socks5h://me:s%40cret@198.51.100.2:PORT",
                command: microsocks("-u", "me", "-P", "s@cret"), variant: Variant(mover: .copy, scope: .local)),
            Proxy(testDescription: "dante", url: "socks5://198.51.100.2:PORT", command: dante),
            Proxy(
                testDescription: "dante, SOCKS4", url: "socks4a://me@198.51.100.2:PORT", command: dante,
                variant: Variant(mover: .splice, mode: .redirect)),
            Proxy(testDescription: "tinyproxy", url: "http://me:secret@198.51.100.2:PORT", command: tinyproxy),
            Proxy(testDescription: "squid", url: "http://198.51.100.2:PORT", command: squid),
            Proxy(
                testDescription: "squid, IPv6, splice", url: "http://[2001:db8:2::2]:PORT", command: squid,
                variant: Variant(mover: .splice, family: .v6)),
        ]

        @Test(arguments: proxies)
        func sessionsLeaveThroughIt(proxy: Proxy) throws {
            var configuration = ClearwayConfiguration(proxy.variant)
            configuration.policy = Self.everything(through: proxy.url)
            try play(proxy.variant, configuration: configuration) { stage in
                _ = try stage.topology.server.start(try proxy.command(stage))
                try stage.topology.server.waitUntilListening(on: Self.port)

                let (client, server) = try stage.connected()
                try stage.client.send(client, "question")
                #expect(try stage.server.receive(server, 8) == "question")
                let pouring = try stage.server.begin("pour", ["socket": server, "bytes": 5_000_003, "shut": true])
                let arrived = try stage.client.drain(client)
                #expect(try stage.server.answer(to: pouring).string("digest") == arrived.string("digest"))
                #expect(arrived.end == "fin")
                try stage.client.close(client)

                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.string("upstream") == "out")
                #expect(record.int("rule") == 1)
                #expect(record.int("up") == 8 && record.int("down") == 5_000_003)
            }
        }

        @Test(arguments: [proxies[0], proxies[2], proxies[5]])
        func aRefusalComesThrough(proxy: Proxy) throws {
            var configuration = ClearwayConfiguration(proxy.variant)
            configuration.policy = Self.everything(through: proxy.url)
            try play(proxy.variant, configuration: configuration) { stage in
                _ = try stage.topology.server.start(try proxy.command(stage))
                try stage.topology.server.waitUntilListening(on: Self.port)
                let answer = try stage.client.perform("attempt", ["host": proxy.variant.family.server, "port": 9])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                // tinyproxy says 500 for whatever went wrong.
                let expected = proxy.url.hasPrefix("http") ? "upstream-rejected" : "upstream-refused"
                try stage.expectEnding(expected)
            }
        }

        static func everything(through url: String) -> String {
            """
            [[upstream]]
            name = "out"
            url = "\(url.replacing("PORT", with: "\(port)"))"
            [[rule]]
            action = "out"
            """
        }
    }
}
