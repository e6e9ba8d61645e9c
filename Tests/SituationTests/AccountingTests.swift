import Foundation
import Testing

extension Situations {
    /// One record per session, with every field, in each of the three formats.
    @Suite struct Accounting {
        @Test(arguments: Family.allCases)
        func theJSONRecordIsCompleteAndExact(family: Family) throws {
            let variant = Variant(family: family)
            try play(variant) { stage in
                let session = try Self.session(stage)
                let record = try stage.clearway.waitForSessions(1)[0]
                for (field, expected) in Self.expected(session, variant) {
                    #expect(record.string(field) == expected, "\(field)")
                }
                #expect(record.int("up") == 12_345)
                #expect(record.int("down") == 67_890)
                let duration = (record.fields["duration"] as? NSNumber)?.doubleValue ?? -1
                #expect((0..<10).contains(duration))
                let local = record.string("local")
                #expect(local.hasPrefix(family == .v4 ? "198.51.100.1:" : "[2001:db8:2::1]:"))

                let line = try #require(stage.clearway.log.split(separator: "\n").first { $0.contains("\"session\"") })
                #expect(line.hasPrefix(#"{"topic":"clearway","logged_at":""#))
                #expect(record.string("severity") == "info")
                #expect(!record.string("utsname").isEmpty)
            }
        }

        @Test(arguments: ["plain", "logfmt"])
        func theTextRecordIsCompleteAndExact(format: String) throws {
            let variant = Variant()
            try play(variant, configuration: ClearwayConfiguration(variant, logFormat: format)) { stage in
                let session = try Self.session(stage)
                let line = try waitFor("the session's record") {
                    try stage.clearway.log.split(separator: "\n", omittingEmptySubsequences: false).dropLast().first {
                        $0.contains("\"session\"")
                    }
                }
                for (field, expected) in Self.expected(session, variant) {
                    #expect(line.contains(" \(field)=\"\(expected)\""), "\(field) in \(line)")
                }
                #expect(line.contains(" up=12345"))
                #expect(line.contains(" down=67890"))
                #expect(line.contains(" duration="))
                #expect(line.contains(" local=\"198.51.100.1:"))

                if format == "plain" {
                    #expect(line.contains(#/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [^ ]+ clearway info: "session" /#))
                    let keys = line.matches(of: #/ ([a-z_]+)=/#).map { String($0.output.1) }
                    #expect(keys == keys.sorted())
                } else {
                    #expect(
                        line.contains(
                            #/^topic=clearway logged_at=[-0-9]{10}T[:0-9]{8}\.\d{6}Z severity=info utsname=[^ ]+ message="session" /#
                        ))
                }
            }
        }

        /// What was carried before a reset counts as well.
        @Test(arguments: Variant.proxied)
        func aResetSessionIsCountedToo(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                try stage.client.perform("pour", ["socket": client, "bytes": 12_345])
                #expect(try stage.server.drain(server, limit: 12_345).end == "limit")
                try stage.server.reset(server)
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.int("up") == 12_345)
                #expect(record.int("down") == 0)
            }
        }

        private static func session(_ stage: Stage) throws -> (client: Int, server: Int) {
            let listener = try stage.server.listen(stage.variant.family.server)
            let client = try stage.client.connect(stage.variant.family.server, listener.int("port"))
            let server = try stage.server.accept(listener)
            try stage.client.perform("pour", ["socket": client.socket, "bytes": 12_345, "shut": true])
            _ = try stage.server.drain(server.socket)
            try stage.server.perform("pour", ["socket": server.socket, "bytes": 67_890, "shut": true])
            _ = try stage.client.drain(client.socket)
            return (client.int("port"), listener.int("port"))
        }

        private static func expected(_ session: (client: Int, server: Int), _ variant: Variant) -> [(String, String)] {
            func endpoint(_ address: String, _ port: Int) -> String {
                address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
            }
            return [
                ("listener", "test"), ("client", endpoint(variant.family.client, session.client)),
                ("destination", endpoint(variant.family.server, session.server)), ("upstream", "direct"), ("rule", "default"),
                ("ending", "client-fin"),
            ]
        }
    }
}
