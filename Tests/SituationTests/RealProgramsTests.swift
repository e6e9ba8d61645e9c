import Foundation
import Testing

extension Situations {
    /// Programs that people run: curl, nginx, Python's http.server, iperf3 and netcat.
    @Suite struct RealPrograms {
        @Test(arguments: Variant.representative)
        func curlFetchesFromNginx(variant: Variant) throws {
            try play(variant) { stage in
                let scratch = stage.topology.scratch
                try FileManager.default.createDirectory(atPath: scratch.file("www"), withIntermediateDirectories: true)
                chmod(scratch.path, 0o755)
                try scratch.write(String(repeating: "0123456789abcdef", count: 300_000), to: "www/page", mode: 0o644)
                let configuration = try scratch.write(
                    """
                    user root;
                    daemon off;
                    # A worker would outlive its master, which is killed.
                    master_process off;
                    pid \(scratch.file("nginx.pid"));
                    error_log stderr;
                    events {}
                    http {
                        access_log off;
                        client_body_temp_path \(scratch.file("nginx-body"));
                        proxy_temp_path \(scratch.file("nginx-proxy"));
                        fastcgi_temp_path \(scratch.file("nginx-fastcgi"));
                        uwsgi_temp_path \(scratch.file("nginx-uwsgi"));
                        scgi_temp_path \(scratch.file("nginx-scgi"));
                        server { listen 80; listen [::]:80; root \(scratch.file("www")); }
                    }
                    """, to: "nginx.conf")
                _ = try stage.topology.server.start(["nginx", "-c", configuration, "-e", "stderr"])
                try stage.topology.server.waitUntilListening(on: 80)
                try Self.fetch(stage, port: 80)
            }
        }

        @Test(arguments: Variant.representative)
        func curlFetchesFromPython(variant: Variant) throws {
            try play(variant) { stage in
                let scratch = stage.topology.scratch
                try FileManager.default.createDirectory(atPath: scratch.file("www"), withIntermediateDirectories: true)
                try scratch.write(String(repeating: "0123456789abcdef", count: 300_000), to: "www/page")
                _ = try stage.topology.server.start([
                    "/usr/bin/python3", "-m", "http.server", "8000", "--bind", "::", "--directory", scratch.file("www"),
                ])
                try stage.topology.server.waitUntilListening(on: 8000)
                try Self.fetch(stage, port: 8000)
            }
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
        private static func fetch(_ stage: Stage, port: Int) throws {
            let namespace = stage.variant.scope == .gateway ? stage.topology.client : stage.topology.router
            let scratch = stage.topology.scratch
            let host = stage.variant.family == .v4 ? stage.variant.family.server : "[\(stage.variant.family.server)]"
            let finished = try namespace.finish([
                "curl", "-sSf", "--noproxy", "*", "-o", scratch.file("got-#1"), "http://\(host):\(port)/page?[1-10]",
            ])
            #expect(finished.succeeded, "\(finished.errors)")
            let expected = try Data(contentsOf: URL(fileURLWithPath: scratch.file("www/page")))
            for number in 1...10 {
                #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.file("got-\(number)"))) == expected)
            }
            guard stage.variant.mover != .direct else { return }
            #expect(try !stage.clearway.waitForSessions(1).isEmpty)
        }
    }
}
