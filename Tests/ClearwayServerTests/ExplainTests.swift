import Configuration
import Foundation
import Testing

@testable import ClearwayServer

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

    // MARK: Listeners that serve clients

    private static let served = """
        [[listener]]
        name = "lan"
        local = true
        [[listener]]
        name = "both"
        mode = "socks+http"
        listen = "[::]:1080"
        clients = ["192.0.2.0/24", "2001:db8:1::/64"]
        reach = ["10.0.0.0/8", "::/0"]
        [[listener]]
        name = "users"
        mode = "socks"
        listen = "[::]:1082"
        users = "USERS"
        ports = [80, "8000-8999"]
        reach = ["private", "127.0.0.1"]
        [[upstream]]
        name = "names"
        url = "http://10.0.0.1:3128"
        [[upstream]]
        name = "addresses"
        url = "socks5://10.0.0.1:1080"
        [[rule]]
        user = "ann"
        action = "reject"
        [[rule]]
        domain = "*.far.example"
        action = "names"
        [[rule]]
        domain = "*.near.example"
        action = "addresses"
        [[rule]]
        destination = "10.9.0.0/16"
        client = "192.0.2.7"
        action = "reject"
        [[rule]]
        domain = "shut.example"
        action = "reject"
        """

    private func explainedServed(_ rows: [([String], [String])]) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("served-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let hash = "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1"
        _ = FileManager.default.createFile(
            atPath: "\(directory)/users", contents: Data("ann:\(hash)\nbob:\(hash)\n".utf8), attributes: [.posixPermissions: 0o600])
        let path = "\(directory)/c.toml"
        try Self.served.replacing("USERS", with: "\(directory)/users").write(toFile: path, atomically: true, encoding: .utf8)
        for (words, expected) in rows {
            var given: [String: String] = [:]
            for word in words.dropFirst() {
                let pair = word.split(separator: "=", maxSplits: 1).map(String.init)
                given[pair[0]] = pair[1]
            }
            let text = try explain(
                configurationAt: path, destination: words[0], client: given["client"], name: given["name"],
                listener: given["listener"],
                user: given["user"])
            #expect(text.replacing(path, with: "FILE").split(separator: "\n").map(String.init) == expected, "\(words)")
        }
    }

    @Test func whoIsServedAndWhereTo() throws {
        let admitted = "192.0.2.9 is admitted by both"
        try explainedServed([
            (
                ["8.8.8.8:443", "listener=both", "client=192.0.2.9"],
                [admitted, "port 443 is served", "8.8.8.8 can be reached", "no rule (default): direct to 8.8.8.8:443"]
            ),
            (["8.8.8.8:443", "listener=both", "client=198.51.100.1"], ["refused: 198.51.100.1 is no client of both (clients)"]),
            (
                ["8.8.8.8:443", "listener=both"],
                [
                    "both admits only some clients (give --client)", "port 443 is served", "8.8.8.8 can be reached",
                    "no rule (default): direct to 8.8.8.8:443",
                ]
            ),
            (
                ["8.8.8.8:25", "listener=both", "client=192.0.2.9"],
                [
                    admitted, "port 25 is served over SOCKS, and refused over HTTP (ports)", "8.8.8.8 can be reached",
                    "no rule (default): direct to 8.8.8.8:25",
                ]
            ),
            (
                ["192.168.0.1:443", "listener=both", "client=192.0.2.9"],
                [admitted, "port 443 is served", "refused: 192.168.0.1 is a private address (reach)"]
            ),
            (
                ["[::ffff:127.0.0.1]:443", "listener=both", "client=192.0.2.9"],
                [admitted, "port 443 is served", "refused: 127.0.0.1 is a loopback address (reach)"]
            ),
            (
                ["[64:ff9b::a9fe:a9fe]:443", "listener=both", "client=192.0.2.9"],
                [
                    admitted, "port 443 is served",
                    "refused: 64:ff9b::a9fe:a9fe leads to 169.254.169.254, a link-local address (reach)",
                ]
            ),
            (
                ["[::1]:443", "listener=both", "client=192.0.2.9"],
                [admitted, "port 443 is served", "refused: ::1 is a loopback address (reach)"]
            ),
            (
                ["10.9.0.1:443", "listener=both", "client=192.0.2.7"],
                ["192.0.2.7 is admitted by both", "port 443 is served", "10.9.0.1 can be reached", "rule 4 (FILE:32): rejected"]
            ),
        ])
    }

    @Test func whatUsersAndPortsAreAskedFor() throws {
        try explainedServed([
            (
                ["8.8.8.8:80", "listener=users", "client=203.0.113.1", "user=bob"],
                [
                    "203.0.113.1 is admitted by users", "with the right password: user \"bob\"", "port 80 is served",
                    "8.8.8.8 can be reached", "no rule (default): direct to 8.8.8.8:80",
                ]
            ),
            (
                ["8.8.8.8:8999", "listener=users", "user=ann"],
                [
                    "with the right password: user \"ann\"", "port 8999 is served", "8.8.8.8 can be reached",
                    "rule 1 (FILE:23): rejected",
                ]
            ),
            (["8.8.8.8:80", "listener=users", "user=eve"], ["refused: there is no user \"eve\" (users)"]),
            (
                ["8.8.8.8:443", "listener=users"],
                ["a password is asked for (give --user)", "refused: port 443 is not served (ports)"]
            ),
            (
                ["127.0.0.1:8080", "listener=users", "user=bob"],
                [
                    "with the right password: user \"bob\"", "port 8080 is served", "127.0.0.1 can be reached",
                    "no rule (default): direct to 127.0.0.1:8080",
                ]
            ),
            (
                ["127.0.0.1:8080", "listener=users", "user=bob", "name=localhost"],
                [
                    "with the right password: user \"bob\"", "port 8080 is served", "127.0.0.1 can be reached",
                    "no rule (default): direct to 127.0.0.1:8080",
                ]
            ),
        ])
        for (listener, user) in [("both", "ann"), ("lan", "ann")] {
            #expect {
                try explainedServed([(["8.8.8.8:80", "listener=\(listener)", "user=\(user)"], [])])
            } throws: { ($0 as? Failure)?.code == .usage }
        }
    }

    @Test func whatANameDecides() throws {
        let begin = ["192.0.2.9 is admitted by both", "port 443 is served"]
        try explainedServed([
            // By a proxy that is given names, wherever they lead.
            (
                ["127.0.0.1:443", "listener=both", "client=192.0.2.9", "name=a.far.example"],
                begin + [
                    "a.far.example is not resolved here: where it leads is the proxy's to judge",
                    "rule 2 (FILE:26): upstream names (http 10.0.0.1:3128), asked for a.far.example:443",
                ]
            ),
            (
                ["127.0.0.1:443", "listener=both", "client=192.0.2.9", "name=a.near.example"],
                begin + ["refused: 127.0.0.1 is a loopback address (reach)"]
            ),
            (
                ["8.8.8.8:443", "listener=both", "client=192.0.2.9", "name=a.near.example"],
                begin + [
                    "8.8.8.8 can be reached", "rule 3 (FILE:29): upstream addresses (socks5 10.0.0.1:1080), asked for 8.8.8.8:443",
                ]
            ),
            (
                ["8.8.8.8:443", "listener=both", "client=192.0.2.9", "name=x.localhost."],
                begin + ["refused: x.localhost means loopback (reach)"]
            ),
            // An earlier rule asks for an address: the name is resolved, and what comes out is judged.
            (
                ["10.9.0.1:443", "listener=both", "client=192.0.2.7", "name=shut.example"],
                ["192.0.2.7 is admitted by both", "port 443 is served", "10.9.0.1 can be reached", "rule 4 (FILE:32): rejected"]
            ),
            (
                ["192.168.0.1:443", "listener=both", "client=192.0.2.9", "name=shut.example"],
                begin + ["rule 5 (FILE:36): rejected"]
            ),
        ])
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

    // MARK: Requests and times

    private static let requests = """
        [[listener]]
        name = "web"
        local = true
        http = true
        [[listener]]
        name = "plain"
        listen = "[::]:1082"
        local = true
        [[rule]]
        url = "http://*.example/ads/*"
        action = "reject"
        status = 451
        [[rule]]
        header = { "User-Agent" = "*curl*" }
        method = "POST"
        time = "Mon-Fri 08:00-18:00"
        action = "redirect"
        location = "https://new.example/{url}"
        [[rule]]
        content_type = ["video/*", "none"]
        action = "reject"
        page = "blocked.txt"
        """

    private func explained(
        _ request: RequestWords, name: String? = nil, listener: String? = nil, udp: Bool = false, time: String? = "Sun 12:00"
    ) throws -> String {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("explain-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("t.toml").path
        try Self.requests.write(toFile: path, atomically: true, encoding: .utf8)
        try "No.".write(toFile: directory.appendingPathComponent("blocked.txt").path, atomically: true, encoding: .utf8)
        return try explain(
            configurationAt: path, destination: "192.0.2.1:80", client: nil, name: name, listener: listener, udp: udp,
            request: request,
            time: time
        ).replacing(directory.path, with: "D")
    }

    @Test func requestsAreExplained() throws {
        let change = "the type of the response could change this (give --content-type)"
        #expect(
            try explained(RequestWords(url: "http://a.example/x/../ads/1"))
                == "rule 1 (D/t.toml:9): rejected, requests with status 451")
        #expect(
            try explained(RequestWords(url: "http://a.example/")) == "no rule (default): direct to 192.0.2.1:80\n\(change)")
        let post = RequestWords(url: "http://192.0.2.1/", method: "POST", fields: ["user-agent:  Curl/8"])
        #expect(
            try explained(post, time: "wed 17:59")
                == "rule 2 (D/t.toml:13): rejected, requests sent to https://new.example/{url} with status 302")
        #expect(try explained(post, time: "Wed 18:00") == "no rule (default): direct to 192.0.2.1:80\n\(change)")
        for type in ["Video/mp4", "none"] {
            #expect(
                try explained(RequestWords(url: "http://a.example/", contentType: type))
                    == "rule 3 (D/t.toml:19): rejected, requests with status 403 and D/blocked.txt")
        }
        #expect(
            try explained(RequestWords(url: "http://a.example/", contentType: "text/html"))
                == "no rule (default): direct to 192.0.2.1:80")
        #expect(try explained(RequestWords()).hasSuffix("a request of HTTP could change this (give --url)"))
        // Whatever time it is.
        #expect(try explained(RequestWords(url: "http://a.example/ads/"), time: nil).hasPrefix("rule 1 "))
    }

    @Test func whatIsNoRequestIsRefused() throws {
        let rows: [(RequestWords, String?, String?, Bool, String?)] = [
            (RequestWords(method: "GET"), nil, nil, false, nil), (RequestWords(fields: ["A: b"]), nil, nil, false, nil),
            (RequestWords(contentType: "a/b"), nil, nil, false, nil),
            (RequestWords(url: "https://a.example/"), nil, nil, false, nil),
            (RequestWords(url: "http:///x"), nil, nil, false, nil), (RequestWords(url: "http://a b/"), nil, nil, false, nil),
            (RequestWords(url: "http://a..b/"), nil, nil, false, nil),
            (RequestWords(url: "http://a/", fields: ["x"]), nil, nil, false, nil),
            (RequestWords(url: "http://a/"), "b", nil, false, nil), (RequestWords(url: "http://a/"), nil, "plain", false, nil),
            (RequestWords(), nil, nil, false, "Wednesday"),
        ]
        for (request, name, listener, udp, time) in rows {
            #expect(throws: Failure.self, "\(request)") {
                try explained(request, name: name, listener: listener, udp: udp, time: time)
            }
        }
    }

    /// In front of servers rules reject, and choose nothing.
    @Test func originsAreWhereRequestsGo() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("origin-\(UUID().uuidString).toml").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let text = """
            [[listener]]
            name = "site"
            mode = "http"
            listen = "[::]:80"
            origin = ["http://10.0.0.1:8080", "http://10.0.0.2"]
            clients = ["192.0.2.0/24"]
            [[upstream]]
            name = "far"
            url = "http://10.0.0.3:3128"
            [[rule]]
            destination = "203.0.113.0/24"
            action = "reject"
            [[rule]]
            path = "/admin/*"
            action = "reject"
            status = 404
            [[rule]]
            client = "192.0.2.7"
            action = "far"
            [[rule]]
            domain = "old.example"
            action = "reject"
            """
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        func explained(_ client: String, _ request: RequestWords = RequestWords(), port: Int = 80) throws -> [String] {
            try explain(
                configurationAt: path, destination: "203.0.113.5:\(port)", client: client, name: nil, listener: nil,
                request: request
            ).replacing(path, with: "F").split(separator: "\n").map(String.init)
        }
        let begin = ["requests have no destination here: what no rule rejects goes to the origin, whatever it names"]
        let origin = "to origin http://10.0.0.1:8080, http://10.0.0.2:80"
        func admitted(_ client: String) -> [String] { ["\(client) is admitted by site"] }
        func url(_ text: String, method: String? = nil) -> RequestWords { RequestWords(url: "http://\(text)", method: method) }
        #expect(try explained("198.51.100.1") == ["refused: 198.51.100.1 is no client of site (clients)"])
        #expect(
            try explained("192.0.2.1")
                == admitted("192.0.2.1") + begin + [
                    "no rule (default): \(origin)", "a request of HTTP could change this (give --url)",
                ])
        #expect(
            try explained("192.0.2.1", url("new.example/")) == admitted("192.0.2.1") + begin + ["no rule (default): \(origin)"])
        #expect(
            try explained("192.0.2.1", url("new.example/admin/x"))
                == admitted("192.0.2.1") + begin + ["rule 2 (F:13): rejected, requests with status 404"])
        #expect(try explained("192.0.2.7", url("old.example/")) == admitted("192.0.2.7") + begin + ["rule 3 (F:17): \(origin)"])
        #expect(try explained("192.0.2.1", url("old.example/")) == admitted("192.0.2.1") + begin + ["rule 4 (F:20): rejected"])
        #expect(
            try explained("192.0.2.1", url("new.example/", method: "CONNECT"))
                == admitted("192.0.2.1") + ["refused: in front of servers there are no tunnels (CONNECT)"])
        #expect(
            try explained("192.0.2.1", port: 443)
                == admitted("192.0.2.1") + ["refused: site does not listen on port 443 (listen)"])
    }

    private static let unheeded = """
        [[listener]]
        name = "site"
        mode = "http"
        listen = ["[::]:80"]
        origin = "http://10.0.0.1:8080"
        clients = ["192.0.2.0/24"]
        [[upstream]]
        name = "far"
        url = "http://10.0.0.2:3128"
        [[rule]]
        destination = "192.0.2.0/24"
        LISTENER
        action = "reject"
        [[rule]]
        domain = "a.example"
        LISTENER
        action = "far"
        [[rule]]
        method = "CONNECT"
        url = "http://b.example/*"
        LISTENER
        action = "reject"
        [[rule]]
        method = ["CONNECT", "GET"]
        url = "http://c.example/*"
        LISTENER
        action = "reject"

        """

    /// Only where it is certain: a rule that has other listeners may mean those.
    @Test func keysThatNeverCountAreWarnedAbout() throws {
        let gateway = "[[listener]]\nname = \"gate\"\nlocal = true\nhttp = true\n"
        func warned(_ listener: String, _ more: String = "") throws -> [String] {
            warnings(
                of: try Configuration(parsing: Self.unheeded.replacing("LISTENER", with: listener) + more, file: "t.toml"))
        }
        let connect = "t.toml:18:3: warning: rule 3 never decides: a request for a tunnel (CONNECT) has no URL"
        let all = [
            "t.toml:10:3: warning: rule 1 never decides: where a listener has an origin, requests have no destination",
            "t.toml:14:3: warning: rule 2 lets requests pass, but not to its action's upstream: where a listener has an origin, they go there",
            connect,
        ]
        #expect(try warned("") == all)
        #expect(try warned("listener = \"site\"", gateway) == all)
        #expect(try warned("", gateway) == [connect])
        #expect(try warned("listener = [\"gate\", \"site\"]", gateway) == [connect])
    }

    @Test func rulesForRequestsThatNobodyUnderstandsAreWarnedAbout() throws {
        let text = "[[listener]]\nlocal = true\n[[rule]]\nurl = 'http://a.example/*'\naction = 'reject'\n"
        #expect(
            warnings(of: try Configuration(parsing: text, file: "t.toml"))
                == ["t.toml:3:3: warning: rule 1 never decides: no listener of it understands HTTP (http)"])
        #expect(
            warnings(of: try Configuration(parsing: text.replacing("[[rule]]", with: "http = true\n[[rule]]"), file: "t.toml"))
                .isEmpty)
    }
}
