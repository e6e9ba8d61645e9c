import Protocols
import TestSupport
import Testing

/// What is changed of header fields, and what is put in the places of their values.
@Suite struct FieldChangesTests {
    private typealias Line = (name: String, value: String)

    private static func changes(remove: [String] = [], set: [Line] = [], add: [Line] = []) throws -> FieldChanges {
        FieldChanges(
            remove: remove, set: try set.map { ($0.name, try FieldTemplate($0.value)) },
            add: try add.map { ($0.name, try FieldTemplate($0.value)) })
    }

    /// The lines of a request with these fields, behind its Host.
    private static func request(
        _ fields: [String], _ changes: FieldChanges, _ value: (FieldTemplate.Placeholder) -> String = { _ in "" }
    ) throws -> [String] {
        var writer = MessageWriter(via: nil)
        writer.changes = changes
        return try written(writer, fields, value)
    }

    static func written(
        _ writer: MessageWriter, _ fields: [String], host: String = "a",
        _ value: (FieldTemplate.Placeholder) -> String = { _ in "" }
    ) throws -> [String] {
        let bytes = Array(("GET / HTTP/1.1\r\nHost: \(host)\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n").utf8)
        var head = HeadReader(.request)
        try #require(try head.read(bytes.span))
        let message = try RequestMessage(head, bytes.span)
        var output: [UInt8] = []
        writer.write(message, head, bytes.span, into: &output, value)
        let text = String(decoding: output, as: UTF8.self)
        let start = "GET / HTTP/1.1\r\nHost: \(host)\r\n"
        try #require(text.hasPrefix(start) && text.hasSuffix("\r\n\r\n"))
        return text.dropFirst(start.count).split(separator: "\r\n").map(String.init)
    }

    /// lighttpd makes each of these the same variable.
    @Test func noSignIsAWayAround() throws {
        let changes = try Self.changes(remove: ["X-Gone"], set: [("X-User", "alice")])
        let fields = ["X.User: a", "X~User: b", "x!uSER: c", "X'Gone: d", "XxUser: kept", "XUser: kept"]
        #expect(try Self.request(fields, changes) == ["XxUser: kept", "XUser: kept", "X-User: alice"])
        #expect(FieldNames(["X+Gone"]).contain("x-gone") && KnownField(name: "Proxy~Connection").isOurs)
        let bytes = Array("X.User".utf8)
        #expect(FieldName("X-User").isTaken(for: 0..<6, bytes.span) && !FieldName("X-User").isTaken(for: 0..<5, bytes.span))
    }

