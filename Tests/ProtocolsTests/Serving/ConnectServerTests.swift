import Testing
import TransparentSockets

@testable import Protocols

private func request(
    _ target: String = "example.com:443", method: String = "CONNECT", version: String = "HTTP/1.1", host: String? = "example.com",
    fields: String...
) -> [UInt8] {
    let host = host.map { ["Host: \($0)"] } ?? []
    return Array((["\(method) \(target) \(version)"] + host + fields + ["", ""]).joined(separator: "\r\n").utf8)
}

/// The status line says this; the log this, or something of the kind.
private func expectStatus(
    _ server: ConnectServer, _ bytes: [UInt8], _ status: Int, _ why: String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
    let outcome = served(server, bytes, sourceLocation: sourceLocation)
    guard case .reject(let answer, let fault) = outcome.end else {
        Issue.record("\(outcome.end)", sourceLocation: sourceLocation)
        return
    }
    let text = String(decoding: answer, as: UTF8.self)
    #expect(text.hasPrefix("HTTP/1.1 \(status) "), "\(text)", sourceLocation: sourceLocation)
    #expect("\(fault)".contains(why), "\(fault)", sourceLocation: sourceLocation)
    // Smuggled behind it, another request changes nothing (C9).
    let more = served(server, bytes + Array("POST / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), sourceLocation: sourceLocation)
    #expect(more.end == outcome.end, sourceLocation: sourceLocation)
}

@Suite struct ConnectServerTests {
    private let open = ConnectServer(realm: nil)
    private let closed = ConnectServer(realm: "clearway")
    private let granted = ServedRequest(.connect, "example.com", 443)

    // ---- What is granted ----

    @Test func requests() {
        expectRequest(open, request(), granted)
        expectRequest(open, request(version: "HTTP/1.0", host: nil), granted)
        expectRequest(open, request(version: "HTTP/1.0"), granted)
        // RFC 9110 §2.5.
        expectRequest(open, request(version: "HTTP/1.2"), granted)
        expectRequest(
            open, request(fields: "User-Agent: x/1", "Proxy-Connection: keep-alive", "X-Empty:", "X:\t a\tb \u{FC} "), granted)
        expectRequest(open, request(fields: "Content-Length: 0"), granted)
        expectRequest(open, request("192.0.2.1:1"), ServedRequest(.connect, "192.0.2.1", 1))
        expectRequest(open, request("[2001:db8::1]:65535"), ServedRequest(.connect, "2001:db8::1", 65_535))
        expectRequest(open, request("[::ffff:192.0.2.1]:443"), ServedRequest(.connect, "192.0.2.1", 443))
        expectRequest(open, request("example.com.:443"), granted)
        expectRequest(open, request("0x7f.1:443"), ServedRequest(.connect, "0x7f.1", 443))
    }

    @Test func oneEmptyLineMayComeFirst() {
        expectRequest(open, [0x0D, 0x0A] + request(), granted)
        expectStatus(open, [0x0D, 0x0A, 0x0D, 0x0A] + request(), 400)
    }

    /// C6.
    @Test func theTargetDecidesAndNotTheHost() {
        for host in ["other.example", "other.example:80", "192.0.2.1", "[::1]:443", "", "EXAMPLE.com:443"] {
            expectRequest(open, request(host: host), granted)
        }
        expectStatus(open, request(host: nil), 400, "no Host field")
        expectStatus(open, request(fields: "Host: example.com"), 400, "or several")
        expectStatus(open, request(version: "HTTP/1.0", fields: "Host: example.com"), 400, "or several")
        for host in ["a b", "a,b", "user@a", "a/b", "http://a", "a:b", "a:80:80", "::1", "[::1", "a%00", "m\u{FC}nchen.de"] {
            expectStatus(open, request(host: host), 400, "names no host")
            expectStatus(open, request(version: "HTTP/1.0", host: host), 400, "names no host")
        }
    }

    // ---- Targets that are none: C2 to C4 ----

    @Test(arguments: [
        "h", "h:", "h:0", "h:65536", "h:+443", "h:-1", "h:443x", "h:0x1bb", "h:443:443", "h:99999999999999999999", "h:0443",
        ":443",
        "http://h:443", "http://h/", "https://h:443/", "/", "/h:443", "*", "h:443/", "user@h:443", "user:pw@h:443", "::1:443",
        "2001:db8::1:443",
        "[::1]", "[::1]:", "[::1]443", "[]:443", "[h]:443", "[192.0.2.1]:443", "[fe80::1%25eth0]:443", "[::1:443", "::1]:443",
        "h%00:443", "h..:443",
        "a..b:443", "h,i:443", "h?:443", "h#:443",
    ])
    func targets(_ target: String) { expectStatus(open, request(target), 400, "not HOST:PORT") }

    @Test func charactersThatNoTargetHas() {
        expectStatus(open, request("m\u{FC}nchen.de:443"), 400, "characters")
        expectStatus(open, request("h\t:443"), 400, "characters")
        expectStatus(open, request("h\u{0}:443"), 400, "control character")
        expectStatus(open, request("h:4 43"), 400, "no request line")
    }

    @Test func aLongLabelIsNoName() {
        expectStatus(open, request(String(repeating: "a", count: 64) + ":443"), 400, "not HOST:PORT")
        expectStatus(open, request(String(decoding: name(254), as: UTF8.self) + ":443"), 400, "not HOST:PORT")
        let longest = String(decoding: name(253), as: UTF8.self)
        expectRequest(open, request(longest + ":443"), ServedRequest(.connect, longest, 443))
    }

    // ---- Bodies: C13 ----

    @Test(arguments: [
        "Content-Length: 1", "Content-Length: 10000000000000000000000", "Content-Length: +0", "Content-Length: -0",
        "Content-Length: 0x0",
        "Content-Length:", "Content-Length: 0, 0", "content-length: 5", "Content-Length: 0\r\nContent-Length: 0",
        "Content-Length: 0\r\nContent-Length: 5", "Transfer-Encoding: chunked", "TRANSFER-ENCODING: identity", "Transfer-Encoding:",
    ])
    func bodies(_ field: String) {
        expectStatus(open, request(fields: field), 400, "with a body")
        expectStatus(open, request(version: "HTTP/1.0", fields: field), 400, "with a body")
    }

    // ---- Syntax ----

    @Test(arguments: [
        "CONNECT  example.com:443 HTTP/1.1\r\n", "CONNECT example.com:443  HTTP/1.1\r\n", "CONNECT example.com:443 HTTP/1.1 \r\n",
        "CONNECT\texample.com:443\tHTTP/1.1\r\n", "CONNECT example.com:443\r\n", "CONNECT\r\n",
        "CONNECT example.com:443 http/1.1\r\n",
        "CONNECT example.com:443 HTTP/1\r\n", "CONNECT example.com:443 HTTP/01.1\r\n", "CONNECT example.com:443 HTTP/1.10\r\n",
        "CONNECT example.com:443 HTTP/1,1\r\n", "CONNECT example.com:443 HTTPS/1.1\r\n", "CONN(ECT) example.com:443 HTTP/1.1\r\n",
        "CONNECT example.com:443 HTTP/1.1\n", "CONNECT example.com:443 HTTP/1.1\r\r\n", "CONNECT example.com:443\rHTTP/1.1\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nHost: a\n", "CONNECT example.com:443 HTTP/1.1\r\nHost: a\rb\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nHost : a\r\n", "CONNECT example.com:443 HTTP/1.1\r\nHost\t: a\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\n Host: a\r\n", "CONNECT example.com:443 HTTP/1.1\r\nA: b\r\n c: d\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nA: b\r\n\tc\r\n", "CONNECT example.com:443 HTTP/1.1\r\n \r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nA: b\u{0}\r\n", "CONNECT example.com:443 HTTP/1.1\r\nA: \u{1B}[2J\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nA: b\u{7F}\r\n", "CONNECT example.com:443 HTTP/1.1\r\nA\u{0}: b\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\n: b\r\n", "CONNECT example.com:443 HTTP/1.1\r\nno field\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nA(b): c\r\n", "CONNECT example.com:443 HTTP/1.1\r\nÄ: c\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "A\u{0}", "GET /\r\n",
    ])
    func faults(_ text: String) { expectStatus(open, Array(text.utf8), 400) }

    @Test(arguments: ["HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"])
    func versions(_ version: String) { expectStatus(open, request(version: version), 505) }

    @Test func strangersGetNothing() {
        for (bytes, guess): ([UInt8], String) in [
            ([0x16, 3, 1], "TLS"), ([5, 1, 0], "SOCKS"), ([4, 1], "SOCKS"), ([0], "first byte 0"), ([0x7F], "first byte 127"),
        ] {
            #expect(expectRejection(open, bytes, answer: []) == .foreign(guess))
        }
    }

    /// Some servers would take them for requests.
    @Test(arguments: ["(GET / HTTP/1.1", " GET / HTTP/1.1", "\tGET / HTTP/1.1", " /x", "/x", "\u{80}GET / HTTP/1.1", "\n", "{}"])
    func firstLinesThatAreNone(line: String) {
        expectStatus(open, Array("\(line)\r\n\r\n".utf8), 400)
        expectStatus(closed, Array("\(line)\r\n\r\n".utf8), 400)
    }

    // ---- Other methods ----

    @Test func plainRequestsAreRecognised() {
        for text in ["http://example.com/", "HTTP://example.com", "http://a:80/?x", "http://user@h/"] {
            for method in ["GET", "POST", "PROPFIND", "X-y!"] {
                let bytes = request(text, method: method)
                expectStatus(open, bytes, 501)
                #expect(expectRejection(open, bytes) == .plainRequest)
            }
        }
        // A body there is no reason for another answer.
        #expect(expectRejection(open, request("http://a/", method: "POST", fields: "Content-Length: 5")) == .plainRequest)
    }

    @Test func otherRequestsAreNotServed() {
        expectStatus(open, request("/", method: "GET"), 400)
        for (method, target) in [
            ("OPTIONS", "*"), ("GET", "https://example.com/"), ("HEAD", "HTTPS://a"), ("GET", "ftp://a/"), ("GET", "a+b-c.1://x"),
        ] {
            expectStatus(open, request(target, method: method), 501)
        }
        for (method, target) in [
            ("connect", "example.com:443"), ("Connect", "example.com:443"), ("UNKNOWN", "example.com:443"), ("GET", "a.example:80"),
            ("GET", "*"), ("options", "*"), ("GET", "a"), ("GET", "?x"), ("GET", "http://"), ("GET", "http:/x"),
            ("GET", "https:/x"),
            ("GET", "https://"), ("GET", "1a://b/"), ("GET", "://b/"), ("GET", "a_b://c/"), ("GET", "a.example"),
        ] {
            expectStatus(open, request(target, method: method), 400)
        }
    }

    /// RFC 9110 §9.3.2.
    @Test func answersToHeadHaveNoBody() {
        func answer(_ server: ConnectServer, _ method: String, _ target: String) -> String? {
            guard case .reject(let answer, _) = served(server, request(target, method: method)).end else { return nil }
            return String(decoding: answer, as: UTF8.self)
        }
        for (server, target) in [(open, "https://a/"), (closed, "https://a/"), (open, "/"), (open, "http://a/")] {
            let page = answer(server, "GET", target)
            #expect(page?.hasSuffix("\r\n\r\n") == false)
            #expect(answer(server, "HEAD", target) == page.map { String($0[..<$0.firstRange(of: "\r\n\r\n")!.upperBound]) })
        }
        var late = open
        _ = late.advance(Array("HEAD https://a/ HTTP/1.1\r\nHo".utf8).span)
        #expect(String(decoding: late.lateAnswer, as: UTF8.self).hasSuffix("\r\n\r\n"))
    }

    // ---- Credentials: C8 ----

    /// `me:secret`
    private let authorization = "Proxy-Authorization: Basic bWU6c2VjcmV0"

    @Test func rightCredentials() {
        expectRequest(closed, request(fields: authorization), granted)
        expectRequest(closed, request(fields: "proxy-authorization:  bAsIc   bWU6c2VjcmV0  "), granted)
        let outcome = served(closed, request(fields: authorization))
        #expect(outcome.credentials == ServedCredentials(user: Array("me".utf8), password: Array("secret".utf8)))
    }

    @Test func credentialsAreBytes() {
        for password: [UInt8] in [[], [0], [0x3A, 0x3A], [0x0D, 0x0A, 0xFF], Array("ü".utf8)] {
            let encoded = base64([109, 0xFF, 58] + password)
            let outcome = served(closed, request(fields: "Proxy-Authorization: Basic \(encoded)"))
            #expect(outcome.credentials == ServedCredentials(user: [109, 0xFF], password: password))
        }
    }

    @Test(arguments: [
        "X: y", "Proxy-Authorization: Basic bTpzZWNyZXR=", "Proxy-Authorization:", "Proxy-Authorization: Basic",
        "Proxy-Authorization: Basic ",
        "Proxy-Authorization: Basic bWU6c2VjcmV", "Proxy-Authorization: Basic bWU6c2VjcmV0=",
        "Proxy-Authorization: Basic bWU6c2VjcmV0 x",
        "Proxy-Authorization: Basic bWU6c2V$cmV0", "Proxy-Authorization: Basic bWU6c2VjcmV0====", "Proxy-Authorization: Basic ====",
        "Proxy-Authorization: Basic bWU=", "Proxy-Authorization: Basic OnNlY3JldA==", "Proxy-Authorization: Basicb WU6c2VjcmV0",
        "Proxy-Authorization: Bearer bWU6c2VjcmV0", "Proxy-Authorization: Digest username=\"me\"",
        "Proxy-Authorization: Negotiate YII=",
        "Authorization: Basic bWU6c2VjcmV0",
        "Proxy-Authorization: Basic bWU6c2VjcmV0\r\nProxy-Authorization: Basic bWU6c2VjcmV0",
    ])
    func credentialsThatWillNotDo(_ field: String) {
        let bytes = request(fields: field)
        expectStatus(closed, bytes, 407)
        #expect(served(closed, bytes).credentials == nil, "nothing to judge")
        guard case .reject(let answer, .credentials) = served(closed, bytes).end else {
            Issue.record("another fault")
            return
        }
        #expect(String(decoding: answer, as: UTF8.self).contains("\r\nProxy-Authenticate: Basic realm=\"clearway\"\r\n"))
        // Whoever wants none looks at none.
        expectRequest(open, bytes, granted)
    }

    @Test func wrongCredentials() {
        let bytes = request(fields: "Proxy-Authorization: Basic bWU6d3Jvbmc=")
        expectStatus(closed, bytes, 407, "user name or password refused")
        #expect(served(closed, bytes).credentials == ServedCredentials(user: Array("me".utf8), password: Array("wrong".utf8)))
    }

    @Test func base64HasOneSpelling() {
        for count in 0..<40 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 89 &+ 200) }
            #expect(base64Decoded(Array(base64(bytes).utf8)[...]) == bytes)
        }
        for text in ["Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "=", "Zg==Zg==", "Zm8=\n", "Zm 8", "Zm-_", "Zm9v="] {
            #expect(base64Decoded(Array(text.utf8)[...]) == nil, "\(text)")
        }
    }

    @Test func credentialsComeBeforeEveryOtherAnswerButFaults() {
        for bytes in [request("http://a/", method: "GET"), request("/", method: "GET"), request("*", method: "OPTIONS")] {
            expectStatus(closed, bytes, 407)
        }
        #expect(expectRejection(closed, request("http://a/", method: "GET", fields: authorization)) == .plainRequest)
        expectStatus(closed, request("*", method: "OPTIONS", fields: authorization), 501)
        expectStatus(closed, request("h"), 400)
        expectStatus(closed, request(fields: "Content-Length: 1"), 400, "with a body")
    }

    @Test func aVerdictThatNobodyAskedForRejects() {
        var server = closed
        guard case .reject = server.judge(accepted: true) else {
            Issue.record("accepted")
            return
        }
        guard case (0, .reject(answer: [], _)) = server.advance(request().span) else {
            Issue.record("goes on")
            return
        }
    }

    // ---- Limits: C17 ----

    @Test func aHeadHasABound() {
        let start = Array("CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n".utf8)
        // Three fields as long as may be, and a fourth that fills the head up to its bound, or beyond by one.
        func head(_ excess: Int) -> [UInt8] {
            let field = { (length: Int) in Array("A: ".utf8) + [UInt8](repeating: 98, count: length - 3) + [0x0D, 0x0A] }
            let long = (0..<3).flatMap { _ in field(ConnectServer.longestField) }
            let last = ConnectServer.longestHead - start.count - long.count - 2 - 2 + excess
            return start + long + field(last) + [0x0D, 0x0A]
        }
        #expect(head(0).count == ConnectServer.longestHead)
        #expect(Served(open, head(0) + [1], chunk: 1_000).end == .request(granted))
        expectStatus(open, head(1), 431)
    }

    @Test func aFieldHasABound() {
        func field(_ length: Int) -> String { "A: " + String(repeating: "b", count: length - 3) }
        #expect(Served(open, request(fields: field(ConnectServer.longestField))).end == .request(granted))
        expectStatus(open, request(fields: field(ConnectServer.longestField + 1)), 431)
        let endless = request().dropLast(2) + [UInt8](repeating: 97, count: ConnectServer.longestPart)
        expectStatus(open, Array(endless), 431)
    }

    @Test func fieldsAreCounted() {
        func fields(_ count: Int) -> String { (0..<count).map { "A\($0): b" }.joined(separator: "\r\n") }
        #expect(Served(open, request(fields: fields(ConnectServer.mostFields - 1))).end == .request(granted))
        expectStatus(open, request(fields: fields(ConnectServer.mostFields)), 431)
    }

    @Test func aRequestLineHasABound() {
        func line(_ length: Int) -> [UInt8] { request("http://" + String(repeating: "a", count: length - 20), method: "GET") }
        expectStatus(open, line(ConnectServer.longestRequestLine), 501)
        expectStatus(open, line(ConnectServer.longestRequestLine + 1), 414)
        expectStatus(open, [UInt8](repeating: 65, count: ConnectServer.longestPart), 414)
    }
}
