import Protocols
import Testing

/// What a request's head comes down to, and what it is refused for.
@Suite struct RequestMessageTests {
    /// With these lines behind the request line, and a Host field unless there is one.
    private func status(_ fields: String..., line: String = "POST / HTTP/1.1") -> Int? {
        let host = fields.contains { $0.lowercased().hasPrefix("host:") } ? "" : "Host: a.example\r\n"
        let text = "\(line)\r\n\(host)\(fields.map { $0 + "\r\n" }.joined())\r\n"
        let whole = ReadRequest(text)
        for chunk in [1, 7] {
            let pieces = ReadRequest(text, chunk: chunk)
            #expect(pieces.status == whole.status && pieces.written == whole.written && pieces.fault == whole.fault)
        }
        return whole.status
    }

    @Test func itIsWrittenAnew() {
        let request = ReadRequest(
            """
            GET /a/../b%20c?d=e&f HTTP/1.1\r
            X-First:  one \t\r
            hOsT: A.example:8080\r
            Connection: keep-alive, x-gone\r
            Keep-Alive: timeout=5\r
            X-Gone: now\r
            TE: trailers\r
            Cookie: a=b\r
            X-First: two\r
            Proxy-Connection: keep-alive\r
            Via: 1.1 another\r
            X-Empty:\r
            \r

            """, via: "us")
        #expect(
            request.written == """
                GET /a/../b%20c?d=e&f HTTP/1.1\r
                Host: A.example:8080\r
                X-First: one\r
                Cookie: a=b\r
                X-First: two\r
                Via: 1.1 another\r
                X-Empty: \r
                Via: 1.1 us\r
                \r

                """)
        #expect(request.message?.keepsAlive == true && request.message?.body == MessageBody.none)
    }

    @Test(arguments: [
        ("GET http://b.example/x?y HTTP/1.1", "GET /x?y HTTP/1.1\r\nHost: b.example\r\n", "GET http://b.example/x?y HTTP/1.1"),
        ("GET HTTP://b.example HTTP/1.1", "GET / HTTP/1.1\r\nHost: b.example\r\n", "GET http://b.example HTTP/1.1"),
        ("GET http://b.example:81?q HTTP/1.1", "GET /?q HTTP/1.1\r\nHost: b.example:81\r\n", "GET http://b.example:81/?q HTTP/1.1"),
        ("OPTIONS http://b.example HTTP/1.1", "OPTIONS * HTTP/1.1\r\nHost: b.example\r\n", "OPTIONS http://b.example HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n", "OPTIONS * HTTP/1.1"),
        ("GET /x HTTP/1.1", "GET /x HTTP/1.1\r\nHost: a.example\r\n", "GET http://a.example/x HTTP/1.1"),
        ("BREW /pot HTTP/1.9", "BREW /pot HTTP/1.1\r\nHost: a.example\r\n", "BREW http://a.example/pot HTTP/1.1"),
        (
            "GET http://[2001:db8::1]:8/ HTTP/1.1", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8\r\n",
            "GET http://[2001:db8::1]:8/ HTTP/1.1"
        ),
    ])
    func targets(line: String, origin: String, absolute: String) {
        let text = "\(line)\r\nHost: a.example\r\n\r\n"
        #expect(ReadRequest(text).written.hasPrefix(origin))
        #expect(ReadRequest(text, as: .absolute(authorization: "")).written.hasPrefix(absolute))
    }

    /// A target's authority counts, and Host is written from it.
    @Test func aHostThatDiffersFromTheTarget() {
        let request = ReadRequest("GET http://b.example/ HTTP/1.1\r\nHost: canary.example\r\n\r\n")
        #expect(!request.written.contains("canary"))
    }

    @Test(arguments: [
        "GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", "GET /a b HTTP/1.1", " GET / HTTP/1.1", "GET\t/ HTTP/1.1", "G{T / HTTP/1.1",
        "GET / http/1.1", "GET / HTTP/1.1x", "GET / HTTP/01.1", "GET / HTTP/1.", "GET / HTTP/11", "GET / HTTP", "/ HTTP/1.1",
        "GET * HTTP/1.1", "GET /#a HTTP/1.1", "GET /\u{e9} HTTP/1.1", "GET a.example/ HTTP/1.1", "GET ftp://a.example/ HTTP/1.1",
        "GET http:///x HTTP/1.1", "GET http://u@a.example/ HTTP/1.1", "GET http://a.example:x/ HTTP/1.1",
        "GET http://a.example:0/ HTTP/1.1", "GET http://a.example:65536/ HTTP/1.1", "GET http://[::1/ HTTP/1.1",
        "GET http://a%2eexample/ HTTP/1.1", "GET ?a HTTP/1.1",
    ])
    func badRequestLines(line: String) { #expect(status(line: line) == 400) }

    @Test(arguments: ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1"])
    func otherVersions(version: String) { #expect(status(line: "GET / \(version)") == 505) }

    @Test(arguments: [
        "No-Colon", "Name : v", " Folded: v", "\tFolded: v", ": v", "N\u{e9}: v", "N(: v", "Name\u{0}: v", "X: a\u{0}b",
        "X: a\u{1}b", "X: a\u{7f}",
        "X: a\rb", "X: a\nb", "X: a\n", "Host: a.example\r\nHost: a.example", "Host: a b", "Host: a,b", "Host: a.example:",
        "Host: a.example:99999", "Host: u@a.example", "Host: a.example/", "Host: [::1", "Host: [x]", "Host: http://a",
        "Upgrade: a\r\nUpgrade: b", "Connection: \(Array(repeating: "x", count: 40).joined(separator: ","))",
    ])
    func badFields(field: String) { #expect(status(field) == 400) }

    /// What our rules could not find as a name nor as an address reaches no server, which may find something.
    @Test func aHostIsANameOrAnAddress() {
        let long = String(repeating: "x", count: 64)
        for host in [
            "\(long).a.test", ".a.test", "a..a.test", "a.test..", ".", "..", "a.\(long)", String(repeating: "a.", count: 127) + "a",
        ] {
            #expect(ReadRequest("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n").status == 400, "\(host)")
            #expect(ReadRequest("GET / HTTP/1.1\r\nHost: \(host):80\r\n\r\n").status == 400, "\(host)")
            #expect(ReadRequest("GET http://\(host)/ HTTP/1.1\r\nHost: a\r\n\r\n").status == 400, "\(host)")
            #expect(ReadRequest("CONNECT \(host):443 HTTP/1.1\r\nHost: a\r\n\r\n").status == 400, "\(host)")
        }
        for host in [
            "a_b.test", "_", "-a.test", "a.test.", "a.test.:80", "\(long.dropLast()).test", "10.0.0.1", "0xa.1", "167772161",
            "10.1.",
            "[::1]", "[::1]:80", String(repeating: "a.", count: 126) + "a",
        ] { #expect(ReadRequest("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n").status == 200, "\(host)") }
    }

    @Test func aHostIsWantedOfHTTP11() {
        #expect(ReadRequest("GET / HTTP/1.1\r\n\r\n").status == 400)
        #expect(ReadRequest("GET / HTTP/1.0\r\n\r\n").status == 200)
        #expect(ReadRequest("GET / HTTP/1.1\r\nHost:\r\n\r\n").status == 200)
    }

    @Test func emptyLinesInFront() {
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        #expect(ReadRequest(String(repeating: "\r\n", count: 4) + request, chunk: 1).status == 200)
        #expect(ReadRequest(String(repeating: "\r\n", count: 5) + request, chunk: 1).status == 400)
        #expect(ReadRequest("\n" + request).status == 400)
    }

    @Test(arguments: [
        "Content-Length: +5", "Content-Length: -0", "Content-Length: 0x5", "Content-Length: 5_0", "Content-Length: 5 5",
        "Content-Length:", "Content-Length: 5,6", "Content-Length: 5, 5", "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 9223372036854775808", "Content-Length: 5,", "Content-Length: ,5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\ncontent-length: 0",
        "Transfer-Encoding: chunked, identity", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,", "Transfer-Encoding: xchunked", "Transfer-Encoding:", "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \u{b}chunked", "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\n\tx",
    ])
    func badFraming(field: String) { #expect(status(field) == 400) }

    @Test func framing() {
        func body(_ field: String, _ version: String = "1.1") -> MessageBody? {
            ReadRequest("POST / HTTP/\(version)\r\nHost: a\r\n\(field)\r\n\r\n").message?.body
        }
        #expect(body("Content-Length: 5") == .length(5) && body("Content-Length: 0") == MessageBody.none)
        #expect(body("content-length:\t007 ") == .length(7))
        #expect(body("Content-Length: 999999999999999999") == .length(999_999_999_999_999_999))
        #expect(body("Transfer-Encoding: chunked") == .chunked && body("transfer-encoding: CHUNKED") == .chunked)
        #expect(status("Transfer-Encoding: gzip, chunked") == 501)
        #expect(status("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked") == 501)
        #expect(body("Transfer-Encoding: chunked", "1.0") == nil)
    }

    @Test func whatOnlyHTTP11Knows() {
        let fields = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n"
        let request = ReadRequest("POST / HTTP/1.1\r\n" + fields)
        #expect(request.message?.upgrade != nil && request.message?.expectsContinue == true)
        #expect(request.written.contains("Connection: upgrade\r\nUpgrade: websocket\r\n"))
        #expect(request.written.contains("Expect: 100-Continue\r\n"))
        let old = ReadRequest("POST / HTTP/1.0\r\n" + fields)
        #expect(old.message?.upgrade == nil && old.message?.expectsContinue == false && old.message?.keepsAlive == false)
        #expect(!old.written.contains("pgrade") && !old.written.contains("Expect"))
        #expect(status("Expect: 200-ok") == 417)
        // Without Connection it is the previous hop's.
        #expect(!ReadRequest("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n").written.contains("pgrade"))
        #expect(!ReadRequest("GET / HTTP/1.1\r\nHost: a\r\nPROXY: http://b\r\n\r\n").written.contains("PROXY"))
        // HTTP/2 would come by unseen.
        let next = ReadRequest("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x, H2C\r\n\r\n")
        #expect(next.message?.upgrade == nil && !next.written.contains("pgrade"))
    }

    @Test func whatConnectionCannotTakeAway() {
        let request = ReadRequest(
            """
            POST / HTTP/1.1\r
            Host: a\r
            Content-Length: 3\r
            Authorization: x\r
            X-Forwarded-For: y\r
            Via: 1.0 z\r
            CDN-Loop: edge\r
            Connection: close, host, content-length, authorization, x-forwarded-for, via, cdn-loop, x-own\r
            X-Own: gone\r
            \r

            """, via: "us")
        for kept in [
            "Host: a", "Content-Length: 3", "Authorization: x", "X-Forwarded-For: y", "Via: 1.0 z", "CDN-Loop: edge", "Via: 1.1 us",
        ] {
            #expect(request.written.contains("\r\n\(kept)\r\n"))
        }
        #expect(!request.written.contains("gone") && request.message?.keepsAlive == false)
    }

    /// Of many parts, the whole is sent.
    @Test func ranges() {
        func keeps(_ fields: String) -> Bool { ReadRequest("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n").written.contains("ange:") }
        func parts(_ count: Int) -> String { (0..<count).map { "\($0 * 10)-\($0 * 10 + 1)" }.joined(separator: ",") }
        #expect(keeps("Range: bytes=\(parts(16))\r\n") && keeps("Range: bytes=0-\r\n"))
        #expect(!keeps("range: bytes=\(parts(17))\r\n"))
        #expect(!keeps("Range: bytes=\(parts(9))\r\nRange: bytes=\(parts(8))\r\n"))
        #expect(!keeps("Range: bytes=0-,,,,,,,,,,,,,,,,\r\n"))
    }

    /// Whoever's they are, so many proxies are not between a client and a server.
    @Test func circles() {
        func goesInCircles(_ values: String...) -> Bool? {
            let fields = values.map { "Via: \($0)\r\n" }.joined()
            return ReadRequest("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n").message?.goesInCircles
        }
        func members(_ count: Int) -> String { Array(repeating: "1.1 x", count: count).joined(separator: ", ") }
        #expect(
            goesInCircles() == false && goesInCircles(members(100)) == false && goesInCircles(members(60), members(40)) == false)
        #expect(goesInCircles(members(1_000)) == true && goesInCircles(members(60), members(41)) == true)
    }

    @Test func maxForwards() {
        func written(_ method: String, _ value: String) -> ReadRequest {
            ReadRequest("\(method) / HTTP/1.1\r\nHost: a\r\nMax-Forwards: \(value)\r\n\r\n")
        }
        #expect(written("TRACE", "3").written.contains("\r\nMax-Forwards: 2\r\n"))
        #expect(written("OPTIONS", "0").message?.maxForwards == 0)
        #expect(written("GET", "3").written.contains("\r\nMax-Forwards: 3\r\n") && written("GET", "x").status == 200)
        #expect(written("TRACE", "x").status == 400)
    }

    @Test func limits() {
        func status(line: Int = 0, field: Int = 0, fields: Int = 0) -> Int? {
            var text = "GET /\(String(repeating: "a", count: line)) HTTP/1.1\r\nHost: a\r\n"
            if field > 0 { text += "X: \(String(repeating: "b", count: field - 3))\r\n" }
            for _ in 0..<fields { text += "Y: \(String(repeating: "c", count: 997))\r\n" }
            return ReadRequest(text + "\r\n", chunk: 4_096).status
        }
        #expect(status(line: 8_192 - 14) == 200 && status(line: 8_193 - 14) == 414)
        #expect(status(field: 16_384) == 200 && status(field: 16_385) == 431)
        #expect(status(fields: 64) == 200 && status(fields: 66) == 431)
        let many = String(repeating: "Z: z\r\n", count: 99)
        #expect(ReadRequest("GET / HTTP/1.1\r\nHost: a\r\n\(many)\r\n").status == 200)
        #expect(ReadRequest("GET / HTTP/1.1\r\nHost: a\r\n\(many)Z: z\r\n\r\n").status == 431)
        // Without end, and never whole.
        #expect(ReadRequest("GET /" + String(repeating: "a", count: 9_000)).status == 414)
        #expect(ReadRequest("GET / HTTP/1.1\r\nX: " + String(repeating: "a", count: 17_000)).status == 431)
    }

    /// A line too long is refused while it comes, not when it ends.
    @Test func everyTruncationIsIncomplete() {
        let text = "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\n"
        for count in 0..<text.utf8.count { #expect(ReadRequest(Array(text.utf8.prefix(count))).status == nil) }
        let whole = ReadRequest(text + "hello")
        #expect(whole.status == 200 && whole.length == text.utf8.count)
    }
}
