import Configuration
import Policy
import Testing
import TransparentSockets

@Suite struct RuleTests {
    private static let url = "url = 'socks5://10.0.0.1:1080'"

    private func parse(_ text: String) throws -> Configuration { try Configuration(parsing: text, file: "test.toml") }

    @Test func upstreamsAndRulesAreRead() throws {
        let configuration = try parse(
            """
            [[rule]]
            domain = ["Example.com.", "*.corp.example"]
            destination = "203.0.113.0/24"
            port = [443, "8000-8999"]
            client = ["10.1.0.0/16", "fd00::/8"]
            listener = "tproxy-1081"
            protocol = "tcp"
            action = "dc"
            [[rule]]
            action = "reject"
            [[upstream]]
            name = "other"
            url = "http://user:p%40ss%3Aword@[2001:db8::1]:3128/"
            send_name = false
            [[upstream]]
            name = "dc"
            url = "SOCKS5h://10.0.0.1:1080"
            """)
        let rule = configuration.rules[0]
        #expect(rule.domains.map(\.description) == ["example.com", "*.corp.example"])
        #expect(rule.destinations.map(\.description) == ["203.0.113.0/24"])
        #expect(rule.ports == [443...443, 8000...8999])
        #expect(rule.clients.map(\.description) == ["10.1.0.0/16", "fd00::/8"])
        #expect(rule.listeners == ["tproxy-1081"])
        #expect(rule.transport == .tcp)
        #expect(rule.action == .upstream(1))
        #expect(configuration.rules[1].action == .reject)
        let other = configuration.upstreams[0]
        let dc = configuration.upstreams[1]
        #expect(other.scheme == .http && other.user == "user" && other.password == "p@ss:word" && !other.sendName)
        #expect(other.address.value == SocketAddress("[2001:db8::1]:3128"))
        #expect(dc.scheme == .socks5h && dc.user == nil && dc.sendName)
        #expect(configuration.positions.rule(1).line == 9)
    }

