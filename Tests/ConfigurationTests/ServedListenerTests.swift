import Configuration
import Policy
import Testing
import TransparentSockets

/// Listeners that serve explicit clients: their keys, and what is refused, word for word.
@Suite struct ServedListenerTests {
    private static func served(_ lines: String, _ mode: String = "socks+http") -> String {
        "[[listener]]\nmode = '\(mode)'\n\(lines)"
    }

    private static let refusals: [(text: String, findings: [String])] = [
        (
            served("listen = ['127.0.0.1:1080', '192.0.2.1:1080']"),
            [
                #"3:10: this listener would serve anybody who reaches "192.0.2.1:1080": say whom with clients = ["…"] or users = "…", or listen on loopback"#
            ]
        ),
        (
            served("listen = '[::]:1080'\nclients = []"),
            ["4:11: clients: the list is empty, so nobody would be served"]
        ),
        (served("clients = []"), ["3:11: clients: the list is empty, so nobody would be served"]),
        (
            served("listen = '[::]:1080'\nclients = ['10.0.0.0/8', '10.0.0.1/8']"),
            [#"4:26: clients: "10.0.0.1/8" has bits set beyond its prefix, did you mean "10.0.0.0/8"?"#]
        ),
        (served("ports = []"), ["3:9: ports: the list is empty, so nothing would be served"]),
        (
            served("ports = [0, '9-1']"),
            ["3:10: ports: 0 is not a port: ports are 1 to 65535", #"3:13: ports: the range "9-1" ends before it begins"#]
        ),
        (
            served("reach = ['public', 'private', '10.0.0.0/33', 3]"),
            [
                #"3:10: reach: "public" is not a network: "public" is not an IPv4 or IPv6 address"#,
                #"3:31: reach: "10.0.0.0/33" is not a network: "33" is not a prefix length from 0 to 32"#,
                #"3:46: reach: expected "private" or a network such as "203.0.113.0/24", found the integer 3"#,
            ]
        ),
        (served("reaches = 'private'"), [#"3:1: unknown key "reaches" in [[listener]], did you mean "reach"?"#]),
        (served("name = 'socks+http'"), [#"3:8: name: "socks+http" is not a name: 1 to 64 letters, digits, ".", "_" and "-""#]),
        (
            "[[listener]]\nmode = 'sock'\nlocal = true",
            [#"2:8: mode: expected "tproxy", "redirect", "socks", "http" or "socks+http", found "sock", did you mean "socks"?"#]
        ),
        (
            "[timeouts]\nhandshake = '0s'\nbind = '0s'",
            ["2:13: handshake: must be longer than 0", "3:8: bind: must be longer than 0"]
        ),
        (
            served("") + "\n" + served("name = 'b'", "socks"),
            [
                #"4:3: listen: "127.0.0.1:1080" is taken: the first is at line 1; give this one a port of its own, such as listen = "127.0.0.1:1081""#,
                #"4:3: listen: "[::1]:1080" is taken: the first is at line 1; give this one a port of its own, such as listen = "[::1]:1081""#,
            ]
        ),
    ]

    @Test(arguments: refusals)
    func whatIsRefused(text: String, expected: [String]) { #expect(findings(text) == expected) }

    @Test(arguments: ["socks", "http", "socks+http"])
    func keysOfInterceptionAreForeign(mode: String) {
        let keys = [
            ("interfaces", "'eth0'"), ("local", "true"), ("destinations", "'10.0.0.0/8'"),
            ("exclude", "[]"),
            ("preserve_source", "'address'"),
        ]
        for (key, value) in keys {
            #expect(findings(Self.served("\(key) = \(value)", mode)) == [#"3:1: \#(key): only with mode = "tproxy" or "redirect""#])
        }
    }

    @Test(arguments: ["tproxy", "redirect"])
    func keysOfServingAreForeign(mode: String) {
        #expect(
            findings(Self.served("local = true\nreach = 'private'", mode)) == [
                #"4:1: reach: only with mode = "socks", "http" or "socks+http""#
            ])
    }

    @Test func whatIsUnderstood() throws {
        let text = """
            [timeouts]
            handshake = '3s'
            bind = '2m'
            [[listener]]
            mode = 'socks'
            [[listener]]
            mode = 'http'
            ports = [443, '8000-8999', 8443]
            [[listener]]
            mode = 'socks+http'
            listen = '[::]:8080'
            clients = ['192.0.2.0/24', '2001:db8::/32']
            reach = ['private', '203.0.113.0/24']
            """
        let configuration = try Configuration(parsing: text, file: "t.toml")
        #expect(configuration.timeouts.handshake == .seconds(3) && configuration.timeouts.bind == .seconds(120))
        let (socks, http, both) = (configuration.listeners[0], configuration.listeners[1], configuration.listeners[2])
        // Without a word, this host and nobody else.
        #expect(socks.listen.map(\.description) == ["127.0.0.1:1080", "[::1]:1080"])
        #expect(http.listen.map(\.description) == ["127.0.0.1:3128", "[::1]:3128"])
        #expect([socks, http, both].map(\.name) == ["socks-1080", "http-3128", "socks-http-8080"])
        #expect(socks.servedPorts == nil && http.servedPorts == [443...443, 8_000...8_999])
        #expect(both.clients.map(\.description) == ["192.0.2.0/24", "2001:db8::/32"])
        #expect(both.reach.allowsPrivateUse && both.reach.allowedNetworks.map(\.description) == ["203.0.113.0/24"])
        #expect(!socks.reach.allowsPrivateUse && socks.reach.allowedNetworks.isEmpty)
        #expect(try Configuration(parsing: "[[listener]]\nmode = 'http'", file: "t.toml").timeouts.handshake == .seconds(10))
    }
}
