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
                    #expect(try stage.server.receive(proxy, 13).hasPrefix("\u{5}\u{1}\0"))
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

        /// It chooses a method and ends, for what came with the greeting was too much for it.
        @Test func aProxyThatEndsOverPipelinedRequestsGetsNoMoreOfThem() throws {
            try play(Variant(), configuration: Self.configuration) { stage in
                let proxies = try stage.server.listen(Family.v4.server, port: ProxyProgram.port)
                let first = try stage.client.connect(Family.v4.server, 7_777).socket
                let ends = try stage.server.accept(proxies).socket
                #expect(try stage.server.receive(ends, 13).hasPrefix("\u{5}\u{1}\0"))
                try stage.server.send(ends, "\u{5}\0")
                try stage.server.close(ends)
                #expect(try stage.client.drain(first).end == "ECONNRESET")
                let second = try stage.client.connect(Family.v4.server, 7_777).socket
                let goes = try stage.server.accept(proxies).socket
                #expect(try stage.server.receive(goes, 3) == "\u{5}\u{1}\0")
                try stage.server.send(goes, "\u{5}\0")
                _ = try stage.server.receive(goes, 10)
                try stage.server.send(goes, "\u{5}\0\0\u{1}\0\0\0\0\0\0pong")
                #expect(try stage.client.receive(second, 4) == "pong")
            }
        }

        /// Another one has taken its place, which forgets them: three that are not answered, and no more.
        @Test func aProxyThatForgetsInPlaceOfOneThatDoesNot() throws {
            try play(Variant(), configuration: Self.configuration) { stage in
                let port = try stage.server.listen(Family.v4.server)
                try stage.server.perform("serve", ["socket": port.socket, "manner": "echo"])
                func roundTrip() throws -> Bool {
                    let client = try stage.client.connect(Family.v4.server, port.int("port")).socket
                    try stage.client.send(client, "ping")
                    let end = try stage.client.drain(client, limit: 4)
                    try stage.client.close(client)
                    return end.int("bytes") == 4
                }
                let dante = try stage.startProxy(.dante)
                #expect(try roundTrip())
                kill(-dante.pid, SIGKILL)
                try waitUntil("its port closed") { try !stage.topology.server.listeningPorts().contains(ProxyProgram.port) }
                try stage.startProxy(.microsocks)
                #expect(try (0..<5).map { _ in try roundTrip() } == [false, false, false, true, true])
            }
        }
    }
}