    private static let upstreamCases: [(text: String, findings: [String])] = [
        ("[[upstream]]", ["1:3: name is missing", "1:3: url is missing"]),
        ("[[upstream]]\nname = 'direct'\n\(url)", [#"2:8: name: "direct" exists already"#]),
        (
            "[[upstream]]\nname = 'a'\n\(url)\n[[upstream]]\nname = 'a'\n\(url)",
            [#"5:8: name: "a" is taken: the first is at line 2"#]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = '10.0.0.1:1080'",
            [#"3:7: url: this is no URL, such as "socks5://10.0.0.1:1080""#]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'sock5://10.0.0.1:1080'",
            [#"3:7: url: unknown scheme "sock5", expected socks5, socks5h, socks4a or http, did you mean "socks5"?"#]
        ),
        ("[[upstream]]\nname = 'a'\nurl = 'http://10.0.0.1'", [#"3:7: url: the port is missing behind "10.0.0.1""#]),
        (
            "[[upstream]]\nname = 'a'\nurl = 'http://me:secret@10.0.0.1'",
            [#"3:7: url: the port is missing behind "10.0.0.1""#]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'me:secret@10.0.0.1:1'",
            [#"3:7: url: this is no URL, such as "socks5://10.0.0.1:1080""#]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'http://10.0.0.1:70000'",
            [#"3:7: url: "10.0.0.1:70000" is no address and port, such as "socks5://10.0.0.1:1080"; names are not yet supported"#]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'http://proxy.example:80'",
            [#"3:7: url: "proxy.example:80" is no address and port, such as "socks5://10.0.0.1:1080"; names are not yet supported"#]
        ),
        ("[[upstream]]\nname = 'a'\nurl = 'http://0.0.0.0:80'", ["3:7: url: 0.0.0.0 is nobody's address"]),
        (
            "[[upstream]]\nname = 'a'\nurl = 'http://10.0.0.1:80/x'",
            [#"3:7: url: nothing may follow the port of a proxy, found "/""#]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'socks5://u@10.0.0.1:1'",
            ["3:7: url: a user name without a password: SOCKS5 needs both"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'socks5://:p@10.0.0.1:1'",
            ["3:7: url: user name and password must be of 1 to 255 bytes each"]
        ),
        ("[[upstream]]\nname = 'a'\nurl = 'socks4a://u:p@10.0.0.1:1'", ["3:7: url: SOCKS4 knows no passwords"]),
        ("[[upstream]]\nname = 'a'\nurl = 'http://a%3Ab:c@10.0.0.1:1'", ["3:7: url: the user name must not contain a colon"]),
        (
            "[[upstream]]\nname = 'a'\nurl = 'http://a%+1:c@10.0.0.1:1'",
            ["3:7: url: a % must be followed by two hexadecimal digits; write % itself as %25"]
        ),
        ("[[upstream]]\nname = 'a'\nurl = 'http://%ff:c@10.0.0.1:1'", ["3:7: url: user name and password must be UTF-8"]),
        (
            "[[upstream]]\nname = 'a'\n\(url)\nsend_name = true",
            ["4:13: send_name: with socks5 the proxy is given addresses; did you mean socks5h?"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'me:secret@x://10.0.0.1:1'",
            [#"3:7: url: this is no URL, such as "socks5://10.0.0.1:1080""#]
        ),
        ("[[upstream]]\nname = 'a'\nurl = 'http://[::ffff:0.0.0.0]:80'", ["3:7: url: 0.0.0.0 is nobody's address"]),
        ("[[upstream]]\nname = 'a'\nurl = 'http://224.0.0.1:80'", ["3:7: url: 224.0.0.1 is nobody's address"]),
        (
            "[[upstream]]\nname = 'a'\nurl = 'http://[fe80::1]:80'",
            ["3:7: url: fe80::1: link-local addresses are not yet supported"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'x'\n[[rule]]\naction = 'a'",
            [#"3:7: url: this is no URL, such as "socks5://10.0.0.1:1080""#]
        ),
        ("upstream = 3", ["1:12: upstream: expected a table, [[upstream]], found the integer 3"]),
    ]

    @Test(arguments: upstreamCases)
    func whatAnUpstreamMayNotBe(text: String, expected: [String]) { #expect(findings(text) == expected) }

    private static let ruleCases: [(text: String, findings: [String])] = [
        ("[[rule]]", ["1:3: action is missing"]),
        (
            "[[upstream]]\nname = 'office'\n\(url)\n[[rule]]\naction = 'ofice'",
            [#"5:10: action: there is no upstream "ofice", did you mean "office"?"#]
        ),
        ("[[rule]]\naction = 'dirct'", [#"2:10: action: there is no upstream "dirct", did you mean "direct"?"#]),
        ("[[rule]]\naction = 'direct'\nlistener = 'lan'", [#"3:12: listener: there is no listener "lan""#]),
        (
            "[[rule]]\naction = 'direct'\ndomain = ['a..b', '127.1', '*.']",
            [
                #"3:11: domain: "a..b" is no name, such as "example.com" or "*.example.com""#,
                #"3:19: domain: "127.1" is the address 127.0.0.1: it belongs into destination"#,
                #"3:28: domain: "*." is no name, such as "example.com" or "*.example.com""#,
            ]
        ),
        ("[[rule]]\naction = 'direct'\nport = []", ["3:8: port: the list is empty, so leave it out if all are meant"]),
        (
            "[[rule]]\naction = 'direct'\nclient = '10.0.0.5/8'",
            [#"3:10: client: "10.0.0.5/8" has bits set beyond its prefix, did you mean "10.0.0.0/8"?"#]
        ),
        ("[[rule]]\naction = 'direct'\nports = 5", [#"3:1: unknown key "ports": it belongs to [[listener]]"#]),
    ]

    @Test(arguments: ruleCases)
    func whatARuleMayNotBe(text: String, expected: [String]) { #expect(findings(text) == expected) }
}
