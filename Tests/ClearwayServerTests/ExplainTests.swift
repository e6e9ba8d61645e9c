import Foundation
import Testing

@testable import ClearwayServer

/// What `explain` says of sessions and datagrams.
@Suite struct ExplainTests {
    private static let text = """
        [[listener]]
        name = "lan"
        local = true
        [[upstream]]
        name = "dc"
        url = "socks5h://me:secret@10.0.0.1:1080"
        [[rule]]
        domain = "*.partner.example"
        port = 443
        action = "dc"
        [[rule]]
        destination = "203.0.113.0/24"
        client = "10.1.0.0/16"
        action = "reject"
        [[rule]]
        destination = ["203.0.113.7"]
        client = "10.1.2.0/24"
        action = "dc"
        """

    private func withFile<Value>(_ body: (String) throws -> Value) throws -> Value {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("explain-\(UUID().uuidString).toml").path
        try Self.text.write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }

    private func explained(
        _ destination: String, client: String? = nil, name: String? = nil, listener: String? = nil
    ) throws -> String {
        try withFile { path in
            try explain(configurationAt: path, destination: destination, client: client, name: name, listener: listener)
                .replacing(path, with: "FILE")
        }
    }

    @Test func theDecisionIsSaid() throws {
        #expect(
            try explained("203.0.113.7:443", client: "10.1.2.3", name: "Shop.Partner.Example")
                == "rule 1 (FILE:7): upstream dc (socks5h 10.0.0.1:1080), asked for shop.partner.example:443")
        #expect(try explained("203.0.113.7:80", client: "10.1.2.3") == "rule 2 (FILE:11): rejected")
        #expect(try explained("[2001:db8::1]:80", listener: "lan") == "no rule (default): direct to [2001:db8::1]:80")
    }

    @Test func thatANameCouldChangeItIsSaid() throws {
        let text = try explained("203.0.113.7:443", client: "10.1.2.3")
        #expect(text.hasPrefix("rule 2 (FILE:11): rejected\na name could change this: "))
        #expect(try !explained("203.0.113.7:443", client: "10.1.2.3", name: "other.example").contains("\n"))
    }

    @Test func noNameIsLookedForWhereTheServerSpeaksFirst() throws {
        #expect(
            try explained("203.0.113.7:22", client: "10.1.2.3", name: "shop.partner.example")
                == "rule 2 (FILE:11): rejected\nno name is looked for on port 22, where the server speaks first")
        #expect(try explained("203.0.113.7:22", client: "10.1.2.3") == "rule 2 (FILE:11): rejected")
    }

    @Test func aNameMayBeInAnyScript() throws {
        #expect(
            try explained("203.0.113.7:443", name: "Bücher。Partner.example")
                == "rule 1 (FILE:7): upstream dc (socks5h 10.0.0.1:1080), asked for xn--bcher-kva.partner.example:443")
    }

    @Test func nonsenseIsRefused() throws {
        for (destination, client, name, listener) in [
            ("203.0.113.7", nil, nil, nil), ("203.0.113.7:0", nil, nil, nil), ("host:1", nil, nil, nil),
            ("203.0.113.7:1", "x", nil, nil),
            ("203.0.113.7:1", nil, "a b", nil), ("203.0.113.7:1", nil, "127.1", nil), ("203.0.113.7:1", nil, "１２７。1", nil),
            ("203.0.113.7:1", nil, "☃.example", nil), ("203.0.113.7:1", nil, nil, "wan"),
        ] as [(String, String?, String?, String?)] {
            #expect {
                _ = try explained(destination, client: client, name: name, listener: listener)
            } throws: { ($0 as? Failure)?.code == .usage }
        }
    }

    @Test func aShadowedRuleIsWarnedAbout() throws {
        try withFile { path in
            let lines = warnings(of: try loadConfiguration(path)).map { $0.replacing(path, with: "FILE") }
            #expect(lines == ["FILE:15:3: warning: rule 3 never decides: rule 2 (line 11) matches all that it matches"])
        }
    }

    @Test func protocolsAreToldApart() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("udp-\(UUID().uuidString).toml").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let text = """
            [[listener]]
            name = "web"
            local = true
            [[listener]]
            name = "all"
            listen = "[::]:1082"
            local = true
            protocols = ["tcp", "udp"]
            [[listener]]
            name = "office"
            mode = "socks"
            protocols = ["tcp", "udp"]
            [[upstream]]
            name = "old"
            url = "http://10.0.0.1:3128"
            [[rule]]
            protocol = "udp"
            port = 443
            action = "reject"
            [[rule]]
            protocol = "udp"
            listener = "web"
            action = "reject"
            [[rule]]
            protocol = "udp"
            domain = "a.example"
            action = "reject"
            [[rule]]
            protocol = "udp"
            port = 53
            action = "old"
            [[rule]]
            port = [53, 54]
            protocol = "tcp"
            action = "old"
            [[rule]]
            port = 54
            action = "reject"
            [[rule]]
            port = 53
            protocol = "udp"
            client = "10.0.0.0/8"
            action = "reject"
            """
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        func explained(_ destination: String, udp: Bool = true, name: String? = nil, listener: String? = nil) throws -> String {
            try explain(
                configurationAt: path, destination: destination, client: nil, name: name, listener: listener, udp: udp
            ).replacing(path, with: "F")
        }
        #expect(try explained("192.0.2.1:443") == "rule 1 (F:16): rejected")
        #expect(try explained("192.0.2.1:443", udp: false).hasPrefix("no rule (default): direct to 192.0.2.1:443"))
        #expect(
            try explained("192.0.2.1:53")
                == "rule 4 (F:28): upstream old (http 10.0.0.1:3128), asked for 192.0.2.1:53\n"
                + "none of these proxies carries UDP: only SOCKS5 does")
        // Whom we serve says names; in datagrams that are intercepted nobody looks.
        #expect(
            try explained("192.0.2.1:9", name: "a.example")
                == "no rule (default): direct to 192.0.2.1:9\nno name is looked for in datagrams")
        #expect(try explained("192.0.2.1:9", name: "a.example", listener: "office").hasSuffix("rule 3 (F:24): rejected"))
        #expect { try explained("192.0.2.1:9", listener: "web") } throws: {
            ($0 as? Failure)?.description.contains("\"web\" does not carry udp") == true
        }
        #expect(try explained("192.0.2.1:54", udp: false).hasPrefix("rule 5 (F:32): "))
        // The rule for TCP does not shadow the one for all; the one for datagrams shadows its like.
        #expect(
            warnings(of: try loadConfiguration(path)).map { $0.replacing(path, with: "F") } == [
                "F:39:3: warning: rule 7 never decides: rule 4 (line 28) matches all that it matches",
                "F:20:3: warning: rule 2 never decides: no listener of it carries udp (protocols)",
            ])
    }

    /// Lists stand beside the configuration, and every command reads them.
    @Test func rulesOfListsAreExplainedAndEmptyOnesWarnedAbout() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("lists-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        func write(_ text: String, _ name: String) throws {
            try text.write(toFile: "\(directory)/\(name)", atomically: true, encoding: .utf8)
        }
        try write("*.blocked.example\nmünchen.example\n", "names")
        try write("", "none")
        let path = "\(directory)/c.toml"
        let text = """
            [[listener]]
            local = true
            [[rule]]
            domain_file = "names"
            action = "reject"
            [[rule]]
            destination_file = ["none"]
            action = "reject"
            [[rule]]
            domain = "a.example"
            domain_file = "none"
            action = "reject"
            """
        try write(text, "c.toml")
        func explained(_ name: String) throws -> String {
            try explain(configurationAt: path, destination: "192.0.2.1:443", client: nil, name: name, listener: nil)
                .replacing(directory, with: "D")
        }
        #expect(try explained("www.blocked.example") == "rule 1 (D/c.toml:3): rejected")
        #expect(try explained("MÜNCHEN.example") == "rule 1 (D/c.toml:3): rejected")
        #expect(try explained("xn--mnchen-3ya.example") == "rule 1 (D/c.toml:3): rejected")
        #expect(try explained("blocked.example") == "no rule (default): direct to 192.0.2.1:443")
        #expect(
            warnings(of: try loadConfiguration(path)).map { $0.replacing(directory, with: "D") } == [
                "D/c.toml:7:21: warning: D/none has no entries: rule 2 never decides",
                "D/c.toml:11:15: warning: D/none has no entries",
            ])

        try write("a..b\n", "names")
        do throws(Failure) {
            _ = try loadConfiguration(path)
            Issue.record("accepted")
        } catch {
            #expect(error.code == .configuration)
            #expect(error.description.replacing(directory, with: "D").hasPrefix("D/names:1:1: error: "))
        }
    }
}
