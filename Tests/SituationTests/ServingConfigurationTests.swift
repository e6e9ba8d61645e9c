import Foundation
import Testing

extension Situations {
    /// Configurations with listeners that serve: alone, and beside those that intercept.
    @Suite struct ServingConfiguration {
        private static let minimal = "[[listener]]\nmode = \"socks+http\"\n"
        /// Starts what follows as somebody who may nothing.
        private static let unprivileged =
            ["setpriv"] + (SecureShell.onlyRootExists ? [] : ["--reuid=65534", "--regid=65534", "--clear-groups"])
            + ["--bounding-set=-all", "--inh-caps=-all"]

        /// Three lines of configuration are a proxy, for this host alone, by anybody.
        @Test func threeLinesAreAProxy() throws {
            try play(Variant(), start: false) { stage in
                let router = stage.topology.router
                chmod(router.scratch.path, 0o755)
                try stage.echo(on: 443)
                var configuration = ClearwayConfiguration()
                configuration.listeners = []
                configuration.policy = Self.minimal + "reach = [\"198.51.100.0/24\"]\n"
                let before = try HostState(of: router)
                let file = try router.scratch.write(configuration.toml, to: "readable.toml", mode: 0o644)
                let program = try router.start(Self.unprivileged + [clearwayBinary, "run", "-c", file])
                try waitUntil("it is ready") {
                    guard program.isRunning else { throw SituationError(program.standardError) }
                    return program.standardError.contains("\"ready\"")
                }
                let here = try stage.peer(in: router)
                for host in ["127.0.0.1", "::1"] {
                    let command: [String: Any] = [
                        "host": host, "port": 1080, "count": 3,
                        "request": hexadecimal(Says.greeting + Says.socks5("198.51.100.2", 443)), "reply": 12, "text": "ping",
                    ]
                    #expect(try here.perform("round_trips", command).doubles("seconds").count == 3)
                }
                #expect(
                    try stage.client.perform("attempt", ["host": "192.0.2.1", "port": 1080]).strings("outcomes") == ["ECONNREFUSED"]
                )
                #expect(try HostState(of: router).differences(from: before) == [])
                program.signal(SIGTERM)
                #expect(try program.waitForExit() == .exited(0))
                #expect(
                    !program.standardError.contains("\"warning\"") && !program.standardError.contains("\"error\""),
                    "\(program.standardError)")
            }
        }

        @Test func commandsKnowThatThereIsNothingToMake() throws {
            try play(Variant(), start: false) { stage in
                let router = stage.topology.router
                chmod(router.scratch.path, 0o755)
                let file = try router.scratch.write(Self.minimal, to: "served.toml", mode: 0o644)
                func run(_ arguments: String...) throws -> Finished {
                    let finished = try router.finish(Self.unprivileged + [clearwayBinary] + arguments + ["-c", file])
                    #expect(finished.status == .exited(0), "\(arguments): \(finished.output)\(finished.errors)")
                    return finished
                }
                #expect(try run("check").output.contains("1 listener: socks-http-1080 (socks+http 127.0.0.1:1080, [::1]:1080)"))
                let examined = try run("doctor").output
                #expect(examined.contains("no listener intercepts") && examined.contains("note: net.ipv4.tcp_tw_reuse: is 2:"))
                for format in ["nft", "iptables", "shell"] {
                    #expect(
                        try run("rules", "--format", format).output
                            == "# No listener intercepts anything: there are no rules to make.\n")
                }
            }
        }

        @Test func anOpenProxyIsRefused() throws {
            try play(Variant(), start: false) { stage in
                let router = stage.topology.router
                for (keys, word) in [
                    ("listen = \"[::]:1080\"", "anybody"), ("listen = \"192.0.2.1:1080\"", "anybody"),
                    ("listen = \"[::]:1080\"\nclients = []", "nobody"),
                ] {
                    let file = try router.scratch.write(Self.minimal + keys + "\n", to: "open.toml")
                    for command in ["check", "run"] {
                        let finished = try router.finish([clearwayBinary, command, "-c", file])
                        #expect(
                            finished.status == .exited(78) && (finished.output + finished.errors).contains(word),
                            "\(command): \(finished.errors)")
                    }
                }
            }
        }

        /// What is served is not intercepted, and what is intercepted not served.
        @Test(arguments: [Variant(), Variant(mode: .redirect), Variant(family: .v6), Variant(scope: .local)])
        func besideInterception(variant: Variant) throws {
            var configuration = ClearwayConfiguration(variant)
            configuration.policy =
                ClearwayConfiguration.servedListener(
                    "socks+http", clients: ["192.0.2.0/24", "2001:db8:1::/64", "127.0.0.0/8"], more: "ports = 443")
                + "[[rule]]\nlistener = \"served\"\nport = 444\naction = \"reject\"\n"
            try play(variant, configuration: configuration) { stage in
                let router = stage.topology.router
                try stage.echo(on: 443)
                #expect(try stage.echoes(443))
                let proxy = variant.scope == .local ? "127.0.0.1" : variant.family.routerTowardsClient
                let heard = try stage.exchange(
                    [Says.greeting + Says.socks5(variant.family.server, 443), Says.connect("\(variant.family.serverHost):443")].map
                    {
                        Exchange("", $0, then: .fin)
                    }, host: proxy)
                #expect(heard[0].hex.hasPrefix("05000500") && heard[1].text.hasPrefix("HTTP/1.1 200 "))
                // Our own connections are not caught: each is one session.
                let listeners = try stage.clearway.waitForSessions(3).map { $0.string("listener") }
                #expect(listeners.sorted() == ["served", "served", "test"])
                let file = try stage.clearway.configurationFile
                #expect(try router.require([clearwayBinary, "check", "-c", file]).contains("2 listeners"))
                #expect(try router.require([clearwayBinary, "rules", "-c", file]).contains("1081"))
                #expect(try !router.require([clearwayBinary, "rules", "-c", file]).contains("1080"))
            }
        }
    }
}
