import Foundation
import Testing

extension PatientSituations {
    /// The signals that units and scripts send to transocks.
    @Suite struct TransocksSignals {
        private static let port = TransocksConfiguration.proxyPort

        /// One process, with the number that it was started with, over every reload; open sessions stay.
        @Test func sighupTakesANewProxyForNewSessions() throws {
            try playTransocks { stage, transocks in
                try stage.startProxy(.microsocks)
                let (open, served) = try stage.connected()
                try Self.expectEcho(stage, open, served)
                let sockets = try Self.listeningInodes(stage)

                // Another proxy: nobody is there, and that is how the new sessions can be told.
                try stage.topology.scratch.write(
                    TransocksConfiguration(proxy: "socks5://198.51.100.2:1091", level: "debug").toml, to: "transocks.toml")
                transocks.program.signal(SIGHUP)
                try transocks.waitUntilServing(times: 2)
                #expect(try transocks.records("well: got sighup").map { $0.string("severity") } == ["warning"])
                let attempt = try stage.client.perform("attempt", ["host": Family.v4.server, "port": 7_001])
                #expect(attempt.strings("outcomes") == ["ECONNRESET"])
                let failed = try transocks.waitForRecords("failed to connect to proxy server")[0]
                #expect(
                    failed.string("error")
                        == "socks connect tcp 198.51.100.2:1091->198.51.100.2:7001: dial tcp 198.51.100.2:1091: "
                        + "connect: connection refused")
                #expect(failed.string("severity") == "error")

                try Self.expectEcho(stage, open, served)
                #expect(try Self.listeningInodes(stage) == sockets)
                #expect(transocks.program.isRunning)
                try stage.client.shut(open)
                try stage.server.shut(served)
                #expect(try transocks.stop() == .exited(0))
            }
        }

        /// transocks' whole service ended of it.
        @Test(arguments: [
            "proxy_url = \"socks5://10.0.0.1\"\n", "listen = 1081\n", "mode = \"tproxy\"\n", "[log\n", "",
            "listen = \"203.0.113.77:1081\"\nproxy_url = \"socks5://198.51.100.2:1090\"\n",
            "proxy_url = \"socks5://198.51.100.2:1090\"\n[log]\nfilename = \"/no/such/directory/log\"\n",
        ])
        func sighupWithABadFileChangesNothing(text: String) throws {
            try playTransocks { stage, transocks in
                try stage.startProxy(.microsocks)
                let (open, served) = try stage.connected()
                try stage.topology.scratch.write(text, to: "transocks.toml")
                transocks.program.signal(SIGHUP)
                let refused = try transocks.waitForRecords("reload refused, the old configuration stays")
                #expect(refused.map { $0.string("severity") } == ["error"])
                #expect(refused[0].string("reason") != "")
                try Self.expectEcho(stage, open, served)
                let (client, server) = try stage.connected()
                try Self.expectEcho(stage, client, server)
                #expect(try transocks.records("well: new child").count == 1)
                #expect(transocks.program.isRunning)
            }
        }

        /// Nor does a file that is gone end it, or many signals at once.
        @Test func sighupAgainAndAgain() throws {
            try playTransocks { stage, transocks in
                try stage.startProxy(.microsocks)
                try FileManager.default.removeItem(atPath: transocks.configurationFile)
                for _ in 0..<50 { transocks.program.signal(SIGHUP) }
                try transocks.waitForRecords("reload refused, the old configuration stays")
                try stage.topology.scratch.write(TransocksConfiguration().toml, to: "transocks.toml")
                transocks.program.signal(SIGHUP)
                try transocks.waitUntilServing(times: 2)
                let (client, server) = try stage.connected()
                try Self.expectEcho(stage, client, server)
            }
        }

        @Test func sigusr1OpensTheLogAnew() throws {
            let scratch = try ScratchDirectory()
            defer { scratch.remove() }
            let file = scratch.file("transocks.log")
            try playTransocks(TransocksConfiguration(file: file)) { stage, transocks in
                try FileManager.default.moveItem(atPath: file, toPath: file + ".1")
                transocks.program.signal(SIGUSR1)
                try waitUntil("a new log file") { FileManager.default.fileExists(atPath: file) }
                try stage.startProxy(.microsocks)
                let (client, server) = try stage.connected()
                try stage.client.shut(client)
                try stage.server.shut(server)
                try transocks.waitForRecords("proxy ends")
                let old = try String(contentsOfFile: file + ".1", encoding: .utf8)
                #expect(old.contains("well: new child") && !old.contains("proxy"))
                let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? NSNumber
                #expect(mode?.intValue == 0o644)
            }
        }

