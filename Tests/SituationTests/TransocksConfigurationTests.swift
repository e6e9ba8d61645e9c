import Foundation
import Testing

extension Situations {
    /// transocks' command line and configuration file: the sets T1 to T7 of its contract, run.
    @Suite struct TransocksFiles {
        private static let proxy = "proxy_url = \"socks5://10.20.30.40:1080\"\n"

        struct Good: CustomTestStringConvertible, Sendable {
            var testDescription: String
            var toml: String
            /// What it listens on, as `ss` shows it.
            var sockets: Set<String>
        }

        static let good = [
            Good(testDescription: "T1 minimal", toml: proxy, sockets: ["127.0.0.1:1081", "[::1]:1081"]),
            Good(
                testDescription: "T3 gateway and HTTP",
                toml: "listen = \"0.0.0.0:12345\"\nproxy_url = \"http://127.0.0.1:3128\"\n[log]\nlevel = \"info\"\n",
                sockets: ["0.0.0.0:12345", "[::]:12345"]),
            Good(
                testDescription: "T4 credentials and IPv6",
                toml: "listen = \"[::1]:1081\"\nproxy_url = \"http://u%40x:p%3Aw@[2001:db8::1]:3128\"\n", sockets: ["[::1]:1081"]),
            Good(
                testDescription: "T5 in any case",
                toml: "Listen = \"127.0.0.1:1081\"\nPROXY_URL = \"socks5://10.20.30.40:1080\"\n[LOG]\nLevel = \"debug\"\n",
                sockets: ["127.0.0.1:1081"]),
        ]

        @Test(arguments: good)
        func itStarts(set: Good) throws {
            try play(Variant(), start: false) { stage in
                let transocks = try Transocks(in: stage.topology.router, set.toml)
                try transocks.waitUntilServing()
                #expect(try Self.sockets(stage) == set.sockets)
                #expect(try transocks.stop() == .exited(0))
                // Time, host, topic, level, message.
                #expect(
                    transocks.log.contains(
                        /^[-0-9]{10}T[:0-9]{8}\.[0-9]{6}Z \S+ transocks info: "well: new child" pid=[0-9]+$/
                            .anchorsMatchLineEndings()))
            }
        }

        /// `level = "error"`: it starts without a word.
        @Test func t3IsSilent() throws {
            try play(Variant(), start: false) { stage in
                let toml = "listen = \"0.0.0.0:12345\"\nproxy_url = \"http://127.0.0.1:3128\"\n[log]\nlevel = \"error\"\n"
                let transocks = try Transocks(in: stage.topology.router, toml)
                try stage.topology.router.waitUntilListening(on: 12_345)
                #expect(try transocks.stop() == .exited(0))
                #expect(transocks.log == "")
            }
        }

