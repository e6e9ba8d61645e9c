import Protocols
import Testing

/// What a service is asked about a request, and what its answers mean.
@Suite struct PermissionTests {
    private func question(_ request: String, to destination: String? = nil, key: [String] = []) throws -> String {
        let bytes = Array(request.utf8)
        var head = HeadReader(.request)
        #expect(try head.read(bytes.span))
        let question = PermissionQuestion(
            about: try RequestMessage(head, bytes.span), head, bytes.span, of: "192.0.2.1", to: destination,
            listener: Array("l".utf8),
            key: key.map { FieldName($0) }, service: (Array("auth:80".utf8), Array("/check".utf8)))
        return String(decoding: question.bytes, as: UTF8.self)
    }

    static let targets = [
        ("GET /a?b HTTP/1.1", "http://h/a?b"), ("GET http://o.example:81/x HTTP/1.1", "http://o.example:81/x"),
        ("GET http://o.example?q HTTP/1.1", "http://o.example/?q"), ("GET http://o.example HTTP/1.1", "http://o.example/"),
        ("OPTIONS * HTTP/1.1", "http://h"), ("OPTIONS /* HTTP/1.1", "http://h/*"),
        ("OPTIONS http://o.example HTTP/1.1", "http://o.example"), ("CONNECT o.example:443 HTTP/1.1", "o.example:443"),
    ]

    @Test(arguments: targets.indices) func urls(row: Int) throws {
        let (line, url) = Self.targets[row]
        let asked = try question("\(line)\r\nHost: h\r\n\r\n")
        #expect(asked.contains("\r\nX-Original-URL: \(url)\r\n"))
        #expect(asked.contains("\r\nX-Original-Method: \(line.prefix { $0 != " " })\r\n"))
    }

    /// The service hears what is listed, and in our fields nobody but us.
    @Test func fields() throws {
        let asked = try question(
            "GET / HTTP/1.1\r\nHost: h\r\nCookie: a\r\nX-Original-URL: forged\r\nx-a: 1\r\nX_A: 2\r\nAccept: x\r\nCookie: b\r\n\r\n",
            to: "10.0.0.1:80", key: ["cookie", "X-A"])
        #expect(
            asked == """
                GET /check HTTP/1.1\r
                Host: auth:80\r
                X-Original-Method: GET\r
                X-Original-URL: http://h/\r
                X-Original-Client: 192.0.2.1\r
                X-Original-Destination: 10.0.0.1:80\r
                X-Original-Listener: l\r
                Cookie: a\r
                x-a: 1\r
                X_A: 2\r
                Cookie: b\r
                \r

                """)
    }

    private func answer(_ response: String, pass: [String] = []) throws -> PermissionAnswer {
        try answer(Array(response.utf8), pass: pass)
    }

    private func answer(_ bytes: [UInt8], pass: [String] = []) throws -> PermissionAnswer {
        var head = HeadReader(.response)
        #expect(try head.read(bytes.span))
        return PermissionAnswer(
            try ResponseMessage(head, bytes.span, to: .get), head, bytes.span, pass: pass.map { FieldName($0) })
    }

    @Test func answers() throws {
        #expect(
            try answer("HTTP/1.1 200 OK\r\nx-user: alice\r\nX-Else: 1\r\nX-USER: b\r\n\r\n", pass: ["X-User"])
                == .granted(lines: Array("X-User: alice\r\nX-User: b\r\n".utf8)))
        #expect(try answer("HTTP/1.1 299 Fine\r\n\r\n") == .granted(lines: []))
        #expect(
            try answer("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\n\r\n") == .unauthorized(challenges: [Array("Basic".utf8)]))
        // As it came, whatever it is written in.
        let latin: [UInt8] =
            Array("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"caf".utf8) + [0xE9] + Array("\"\r\n\r\n".utf8)
        #expect(try answer(latin) == .unauthorized(challenges: [Array("Basic realm=\"caf".utf8) + [0xE9, 0x22]]))
        #expect(try answer("HTTP/1.1 403 No\r\n\r\n") == .forbidden)
        for status in [300, 302, 304, 400, 404, 407, 429, 500, 503] {
            #expect(try answer("HTTP/1.1 \(status) x\r\n\r\n") == .other(status))
        }
    }

    /// What stands in place of a client's own field, in whatever spelling that is.
    @Test func replacement() throws {
        let bytes = Array("GET / HTTP/1.1\r\nHost: h\r\nX-User: 1\r\nx_user: 2\r\nCookie: c\r\nX-Users: 3\r\n\r\n".utf8)
        var head = HeadReader(.request)
        #expect(try head.read(bytes.span))
        let replacement = FieldReplacement([FieldName("X-User"), FieldName("Cookie")], lines: Array("X-User: a\r\n".utf8))
        var output: [UInt8] = []
        MessageWriter(via: nil).write(
            try RequestMessage(head, bytes.span), head, bytes.span, replacing: replacement, into: &output)
        #expect(String(decoding: output, as: UTF8.self) == "GET / HTTP/1.1\r\nHost: h\r\nX-Users: 3\r\nX-User: a\r\n\r\n")
    }
}
