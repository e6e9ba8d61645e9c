import Configuration
import Foundation
import Testing

@testable import ClearwayServer

/// What `explain` says of requests, and of times.
@Suite struct ExplainRequestsTests {
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
