import Policy
import Testing
import TransparentSockets

/// Rules that ask something of requests of HTTP.
@Suite struct RequestTests {
    private func rule(_ action: Action, methods: [String]? = nil, paths: [String]? = nil) -> Rule {
        var rule = Rule(action: action)
        rule.methods = methods
        rule.paths = paths?.map { PathPattern($0)! }
        return rule
    }

    private func decide(_ policy: Policy, _ method: String, _ target: String) -> Action {
        policy.decide(query(RequestFacts(method: method, target: target))).action
    }

    private func query(_ request: RequestFacts?) -> Query {
        var query = Query(listener: "web", client: nil, destination: nil, port: 80)
        query.request = request
        return query
    }

    @Test func whatIsRejectedIsSoInEveryForm() {
        let policy = Policy([rule(.reject, paths: ["/admin", "/admin/*"])])
        for target in [
            "/admin", "/admin?x", "/admin/", "/admin/a", "//admin/a", "/./admin", "/x/../admin/a", "/%61dmin", "/admin%2Fa",
            "/adm%69n/",
            "/x/%2e%2e/admin", "/admin;a=b/c", "/;/admin/x", "/\\admin", "/..;/admin/", "/%2e/admin",
            "/admin/../x/../admin/..%2f../admin",
            "/x/..\\admin/", "/admin/../public",
        ] { #expect(decide(policy, "GET", target) == .reject, "\(target)") }
        for target in ["/", "", "/administrator", "/x/admin", "/a?/admin/", "/Admin", "/%2561dmin", "/admi", "/%", "/%6", "/%+1"] {
            #expect(decide(policy, "GET", target) == .direct, "\(target)")
        }
    }

    @Test func whatIsAllowedIsSoInBoth() {
        let policy = Policy([rule(.direct, paths: ["/public/*"]), rule(.reject)])
        for target in ["/public/", "/public/a/b", "/public/a%20b"] {
            #expect(decide(policy, "GET", target) == .direct, "\(target)")
        }
        for target in ["/public/../admin", "/public/%2e%2e/admin", "/public/..;/admin", "/x/../public/a", "/%70ublic/a", "/public"]
        {
            #expect(decide(policy, "GET", target) == .reject, "\(target)")
        }
    }

    @Test func methods() {
        let policy = Policy([rule(.reject, methods: ["POST", "PUT"], paths: ["/form"])])
        #expect(decide(policy, "POST", "/form") == .reject && decide(policy, "GET", "/form") == .direct)
        #expect(decide(policy, "post", "/form") == .direct && decide(policy, "POST", "/other") == .direct)
    }

    @Test func whatIsNoRequestIsNotMeant() {
        let policy = Policy([rule(.reject, paths: ["/*"]), rule(.upstream(0), methods: ["GET"])])
        #expect(policy.asksForRequests && !Policy([rule(.reject)]).asksForRequests)
        let decision = policy.decide(query(nil))
        #expect(decision.action == .direct && policy.needsRequest(query(nil), after: decision))
        #expect(!policy.needsRequest(query(RequestFacts(method: "GET", target: "/")), after: decision))
    }

    @Test func shadows() {
        func shadowed(_ rules: Rule...) -> [Int] { Policy(rules).shadowed.map(\.rule) }
        #expect(shadowed(rule(.reject, paths: ["/a/*"]), rule(.reject, paths: ["/a/b", "/a/c/*"])) == [1])
        #expect(shadowed(rule(.reject, paths: ["/a/*"]), rule(.reject, paths: ["/a/b", "/c"])) == [])
        #expect(shadowed(rule(.direct, paths: ["/a/*"]), rule(.reject, paths: ["/a/b"])) == [])
        #expect(shadowed(rule(.reject), rule(.direct, methods: ["GET"])) == [1])
        #expect(shadowed(rule(.reject, methods: ["GET"]), rule(.direct, methods: ["GET", "POST"])) == [])
        #expect(shadowed(rule(.reject, methods: ["GET"]), rule(.direct)) == [])
    }

    private func urlRule(_ action: Action, urls: String...) -> Rule {
        var rule = Rule(action: action)
        rule.urls = urls.map { try! URLPattern($0) }
        return rule
    }

    /// As on an intercepted connection, of which the client says the host.
    private func ask(
        _ url: String, of policy: Policy, verified: Bool = true, destination: String = "192.0.2.1", port: UInt16 = 80
    ) -> Action {
        let parts = url.dropFirst("http://".count).split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let authority = String(parts[0])
        var query = Query(
            listener: "web", client: nil, destination: IPAddress(destination), port: port,
            name: DomainName(authority.hasPrefix("[") ? authority : String(authority.prefix { $0 != ":" })))
        query.isNameVerified = verified && query.name != nil
        query.request = RequestFacts(method: "GET", target: parts.count > 1 ? "/\(parts[1])" : "", authority: authority)
        return policy.decide(query).action
    }

    @Test func urlsAreRejectedInEverySpelling() {
        let policy = Policy([
            urlRule(
                .reject, urls: "http://example.com/ads/*", "http://*.example.com/x", "http://example.org:8080/*",
                "http://192.0.2.7/a")
        ])
        for url in [
            "http://example.com/ads/1", "http://EXAMPLE.com./ads/", "http://example.com:80/ads/1?x", "http://example.com/%61ds/1",
            "http://example.com//x/../ads/1", "http://www.example.com/x", "http://a.b.example.com/x?q", "http://example.org:8080/",
            "http://192.0.2.7/a", "http://0xC0.0.2.7/a", "http://[::ffff:192.0.2.7]/a",
        ] {
            #expect(ask(url, of: policy, port: url.contains(":8080") ? 8080 : 80) == .reject, "\(url)")
            #expect(ask(url, of: policy, verified: false, port: url.contains(":8080") ? 8080 : 80) == .reject, "\(url)")
        }
        for url in [
            "http://example.com/", "http://example.com/x", "http://www.example.com/ads/1", "http://example.com/a?/ads/1",
            "http://notexample.com/x", "http://192.0.2.8/a", "http://192.0.2.7/b", "http://[2001:db8::1]/a", "http://com/ads/1",
        ] { #expect(ask(url, of: policy) == .direct, "\(url)") }
        // A port that is said, and one that is gone to: each is enough.
        #expect(ask("http://example.com/ads/1", of: policy, port: 8080) == .reject)
        #expect(ask("http://example.com:8080/ads/1", of: policy) == .reject)
        #expect(ask("http://example.com:8080/ads/1", of: policy, port: 8080) == .direct)
    }

    @Test func urlsAreAllowedInEachSpellingAndByAVerifiedName() {
        let policy = Policy([urlRule(.direct, urls: "http://example.com/pub/*", "http://192.0.2.7/pub/*"), rule(.reject)])
        #expect(ask("http://example.com/pub/1", of: policy) == .direct)
        #expect(ask("http://example.com/pub/1", of: policy, verified: false) == .reject)
        for url in ["http://example.com/pub/../x", "http://example.com/%70ub/1", "http://example.com:8080/pub/1"] {
            #expect(ask(url, of: policy) == .reject, "\(url)")
        }
        #expect(ask("http://example.com/pub/1", of: policy, port: 8080) == .reject)
        // An address is as much of a claim as a name is, unless one has gone there.
        #expect(ask("http://192.0.2.7/pub/1", of: policy, destination: "192.0.2.7") == .direct)
        #expect(ask("http://192.0.2.7/pub/1", of: policy, destination: "192.0.2.8") == .reject)
        var query = Query(
            listener: "web", client: nil, destination: nil, port: 80, name: DomainName("example.com"))
        query.isNameVerified = false
        query.request = RequestFacts(method: "GET", target: "/pub/1", authority: "example.com")
        #expect(policy.needsVerification(query, after: policy.decide(query)))
        query.request = RequestFacts(method: "GET", target: "/x", authority: "example.com")
        #expect(!policy.needsVerification(query, after: policy.decide(query)))
    }

    @Test func queriesCountWhereTheyAreAskedFor() {
        let policy = Policy([urlRule(.reject, urls: "http://example.com/s?q=bad*", "http://example.com/t*?*&debug=1*")])
        for url in [
            "http://example.com/s?q=bad", "http://example.com/s?q=badly", "http://example.com/s?q=%62ad",
            "http://example.com/tx?a&debug=1",
        ] {
            #expect(ask(url, of: policy) == .reject, "\(url)")
        }
        for url in [
            "http://example.com/s", "http://example.com/s?", "http://example.com/s?q=Bad", "http://example.com/s?x&q=bad",
            "http://example.com/t?debug=1",
        ] {
            #expect(ask(url, of: policy) == .direct, "\(url)")
        }
    }

    /// Of a tunnel only the ends are known.
    @Test func tunnelsHaveNoURL() {
        var query = Query(listener: "web", client: nil, destination: nil, port: 80, name: DomainName("example.com"))
        query.request = RequestFacts(method: "CONNECT", target: "", authority: "example.com:80")
        #expect(Policy([urlRule(.reject, urls: "http://example.com/*")]).decide(query).action == .direct)
    }

    @Test func fieldsOfRequests() {
        var rule = Rule(action: .reject)
        rule.fields = [
            FieldPattern(name: "User-Agent", values: [Wildcard("*curl*")!, Wildcard("")!]),
            FieldPattern(name: "X-Test", values: [Wildcard("*")!]),
        ]
        let policy = Policy([rule])
        #expect(policy.askedFields == ["user-agent", "x-test"])
        func decide(_ fields: (String, String)...) -> Action {
            let fields = fields.map { RequestFacts.Field(name: $0.0, value: Array($0.1.utf8)) }
            return policy.decide(query(RequestFacts(method: "GET", target: "/", fields: fields))).action
        }
        #expect(decide(("user-agent", "curl/8"), ("X-TEST", "")) == .reject)
        #expect(decide(("User-Agent", "Firefox"), ("User-Agent", "CURL"), ("x-test", "1")) == .reject)
        #expect(decide(("User-Agent", ""), ("x-test", "1")) == .reject)
        #expect(decide(("User-Agent", "curl")) == .direct && decide(("X-Test", "1")) == .direct && decide() == .direct)
        #expect(decide(("User-Agent", "Firefox"), ("X-Test", "curl")) == .direct)
    }

    @Test func typesOfResponses() {
        func rule(_ types: String...) -> Rule {
            var rule = Rule(action: .reject)
            rule.contentTypes = types.map { ContentTypePattern($0)! }
            return rule
        }
        let policy = Policy([rule("video/*", "application/x-msdownload")])
        func decide(_ policy: Policy, _ types: [String]?, hasBody: Bool = true) -> Action {
            var facts = RequestFacts(method: "GET", target: "/")
            facts.response = types.map { ResponseFacts(contentTypes: $0.map { Array($0.utf8) }, hasBody: hasBody) }
            return policy.decide(query(facts)).action
        }
        #expect(policy.asksForResponses && policy.asksForRequests)
        #expect(
            decide(policy, nil) == .direct
                && policy.needsResponse(query(RequestFacts(method: "GET", target: "/")), after: Decision(.direct, rule: nil)))
        for types in [
            ["video/mp4"], ["VIDEO/MP4; codecs=x"], [" application/x-msdownload "], ["text/html", "video/mp4"],
            ["text/html, video/mp4"],
            ["text/html,\tvideo/mp4;x"], ["\"video/mp4\""], ["\"video/mp4;x\""], ["\" video/mp4 \" x"],
            ["text/html, 'a', \"Video/MP4, x\""],
        ] { #expect(decide(policy, types) == .reject, "\(types)") }
        for types in [["text/html"], [], [""], ["application/x-msdownloads"], ["text/html; x=video/mp4"], ["video"]] {
            #expect(decide(policy, types) == .direct, "\(types)")
        }
        let untyped = Policy([rule("none")])
        for types in [
            [], [""], [" , "], ["video"], ["/"], ["a/"], ["video /mp4"], ["video/ mp4"], ["a/b c"], ["a/b/c"], ["\"a/b\""],
            ["a/b\u{7F}"],
            ["text/html", "video"], ["a/b, c;d"],
        ] {
            #expect(decide(untyped, types) == .reject && decide(untyped, types, hasBody: false) == .direct, "\(types)")
        }
        #expect(decide(untyped, ["a/b, c/d;e", "!#$%&'+-.^_`|~/*"]) == .direct)
        #expect(decide(untyped, ["a/b"]) == .direct && decide(untyped, nil) == .direct)
        // In order: what an earlier rule lets pass, passes.
        var open = Rule(action: .direct)
        open.paths = [PathPattern("/*")!]
        #expect(decide(Policy([open, rule("video/*")]), ["video/mp4"]) == .direct)
        for text in ["", "video", "/x", "x/", "a/b;c", "a/b/c", "a b/c", "None"] {
            #expect(ContentTypePattern(text) == nil, "\(text)")
        }
    }

    /// Where a rule might still be held by a response, its address must be known by then.
    @Test func addressesAreFoundOutForResponses() {
        var rule = Rule(action: .reject)
        rule.contentTypes = [ContentTypePattern("video/*")!]
        rule.destinations = [try! IPNetwork(parsing: "192.0.2.0/24")]
        let policy = Policy([rule])
        let asked = query(RequestFacts(method: "GET", target: "/"))
        #expect(policy.needsAddress(asked, after: policy.decide(asked)))
        #expect(!policy.needsAddress(query(nil), after: policy.decide(query(nil))))
    }

    @Test func furtherShadows() {
        func shadowed(_ rules: Rule...) -> [Int] { Policy(rules).shadowed.map(\.rule) }
        func fields(_ action: Action, _ name: String, _ values: String...) -> Rule {
            var rule = Rule(action: action)
            rule.fields = [FieldPattern(name: name, values: values.map { Wildcard($0)! })]
            return rule
        }
        func types(_ types: String...) -> Rule {
            var rule = Rule(action: .reject)
            rule.contentTypes = types.map { ContentTypePattern($0)! }
            return rule
        }
        func domain(_ name: String) -> Rule {
            var rule = Rule(action: .reject)
            rule.domains = [DomainPattern(name)!]
            return rule
        }
        #expect(
            shadowed(urlRule(.reject, urls: "http://a.b/x*"), urlRule(.reject, urls: "http://a.b/x", "http://a.b/xy/*?q*")) == [1])
        #expect(shadowed(urlRule(.reject, urls: "http://*.b/*"), urlRule(.reject, urls: "http://a.b/x", "http://*.a.b/y")) == [1])
        #expect(shadowed(urlRule(.reject, urls: "http://*.b/*"), urlRule(.reject, urls: "http://b/x")) == [])
        #expect(shadowed(urlRule(.reject, urls: "http://a.b/*"), urlRule(.reject, urls: "http://a.b:81/x")) == [])
        #expect(shadowed(urlRule(.reject, urls: "http://a.b/*?q"), urlRule(.reject, urls: "http://a.b/x")) == [])
        #expect(shadowed(urlRule(.direct, urls: "http://a.b/*"), urlRule(.reject, urls: "http://a.b/x")) == [])
        #expect(shadowed(domain("a.b"), urlRule(.reject, urls: "http://a.b/x")) == [1])
        #expect(shadowed(domain("a.b"), urlRule(.reject, urls: "http://a.b/x", "http://b/x")) == [])
        #expect(shadowed(urlRule(.reject, urls: "http://a.b/*"), domain("a.b")) == [])
        #expect(
            shadowed(urlRule(.reject, urls: "http://a.b/*", "http://192.0.2.1/*"), urlRule(.reject, urls: "http://192.0.2.1/x"))
                == [1])
        #expect(shadowed(fields(.reject, "a", "x*"), fields(.direct, "A", "xy", "xz*")) == [1])
        #expect(shadowed(fields(.reject, "a", "x*"), fields(.direct, "b", "xy")) == [])
        #expect(shadowed(fields(.reject, "a", "x*"), fields(.direct, "a", "*")) == [])
        #expect(shadowed(types("video/*", "none"), types("video/mp4"), types("none")) == [1, 2])
        #expect(shadowed(types("video/*"), types("*/*"), rule(.reject)) == [])
        #expect(shadowed(rule(.reject), types("video/*")) == [1])
    }

