import Foundation
import Testing

extension Situations {
    /// Streams of requests with mistakes in them, passed on to servers that read leniently, each in a way of its own.
    @Suite struct HTTPStreams {
        private static let count = 2_000
        /// So many times; more with CLEARWAY_HTTP_SEEDS.
        private static let seeds = ProcessInfo.processInfo.environment["CLEARWAY_HTTP_SEEDS"].flatMap { Int($0) } ?? 2

        /// Whatever we pass on, all servers understand alike: as many requests, with the same bodies.
        @Test(arguments: 1...seeds)
        func allServersSeeTheSameRequests(seed: Int) throws {
            let variant = Variant()
            var configuration = InterceptedHTTP.configuration(variant)
            configuration.listeners[0].more = "http = true\nvia = false\non_other = \"reject\""
            try play(variant, configuration: configuration) { stage in
                var seen: [[String]] = []
                for manner in ["lenient", "library"] {
                    let port = try stage.server.perform("http_origin", ["host": variant.family.server, "manner": manner]).int(
                        "port")
                    let said = try stage.client.perform(
                        "http_streams", ["host": variant.family.server, "port": port, "count": Self.count, "seed": seed],
                        limit: 120)
                    let origin = try stage.server.perform("http_seen", ["port": port])
                    seen.append(origin.strings("requests"))
                    print(
                        "HTTP streams, seed \(seed), \(manner): \(origin.int("count")) requests of \(Self.count) streams; \(said.fields["statuses"]!)"
                    )
                }
                #expect(seen[0].count > Self.count / 3)
                let (one, other) = (Set(seen[0]), Set(seen[1]))
                #expect(
                    one.subtracting(other).isEmpty && other.subtracting(one).isEmpty, "\(one.symmetricDifference(other).sorted())")
                #expect(seen[0].count == seen[1].count)
                #expect(!seen[0].contains { $0.contains("canary") })
            }
        }
    }
}
