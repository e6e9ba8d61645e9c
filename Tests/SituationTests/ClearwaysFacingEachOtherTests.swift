import Foundation
import Testing

extension Situations {
    /// In the place of NAT: a gateway takes what its clients send, and one that serves carries it on, for who shows a password.
    @Suite struct ClearwaysFacingEachOther {
        /// The one that serves is on the server host, and carries on to that host alone.
        private static func serving(_ stage: Stage) throws -> Clearway {
            var configuration = ClearwayConfiguration()
            configuration.listeners = []
            configuration.policy = ClearwayConfiguration.servedListener(
                "socks+http", reach: Family.allCases.map(\.server), clients: ["198.51.100.1", "2001:db8:2::1"],
                more: "users = \"\(try stage.writeUsers())\"\nports = 7000")
            let clearway = try Clearway(in: stage.topology.server, configuration: configuration, name: "serving")
            try clearway.waitUntilReady()
            return clearway
        }

        private static func intercepting(_ variant: Variant, _ url: String) -> ClearwayConfiguration {
            var configuration = ClearwayConfiguration(variant)
            configuration.listeners[0].more = "ports = 7000"
            configuration.policy = "[[upstream]]\nname = \"away\"\nurl = \"\(url)\"\n[[rule]]\naction = \"away\"\n"
            return configuration
        }

        @Test(arguments: [Variant(), Variant(mover: .splice, family: .v6, mode: .redirect), Variant(scope: .local)])
        func withAPassword(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let serving = try Self.serving(stage)
                let listener = try stage.server.listen(variant.family.server, port: 7_000)
                let here = variant.family.routerTowardsServer
                var intercepting: Clearway?
                for (number, scheme) in ["socks5", "socks5h", "http"].enumerated() {
                    let url = "\(scheme)://alice:secret@\(variant.family.serverHost):1080"
                    let configuration = Self.intercepting(variant, url)
                    if let intercepting { try intercepting.reload(configuration) }
                    let first = try intercepting ?? stage.startClearway(configuration)
                    intercepting = first
                    let client = try stage.client.connect(variant.family.server, 7_000).socket
                    let server = try stage.server.accept(listener).socket
                    // Either may speak first, and each end arrives by itself.
                    try stage.server.send(server, "220 ready")
                    #expect(try stage.client.receive(client, 9) == "220 ready")
                    try stage.client.send(client, "hello")
                    try stage.client.shut(client)
                    #expect(try stage.server.receive(server, 5) == "hello")
                    #expect(try stage.server.drain(server).end == "fin")
                    let pouring = try stage.server.begin("pour", ["socket": server, "bytes": 3_000_000, "shut": true])
                    let arrived = try stage.client.drain(client)
                    #expect(arrived.int("bytes") == 3_000_000 && arrived.end == "fin")
                    #expect(try stage.server.answer(to: pouring).string("digest") == arrived.string("digest"))
                    for (record, name) in try [
                        (first.waitForSessions(number + 1)[number], "away"),
                        (serving.waitForSessions(number + 1)[number], "direct"),
                    ] {
                        #expect(record.int("up") == 5 && record.int("down") == 3_000_009 && record.string("upstream") == name)
                        #expect(record.ending == "client-fin", "\(scheme): \(record.ending)")
                    }
                    let served = try serving.accessRecords()[number]
                    #expect(served.string("user") == "alice" && served.string("client").contains(here))
                    #expect(served.string("destination").contains(variant.family.server))
                }
                for log in [serving.log, intercepting?.log ?? ""] { #expect(!log.contains("secret")) }
            }
        }

        /// The client is told in the only way there is, at once; and the destination never hears of it.
        @Test(arguments: ["socks5", "http"])
        func withoutOne(scheme: String) throws {
            try play(Variant(), start: false) { stage in
                let serving = try Self.serving(stage)
                let trap = try stage.server.listen(Family.v4.server, port: 7_000)
                let caught = try stage.server.perform("count", ["socket": trap.socket])
                for (number, login) in ["", "alice:hunter2@", "mallory:secret@"].enumerated() {
                    let configuration = Self.intercepting(Variant(), "\(scheme)://\(login)198.51.100.2:1080")
                    if number == 0 { try stage.startClearway(configuration) } else { try stage.clearway.reload(configuration) }
                    #expect(
                        try stage.client.perform("attempt", ["host": Family.v4.server, "port": 7_000]).strings("outcomes") == [
                            "ECONNRESET"
                        ])
                    #expect(try stage.clearway.waitForSessions(number + 1)[number].ending.hasPrefix("upstream-"))
                    #expect(try serving.waitForSessions(number + 1)[number].ending == "client-unauthorized")
                }
                #expect(try stage.server.perform("counted", ["socket": caught.socket]).int("count") == 0)
            }
        }

        /// A reset at either end is one at the other.
        @Test(arguments: ["socks5", "http"])
        func resetsPassBoth(scheme: String) throws {
            try play(Variant(), start: false) { stage in
                let serving = try Self.serving(stage)
                let listener = try stage.server.listen(Family.v4.server, port: 7_000)
                try stage.startClearway(Self.intercepting(Variant(), "\(scheme)://alice:secret@198.51.100.2:1080"))
                for who in ["client", "upstream"] {
                    let client = try stage.client.connect(Family.v4.server, 7_000).socket
                    let server = try stage.server.accept(listener).socket
                    try stage.server.send(server, "hello")
                    #expect(try stage.client.receive(client, 5) == "hello")
                    try who == "client" ? stage.client.reset(client) : stage.server.reset(server)
                    #expect(try (who == "client" ? stage.server.drain(server) : stage.client.drain(client)).end == "ECONNRESET")
                }
                for clearway in [try stage.clearway, serving] {
                    #expect(try clearway.waitForSessions(2).map(\.ending) == ["client-reset", "upstream-reset"])
                }
            }
        }
    }
}
