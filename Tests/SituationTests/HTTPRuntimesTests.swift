import Foundation
import Testing

extension Situations {
    /// What programs are made of that speak HTTP: node's server and client, and Python's httpx and aiohttp.
    @Suite struct HTTPRuntimes {
        private typealias Place = HTTPPrograms.Place
        private static let places: [HTTPPrograms.Place] = [.intercepted, .interceptedV6, .forward, .reverse]

        private static func serve(_ stage: Stage) throws {
            _ = try stage.topology.server.start(["node", peerScript("http_node.js"), "serve", "\(Place.nodePort)"])
            try stage.topology.server.waitUntilListening(on: Place.nodePort)
        }

        /// What a client says that it found.
        private static func found<Found: Decodable>(_ stage: Stage, _ command: [String]) throws -> Found {
            let finished = try stage.topology.client.finish(command)
            guard finished.succeeded else { throw SituationError("\(command): \(finished.errors)\(finished.output)") }
            return try JSONDecoder().decode(Found.self, from: Data(finished.output.utf8))
        }

        private struct NodeFound: Decodable, Equatable {
            /// Of five, and the connections that they came over.
            let pages, connections: Int
            let echo, told: Bool
            /// Of forty at once, and the connections that they came over.
            let many, several: Int
            let upgraded: String
        }

        /// Pages over one connection, chunks both ways at once, leave to send, many at once, and another protocol.
        @Test(arguments: places)
        func nodeAsksNode(place: HTTPPrograms.Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                try Self.serve(stage)
                let host = place == .reverse ? Family.v4.routerTowardsClient : place.variant.family.server
                let found: NodeFound = try Self.found(
                    stage, ["node", peerScript("http_node.js"), "ask", host, "\(Place.nodePort)"] + place.proxy)
                #expect(
                    found
                        == NodeFound(
                            pages: 5, connections: 1, echo: true, told: true, many: 40, several: 4, upgraded: "through the tunnel"))
                let records = try stage.clearway.waitForRequests(48)
                #expect(records.count == 48 && records.count { $0.int("status") == 200 } == 47)
                #expect(records.last?.int("status") == 101 && records.last?.string("target").hasSuffix("/up") == true)
            }
        }

        private struct PythonFound: Decodable, Equatable {
            /// Of three.
            let pages: Int
            let digest, echo: Bool
            /// Of thirty at once.
            let many: Int
        }

        @Test(arguments: places, ["httpx", "aiohttp"])
        func pythonAsksNode(place: HTTPPrograms.Place, library: String) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                try Self.serve(stage)
                let url = String(place.url(Place.nodePort, "").dropLast())
                let found: PythonFound = try Self.found(
                    stage,
                    ["/usr/bin/python3", peerScript("http_clients.py"), library, url]
                        + (place == .forward ? ["http://\(Family.v4.servedURL)"] : []))
                #expect(found == PythonFound(pages: 3, digest: true, echo: true, many: 30))
                let records = try stage.clearway.waitForRequests(35)
                #expect(records.count == 35 && records.allSatisfy { $0.int("status") == 200 })
                #expect(records.allSatisfy { $0.string("user_agent").lowercased().contains(library) })
            }
        }
    }
}
