import Foundation
import Testing

@testable import ClearwayServer

/// What `explain` says of listeners that intercept, and what is warned about there.
@Suite struct ExplainInterceptedTests {
    private func with(_ text: String, _ body: (String) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("intercepted-\(UUID().uuidString).toml").path
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    /// A gateway's configuration, asked about elsewhere.
    @Test func whatNoListenerInterceptsIsSaid() throws {
        let text = """
            [[listener]]
            name = "web"
            interfaces = "no-such-if"
            ports = 80
            clients = "10.0.0.0/8"
            exclude = "192.168.0.0/16"
            [[listener]]
            name = "mail"
            listen = "[::]:1082"
            interfaces = "no-such-if"
            ports = 25
            destinations = ["192.0.2.0/24", "192.168.0.0/16"]
            [[rule]]
            listener = "mail"
            action = "reject"
            """
        try with(text) { path throws in
            #expect(throws: Failure.self) { try loadConfiguration(path) }
            func explained(_ destination: String, client: String? = nil, listener: String? = nil) throws -> String {
                try explain(configurationAt: path, destination: destination, client: client, name: nil, listener: listener)
                    .replacing(path, with: "F")
            }
            #expect(try explained("192.0.2.1:80", client: "10.1.2.3") == "no rule (default): direct to 192.0.2.1:80")
            #expect(try explained("192.0.2.1:25") == "rule 1 (F:13): rejected")
            let rows: [(String, String?, String?, String)] = [
                ("192.0.2.1:443", nil, nil, "no listener intercepts such traffic (ports): it takes the direct way"),
                (
                    "192.0.2.1:80", "172.16.0.1", nil,
                    "no listener intercepts such traffic (clients, ports): it takes the direct way"
                ),
                ("192.168.0.1:80", nil, nil, "no listener intercepts such traffic (exclude, ports): it takes the direct way"),
                ("198.51.100.1:25", nil, nil, "no listener intercepts such traffic (ports, destinations): it takes the direct way"),
                ("192.0.2.1:25", nil, "web", #"--listener: "web" does not intercept such traffic (ports)"#),
            ]
            for (destination, client, listener, message) in rows {
                #expect {
                    _ = try explained(destination, client: client, listener: listener)
                } throws: {
                    guard let failure = $0 as? Failure else { return false }
                    return failure.code == .usage && failure.description == message
                }
            }
        }
    }

    /// By the name of a request nothing is allowed, and no proxy chosen, before the resolver knows it.
    @Test func aClaimedNameIsSaidToBeOne() throws {
        let text = """
            [[listener]]
            name = "web"
            local = true
            http = true
            [[listener]]
            name = "plain"
            listen = "[::]:1082"
            local = true
            [[upstream]]
            name = "p"
            url = "http://10.0.0.1:3128"
            [[rule]]
            domain = "a.example"
            action = "p"
            [[rule]]
            domain = "b.example"
            action = "reject"
            """
        try with(text) { path throws in
            func explained(_ request: RequestWords = RequestWords(), name: String? = nil, listener: String? = nil) throws
                -> [String]
            {
                try explain(
                    configurationAt: path, destination: "192.0.2.1:80", client: nil, name: name, listener: listener,
                    request: request
                ).replacing(path, with: "F").split(separator: "\n").map(String.init)
            }
            let rule = "rule 1 (F:12): upstream p (http 10.0.0.1:3128), asked for a.example:80"
            let claim =
                "only if this host's resolver finds 192.0.2.1 by a.example; else no rule (default): direct to 192.0.2.1:80"
            #expect(try explained(name: "a.example") == [rule, "of a request of HTTP \(claim)"])
            #expect(try explained(RequestWords(url: "http://a.example/")) == [rule, claim])
            // What is rejected, is so by the claim; and where HTTP is not understood, names are good for choosing.
            #expect(try explained(name: "b.example") == ["rule 2 (F:15): rejected"])
            #expect(try explained(name: "a.example", listener: "plain") == [rule])
        }
    }

    @Test func whatDatagramsDoNotHaveIsWarnedAbout() throws {
        let text = """
            [log]
            file = "/no/such/directory/x.log"
            [[listener]]
            name = "all"
            local = true
            http = true
            protocols = ["tcp", "udp"]
            [[rule]]
            protocol = "udp"
            domain = "a.example"
            action = "reject"
            [[rule]]
            protocol = "udp"
            path = "/x"
            action = "reject"
            [[rule]]
            protocol = "udp"
            port = 443
            action = "reject"
            """
        try with(text) { path throws in
            #expect(
                warnings(of: try loadConfiguration(path)).map { $0.replacing(path, with: "F") } == [
                    "F:8:3: warning: rule 1 never decides: no name is looked for in datagrams that are intercepted",
                    "F:12:3: warning: rule 2 never decides: datagrams are no requests",
                    #"log.file: there is no directory "/no/such/directory", and "clearway run" makes none: it could not open its log"#,
                ])
        }
    }
}