        /// transocks lost what was logged until the next signal; here the old file serves on.
        @Test func sigusr1ThatCannotOpenIt() throws {
            let scratch = try ScratchDirectory()
            defer { scratch.remove() }
            let file = scratch.file("log/transocks.log")
            try FileManager.default.createDirectory(atPath: scratch.file("log"), withIntermediateDirectories: false)
            try playTransocks(TransocksConfiguration(file: file)) { _, transocks in
                try FileManager.default.moveItem(atPath: scratch.file("log"), toPath: scratch.file("moved"))
                transocks.program.signal(SIGUSR1)
                try waitUntil("a word in the old file") {
                    try String(contentsOfFile: scratch.file("moved/transocks.log"), encoding: .utf8)
                        .contains("cannot open the log file")
                }
                #expect(transocks.program.isRunning)
            }
        }

        /// Without a log file it is nothing to anybody.
        @Test func sigusr1WithoutAFile() throws {
            try playTransocks { stage, transocks in
                transocks.program.signal(SIGUSR1)
                try stage.startProxy(.microsocks)
                let (client, server) = try stage.connected()
                try Self.expectEcho(stage, client, server)
                #expect(transocks.program.isRunning)
            }
        }

        @Test(arguments: [(SIGTERM, "terminated"), (SIGINT, "interrupt")])
        func openSessionsFinish(signal: Int32, name: String) throws {
            try playTransocks { stage, transocks in
                try stage.startProxy(.microsocks)
                let (client, server) = try stage.connected()
                transocks.program.signal(signal)
                let said = try transocks.waitForRecords("well: got signal")[0]
                #expect(said.string("severity") == "warning" && said.string("signal") == name)
                // From the first moment on nothing new is accepted.
                try waitUntil("nobody listens") { try !stage.topology.router.listeningPorts().contains(1081) }
                #expect(transocks.program.isRunning)
                try Self.expectEcho(stage, client, server)
                try stage.client.shut(client)
                try stage.server.shut(server)
                #expect(try transocks.program.waitForExit() == .exited(0))
                #expect(try transocks.records("proxy ends").count == 1)
            }
        }

        /// transocks swallowed it.
        @Test func aSecondSignalEndsItAtOnce() throws {
            try playTransocks { stage, transocks in
                try stage.startProxy(.microsocks)
                let (client, server) = try stage.connected()
                // Its proxy may not have answered yet when the server has the connection.
                try Self.expectEcho(stage, client, server)
                transocks.program.signal(SIGTERM)
                try transocks.waitForRecords("well: got signal")
                transocks.program.signal(SIGTERM)
                #expect(try transocks.program.waitForExit() == .exited(0))
                #expect(try stage.client.drain(client).end == "ECONNRESET")
                let ends = try transocks.records("proxy ends with an error")
                #expect(ends.map { $0.string("error") } == ["timeout waiting for shutdown"])
            }
        }

        /// The sixty seconds themselves are the contract.
        @Test func afterAMinuteTheRestIsCut() throws {
            try playTransocks { stage, transocks in
                try stage.startProxy(.microsocks)
                let (client, server) = try stage.connected()
                try Self.expectEcho(stage, client, server)
                let started = now()
                transocks.program.signal(SIGTERM)
                #expect(try transocks.program.waitForExit(limit: 80) == .exited(0))
                #expect((59..<75).contains(now() - started))
                #expect(try transocks.records("well: timeout waiting for shutdown").map { $0.string("severity") } == ["warning"])
                #expect(try stage.client.drain(client).end == "ECONNRESET")
            }
        }

        private static func expectEcho(_ stage: Stage, _ client: Int, _ server: Int) throws {
            try stage.client.send(client, "ping")
            #expect(try stage.server.receive(server, 4) == "ping")
            try stage.server.send(server, "pong")
            #expect(try stage.client.receive(client, 4) == "pong")
        }

        /// The listening sockets, by their inodes.
        private static func listeningInodes(_ stage: Stage) throws -> Set<String> {
            let text = try stage.topology.router.require(["ss", "-Hltne", "sport", "=", ":1081"])
            let inodes = Set(text.matches(of: /ino:([0-9]+)/).map { String($0.output.1) })
            #expect(!inodes.isEmpty)
            return inodes
        }
    }
}
