import Foundation
import Testing

extension Situations {
    /// usocksd's command line and configuration file: the sets U1 to U9 of its contract, run.
    @Suite struct UsocksdFiles {
        /// Without a file it serves on all interfaces, as ever, and strangers no more.
        @Test func u6WithoutAFile() throws {
            try play(Variant(), start: false) { stage in
                let script = "mount -t tmpfs tmpfs /etc && exec \(try Usocksd.link(in: stage.topology.scratch))"
                let program = try stage.topology.router.start(["unshare", "--mount", "sh", "-c", script])
                try waitUntil("usocksd serves") { program.standardError.contains("well: new child") }
                #expect(try Self.sockets(stage) == ["0.0.0.0:1080", "[::]:1080", "0.0.0.0:1081", "[::]:1081"])
                #expect(program.standardError.contains(" usocksd warning: \"incoming.allow_from is not set: "))
                program.signal(SIGTERM)
                #expect(try program.waitForExit() == .exited(0))
            }
        }

        @Test func theDefaultFileIsRead() throws {
            try play(Variant(), start: false) { stage in
                let link = try Usocksd.link(in: stage.topology.scratch)
                let script = "mount -t tmpfs tmpfs /etc && cp \"$0\" /etc/usocksd.toml && exec \(link)"
                let file = try stage.topology.scratch.write("[incoming]\nport = 1090\nmetrics_port = 0\n", to: "default.toml")
                let program = try stage.topology.router.start(["unshare", "--mount", "sh", "-c", script, file])
                try waitUntil("usocksd serves") { program.standardError.contains("well: new child") }
                #expect(try Self.sockets(stage) == ["0.0.0.0:1090", "[::]:1090"])
            }
        }

        @Test func u9ATypicalInstallation() throws {
            try play(Variant(), start: false) { stage in
                let file = stage.topology.scratch.file("usocksd.log")
                let toml = """
                    [log]
                    filename = "\(file)"
                    level = "info"
                    format = "plain"
                    [incoming]
                    port = 1080
                    addresses = ["127.0.0.1"]

                    """
                let usocksd = try Usocksd(in: stage.topology.router, toml, logFile: file)
                try usocksd.waitUntilServing()
                #expect(try Self.sockets(stage) == ["127.0.0.1:1080", "0.0.0.0:1081", "[::]:1081"])
                #expect(try usocksd.stop() == .exited(0))
                #expect(usocksd.program.standardError == "")
                #expect(
                    usocksd.log.contains(
                        /^[-0-9]{10}T[:0-9]{8}\.[0-9]{6}Z \S+ usocksd info: "well: new child" pid=[0-9]+$/.anchorsMatchLineEndings()
                    ))
            }
        }

        struct Bad: CustomTestStringConvertible, Sendable {
            var testDescription: String
            var toml: String
            var message: String
        }

        static let bad = [
            Bad(testDescription: "U4 unknown key", toml: "hoge = 'fuga'\n", message: "Unknown config keys in FILE: hoge"),
            Bad(
                testDescription: "U5 type", toml: "[incoming]\nallow_from = '12.34.56.78'\n",
                message:
                    "toml: incompatible types: TOML key \\\"incoming.allow_from\\\" has type string; destination has type slice"),
            Bad(
                testDescription: "U7 network", toml: "[incoming]\nallow_from = [\"300.1.1.1\"]\n",
                message: "Invalid network or IP address: 300.1.1.1/32"),
            Bad(
                testDescription: "U8 version 0.1", toml: "[log]\nfile = \"/x\"\n", message: "Unknown config keys in FILE: log.file"),
            Bad(testDescription: "level", toml: "[log]\nlevel = \"verbose\"\n", message: "no such level: verbose"),
            Bad(testDescription: "format", toml: "[log]\nformat = \"xml\"\n", message: "invalid format: xml"),
        ]

