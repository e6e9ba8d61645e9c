import Configuration
import Policy
import Protocols
import Testing
import TransparentSockets

/// Changes of header fields, and who clients of origins are: their keys, and what is refused, word for word.
@Suite struct FieldChangesTests {
    private static let head = "[[listener]]\nlocal = true\nhttp = true\n"
    private static let origin = "[[listener]]\nmode = 'http'\norigin = 'http://10.0.0.1'\n"

    private static func listener(_ text: String) throws -> Listener {
        try Configuration(parsing: text, file: "t.toml").listeners[0]
    }

    private static func template(_ text: String) throws -> FieldTemplate { try FieldTemplate(text) }

    /// In every way that TOML has to write tables, and in the order of the file.
    @Test func changes() throws {
        let request = FieldChanges(
            remove: ["Cookie", "X-A"],
            set: [("X-User", try Self.template("{user}")), ("A-Client", try Self.template("{client}:{client_port}"))],
            add: [("Link", try Self.template("<a>")), ("Link", try Self.template("<b>"))])
        let response = FieldChanges(remove: ["Server"])
        let inline = """
            request_headers = { remove = ["Cookie", "X-A"], set = { X-User = "{user}", "A-Client" = "{client}:{client_port}" }, add = { Link = ["<a>", "<b>"] } }
            response_headers = { remove = "Server" }
            """
        let tables = """
            [listener.request_headers]
            remove = ["Cookie", "X-A"]
            [listener.request_headers.set]
            "X-User" = "{user}"
            A-Client = "{client}:{client_port}"
            [listener.request_headers.add]
            Link = ["<a>", "<b>"]
            [listener.response_headers]
            remove = ["Server"]
            """
        let dotted = """
            request_headers.remove = ["Cookie", "X-A"]
            request_headers.set.X-User = "{user}"
            request_headers.set."A-Client" = "{client}:{client_port}"
            request_headers.add.Link = ["<a>", "<b>"]
            response_headers.remove = ["Server"]
            """
        for text in [inline, tables, dotted] {
            let listener = try Self.listener(Self.head + text)
            #expect(listener.requestChanges == request && listener.responseChanges == response, "\(text)")
        }
        let plain = try Self.listener(Self.head)
        #expect(plain.requestChanges.isEmpty && plain.responseChanges.isEmpty)
        for mode in ["http", "socks+http"] {
            let listener = try Self.listener("[[listener]]\nmode = '\(mode)'\n\(dotted)")
            #expect(listener.requestChanges == request)
        }
    }

