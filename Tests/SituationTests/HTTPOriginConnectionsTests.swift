import Foundation
import Testing

extension Situations {
    /// Connections to a server of ours, and how they are left.
    @Suite struct HTTPOriginConnections {
        private static let server = Family.v4.server
        private static let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

        private static var configuration: ClearwayConfiguration {
            var configuration = ClearwayConfiguration()
            configuration.workers = 1
            configuration.listeners = []
            configuration.policy = ClearwayConfiguration.servedListener(
                "http", name: "site", port: 80, reach: nil, clients: ["192.0.2.0/24"],
                more: "origin = \"http://\(server):8081\"\nvia = false\nrequest_headers = { remove = [\"Forwarded\"] }")
            return configuration
        }

        private static func connect(_ stage: Stage) throws -> Int {
            try stage.client.connect(Family.v4.routerTowardsClient, 80).socket
        }

        /// Those of ours to the server, in whatever state: one a line.
        private static func sockets(_ stage: Stage) throws -> [[Substring]] {
            try stage.topology.router.require(["ss", "-Htan", "dst", "\(server):8081"]).split(separator: "\n").map {
                $0.split(separator: " ")
            }
        }

        /// Clients that each ask once and leave: whoever closes first keeps the port for a minute, and there are 28,000 of them. All that was
        /// under way is whole.
        @Test func noPortIsKept() throws {
            try play(Variant(), configuration: Self.configuration) { stage in
                let listener = try stage.server.listen(Self.server, port: 8081)
                let count = 20
                for number in 1...count {
                    let client = try Self.connect(stage)
                    // Some leave before they have their answer.
                    try stage.client.send(client, Self.request)
                    if number % 2 == 0 { try stage.client.shut(client) }
                    let server = try stage.server.accept(listener).socket
                    #expect(try stage.server.receive(server, Self.request.utf8.count) == Self.request)
                    let size = number % 5 == 0 ? 3_000_000 : 3
                    let head = "HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n"
                    try stage.server.send(server, head)
                    let pouring = try stage.server.begin("pour", ["socket": server, "bytes": size])
                    #expect(try stage.client.receive(client, head.utf8.count) == head)
                    let body = try stage.client.drain(client, limit: size)
                    #expect(try stage.server.answer(to: pouring).string("digest") == body.string("digest"))
                    try stage.client.close(client)
                    #expect(["ECONNRESET", "fin"].contains(try stage.server.drain(server).end))
                    try stage.server.close(server)
                }
                #expect(try Self.sockets(stage) == [])
                #expect(try stage.clearway.waitForRequests(count).allSatisfy { $0.int("status") == 200 })
            }
        }

        /// A server may have answered before it has read what it was sent: that is still its own.
        @Test func aBodyThatIsUnderWayArrives() throws {
            try play(Variant(), configuration: Self.configuration) { stage in
                let listener = try stage.server.perform("listen", ["host": Self.server, "port": 8081, "receive_buffer": 4_096])
                let client = try Self.connect(stage)
                let size = 20_000
                let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n"
                try stage.client.perform(
                    "send_acknowledged", ["socket": client, "text": head + String(repeating: "x", count: size)])
                let server = try stage.server.accept(listener).socket
                #expect(try stage.server.receive(server, head.utf8.count) == head)
                try waitUntil("all of it on its way") {
                    let client = try stage.topology.router.require(["ss", "-Htn", "src", "\(Family.v4.routerTowardsClient):80"])
                    let unread = client.split(separator: " ").dropFirst().first ?? "?"
                    return try unread == "0" && Self.sockets(stage).contains { Int($0[2]) ?? 0 > 8_000 }
                }
                let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                try stage.server.send(server, response)
                #expect(try stage.client.receive(client, response.utf8.count) == response)
                try stage.client.close(client)
                let rest = try stage.server.drain(server)
                #expect(rest.int("bytes") == size && rest.end == "fin")
            }
        }
    }
}