        /// At once, before anything listens, and in the format plain whatever the file says.
        @Test func itIsRefused() throws {
            try play(Variant(), start: false) { stage in
                let link = try Usocksd.link(in: stage.topology.scratch)
                for set in Self.bad {
                    let file = try stage.topology.scratch.write(set.toml, to: "bad.toml")
                    for flags in [[], ["-check"]] {
                        let finished = try stage.topology.router.finish([link, "-f", file] + flags)
                        #expect(finished.status == .exited(1) && finished.output == "", "\(set.testDescription)")
                        let pattern = /^[-0-9]{10}T[:0-9]{8}\.[0-9]{6}Z \S+ usocksd error: "(.*)"\n$/
                        let said = try pattern.wholeMatch(in: finished.errors).map { String($0.output.1) }
                        #expect(said == set.message.replacing("FILE", with: file), "\(set.testDescription)")
                    }
                }
                let u3 = try stage.topology.scratch.write("[outgoing]\niface = tun0\n", to: "bad.toml")
                let finished = try stage.topology.router.finish([link, "-f", u3])
                #expect(finished.status == .exited(1) && finished.errors.contains(" usocksd error: \"toml: line 2: "))
                let missing = try stage.topology.router.finish([link, "-f", "/no/such.toml"])
                #expect(missing.status == .exited(1))
                #expect(missing.errors.contains("usocksd error: \"open /no/such.toml: no such file or directory\"\n"))
            }
        }

        /// Through the link and as a command alike.
        @Test func helpUsageAndVersion() throws {
            try play(Variant(), start: false) { stage in
                let router = stage.topology.router
                let file = try stage.topology.scratch.write("[incoming]\nport = 1090\n", to: "good.toml")
                for program in [[try Usocksd.link(in: stage.topology.scratch)], [clearwayBinary, "usocksd"]] {
                    let help = try router.finish(program + ["-h"])
                    #expect(help.status == .exited(0) && help.output == "" && help.errors.hasPrefix("Usage of usocksd:\n"))
                    let wrong = try router.finish(program + ["-nonsense"])
                    #expect(wrong.status == .exited(2))
                    #expect(wrong.errors.hasPrefix("flag provided but not defined: -nonsense\nUsage of usocksd:\n"))
                    #expect(try router.finish(program + ["-version"]).output.hasPrefix("clearway "))
                    let checked = try router.finish(program + ["-check", "-f", file])
                    #expect(checked.status == .exited(0) && checked.output == "\(file): good\n" && checked.errors == "")
                }
                #expect(try router.listeningPorts() == [])
            }
        }

        @Test func flagsBeatTheFile() throws {
            try play(Variant(), start: false) { stage in
                let toml = "[log]\nfilename = \"/no/such/log\"\nlevel = \"error\"\nformat = \"xml\"\n"
                let log = stage.topology.scratch.file("flags.log")
                let usocksd = try Usocksd(
                    in: stage.topology.router, toml, flags: ["-logfile", log, "--loglevel=debug", "-logformat=json"], logFile: log)
                try usocksd.waitUntilServing()
                #expect(try usocksd.stop() == .exited(0))
                #expect(usocksd.program.standardError == "")
            }
        }

        /// Both of its ports, and a port of the metrics is as good a reason as the other.
        @Test(arguments: [1_080, 1_081])
        func aTakenPortIsSaidInTheLog(port: Int) throws {
            try play(Variant(scope: .local), start: false) { stage in
                _ = try stage.client.listen("0.0.0.0", port: port)
                let file = stage.topology.scratch.file("taken.log")
                let usocksd = try Usocksd(
                    in: stage.topology.router, "[incoming]\naddresses = [\"127.0.0.1\"]\n", flags: ["-logfile", file], logFile: file
                )
                #expect(try usocksd.program.waitForExit() == .exited(1))
                #expect(usocksd.log.contains(/usocksd error: "listen tcp \S+:\d+: bind: address already in use"\n/))
            }
        }

        static func sockets(_ stage: Stage) throws -> Set<String> {
            let lines = try stage.topology.router.require(["ss", "-Hltn"]).split(separator: "\n")
            return Set(lines.compactMap { $0.split(separator: " ").dropFirst(3).first.map(String.init) })
        }
    }
}
