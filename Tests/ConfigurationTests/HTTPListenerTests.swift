import Configuration
import Policy
import Testing
import TransparentSockets

/// Listeners that understand HTTP: their keys, and what is refused, word for word.
@Suite struct HTTPListenerTests {
    @Test func interceptedRequests() throws {
        let text = "[[listener]]\nlocal = true\nhttp = true\non_other = 'reject'\nvia = false"
        let listener = try Configuration(parsing: text, file: "t.toml").listeners[0]
        #expect(listener.http && listener.onOther == .reject && !listener.via && listener.origins.isEmpty)
        let plain = try Configuration(parsing: "[[listener]]\nlocal = true\nhttp = false", file: "t.toml").listeners[0]
        #expect(!plain.http && plain.via && plain.onOther == .relay)
    }

    @Test func origins() throws {
        let text = """
            [[listener]]
            mode = "http"
            listen = "192.0.2.1:80"
            origin = ["http://10.0.0.1:8080", "HTTP://[2001:db8::1]/", "http://[2001:db8::2]:81", "http://web.example"]
            policy = "least-sessions"
            via = false
            """
        let listener = try Configuration(parsing: text, file: "t.toml").listeners[0]
        #expect(
            listener.origins.map(\.description) == [
                "http://10.0.0.1:8080", "http://[2001:db8::1]:80", "http://[2001:db8::2]:81", "http://web.example:80",
            ])
        #expect(listener.balancing == .leastSessions && listener.check == .seconds(10) && !listener.via)
        let one = try Configuration(
            parsing: "[[listener]]\nmode = 'http'\norigin = 'http://10.0.0.1'\ncheck = '1s'", file: "t.toml"
        ).listeners[0]
        #expect(one.check == .seconds(1) && one.listen.first?.value.port == 3128)
    }

    static let refusals: [(text: String, findings: [String])] = [
        ("[[listener]]\nlocal = true\non_other = 'relay'", ["3:1: on_other: only with http = true"]),
        ("[[listener]]\nlocal = true\nvia = true", ["3:1: via: only where HTTP is understood, with http = true"]),
        (
            "[[listener]]\nlocal = true\nhttp = true\non_other = 'realy'",
            [#"4:12: on_other: expected "relay" or "reject", found "realy", did you mean "relay"?"#]
        ),
        ("[[listener]]\nlocal = true\nprotocols = 'udp'\nhttp = true", [#"4:1: http: only with "tcp" in protocols"#]),
        ("[[listener]]\nmode = 'socks'\nhttp = true", [#"3:1: http: only with mode = "tproxy" or "redirect""#]),
        (
            "[[listener]]\nlocal = true\norigin = 'http://10.0.0.1'",
            [#"3:1: origin: only with mode = "socks", "http" or "socks+http""#]
        ),
        ("[[listener]]\nmode = 'socks+http'\norigin = 'http://10.0.0.1'", [#"3:1: origin: only with mode = "http""#]),
        ("[[listener]]\nmode = 'http'\npolicy = 'failover'", ["3:1: policy: only with origin"]),
        (
            "[[listener]]\nmode = 'http'\norigin = 'http://10.0.0.1'\nports = 80",
            ["4:1: ports: not with origin, where clients go nowhere else"]
        ),
        ("[[listener]]\nmode = 'http'\norigin = []", ["3:10: origin: the list is empty, so nobody would answer"]),
        (
            "[[listener]]\nmode = 'http'\norigin = ['http://10.0.0.1', 'http://10.0.0.1:80']",
            ["3:30: origin: it is there already"]
        ),
        (
            "[[listener]]\nmode = 'http'\norigin = ['https://10.0.0.1', 'http://10.0.0.1/x', 'http://0.0.0.0']",
            [
                #"3:11: origin: "https://10.0.0.1" is no URL of http, such as "http://10.0.0.1:8080""#,
                #"3:31: origin: only a host and a port are wanted, found "/""#, "3:52: origin: 0.0.0.0 is nobody's address",
            ]
        ),
    ]

    @Test(arguments: refusals.indices)
    func whatIsRefused(row: Int) {
        #expect(findings(Self.refusals[row].text) == Self.refusals[row].findings)
    }
}
