import Foundation
import Testing

extension Situations {
    /// SIGUSR1, as logrotate sends it: the renamed file is left alone and a new one begins.
    @Suite struct LogReopening {
        @Test func aNewFileBegins() throws {
            let scratch = try ScratchDirectory()
            defer { scratch.remove() }
            let file = scratch.file("clearway.log")
            try play(Variant(), configuration: ClearwayConfiguration(logFile: file)) { stage in
                let clearway = try stage.clearway
                try Self.session(stage)
                try clearway.waitForSessions(1)

                try FileManager.default.moveItem(atPath: file, toPath: file + ".1")
                clearway.program.signal(SIGUSR1)
                try waitUntil("a new log file") { FileManager.default.fileExists(atPath: file) }
                try Self.session(stage)
                #expect(try clearway.waitForSessions(1).count == 1)
                let old = try String(contentsOfFile: file + ".1", encoding: .utf8)
                #expect(old.components(separatedBy: "\"session\"").count - 1 == 1)
            }
        }

        private static func session(_ stage: Stage) throws {
            let (client, server) = try stage.connected()
            try stage.client.shut(client)
            try stage.server.shut(server)
        }
    }
}