    @Test func removeSetAndAdd() throws {
        let changes = try Self.changes(
            remove: ["x-gone"], set: [("X-Set", "ours"), ("X-New", "new")], add: [("X-Set", "beside"), ("X-More", "more")])
        let fields = ["X-GONE: 1", "X-Kept: 2", "x-set: 3", "X-Set: 4", "X-More: 5", "x-gone: 6"]
        #expect(
            try Self.request(fields, changes) == [
                "X-Kept: 2", "X-More: 5", "X-Set: ours", "X-New: new", "X-Set: beside", "X-More: more",
            ])
        #expect(try Self.request(fields, FieldChanges()) == fields)
        #expect(FieldChanges().isEmpty && !changes.isEmpty)
    }

    /// Programs that get fields as variables cannot tell these apart.
    @Test func anUnderscoreIsNoWayAround() throws {
        let changes = try Self.changes(remove: ["X-Gone_For-Good"], set: [("X-User", "alice")])
        #expect(
            try Self.request(["X_User: admin", "x_uSER: admin", "X-User_: kept", "x_gone-for_good: 1"], changes) == [
                "X-User_: kept", "X-User: alice",
            ])
    }

    /// What `Connection` names is taken from what the client sent, and nothing else.
    @Test func connectionCannotTakeAwayWhatIsOurs() throws {
        let changes = try Self.changes(set: [("X-Set", "ours")], add: [("X-Add", "ours")])
        let fields = ["Connection: X-Set, x-add, close", "X-Set: theirs", "X-Add: theirs"]
        #expect(try Self.request(fields, changes) == ["X-Set: ours", "X-Add: ours"])
        // Without a change to them they go.
        #expect(try Self.request(fields, FieldChanges()).isEmpty)
    }

    @Test func namesOfEveryLength() {
        let lengths = [1, 2, 20, 62, 63, 64, 65, 255]
        for length in lengths {
            let names = FieldNames([String(repeating: "x", count: length)])
            for other in lengths {
                #expect(names.contain(String(repeating: "X", count: other)) == (length == other))
                #expect(!names.contain(String(repeating: "y", count: other)))
            }
        }
        #expect(!FieldNames().contain("x") && !FieldNames().contain(""))
    }

    @Test func placeholders() throws {
        let changes = try Self.changes(
            set: [
                ("A", "{client}:{client_port}"), ("B", "<{user}>"), ("C", "{user}"), ("D", "{{user}"), ("E", ""),
                ("F", "{listener}"),
            ])
        let values: [FieldTemplate.Placeholder: String] = [.client: "192.0.2.1", .clientPort: "99", .listener: "site"]
        // What comes to nothing is left out, but for what is written so.
        let expected = ["A: 192.0.2.1:99", "B: <>", "D: {user}", "E: ", "F: site"]
        #expect(try Self.request([], changes) { values[$0] ?? "" } == expected)
        let filled = changes.filled { values[$0] }
        #expect(try Self.request([], filled) == expected)
        var asked: [FieldTemplate.Placeholder] = []
        let withUser = try Self.request(["C: forged"], filled) { placeholder in
            asked.append(placeholder)
            return "alice"
        }
        #expect(withUser == ["A: 192.0.2.1:99", "B: <alice>", "C: alice", "D: {user}", "E: ", "F: site"])
        #expect(asked == [.user, .user])
        // Nothing is left to be asked, and what came to nothing for good is no line any more.
        #expect(try Self.request(["C: forged"], filled.filled { _ in "" }) { _ in "never" } == expected)
    }

    /// Whatever stands for a placeholder is part of one value, of a length that is bounded.
    @Test func whatIsPutInCannotBeAnythingElse() throws {
        let changes = try Self.changes(set: [("X-User", "\"{user}\", end")])
        let rows = [
            ("a\r\nX-Admin: 1", "a%0D%0AX-Admin:%201"), ("a\0\u{7F}\t", "a%00%7F%09"), ("\"; x=\"\\", "%22%3B%20x%3D%22%5C"),
            ("b, c", "b%2C%20c"), ("björn@x.example", "bj%C3%B6rn@x.example"), ("100%", "100%25"),
            (String(repeating: "x", count: 1_025), ""),
            (String(repeating: "x", count: 1_024), String(repeating: "x", count: 1_024)),
        ]
        for (value, written) in rows {
            let lines = ["X-User: \"\(written)\", end"]
            #expect(try Self.request([], changes) { _ in value } == lines)
            #expect(try Self.request([], changes.filled { _ in value }) == lines)
        }
        var generator = SplitMix(7)
        for _ in 0..<2_000 {
            let octets = (0..<Int.random(in: 0...300, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let lines = try Self.request([], changes) { _ in String(decoding: octets, as: UTF8.self) }
            #expect(lines.count == 1 && lines[0].utf8.allSatisfy { (0x20...0x7E).contains($0) })
            #expect(lines[0].utf8.count { $0 == UInt8(ascii: "\"") } == 2 && lines[0].hasSuffix("\", end"))
        }
    }

    @Test func whatIsNoValue() {
        func fault(_ text: String) -> FieldTemplate.Fault? {
            do throws(FieldTemplate.Fault) {
                _ = try FieldTemplate(text)
                return nil
            } catch {
                return error
            }
        }
        let rows: [(String, FieldTemplate.Fault?)] = [
            ("", nil), ("a b\tc", nil), ("}", nil), ("{{}", nil), ("{\"a\":1}", .unknown("\"a\":1")), ("a\r\nb", .control),
            ("a\nb", .control), ("\0", .control), ("\u{7F}", .control), (" a", .blank), ("a\t", .blank), ("{client", .unclosed),
            ("{", .unclosed), ("{}", .unknown("")), ("{Client}", .unknown("Client")), ("{{{client}", nil), ("é", nil),
            (String(repeating: "a", count: 4_096), nil), (String(repeating: "a", count: 4_097), .tooLong),
        ]
        for (text, expected) in rows { #expect(fault(text) == expected, "\(text.prefix(20))") }
    }

    @Test func responses() throws {
        let changes = try Self.changes(
            remove: ["Server"], set: [("Strict-Transport-Security", "max-age=1")], add: [("Set-Cookie", "via={listener}")])
        func written(_ text: String, to method: RequestMethod = .get) throws -> String {
            let bytes = Array(text.utf8)
            var head = HeadReader(.response)
            try #require(try head.read(bytes.span))
            let message = try ResponseMessage(head, bytes.span, to: method)
            var writer = MessageWriter(via: nil)
            writer.changes = changes
            var output: [UInt8] = []
            writer.write(message, head, bytes.span, body: message.body, keepsAlive: true, into: &output) { _ in "site" }
            return String(decoding: output, as: UTF8.self)
        }
        #expect(
            try written(
                """
                HTTP/1.1 200 OK\r
                Connection: strict-transport-security\r
                Server: x\r
                strict-transport-security: max-age=0\r
                Set-Cookie: a=b\r
                Content-Length: 2\r
                \r

                """) == """
                    HTTP/1.1 200 OK\r
                    Set-Cookie: a=b\r
                    Strict-Transport-Security: max-age=1\r
                    Set-Cookie: via=site\r
                    Content-Length: 2\r
                    \r

                    """)
        // Others follow these, and say it.
        let interim = "HTTP/1.1 103 Early Hints\r\nServer: x\r\n\r\n"
        #expect(try written(interim) == interim)
    }

    @Test func trailers() throws {
        let body = Array("0\r\nX-Sum: 1\r\nx_user: forged\r\nX-User: forged\r\n\r\n".utf8)
        func trailers(_ reader: ChunkedReader) throws -> String? {
            var reader = reader
            guard case .end(let trailers) = try reader.advance(body.span).step else { return nil }
            return String(decoding: trailers, as: UTF8.self)
        }
        #expect(try trailers(ChunkedReader()) == "X-Sum: 1\r\nx_user: forged\r\nX-User: forged\r\n")
        let changes = try Self.changes(set: [("X-User", "{user}")])
        #expect(try trailers(ChunkedReader(omitting: changes.omitted)) == "X-Sum: 1\r\n")
    }

    @Test func trailersOfProxies() throws {
        let body = Array(
            "0\r\nX-Sum: 1\r\nX-Forwarded-Port: 1\r\nx_forwarded-For: 1\r\nForwarded: for=x\r\nX-Forwarde: 1\r\n\r\n".utf8)
        var reader = ChunkedReader(omittingForwarded: true)
        guard case .end(let trailers) = try reader.advance(body.span).step else {
            Issue.record("no end")
            return
        }
        #expect(String(decoding: trailers, as: UTF8.self) == "X-Sum: 1\r\nX-Forwarde: 1\r\n")
    }

    @Test(arguments: [
        "Host", "content-length", "Content_Length", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade",
        "Via", "CDN-Loop", "Proxy-Connection", "Expect", "Max-Forwards", "Proxy", "Proxy-Authorization", "Proxy-Authenticate",
    ])
    func fieldsThatAreOurs(name: String) { #expect(KnownField(name: name).isOurs) }

    @Test(arguments: ["Authorization", "Cookie", "Set-Cookie", "Forwarded", "X-Forwarded-For", "Content-Type", "X-Host", "Server"])
    func fieldsThatCanBeChanged(name: String) { #expect(!KnownField(name: name).isOurs) }
}