    @Test func clientsOfOrigins() throws {
        let listener = try Self.listener(Self.origin + "x_forwarded = true\ntrusted = ['10.0.0.0/8', '2001:db8::1']")
        #expect(
            try listener.addsXForwarded
                && listener.trusted == [IPNetwork(parsing: "10.0.0.0/8"), IPNetwork(parsing: "2001:db8::1")])
        #expect(listener.realm == nil && listener.users == nil)
        let plain = try Self.listener(Self.origin)
        #expect(!plain.addsXForwarded && plain.trusted.isEmpty)
        let hash = "$6$clearway$pi7Ylf.P1Ywi.0M1YDsxdf2dE29H1d8m5UUvzpofrhVJpalxZPAacQx2MtTtoeKYYS6N2PwEb9oBW/PeT.4Qo."
        let asked = try Configuration(
            parsing: Self.origin + "users = 'u'\nrealm = 'the \"site\"'", file: "t.toml",
            files: { _ throws(UnreadableFile) in Array("alice:\(hash)".utf8) }
        ).listeners[0]
        #expect(asked.users != nil && asked.realm == "the \"site\"")
    }

    private static let refusals: [(text: String, findings: [String])] = [
        (
            "[[listener]]\nlocal = true\nrequest_headers.remove = 'X-A'",
            ["3:1: request_headers: only where HTTP is understood, with http = true"]
        ),
        (
            "[[listener]]\nmode = 'socks'\nresponse_headers = { remove = ['X-A'] }",
            ["3:1: response_headers: only where HTTP is understood, with http = true"]
        ),
        (head + "request_headers = 'X-A'", [#"4:19: expected a table, request_headers, found the string "X-A""#]),
        (
            head + "request_headers.sett.X-A = 'a'",
            [#"4:17: unknown key "sett" in request_headers, did you mean "set"?"#]
        ),
        (
            head + "request_headers.remove = ['Host', 'X A', 'content_length', '']",
            [
                "4:27: request_headers.remove: Host cannot be changed: where a message goes, or how it gets there, depends on it",
                #"4:35: request_headers.remove: "X A" is no name of a header field, such as "X-Real-IP""#,
                "4:42: request_headers.remove: content_length cannot be changed: where a message goes, or how it gets there, depends on it",
                #"4:60: request_headers.remove: "" is no name of a header field, such as "X-Real-IP""#,
            ]
        ),
        (
            head + "request_headers.remove = 1",
            ["4:26: request_headers.remove: expected the name of a header field, found the integer 1"]
        ),
        (
            head
                + "response_headers.set = { Via = 'x', 'X:A' = 'b', X-A = 1, X-B = \"a\\r\\nX-C: b\", X-D = ' a', x-d = 'b' }",
            [
                "4:26: response_headers.set: Via cannot be changed: where a message goes, or how it gets there, depends on it",
                #"4:37: response_headers.set: "X:A" is no name of a header field, such as "X-Real-IP""#,
                "4:56: response_headers.set: X-A: expected a string, found the integer 1",
                "4:65: response_headers.set: X-B: there is a control character in the value",
                "4:86: response_headers.set: X-D: a value neither begins nor ends with a blank",
                "4:92: response_headers.set: x-d is there already: neither case nor signs make a difference",
            ]
        ),
        (
            head + "request_headers.add = { X-A = 'a', x_a = 'b', X-B = [], X-C = ['a', 1] }",
            [
                "4:36: request_headers.add: x_a is there already: neither case nor signs make a difference",
                "4:53: request_headers.add: X-B: 0 values; 1 to 16 are possible",
                "4:69: request_headers.add: X-C: expected a string, found the integer 1",
            ]
        ),
        (
            head + "request_headers.set = { X-A = '{clint}', X-B = '{client', X-C = '{\"a\":1}' }",
            [
                #"4:31: request_headers.set: X-A: "{clint}" stands for nothing, did you mean "{client}"?: write {client}, {client_port}, {destination}, {destination_port}, {name}, {user} or {listener}, or {{ for the brace itself"#,
                "4:48: request_headers.set: X-B: a { without its }: for the brace itself write {{",
                #"4:65: request_headers.set: X-C: "{"a":1}" stands for nothing: write {client}, {client_port}, {destination}, {destination_port}, {name}, {user} or {listener}, or {{ for the brace itself"#,
            ]
        ),
        (
            head + "request_headers.set.X-A = '\(String(repeating: "a", count: 4_097))'",
            ["4:27: request_headers.set: X-A: the value has more than 4096 bytes"]
        ),
        (
            head
                + "request_headers.set = { \((0..<5).map { "X-\($0) = '\(String(repeating: "a", count: 4_000))'" }.joined(separator: ", ")) }",
            ["4:1: request_headers: 20015 bytes of names and values; at most 16384 are possible"]
        ),
        (
            "[[listener]]\nmode = 'http'\nrealm = 'x'\nx_forwarded = true\ntrusted = '10.0.0.0/8'",
            ["3:1: realm: only with origin", "4:1: x_forwarded: only with origin", "5:1: trusted: only with origin"]
        ),
        (origin + "realm = 'x'", ["4:9: realm: only with users"]),
        (
            origin + "realm = \"a\\nb\"",
            [#"4:9: realm: "a\u{a}b" is no realm: 1 to 128 printable characters of ASCII"#, "4:9: realm: only with users"]
        ),
        (
            origin + "trusted = ['10.0.0.1/8']",
            [#"4:12: trusted: "10.0.0.1/8" has bits set beyond its prefix, did you mean "10.0.0.0/8"?"#]
        ),
    ]

    @Test(arguments: refusals.indices)
    func whatIsRefused(row: Int) { #expect(findings(Self.refusals[row].text) == Self.refusals[row].findings) }
}
