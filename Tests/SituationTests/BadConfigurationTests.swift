import Foundation
import Testing

extension PatientSituations {
    /// What is wrong with a configuration is said with its place, by `check` and by `run` alike.
    @Suite struct BadConfiguration {
        struct Mistake: CustomTestStringConvertible {
            let testDescription: String
            let line: Int
            /// What the message must mention.
            let word: String
            let toml: String
        }

        static let mistakes = [
            Mistake(testDescription: "syntax error", line: 2, word: "", toml: "workers = 1\nlog = = 2\n"),
            Mistake(testDescription: "unknown key", line: 2, word: "workers", toml: "# a word\nworker = 1\n"),
            Mistake(
                testDescription: "unknown key in a table", line: 2, word: "half_close", toml: "[timeouts]\nhalf_closed = \"1s\"\n"),
            Mistake(testDescription: "wrong type", line: 1, word: "workers", toml: "workers = \"two\"\n"),
            Mistake(testDescription: "bad duration", line: 2, word: "idle", toml: "[timeouts]\nidle = \"soon\"\n"),
            Mistake(testDescription: "bad mode", line: 2, word: "tproxy", toml: "[[listener]]\nmode = \"tpoxy\"\n"),
            Mistake(testDescription: "bad network", line: 5, word: "10.0.0.0/33", toml: listener("exclude = [\"10.0.0.0/33\"]")),
            Mistake(
                testDescription: "bad address", line: 3, word: "",
                toml: "[[listener]]\nlocal = true\nlisten = [\"1.2.3.400:1081\"]\n"),
            Mistake(testDescription: "port 0", line: 3, word: "0", toml: "[[listener]]\nlocal = true\nlisten = [\"[::]:0\"]\n"),
            Mistake(
                testDescription: "port 70000", line: 3, word: "70000",
                toml: "[[listener]]\nlocal = true\nlisten = [\"[::]:70000\"]\n"),
            Mistake(testDescription: "intercepted port 0", line: 5, word: "0", toml: listener("ports = [\"0\"]")),
            Mistake(testDescription: "intercepted port 70000", line: 5, word: "70000", toml: listener("ports = [\"1-70000\"]")),
            Mistake(
                testDescription: "duplicate listener", line: 8, word: "1081",
                toml: listener("") + listener("").replacing("one", with: "two")),
            Mistake(
                testDescription: "duplicate name", line: 7, word: "one",
                toml: listener("") + listener("").replacing("1081", with: "1082")),
            Mistake(
                testDescription: "authorities that are not there", line: 3, word: "no/such.pem",
                toml: "[[upstream]]\nname = \"dc\"\nurl = \"https://10.0.0.1:1080?ca=no/such.pem\"\n"),
            Mistake(testDescription: "unknown upstream", line: 2, word: "nowhere", toml: "[[rule]]\naction = \"nowhere\"\n"),
            Mistake(
                testDescription: "priority before connection tracking", line: 7, word: "-250",
                toml: listener("") + "[firewall]\npriority = -250\n"),
            Mistake(testDescription: "missing interface", line: 5, word: "eth9", toml: listener("interfaces = [\"eth9\"]")),
        ]

        /// Five lines, of which `key` is the last.
        private static func listener(_ key: String) -> String {
            "[[listener]]\nname = \"one\"\nlisten = [\"[::]:1081\"]\nlocal = true\n\(key)\n"
        }

        @Test(arguments: mistakes)
        func itsPlaceIsSaid(mistake: Mistake) throws {
            try play(Variant(), start: false) { stage in
                let router = stage.topology.router
                let file = try stage.topology.scratch.write(mistake.toml, to: "bad.toml")
                let before = try HostState(of: router)
                for command in ["check", "run"] {
                    let finished = try router.finish([clearwayBinary, command, "-c", file])
                    let said = finished.output + finished.errors
                    #expect(finished.status == .exited(78), "\(command): \(said)")
                    let places = said.matches(of: #/bad\.toml:(\d+):(\d+): error: (.*)/#)
                    #expect(places.contains { Int($0.output.1) == mistake.line }, "\(command): \(said)")
                    #expect(mistake.word.isEmpty || said.contains(mistake.word), "\(command): \(said)")
                }
                #expect(try HostState(of: router).differences(from: before) == [])
            }
        }

        @Test func aGoodOneIsOneLine() throws {
            try play(Variant(), start: false) { stage in
                let file = try stage.topology.scratch.write(ClearwayConfiguration().toml, to: "good.toml")
                let finished = try stage.topology.router.finish([clearwayBinary, "check", "-c", file])
                #expect(finished.status == .exited(0))
                #expect((finished.output + finished.errors).split(separator: "\n").count == 1)
            }
        }

        @Test func theOneThatIsReadIsNamed() throws {
            try play(Variant(), start: false) { stage in
                func check(_ preparation: String) throws -> String {
                    let script = "mount -t tmpfs tmpfs /etc && \(preparation) && exec \(clearwayBinary) check"
                    return try stage.topology.router.finish(["unshare", "--mount", "sh", "-c", script]).output
                }
                let file = "/etc/clearway/clearway.toml"
                let without = try check("true")
                let with = try check("mkdir /etc/clearway && : >\(file)")
                #expect(without.hasPrefix("default configuration: good: 1 listener"))
                #expect(with.hasPrefix("\(file): good: 1 listener"))
            }
        }

        @Test func anEmptyOneIsTheDefault() throws {
            try play(Variant(scope: .local), start: false) { stage in
                let file = try stage.topology.scratch.write("", to: "empty.toml")
                #expect(try stage.topology.router.finish([clearwayBinary, "check", "-c", file]).status == .exited(0))
            }
        }

        @Test func aMissingFileIsSaid() throws {
            try play(Variant(), start: false) { stage in
                let file = stage.topology.scratch.file("missing.toml")
                for command in ["check", "run"] {
                    let finished = try stage.topology.router.finish([clearwayBinary, command, "-c", file])
                    #expect(finished.status == .exited(78))
                    #expect((finished.output + finished.errors).contains("missing.toml"))
                }
            }
        }

        @Test func aWrongOptionIsUsage() throws {
            try play(Variant(), start: false) { stage in
                let finished = try stage.topology.router.finish([clearwayBinary, "run", "--no-such-option"])
                #expect(finished.status == .exited(64))
            }
        }
    }
}
