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
            domain = ["Example.com.", "*.corp.example", "*.MÜNCHEN。de"]
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
        #expect(rule.domains?.map(\.description) == ["example.com", "*.corp.example", "*.xn--mnchen-3ya.de"])
        #expect(rule.destinations?.map(\.description) == ["203.0.113.0/24"])
        #expect(rule.ports == [443...443, 8000...8999])
        #expect(rule.clients?.map(\.description) == ["10.1.0.0/16", "fd00::/8"])
        #expect(rule.listeners == ["tproxy-1081"])
        #expect(rule.transport == .tcp)
        #expect(rule.action == .upstream(1))
        let all = configuration.rules[1]
        #expect(all.action == .reject && all.domains == nil && all.destinations == nil && all.clients == nil && all.ports == nil)
        #expect(all.listeners == nil && all.canMatch)
        let other = configuration.upstreams[0]
        let dc = configuration.upstreams[1]
        #expect(other.members.map(\.description) == ["http://[2001:db8::1]:3128"])
        #expect(other.members[0].host == .address(IPAddress("2001:db8::1")!))
        #expect(other.members[0].user == "user" && other.members[0].password == "p@ss:word")
        #expect(!other.sendName && other.check == .zero && other.via == nil && !other.sendProxy)
        #expect(dc.members.map(\.description) == ["socks5h://10.0.0.1:1080"])
        #expect(dc.members[0].user == nil && dc.sendName)
        #expect(configuration.positions.rule(1).line == 9)
    }

    @Test func groupsAndChainsAreRead() throws {
        let configuration = try parse(
            """
            [[upstream]]
            name = "far"
            url = "http://proxy.example.:3128"
            via = "near"
            send_proxy = true
            [[upstream]]
            name = "near"
            urls = ["socks5://10.0.0.1:1080", "socks5h://me:secret@[2001:db8::1]:1080", "http://Proxy.Example:3128"]
            policy = "client-hash"
            [[upstream]]
            name = "third"
            urls = "socks4a://10.0.0.3:1080"
            check = "3s"
            via = "far"
            [[upstream]]
            name = "fourth"
            urls = ["http://10.0.0.4:3128", "http://10.0.0.5:3128"]
            via = "third"
            """)
        let (far, near, third) = (configuration.upstreams[0], configuration.upstreams[1], configuration.upstreams[2])
        #expect(far.via == 1 && far.sendProxy && far.check == .zero && far.balancing == .failover)
        #expect(far.members.map(\.description) == ["http://proxy.example:3128"])
        #expect(
            near.members.map(\.description)
                == ["socks5://10.0.0.1:1080", "socks5h://[2001:db8::1]:1080", "http://proxy.example:3128"])
        #expect(near.balancing == .clientHash && near.check == .seconds(10) && near.via == nil)
        #expect(near.members[1].password == "secret")
        #expect(third.members.count == 1 && third.check == .seconds(3) && third.via == 0)
        #expect(configuration.upstreams[3].check == .seconds(10) && configuration.upstreams[3].via == 2)
    }

    @Test func exitsAreRead() throws {
        let configuration = try parse(
            """
            [[upstream]]
            name = "out"
            url = "direct://"
            source = ["198.51.100.1", "2001:db8::1", "::ffff:198.51.100.2"]
            block_list = "BL.example."
            device = "wan"
            mark = 0xffffffff
            [[upstream]]
            name = "plain"
            url = "direct://"
            mark = 1
            """)
        let exits = configuration.upstreams.map(\.exit)
        #expect(exits[0]?.sources.map(\.description) == ["198.51.100.1", "2001:db8::1", "198.51.100.2"])
        #expect(exits[0]?.blockList?.description == "bl.example" && exits[0]?.device == "wan" && exits[0]?.mark == .max)
        #expect(exits[1]?.sources == [] && exits[1]?.mark == 1 && exits[1]?.device == nil && exits[1]?.blockList == nil)
        #expect(configuration.upstreams.allSatisfy { $0.members.isEmpty })
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
            [#"3:7: url: unknown scheme "sock5", expected socks5, socks5h, socks4a, http or https, did you mean "socks5"?"#]
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
            [#"3:7: url: "10.0.0.1:70000" is no host and port, such as "socks5://10.0.0.1:1080""#]
        ),
        ("[[upstream]]\nname = 'a'\nurl = 'http://proxy.example'", [#"3:7: url: the port is missing behind "proxy.example""#]),
        (
            "[[upstream]]\nname = 'a'\nurl = 'http://proxy.example:0'",
            ["3:7: url: 0 is not a port: ports are 1 to 65535"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'http://pro xy:80'",
            [#"3:7: url: "pro xy:80" is no host and port, such as "socks5://10.0.0.1:1080""#]
        ),
        ("[[upstream]]\nname = 'a'\nurls = []", ["3:8: urls: at least one is needed"]),
        (
            "[[upstream]]\nname = 'a'\n\(url)\nurls = ['http://10.0.0.1:1']",
            ["3:1: url: urls at line 4 is for the same"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurls = ['http://10.0.0.1:1', 'http://u:p@10.0.0.1:1', 3]",
            [
                "3:30: urls: http://10.0.0.1:1 is there already",
                #"3:55: urls: expected a URL such as "socks5://10.0.0.1:1080", found the integer 3"#,
            ]
        ),
        (
            "[[upstream]]\nname = 'a'\n\(url)\npolicy = 'failower'",
            [
                #"4:10: policy: expected "failover", "round-robin", "least-sessions" or "client-hash", found "failower", did you mean "failover"?"#
            ]
        ),
        (
            "[[upstream]]\nname = 'a'\n\(url)\ncheck = '99ms'",
            ["4:9: check: a proxy needs time to answer: 0s, or at least 100ms"]
        ),
        (
            "[[upstream]]\nname = 'a'\n\(url)\nvia = 'bb'\n[[upstream]]\nname = 'b'\n\(url)",
            [#"4:7: via: there is no upstream "bb", did you mean "b"?"#]
        ),
        (
            "[[upstream]]\nname = 'a'\n\(url)\nvia = 'b'\n[[upstream]]\nname = 'b'\n\(url)\nvia = 'a'",
            ["4:7: via: a chain that comes back to itself: a via b via a"]
        ),
        ("[[upstream]]\nname = 'a'\n\(url)\nvia = 'a'", ["4:7: via: a chain that comes back to itself: a via a"]),
        (
            "[[upstream]]\nname = 'a'\nurls = ['http://10.0.0.1:1', 'socks5://10.0.0.1:1']\nsend_name = true",
            ["4:13: send_name: with socks5 the proxy is given addresses; did you mean socks5h://10.0.0.1:1?"]
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
        ("[[upstream]]\nname = 'a'\nurl = 'http://%ff:c@10.0.0.1:1'", ["3:7: url: what is percent-encoded must be UTF-8"]),
        (
            "[[upstream]]\nname = 'a'\n\(url)\nsend_name = true",
            ["4:13: send_name: with socks5 the proxy is given addresses; did you mean socks5h://10.0.0.1:1080?"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurls = ['socks5://10.0.0.1:1', 'http://10.0.0.1:1']\npipeline = true",
            ["4:12: pipeline: only with SOCKS5 and without a user name; not with http://10.0.0.1:1"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'socks5h://u:p@10.0.0.1:1'\npipeline = true",
            ["4:12: pipeline: only with SOCKS5 and without a user name; not with socks5h://10.0.0.1:1"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'direct://'\npipeline = true",
            ["4:1: pipeline: not with url = \"direct://\", where there is no proxy"]
        ),
        (
            "[[rule]]\naction = 'reject'\nmethod = ['get', 'A B', '']\npath = ['admin', '/a*b', '/a?b']",
            [
                #"3:11: method: "get": case counts, did you mean "GET"?"#, #"3:18: method: "A B" is no method, such as "POST""#,
                #"3:25: method: "" is no method, such as "POST""#,
                #"4:9: path: "admin" is no path, such as "/admin", or with * at its end: "/admin/*""#,
                #"4:18: path: "/a*b" is no path, such as "/admin", or with * at its end: "/admin/*""#,
                #"4:26: path: "/a?b" is no path, such as "/admin", or with * at its end: "/admin/*""#,
            ]
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
        (
            "[[upstream]]\nname = 'a'\nurl = 'https://10.0.0.1:1?cat=x'",
            [#"3:7: url: unknown option "cat", expected ca or insecure, did you mean "ca"?"#]
        ),
        ("[[upstream]]\nname = 'a'\nurl = 'https://10.0.0.1:1?insecure=0'", [#"3:7: url: insecure: found "0", expected 1"#]),
        ("[[upstream]]\nname = 'a'\nurl = 'https://10.0.0.1:1?ca='", ["3:7: url: the path is empty"]),
        (
            "[[upstream]]\nname = 'a'\nurl = 'https://10.0.0.1:1?ca=%zz'",
            ["3:7: url: a % must be followed by two hexadecimal digits; write % itself as %25"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'https://10.0.0.1:1?insecure=1&insecure=1'",
            ["3:7: url: ca and insecure: one of them, once"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'https://10.0.0.1:1?ca=x.pem'",
            [#"3:7: url: "x.pem" cannot be read: no files are read here"#]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'https://me:sec?ret@10.0.0.1:1'",
            ["3:7: url: write ? in a user name or password as %3F, and @ in an option as %40"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'http://10.0.0.1:1?ca=x.pem'",
            [#"3:7: url: nothing may follow the port of a proxy, found "?""#]
        ),
        (
            "[[upstream]]\nname = 'a'\nurls = ['https://10.0.0.1:1', 'https://10.0.0.1:1?insecure=1']",
            ["3:31: urls: https://10.0.0.1:1 is there already"]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'direct://'\nsource = ['198.51.100.300', '::', 'fe80::1', '10.0.0.1', '::ffff:10.0.0.1']",
            [
                #"4:11: source: "198.51.100.300" is no address, such as "198.51.100.1""#,
                "4:29: source: :: is no address to leave from", "4:35: source: fe80::1 is no address to leave from",
                "4:58: source: 10.0.0.1 is there already",
            ]
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'direct://'\ndevice = 'wan*'\nmark = 0\nblock_list = 'bl.example'",
            [
                #"4:10: device: "wan*": one interface, by its whole name"#, "5:8: mark: 0 is not from 1 to 4294967295",
                "6:14: block_list: without source there is nothing to ask for",
            ]
        ),
        (
            "[[upstream]]\nname = 'a'\n\(url)\nsource = '10.0.0.1'\nmark = 1",
            [#"4:1: source: only with url = "direct://""#, #"5:1: mark: only with url = "direct://""#]
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
            "[[rule]]\naction = 'direct'\ndomain = ['a..b', '127.1', '*.', '１２７。1', '*.ü b.de']",
            [
                #"3:11: domain: "a..b" is no name, such as "example.com" or "*.example.com""#,
                #"3:19: domain: "127.1" is the address 127.0.0.1: it belongs into destination"#,
                #"3:28: domain: "*." is no name, such as "example.com" or "*.example.com""#,
                #"3:34: domain: "１２７。1" is the address 127.0.0.1: it belongs into destination"#,
                #"3:43: domain: "*.ü b.de" is no name, such as "example.com" or "*.example.com""#,
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
