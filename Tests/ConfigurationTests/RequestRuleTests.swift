import Configuration
import Policy
import Testing

/// Rules that ask for requests, responses and the time, and what they answer.
@Suite struct RequestRuleTests {
    /// A configuration in `/etc/clearway`, beside which `files` stand.
    private func parse(_ text: String, _ files: [String: String] = [:]) throws(ConfigurationErrors) -> Configuration {
        try Configuration(parsing: text, file: "/etc/clearway/t.toml") { path throws(UnreadableFile) in
            guard let text = files[path] else { throw UnreadableFile("there is none") }
            return Array(text.utf8)
        }
    }

    private func findings(_ text: String, _ files: [String: String] = [:]) -> [String] {
        do {
            _ = try parse(text, files)
            return []
        } catch {
            return error.diagnostics.map { "\($0.line):\($0.column): \($0.message)" }
        }
    }

    @Test func criteriaAreRead() throws {
        let configuration = try parse(
            """
            [[rule]]
            url = ["http://Example.com/ads/*", "http://*.example.org:8080/x?*y"]
            header = { "User-Agent" = ["*curl*", "wget/*"], referer = "" }
            time = ["Mon-Fri 08:00-18:00", "Sat,Sun"]
            action = "direct"
            [[rule]]
            content_type = ["video/*", "none"]
            action = "reject"
            """)
        let rule = configuration.rules[0]
        #expect(rule.urls?.map(\.description) == ["http://example.com/ads/*", "http://*.example.org:8080/x?*y"])
        #expect(rule.fields?.map(\.name) == ["user-agent", "referer"])
        #expect(rule.fields?.map { $0.values.map(\.description) } == [["*curl*", "wget/*"], [""]])
        #expect(
            rule.times?.contains(MinuteOfWeek("Fri 17:59")!) == true && rule.times?.contains(MinuteOfWeek("Fri 18:00")!) == false)
        #expect(configuration.rules[1].contentTypes == [ContentTypePattern("video/*")!, .none])
        #expect(rule.rejection == nil && configuration.rules[1].rejection == nil)
    }

    @Test func answersAreRead() throws {
        let files = ["/etc/clearway/p/blocked.HTML": "\u{FEFF}<p>{url}</p>", "/srv/plain.txt": "No {client}.\n"]
        let configuration = try parse(
            """
            [[rule]]
            action = "reject"
            status = 451
            [[rule]]
            action = "reject"
            page = "p/blocked.HTML"
            [[rule]]
            action = "reject"
            status = 503
            page = "/srv/plain.txt"
            [[rule]]
            action = "redirect"
            location = "https://blocked.example/?u={url}&c={client}"
            [[rule]]
            action = "redirect"
            location = "http://blocked.example/"
            status = 308
            """, files)
        #expect(configuration.rules.allSatisfy { $0.action == .reject })
        let html = Rejection.Page(Template("<p>{url}</p>")!, isHTML: true, file: "/etc/clearway/p/blocked.HTML")
        let plain = Rejection.Page(Template("No {client}.\n")!, isHTML: false, file: "/srv/plain.txt")
        #expect(
            configuration.rules.map(\.rejection) == [
                .standard(status: 451), .page(html, status: 403), .page(plain, status: 503),
                .redirect(to: Template("https://blocked.example/?u={url}&c={client}")!, status: 302),
                .redirect(to: Template("http://blocked.example/")!, status: 308),
            ])
    }

    private static let cases: [(text: String, findings: [String])] = [
        (
            "action = 'direct'\nurl = ['https://a.b/', 'a.b/x', 'http://a.b', 'http://a.b/x*y', 'http://a..b/']",
            [
                #"3:8: url: "https://a.b/" is asked for within TLS, where no request is seen: use domain"#,
                #"3:24: url: "a.b/x" is no URL, such as "http://example.com/ads/*""#,
                #"3:33: url: "http://a.b" has no path: write / behind the host for its first page, or /* for all of them"#,
                #"3:47: url: "http://a.b/x*y" has no path such as "/ads", or with * at its end: "/ads/*""#,
                #"3:65: url: "http://a..b/" has no host, such as "example.com" or "*.example.com""#,
            ]
        ),
        ("action = 'direct'\nurl = []", ["3:7: url: the list is empty, so leave it out if all are meant"]),
        (
            "action = 'direct'\nheader = 'User-Agent: curl'",
            [##"3:10: header: expected a table such as { "User-Agent" = "*curl*" }, found the string "User-Agent: curl""##]
        ),
        ("action = 'direct'\nheader = {}", ["3:10: header: 0 fields; 1 to 16 are possible"]),
        (
            "action = 'direct'\nheader = { Host = 'a', 'a b' = 'x', A = [], a = 3, A-B = ['x'], a-b = 'y' }",
            [
                "3:12: header: what a request says of its host is asked for with domain or url",
                #"3:24: header: "a b" is no name of a field"#,
                "3:41: A: the list is empty, so leave it out if all are meant",
                #"3:45: header: "a" is there twice"#,
                #"3:65: header: "a-b" is there twice"#,
            ]
        ),
        (
            "action = 'reject'\nheader = { X-A = 'a', X_A = 'b', 'x.a' = 'c', X-AB = 'd' }",
            ["X_A", "x.a"].enumerated().map {
                "3:\($0.offset == 0 ? 23 : 34): header: \"\($0.element)\" and \"x-a\" are one field to programs behind some servers: "
                    + "give one of them, with the values of both"
            }
        ),
        (
            "action = 'reject'\ncontent_type = ['video', 'text/html; charset=utf-8']",
            [
                #"3:17: content_type: "video" is no media type, such as "video/*", nor "none" for a body of no type"#,
                #"3:26: content_type: "text/html; charset=utf-8" is no media type, such as "video/*", nor "none" for a body of no type"#,
            ]
        ),
        (
            "action = 'reject'\ntime = ['Mo-Fr', '8-18', '08:00-08:00']",
            [
                #"3:9: time: "Mo-Fr" names the day "Mo": days are Mon, Tue, Wed, Thu, Fri, Sat and Sun"#,
                #"3:18: time: "8-18" names the day "8": days are Mon, Tue, Wed, Thu, Fri, Sat and Sun"#,
                #"3:26: time: "08:00-08:00" ends when it begins: for the whole day leave the hours out"#,
            ]
        ),
        (
            "action = 'direct'\ncontent_type = 'video/*'\nstatus = 403\npage = 'x.html'\nlocation = 'http://a/'",
            [
                #"3:1: content_type: only with action = "reject" or "redirect""#,
                #"4:1: status: only with action = "reject" or "redirect""#, #"5:1: page: only with action = "reject""#,
                #"6:1: location: only with action = "redirect""#,
            ]
        ),
        (
            "action = 'reject'\nstatus = 421",
            ["3:10: status: 421 is no answer of a proxy: the client would ask the same of another server"]
        ),
        ("action = 'redirect'", [#"2:10: action: "redirect" needs location, the URL to send clients to"#]),
        (
            "action = 'redirect'\nlocation = 'https://a/'\npage = 'x.html'\nstatus = 304",
            [
                #"4:1: page: only with action = "reject""#,
                "5:10: status: a redirect has 301, 302, 303, 307 or 308, not 304",
            ]
        ),
        (
            "action = 'reject'\nlocation = 'https://a/'\nstatus = 302",
            [#"3:1: location: only with action = "redirect""#, "4:10: status: a rejection has 400 to 599, not 302"]
        ),
        ("action = 'reject'\nstatus = 200", ["3:10: status: 200 is not from 300 to 599"]),
        ("action = 'reject'\nstatus = 407", ["3:10: status: 407 asks for a password, which no rule looks at"]),
        (
            "action = 'redirect'\nlocation = '/blocked'",
            [##"3:12: location: "/blocked" is no URL, such as "https://blocked.example/?{url}""##]
        ),
        (
            "action = 'redirect'\nlocation = 'https://a/{uri}'",
            [#"3:12: location: "https://a/{uri}" has braces around something else than url, client, name or rule"#]
        ),
        (
            "action = 'redirect'\nlocation = 'https://a/x y'",
            [#"3:12: location: "https://a/x y" has characters that a URL cannot have: write them percent-encoded"#]
        ),
        (
            #"action = 'redirect'"# + "\n" + #"location = "https://a/\r\nSet-Cookie: x""#,
            [
                #"3:12: location: "https://a/\u{d}\u{a}Set-Cookie: x" has characters that a URL cannot have: write them percent-encoded"#
            ]
        ),
    ]

    @Test(arguments: cases)
    func whatMayNotBe(text: String, expected: [String]) { #expect(findings("[[rule]]\n\(text)") == expected) }

    @Test func nobodyChoosesWhereToBeSent() {
        for location in [
            "https://good.example{url}", "https://{name}", "https://{name}/", "http://good.example:{url}/", "https://a@{name}/x",
            "https://{name}.good.example/",
        ] {
            #expect(
                findings("[[rule]]\naction = 'redirect'\nlocation = '\(location)'") == [
                    #"3:12: location: "\#(location)" lets clients choose where they are sent: places stand behind the /, ? or # that ends the host"#
                ])
        }
        for location in [
            "https://good.example/{url}", "https://good.example?{url}", "https://good.example#{name}", "https://a/x{url}",
        ] {
            #expect(findings("[[rule]]\naction = 'redirect'\nlocation = '\(location)'") == [])
        }
        #expect(findings("[[rule]]\naction = 'redirect'\nlocation = 'https:///{url}'").count == 1)
    }

    @Test func placesInPagesAreText() {
        func findings(_ file: String, _ page: String) -> [String] {
            self.findings("[[rule]]\naction = 'reject'\npage = '\(file)'", ["/etc/clearway/\(file)": page])
        }
        #expect(
            findings("x.html", "<p onclick='f({url})'>") == [
                #"3:8: page: "/etc/clearway/x.html" lets what clients write be more than text: a place stands in the attribute "onclick""#
            ])
        #expect(findings("x.txt", "<script>{url}</script>") == [] && findings("x.html", "<p title='{url}'>{name}") == [])
    }

    /// What a request is compared with is bounded in all rules together.
    @Test func manyValues() {
        func rules(_ count: Int, _ key: (Int) -> String) -> [String] {
            findings((0..<count).map { "[[rule]]\naction = 'reject'\n\(key($0))\n" }.joined())
        }
        let values = (0..<256).map { "'v\($0)*'" }.joined(separator: ",")
        #expect(rules(4) { _ in "header = { A = [\(values)] }" } == [])
        #expect(
            rules(6) { _ in "header = { A = [\(values)] }" } == ["13:3: header: more than 1024 values in all rules up to this one"])
        #expect(rules(1_024) { "url = 'http://a.b/\($0)?x'" } == [])
        #expect(
            rules(1_026) { "url = ['http://a.b/\($0)?x', 'http://a.b/\($0)', 'http://b\($0).b/?x']" } == [
                "3073:3: url: more than 1024 URLs of one host with a query in all rules up to this one: http://a.b/1024?x"
            ])
    }

    @Test func pagesThatAreNone() {
        func findings(_ file: String, _ content: String?) -> [String] {
            self.findings("[[rule]]\naction = 'reject'\npage = '\(file)'", content.map { ["/etc/clearway/\(file)": $0] } ?? [:])
        }
        #expect(findings("x.html", nil) == [#"3:8: page: "/etc/clearway/x.html" cannot be read: there is none"#])
        #expect(
            findings("x.php", "a") == [
                #"3:8: page: "/etc/clearway/x.php" ends neither in .html nor in .txt, which says what it is"#
            ])
        #expect(findings("x.txt", String(repeating: "a", count: 65_536)).isEmpty)
        #expect(
            findings("x.txt", String(repeating: "a", count: 65_537)) == [#"3:8: page: "/etc/clearway/x.txt" is larger than 64 KiB"#]
        )
        #expect(findings("x.txt", "a\u{1B}[31m") == [#"3:8: page: "/etc/clearway/x.txt" has control characters in it"#])
        #expect(
            findings("x.html", String(repeating: "{url}", count: 9))
                == [#"3:8: page: "/etc/clearway/x.html" has more than 8 places to be filled in"#])
        #expect(findings("x.html", "").isEmpty)
    }

    @Test func anUpstreamCannotBeCalledSo() {
        #expect(
            findings("[[upstream]]\nname = 'redirect'\nurl = 'socks5://10.0.0.1:1'") == [#"2:8: name: "redirect" exists already"#])
    }
}
