import Testing

@testable import Policy

/// Paths that servers make different things of.
@Suite struct AmbiguousPathTests {
    private func decide(_ action: Action, _ path: String, _ target: String) -> Action {
        var rule = Rule(action: action)
        rule.paths = [PathPattern(path)!]
        var url = Rule(action: action)
        url.urls = [try! URLPattern("http://a.b\(path)")]
        let answers = [rule, url].map { rule in
            var query = Query(listener: "web", client: nil, destination: nil, port: 80, name: DomainName("a.b"))
            query.request = RequestFacts(method: "GET", target: target, authority: "a.b")
            return Policy([rule] + (action == .reject ? [] : [Rule(action: .reject)])).decide(query).action
        }
        #expect(answers[0] == answers[1], "\(target)")
        return answers[0]
    }

    private static let hidden = [
        "/./private/;/../secret", "/%70rivate/;/../secret", "/./private/%5c/../secret", "/./private/\\/../secret",
        "/./private//../secret", "/./private/.;/../secret", "/./private/..;/../private/secret", "/./private/..;/secret",
        "/./private/%2e/../secret", "/./private/%2e%2e/secret", "/./private/%3b/../secret", "/./private/a%2fb/../../secret",
        "/./private/;x/a/b/../../../secret", "/%2f./private/x/../../secret",
    ]

    @Test(arguments: hidden)
    func rulesThatRejectMatchThem(_ target: String) {
        #expect(ResolvedPath(Array(target.utf8)).isAmbiguous)
        #expect(decide(.reject, "/private/*", target) == .reject)
    }

    @Test(arguments: ["/public/../secret/;/../public/x", "/public//../public/x", "/public/%2e%2e/public/"])
    func othersDoNot(_ target: String) { #expect(decide(.direct, "/public/*", target) == .reject) }

    @Test func whatServersAgreeAboutIsNotAmbiguous() {
        let rows = [
            ("/a/b/../c", "/a/c"), ("/a//b", "/a/b"), ("/a/../b//c/;d", "/b/c/"), ("/a;x/../b", "/b"), ("/a/./../b", "/b"),
            ("/%61/../b", "/b"), ("/../../a", "/a"), ("/a/..", "/"), ("/", "/"), ("", "/"), ("/a/", "/a/"), ("/a\\b", "/a/b"),
            ("/a%2Fb", "/a/b"), ("/...;/..a", "/.../..a"), ("/%", "/%"), ("/%6", "/%6"), ("/%+1", "/%+1"), ("/%2561", "/%61"),
        ]
        for (path, resolved) in rows {
            let found = ResolvedPath(Array(path.utf8))
            #expect(found.octets == Array(resolved.utf8) && !found.isAmbiguous, "\(path)")
        }
        for target in ["/a/../b", "/x//y"] { #expect(decide(.reject, "/private/*", target) == .direct) }
    }

    /// A port that is not its own, or a query, keeps a URL from matching.
    @Test func theRestOfAURLStillCounts() {
        var rule = Rule(action: .reject)
        rule.urls = [try! URLPattern("http://a.b:81/p/*"), try! URLPattern("http://a.b/p/*?q=1")]
        let policy = Policy([rule])
        for (target, action) in [("/p//../x", Action.direct), ("/p//../x?q=1", .reject), ("/p//../x?q=2", .direct)] {
            var query = Query(listener: "web", client: nil, destination: nil, port: 80, name: DomainName("a.b"))
            query.request = RequestFacts(method: "GET", target: target, authority: "a.b")
            #expect(policy.decide(query).action == action, "\(target)")
        }
    }
}
