import Foundation
import Testing

extension Situations {
    /// Rules whose names and networks stand in files, which change while Clearway runs.
    @Suite struct NamedFiles {
        private static let policy = """
            [[rule]]
            domain_file = "blocked.txt"
            action = "reject"
            [[rule]]
            destination_file = "networks.txt"
            action = "reject"
            """

        /// Whether a page under that name comes.
        private func isOpen(_ stage: Stage, _ name: String) throws -> Bool {
            let finished = try stage.topology.client.finish([
                "curl", "-sS", "--noproxy", "*", "--max-time", "10", "--resolve",
                "\(name):80:\(stage.variant.family == .v6 ? "[\(stage.variant.family.server)]" : stage.variant.family.server)",
                "http://\(name)/page",
            ])
            return finished.output == "the page\n"
        }

        private func startServer(_ stage: Stage) throws {
            try stage.topology.scratch.write("the page\n", to: "page")
            _ = try stage.topology.server.start([
                "/usr/bin/python3", "-m", "http.server", "80", "--bind", "::", "--directory", stage.topology.scratch.path,
            ])
            try stage.topology.server.waitUntilListening(on: 80)
        }

        @Test(arguments: [Variant(mover: .copy), Variant(mover: .splice, family: .v6)])
        func newListsAreForNewSessions(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let scratch = stage.topology.scratch
                try scratch.write("# a list\r\nblocked.test\r\n*.Blocked.test\r\nmünchen.test\r\n", to: "blocked.txt")
                try scratch.write("203.0.113.0/24\n2001:db8:ffff::/48\n", to: "networks.txt")
                var configuration = ClearwayConfiguration(variant, timeouts: "sniff = \"1s\"")
                configuration.policy = Self.policy
                let clearway = try stage.startClearway(configuration)
                try startServer(stage)

                for name in ["blocked.test", "www.blocked.test", "xn--mnchen-3ya.test"] { #expect(try !isOpen(stage, name)) }
                for name in ["news.test", "notblocked.test"] { #expect(try isOpen(stage, name)) }
                let elsewhere = variant.family == .v6 ? "2001:db8:ffff::1" : "203.0.113.1"
                #expect(try stage.client.perform("attempt", ["host": elsewhere, "port": 80]).strings("outcomes") == ["ECONNRESET"])

                // A session under a name that the next list forbids.
                let (open, served) = try stage.connected()
                let request = "GET / HTTP/1.1\r\nHost: news.test\r\n\r\n"
                try stage.client.send(open, request)
                #expect(try stage.server.receive(served, request.utf8.count) == request)

                try scratch.write("news.test", to: "blocked.txt")
                clearway.program.signal(SIGHUP)
                try waitUntil("the new list in force") { try !isOpen(stage, "news.test") }
                for name in ["blocked.test", "xn--mnchen-3ya.test"] { #expect(try isOpen(stage, name)) }
                try stage.server.send(served, "pong")
                #expect(try stage.client.receive(open, 4) == "pong")
                try stage.client.send(open, "ping")
                #expect(try stage.server.receive(served, 4) == "ping")
                #expect(clearway.log.contains("\"reloaded\""))
            }
        }

        /// An error in a list refuses the reload as one in the configuration does, and so does a list that is gone.
        @Test func aBadListIsRefused() throws {
            let variant = Variant()
            try play(variant, start: false) { stage in
                let scratch = stage.topology.scratch
                try scratch.write("blocked.test\n", to: "blocked.txt")
                try scratch.write("203.0.113.0/24\n", to: "networks.txt")
                var configuration = ClearwayConfiguration(variant, timeouts: "sniff = \"1s\"")
                configuration.policy = Self.policy
                let clearway = try stage.startClearway(configuration)
                try startServer(stage)

                try scratch.write("news.test\n0.0.0.0 ads.test\n", to: "blocked.txt")
                clearway.program.signal(SIGHUP)
                try waitUntil("a word about the bad list") { clearway.log.contains("blocked.txt:2:1: error: ") }
                #expect(try !isOpen(stage, "blocked.test"))
                #expect(try isOpen(stage, "news.test"))

                unlink(scratch.file("blocked.txt"))
                clearway.program.signal(SIGHUP)
                try waitUntil("a word about the missing list") { clearway.log.contains("No such file or directory") }
                #expect(try !isOpen(stage, "blocked.test"))

                // A FIFO that nobody writes to: a reload that waited for it would never serve people again.
                mkfifo(scratch.file("blocked.txt"), 0o600)
                clearway.program.signal(SIGHUP)
                try waitUntil("a word about the FIFO") { clearway.log.contains("it is a FIFO") }
                #expect(try !isOpen(stage, "blocked.test"))
                unlink(scratch.file("blocked.txt"))

                let finished = try stage.topology.router.finish([clearwayBinary, "check", "-c", clearway.configurationFile])
                #expect(finished.status == .exited(78))
                #expect(finished.errors.contains(/clearway\.toml:\d+:15: error: domain_file: ".*\/blocked\.txt" cannot be read/))
            }
        }

        /// A list without entries makes a rule for nobody, and not one for everybody.
        @Test func anEmptyListRejectsNobody() throws {
            let variant = Variant()
            try play(variant, start: false) { stage in
                let scratch = stage.topology.scratch
                try scratch.write("# nothing\n", to: "blocked.txt")
                try scratch.write("", to: "networks.txt")
                var configuration = ClearwayConfiguration(variant, timeouts: "sniff = \"1s\"")
                configuration.policy = Self.policy
                let clearway = try stage.startClearway(configuration)
                try startServer(stage)
                #expect(try isOpen(stage, "blocked.test"))
                #expect(clearway.log.contains("blocked.txt has no entries: rule 1 never decides"))
                #expect(clearway.log.contains("networks.txt has no entries: rule 2 never decides"))

                try scratch.write("blocked.test", to: "blocked.txt")
                clearway.program.signal(SIGHUP)
                try waitUntil("the list in force") { try !isOpen(stage, "blocked.test") }
            }
        }
    }
}
