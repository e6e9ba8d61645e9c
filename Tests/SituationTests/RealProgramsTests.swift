import Foundation
import Testing

extension Situations {
    /// Programs that people run: curl, nginx, Python's http.server, iperf3 and netcat.
    @Suite struct RealPrograms {
        @Test(arguments: Variant.representative, [WebServer.nginx, .python])
        func curlFetches(variant: Variant, from server: WebServer) throws {
            try play(variant) { stage in try Self.fetch(stage, from: server) }
        }

        @Test(arguments: Variant.movers)
        func iperf3Measures(variant: Variant) throws {
            try play(variant) { stage in
                let server = try stage.topology.server.start(["iperf3", "-s", "-1"])
                try stage.topology.server.waitUntilListening(on: 5201)
                let finished = try stage.topology.client.finish([
                    "iperf3", "-c", variant.family.server, "-t", "1", "-P", "2", "--bidir", "-J",
                ])
                #expect(finished.succeeded, "\(finished.output.suffix(300))")
                let report = try #require(try JSONSerialization.jsonObject(with: Data(finished.output.utf8)) as? [String: Any])
                for sum in ["sum_received", "sum_received_bidir_reverse"] {
                    let bytes = ((report["end"] as? [String: Any])?[sum] as? [String: Any])?["bytes"] as? NSNumber
                    print("iperf3, \(variant.testDescription), \(sum): \(bytes?.intValue ?? 0) bytes in 1 s")
                    #expect((bytes?.intValue ?? 0) > 10_000_000)
                }
                #expect(try server.waitForExit() == .exited(0))
            }
        }

        @Test(arguments: Variant.representative)
        func netcatTalksToNetcat(variant: Variant) throws {
            try play(variant) { stage in
                let scratch = stage.topology.scratch
                try scratch.write("from the client\n", to: "question")
                let question = try #require(FileHandle(forReadingAtPath: scratch.file("question")))
                let server = try stage.topology.server.start(["nc", "-l", "-N", variant.family.wildcard, "9000"])
                try stage.topology.server.waitUntilListening(on: 9000)
                let namespace = variant.scope == .gateway ? stage.topology.client : stage.topology.router
                let client = try namespace.start(
                    ["nc", "-N", variant.family.server, "9000"], input: question.fileDescriptor)
                #expect(try client.waitForExit() == .exited(0))
                #expect(try server.waitForExit() == .exited(0))
                #expect(server.standardOutput == "from the client\n")
            }
        }

        /// Ten pages over kept-alive and new connections, compared byte for byte.
        private static func fetch(_ stage: Stage, from server: WebServer) throws {
            let site = try stage.startSite(server)
            let namespace = stage.variant.scope == .gateway ? stage.topology.client : stage.topology.router
            let scratch = stage.topology.scratch
            let host = stage.variant.family == .v4 ? stage.variant.family.server : "[\(stage.variant.family.server)]"
            let finished = try namespace.finish([
                "curl", "-sSf", "--noproxy", "*", "-o", scratch.file("got-#1"), "http://\(host):\(server.port)/page?[1-10]",
            ])
            #expect(finished.succeeded, "\(finished.errors)")
            let expected = try site.page
            for number in 1...10 {
                #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.file("got-\(number)"))) == expected)
            }
            guard stage.variant.mover != .direct else { return }
            #expect(try !stage.clearway.waitForSessions(1).isEmpty)
        }
    }
}
