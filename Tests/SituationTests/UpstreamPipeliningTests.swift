import Foundation
import Testing

extension Situations {
    /// SOCKS5's request is sent together with the greeting.
    @Suite struct UpstreamPipelining {
        private static var configuration: ClearwayConfiguration {
            var configuration = ClearwayConfiguration(Variant(), timeouts: "connect = \"1s\"")
            configuration.policy = Situations.Upstreams.everything(through: "socks5://198.51.100.2:PORT", "pipeline = true")
            return configuration
        }

        /// It reads greeting and request with one call and forgets the request, as microsocks does: one session waits for nothing,
        /// those that come after it are sent one after the other.
        @Test func aProxyThatForgetsPipelinedRequestsGetsNoMoreOfThem() throws {
            try play(Variant(), configuration: Self.configuration) { stage in
                try stage.startProxy(.microsocks)
                let port = try stage.echo()
                let first = try stage.client.connect(Family.v4.server, port).socket
                #expect(try stage.client.drain(first).end == "ECONNRESET")
                for _ in 0..<3 { try stage.roundTrip(port) }
                let records = try stage.clearway.waitForSessions(4)
                #expect(records.map(\.ending) == ["upstream-timeout"] + Array(repeating: "client-fin", count: 3))
                #expect(try stage.clearway.log.split(separator: "\n").count { $0.contains("pipeline is off") } == 1)
                // What comes after a reload may be another proxy.
                try stage.clearway.reload(Self.configuration)
                let again = try stage.client.connect(Family.v4.server, port).socket
                #expect(try stage.client.drain(again).end == "ECONNRESET")
                try stage.roundTrip(port)
            }
        }

        /// One that has answered such a request once is not suspected for a destination that is silent.
        @Test func aSilentDestinationDoesNotEndPipelining() throws {
            try play(Variant(), configuration: Self.configuration) { stage in
                let proxies = try stage.server.listen(Family.v4.server, port: ProxyProgram.port)
                for answers in [true, false, true] {
                    let client = try stage.client.connect(Family.v4.server, 7_777).socket
                    let proxy = try stage.server.accept(proxies).socket
                    #expect(Array(try stage.server.receive(proxy, 13).utf8.prefix(3)) == [5, 1, 0])
                    try stage.server.send(proxy, "\u{5}\0" + (answers ? "\u{5}\0\0\u{1}\0\0\0\0\0\0pong" : ""))
                    if answers {
                        #expect(try stage.client.receive(client, 4) == "pong")
                    } else {
                        #expect(try stage.client.drain(client).end == "ECONNRESET")
                    }
                    try stage.client.close(client)
                }
                #expect(try !stage.clearway.log.contains("pipeline is off"))
            }
        }
    }
}