    @Test func urlPatterns() throws {
        let rows: [(String, URLPattern.Fault)] = [
            ("", .scheme), ("example.com/x", .scheme), ("ftp://a/", .scheme), ("https://a.b/", .https), ("http://a.b", .noPath),
            ("http:///x", .host(.noName)), ("http://a b/x", .host(.noName)), ("http://u@a.b/x", .host(.noName)),
            ("http://*/x", .host(.noName)), ("http://a.b:/x", .port), ("http://a.b:0/x", .port), ("http://a.b:65536/x", .port),
            ("http://a.b:+1/x", .port), ("http://[::1/x", .host(.noName)), ("http://[1.2.3.4]/x", .host(.noName)),
            ("http://a.b/x*y", .path),
            ("http://a.b/x#y", .path), ("http://a.b?x", .path), ("http://a.b/?x#y", .query),
        ]
        for (text, fault) in rows { #expect(throws: fault, "\(text)") { try URLPattern(text) } }
        for text in [
            "http://a.b/", "http://*.a.b:81/x*", "http://[2001:db8::1]:8080/*", "http://192.0.2.1/?*q=1*", "http://a.b/*?",
        ] {
            #expect(try URLPattern(text).description == text)
        }
        #expect(try URLPattern("HTTP://M\u{FC}nchen.Example./").description == "http://xn--mnchen-3ya.example/")
        #expect(try URLPattern("http://0x7f.1/").description == "http://127.0.0.1/")
    }

    @Test func patterns() {
        for text in ["", "a", "/a*b", "*", "/a?b", "/a#b", "a/*"] { #expect(PathPattern(text) == nil, "\(text)") }
        #expect(PathPattern("/a/*")?.description == "/a/*" && PathPattern("/")?.description == "/")
    }
}
