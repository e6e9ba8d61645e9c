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

    @Test func patterns() {
        for text in ["", "a", "/a*b", "*", "/a?b", "/a#b", "a/*"] { #expect(PathPattern(text) == nil, "\(text)") }
        #expect(PathPattern("/a/*")?.description == "/a/*" && PathPattern("/")?.description == "/")
    }
}
