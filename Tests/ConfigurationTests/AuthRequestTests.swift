import Configuration
import Testing

/// The table `[listener.auth_request]`: what it comes to, and what is refused, word for word.
@Suite struct AuthRequestTests {
    private static let listener = "[[listener]]\nmode = 'http'\n"

    @Test func values() throws {
        let text =
            Self.listener + """
                [listener.auth_request]
                url = "HTTP://auth.example/check?x"
                timeout = "500ms"
                cache = "10s"
                key = ["Authorization", "Cookie"]
                pass = "X-User"
                """
        let request = try #require(try Configuration(parsing: text, file: "t.toml").listeners[0].authRequest)
        #expect(request.service.description == "http://auth.example:80/check?x" && request.service.authority == "auth.example:80")
        #expect(request.timeout == .milliseconds(500) && request.cache == .seconds(10))
        #expect(request.key == ["Authorization", "Cookie"] && request.pass == ["X-User"])
        let plain = Self.listener + "auth_request = { url = 'http://[::1]:9000' }"
        let least = try #require(try Configuration(parsing: plain, file: "t.toml").listeners[0].authRequest)
        #expect(least.service.description == "http://[::1]:9000/" && least.timeout == .seconds(3) && least.cache == .zero)
    }

    static let refusals: [(text: String, findings: [String])] = [
        ("auth_request = {}", ["3:1: url is missing"]),
        (
            "auth_request = 'http://127.0.0.1'",
            ["3:16: expected a table, [listener.auth_request], found the string \"http://127.0.0.1\""]
        ),
        (
            "auth_request = { url = 'https://127.0.0.1' }",
            [#"3:24: url: "https://127.0.0.1" is no URL of http, such as "http://127.0.0.1:9000/check""#]
        ),
        ("auth_request = { url = 'http://u@127.0.0.1' }", ["3:24: url: a user name has no meaning here"]),
        ("auth_request = { url = 'http://0.0.0.0/' }", ["3:24: url: 0.0.0.0 is nobody's address"]),
        (
            "auth_request = { url = 'http://127.0.0.1/a b' }",
            ["3:24: url: only visible ASCII characters, without #, and at most 2048 of them"]
        ),
        (
            "[listener.auth_request]\nurl = 'http://127.0.0.1'\ntimeout = '0s'\nkey = ['Host', 'x y', 'A', 'a', 'x_original.url']\ncahce = '1s'",
            [
                "5:11: timeout: must be longer than 0", "6:8: key: Host belongs to one connection, or is ours to write",
                #"6:16: key: "x y" is no name of a header field, such as "Authorization""#, #"6:28: key: "a" is listed twice"#,
                "6:33: key: x_original.url is what the service is told by us",
                #"7:1: unknown key "cahce" in [listener.auth_request], did you mean "cache"?"#,
            ]
        ),
        (
            "[listener.auth_request]\nurl = 'http://127.0.0.1'\nclients = '10.0.0.0/8'",
            [#"5:1: unknown key "clients": it belongs to [[listener]]: write it above [listener.auth_request]"#]
        ),
        (
            "auth_request = { url = 'http://127.0.0.1', pass = ['Transfer-Encoding'] }",
            ["3:52: pass: Transfer-Encoding belongs to one connection, or is ours to write"]
        ),
        (
            "request_headers = { set = { X-User = 'a' }, add.X_Group = 'b', remove = ['X-Role', 'X-Else'] }\nresponse_headers.remove = 'X-Fine'\nauth_request = { url = 'http://127.0.0.1', pass = ['x_user', 'X-Group', 'X-Role', 'X-Fine', 'Forwarded', 'X-Forwarded-For'] }",
            ["x_user", "X-Group", "X-Role"].enumerated().map { index, name in
                "5:\([52, 62, 73][index]): pass: \(name) is in request_headers, too: the server would not know whose it is; leave it out of one of them"
            }
        ),
        (
            "origin = 'http://10.0.0.1'\nauth_request = { url = 'http://127.0.0.1', pass = ['forwarded', 'X-Forwarded-For', 'X-Forwarded-User'] }",
            ["4:52: pass: forwarded is what this proxy tells servers behind an origin itself"]
        ),
        (
            "origin = 'http://10.0.0.1'\nx_forwarded = true\nauth_request = { url = 'http://127.0.0.1', pass = ['X_Forwarded_For', 'X-Forwarded-User'] }",
            ["5:52: pass: X_Forwarded_For is what this proxy tells servers itself, with x_forwarded = true"]
        ),
    ]

    @Test(arguments: refusals.indices)
    func whatIsRefused(row: Int) {
        #expect(findings(Self.listener + Self.refusals[row].text) == Self.refusals[row].findings)
    }

    @Test func onlyWhereRequestsAreUnderstood() {
        let text = "[[listener]]\nlocal = true\nauth_request = { url = 'http://127.0.0.1' }"
        #expect(findings(text) == ["3:1: auth_request: only where HTTP is understood, with http = true"])
        let socks = "[[listener]]\nmode = 'socks'\nauth_request = { url = 'http://127.0.0.1' }"
        #expect(findings(socks) == ["3:1: auth_request: only where HTTP is understood, with http = true"])
        let below = "[[listener]]\nlocal = true\n[listener.auth_request]\nurl = 'http://127.0.0.1'\nhttp = true"
        #expect(
            findings(below) == [
                "3:11: auth_request: only where HTTP is understood, with http = true",
                #"5:1: unknown key "http": it belongs to [[listener]]: write it above [listener.auth_request]"#,
            ])
    }
}