        @Test func t2LogsToItsFileInJSON() throws {
            try play(Variant(), start: false) { stage in
                let file = stage.topology.scratch.file("transocks.log")
                // Something that ended in mid-line was there before.
                try stage.topology.scratch.write("{\"half\":", to: "transocks.log")
                let toml = """
                    listen = "localhost:1081"
                    proxy_url = "socks5://10.20.30.40:1080"
                    [log]
                    filename = "\(file)"
                    level = "info"
                    format = "json"

                    """
                let transocks = try Transocks(in: stage.topology.router, toml, logFile: file)
                try transocks.waitUntilServing()
                #expect(try transocks.stop() == .exited(0))
                #expect(transocks.program.standardError == "")
                let lines = transocks.log.split(separator: "\n")
                #expect(lines.first == "{\"half\":")
                for line in lines.dropFirst() {
                    #expect(
                        line.contains(
                            /^\{"topic":"transocks","logged_at":"[^"]+","severity":"(info|warning)","utsname":"[^"]+","message":"/))
                    #expect(try JSONSerialization.jsonObject(with: Data(line.utf8)) is [String: Any])
                }
            }
        }

        struct Bad: CustomTestStringConvertible, Sendable {
            var testDescription: String
            var toml: String
            var message: String
        }

        static let bad = [
            Bad(
                testDescription: "T6 names of version 0.1",
                toml: "listen = \"localhost:1081\"\n\(proxy)log_level = \"info\"\nlog_file = \"/var/log/transocks.log\"\n",
                message: "undecoded key in TOML: [log_level log_file]"),
            Bad(testDescription: "T7 empty", toml: "", message: "proxy: unknown scheme: "),
            Bad(
                testDescription: "T7 another scheme", toml: "proxy_url = \"ftp://10.0.0.1:443\"\n",
                message: "proxy: unknown scheme: ftp"),
            Bad(
                testDescription: "T7 wrong type", toml: "listen = 1081\n",
                message: "cannot load TOML value of type int64 into a Go string (key listen)"),
            Bad(testDescription: "T7 level", toml: proxy + "[log]\nlevel = \"verbose\"\n", message: "no such level: verbose"),
            Bad(testDescription: "T7 format", toml: proxy + "[log]\nformat = \"xml\"\n", message: "invalid format: xml"),
            Bad(testDescription: "T7 mode", toml: proxy + "mode = \"tproxy\"\n", message: "undecoded key in TOML: [mode]"),
            Bad(
                testDescription: "no port", toml: "proxy_url = \"socks5://10.0.0.1\"\n",
                message: "proxy_url: address 10.0.0.1: missing port in address"),
        ]

        /// At once, before anything listens, and in the format plain whatever the file says.
        @Test(arguments: bad)
        func itIsRefused(set: Bad) throws {
            try play(Variant(), start: false) { stage in
                let file = try stage.topology.scratch.write(set.toml, to: "bad.toml")
                let link = try Transocks.link(in: stage.topology.scratch)
                for flags in [[], ["-check"], ["-logfile", stage.topology.scratch.file("unused.log")]] {
                    let finished = try stage.topology.router.finish([link, "-f", file] + flags)
                    #expect(finished.status == .exited(1))
                    #expect(finished.output == "")
                    let pattern = /^[-0-9]{10}T[:0-9]{8}\.[0-9]{6}Z \S+ transocks error: "(.*)"\n$/
                    #expect(try pattern.wholeMatch(in: finished.errors).map { String($0.output.1) } == set.message)
                }
            }
        }

        @Test func aMissingFileIsAnError() throws {
            try play(Variant(), start: false) { stage in
                let finished = try stage.topology.router.finish([clearwayBinary, "transocks", "-f", "/no/such.toml"])
                #expect(finished.status == .exited(1))
                #expect(finished.errors.contains("transocks error: \"open /no/such.toml: no such file or directory\"\n"))
                // Where nobody has one, that is the default.
                let script = "mount -t tmpfs tmpfs /etc && exec \(try Transocks.link(in: stage.topology.scratch))"
                let unnamed = try stage.topology.router.finish(["unshare", "--mount", "sh", "-c", script])
                #expect(unnamed.status == .exited(1))
                #expect(unnamed.errors.contains("open /etc/transocks.toml: no such file or directory"))
            }
        }

        /// As the unit files in the field have it: no arguments at all.
        @Test func theDefaultFileIsRead() throws {
            try play(Variant(), start: false) { stage in
                let link = try Transocks.link(in: stage.topology.scratch)
                let script = "mount -t tmpfs tmpfs /etc && cp \"$0\" /etc/transocks.toml && exec \(link)"
                let file = try stage.topology.scratch.write(Self.proxy, to: "transocks.toml")
                let program = try stage.topology.router.start(["unshare", "--mount", "sh", "-c", script, file])
                try waitUntil("transocks serves") { program.standardError.contains("well: new child") }
                #expect(try Self.sockets(stage) == ["127.0.0.1:1081", "[::1]:1081"])
                program.signal(SIGTERM)
                #expect(try program.waitForExit() == .exited(0))
            }
        }

        /// Through the link and as a command alike; each flag beats its key.
        @Test(arguments: [
            ["-f", "FILE", "-logfile", "LOG", "-loglevel", "debug", "-logformat", "json"],
            ["--f", "FILE", "--logfile", "LOG", "--loglevel", "debug", "--logformat", "json", "ignored"],
            ["-f=FILE", "-logfile=LOG", "-loglevel=debug", "-logformat=json"],
            ["--f=FILE", "--logfile=LOG", "--loglevel=debug", "--logformat=json"],
        ])
        func flagsBeatTheFile(flags: [String]) throws {
            try play(Variant(), start: false) { stage in
                let scratch = stage.topology.scratch
                let file = try scratch.write(
                    "listen = \"127.0.0.1:1081\"\n\(Self.proxy)[log]\nfilename = \"/no/such/log\"\nlevel = \"error\"\nformat = \"xml\"\n",
                    to: "flags.toml")
                for (index, program) in [[try Transocks.link(in: scratch)], [clearwayBinary, "transocks"]].enumerated() {
                    let log = scratch.file("flags-\(index).log")
                    let words = flags.map { $0.replacing("FILE", with: file).replacing("LOG", with: log) }
                    let running = try stage.topology.router.start(program + words)
                    try waitUntil("it serves") {
                        (try? String(contentsOfFile: log, encoding: .utf8))?.contains(/"severity":"info".*"well: new child"/)
                            == true
                    }
                    running.signal(SIGTERM)
                    #expect(try running.waitForExit() == .exited(0))
                    #expect(running.standardError == "")
                }
            }
        }

        @Test func helpUsageAndVersion() throws {
            try play(Variant(), start: false) { stage in
                let router = stage.topology.router
                for program in [[try Transocks.link(in: stage.topology.scratch)], [clearwayBinary, "transocks"]] {
                    for flag in ["-h", "--help", "-help"] {
                        let finished = try router.finish(program + [flag])
                        #expect(finished.status == .exited(0))
                        #expect(finished.output == "" && finished.errors.hasPrefix("Usage of transocks:\n"))
                    }
                    let wrong = try router.finish(program + ["-nonsense"])
                    #expect(wrong.status == .exited(2))
                    #expect(wrong.errors.hasPrefix("flag provided but not defined: -nonsense\nUsage of transocks:\n"))
                    #expect(try router.finish(program + ["-version"]).output.hasPrefix("clearway "))
                    let file = try stage.topology.scratch.write(Self.proxy, to: "good.toml")
                    let checked = try router.finish(program + ["-check", "-f", file])
                    #expect(checked.status == .exited(0) && checked.output == "\(file): good\n" && checked.errors == "")
                }
                #expect(try router.listeningPorts() == [])
            }
        }

        /// The log is open by then: it is where people look.
        @Test func aTakenPortIsSaidInTheLog() throws {
            try play(Variant(scope: .local), start: false) { stage in
                _ = try stage.client.listen("127.0.0.1", port: 1081)
                let file = stage.topology.scratch.file("taken.log")
                let transocks = try Transocks(
                    in: stage.topology.router, "listen = \"127.0.0.1:1081\"\n" + Self.proxy, flags: ["-logfile", file],
                    logFile: file)
                #expect(try transocks.program.waitForExit() == .exited(1))
                #expect(transocks.log.contains("transocks error: \"listen tcp 127.0.0.1:1081: bind: address already in use\"\n"))
            }
        }

        @Test func aLogThatCannotBeOpenedIsSaidOnStandardError() throws {
            try play(Variant(), start: false) { stage in
                let file = try stage.topology.scratch.write(Self.proxy, to: "good.toml")
                let link = try Transocks.link(in: stage.topology.scratch)
                let finished = try stage.topology.router.finish([link, "-f", file, "-logfile", "/no/such/directory/log"])
                #expect(finished.status == .exited(1))
                #expect(
                    finished.errors.hasSuffix(
                        " transocks error: \"cannot open the log file /no/such/directory/log: No such file or directory\"\n"))
            }
        }

        private static func sockets(_ stage: Stage) throws -> Set<String> {
            let lines = try stage.topology.router.require(["ss", "-Hltn"]).split(separator: "\n")
            return Set(lines.compactMap { $0.split(separator: " ").dropFirst(3).first.map(String.init) })
        }
    }
}
