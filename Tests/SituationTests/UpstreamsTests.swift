import Foundation
import Testing

extension Situations {
    /// Sessions leave through proxies that people run.
    @Suite struct Upstreams {
        struct Proxy: CustomTestStringConvertible, Sendable {
            var testDescription: String
            /// The URL, with PORT to be filled in.
            var url: String
            var program: ProxyProgram
            var variant = Variant()
            /// Further keys of the upstream.
            var more = ""
        }

        static let proxies = [
            Proxy(testDescription: "microsocks", url: "socks5://198.51.100.2:PORT", program: .microsocks),
            Proxy(
                testDescription: "microsocks, IPv6, splice", url: "socks5://[2001:db8:2::2]:PORT", program: .microsocks,
                variant: Variant(mover: .splice, family: .v6)),
            Proxy(
                testDescription: "microsocks with a password", url: "socks5h://me:s%40cret@198.51.100.2:PORT",
                program: .microsocksWithPassword, variant: Variant(mover: .copy, scope: .local)),
            Proxy(testDescription: "dante", url: "socks5://198.51.100.2:PORT", program: .dante),
            Proxy(
                testDescription: "dante, greeting and request together", url: "socks5://198.51.100.2:PORT", program: .dante,
                more: "pipeline = true"),
            Proxy(
                testDescription: "dante, SOCKS4", url: "socks4a://me@198.51.100.2:PORT", program: .dante,
                variant: Variant(mover: .splice, mode: .redirect)),
            Proxy(testDescription: "tinyproxy", url: "http://me:secret@198.51.100.2:PORT", program: .tinyproxy),
            Proxy(testDescription: "squid", url: "http://198.51.100.2:PORT", program: .squid),
            Proxy(
                testDescription: "squid, IPv6, splice", url: "http://[2001:db8:2::2]:PORT", program: .squid,
                variant: Variant(mover: .splice, family: .v6)),
        ]

        @Test(arguments: proxies)
        func sessionsLeaveThroughIt(proxy: Proxy) throws {
            var configuration = ClearwayConfiguration(proxy.variant)
            configuration.policy = Self.everything(through: proxy.url, proxy.more)
            try play(proxy.variant, configuration: configuration) { stage in
                try stage.startProxy(proxy.program)

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

        @Test(arguments: [proxies[0], proxies[2], proxies[4], proxies[6]])
        func aRefusalComesThrough(proxy: Proxy) throws {
            var configuration = ClearwayConfiguration(proxy.variant)
            configuration.policy = Self.everything(through: proxy.url, proxy.more)
            try play(proxy.variant, configuration: configuration) { stage in
                try stage.startProxy(proxy.program)
                let answer = try stage.client.perform("attempt", ["host": proxy.variant.family.server, "port": 9])
                #expect(answer.strings("outcomes") == ["ECONNRESET"])
                // tinyproxy says 500 for whatever went wrong.
                let expected = proxy.url.hasPrefix("http") ? "upstream-rejected" : "upstream-refused"
                try stage.expectEnding(expected)
            }
        }

        static func everything(through url: String, _ more: String = "") -> String {
            """
            [[upstream]]
            name = "out"
            url = "\(url.replacing("PORT", with: "\(ProxyProgram.port)"))"
            \(more)
            [[rule]]
            action = "out"
            """
        }
    }
}
