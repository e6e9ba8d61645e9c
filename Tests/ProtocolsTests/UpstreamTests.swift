import TestSupport
import Testing
import TransparentSockets

@testable import Protocols

@Suite struct UpstreamTests {
    private let v4 = ProxyTarget(.address(IPAddress("192.0.2.1")!), port: 443)
    private let v6 = ProxyTarget(.address(IPAddress("2001:db8::1")!), port: 8_080)
    private let named = ProxyTarget(.name("example.com"), port: 80)

    // ---- SOCKS5 ----

    @Test func socks5Requests() {
        #expect(SOCKS5Client.greeting(offersCredentials: false) == [5, 1, 0])
        #expect(SOCKS5Client.greeting(offersCredentials: true) == [5, 2, 0, 2])
        #expect(SOCKS5Client.request(.connect, v4) == [5, 1, 0, 1, 192, 0, 2, 1, 1, 187])
        #expect(
            SOCKS5Client.request(.connect, v6) == [5, 1, 0, 4, 0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [
                1, 0x1F, 0x90,
            ])
        #expect(SOCKS5Client.request(.connect, named) == [5, 1, 0, 3, 11] + Array("example.com".utf8) + [0, 80])
        let credentials = ProxyCredentials(user: "u", password: "pw")
        #expect(SOCKS5Client.authentication(credentials) == [1, 1, 117, 2, 112, 119])
    }

    @Test func socks5MethodChoices() {
        func choice(_ bytes: [UInt8], _ offers: Bool) -> SOCKS5Client.MethodChoice {
            SOCKS5Client.methodChoice(bytes.span, offersCredentials: offers)
        }
        #expect(choice([], false) == .needsMore)
        #expect(choice([5], false) == .needsMore)
        #expect(choice([5, 0], false) == .none)
        #expect(choice([5, 0], true) == .none)
        #expect(choice([5, 2], true) == .credentials)
        #expect(choice([5, 255], true) == .refused(.noAcceptableMethod))
        for bytes: [UInt8] in [[5, 2], [5, 1], [4, 0], [72]] {
            guard case .invalid = choice(bytes, false) else {
                Issue.record("\(bytes)")
                continue
            }
        }
    }

    @Test func socks5Answers() {
        func answer(_ bytes: [UInt8]) -> ProxyAnswer { SOCKS5Client.answer(bytes.span) }
        for whole: [UInt8] in [
            [5, 0, 0, 1, 1, 2, 3, 4, 5, 6], [5, 0, 0, 4] + [UInt8](repeating: 1, count: 18), [5, 0, 0, 3, 3, 97, 98, 99, 1, 2],
            [5, 0, 0, 3, 0, 1, 2], [5, 0, 0, 3, 255] + [UInt8](repeating: 97, count: 257),
        ] {
            for count in 0..<whole.count { #expect(answer(Array(whole[..<count])) == .needsMore) }
            #expect(answer(whole) == .granted(length: whole.count))
            #expect(answer(whole + [1, 2, 3]) == .granted(length: whole.count))
            #expect(whole.count <= SOCKS5Client.longestAnswer)
        }
        for code in UInt8(1)...255 { #expect(answer([5, code]) == .refused(.socks5(code))) }
        for bytes: [UInt8] in [[4], [0, 0], [5, 0, 0, 2, 0], [5, 0, 0, 0, 0]] {
            guard case .invalid = answer(bytes) else {
                Issue.record("\(bytes)")
                continue
            }
        }
    }

    @Test func socks5AuthenticationAnswers() {
        func answer(_ bytes: [UInt8]) -> ProxyAnswer { SOCKS5Client.authenticationAnswer(bytes.span) }
        #expect(answer([1]) == .needsMore)
        #expect(answer([1, 0]) == .granted(length: 2))
        #expect(answer([5, 0, 9]) == .granted(length: 2))
        #expect(answer([1, 1]) == .refused(.credentials))
        guard case .invalid = answer([2, 0]) else {
            Issue.record("version 2")
            return
        }
    }

    // ---- SOCKS4 ----

    @Test func socks4() {
        #expect(SOCKS4Client.request(v4) == [4, 1, 1, 187, 192, 0, 2, 1, 0])
        #expect(SOCKS4Client.request(v6) == nil)
        #expect(
            SOCKS4Client.request(named, user: "me") == [4, 1, 0, 80, 0, 0, 0, 1, 109, 101, 0] + Array("example.com".utf8) + [0])
        func answer(_ bytes: [UInt8]) -> ProxyAnswer { SOCKS4Client.answer(bytes.span) }
        let granted: [UInt8] = [0, 90, 0, 0, 0, 0, 0, 0]
        for count in 0..<8 { #expect(answer(Array(granted[..<count])) == .needsMore) }
        #expect(answer(granted + [1]) == .granted(length: 8))
        for code in UInt8(91)...255 { #expect(answer([0, code]) == .refused(.socks4(code))) }
        for bytes: [UInt8] in [[4], [0, 0], [0, 89]] {
            guard case .invalid = answer(bytes) else {
                Issue.record("\(bytes)")
                continue
            }
        }
    }

    // ---- HTTP CONNECT ----

    @Test func connectRequests() {
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        #expect(text(ConnectClient.request(named)) == "CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n")
        #expect(text(ConnectClient.request(v6)).hasPrefix("CONNECT [2001:db8::1]:8080 HTTP/1.1\r\n"))
        let credentials = ProxyCredentials(user: "Aladdin", password: "open sesame")
        #expect(
            text(ConnectClient.request(v4, credentials)).contains(
                "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"))
    }

    /// RFC 4648 §10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func base64Vectors(_ text: String, _ encoded: String) { #expect(base64(Array(text.utf8)) == encoded) }

    private func connectAnswer(_ text: String) -> ProxyAnswer { ConnectClient.answer(Array(text.utf8).span) }

    @Test(arguments: [
        "HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.0 200 OK\r\nVia: x\r\n\r\n", "HTTP/1.1 204\r\n\r\n",
        "HTTP/1.1 299 \r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\r\nA: b\n\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ])
    func aConnectAnswerEndsAtItsEmptyLine(_ text: String) {
        let length = text.utf8.count
        #expect(connectAnswer(text) == .granted(length: length))
        #expect(connectAnswer(text + "SSH-2.0\r\n\r\n") == .granted(length: length))
        for count in 0..<length { #expect(ConnectClient.answer(Array(text.utf8.prefix(count)).span) == .needsMore) }
    }

    @Test func connectRefusals() {
        for status in [300, 301, 400, 401, 403, 407, 500, 502, 503, 504, 599, 999] {
            #expect(connectAnswer("HTTP/1.1 \(status) No") == .refused(.http(status)))
        }
        for text in [
            "SSH-2.0-x", "HTTP/2", "http/1.1 200", "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1200 OK\r\n", "HTTP/1.1 099 OK\r\n", "\u{5}\u{0}",
        ] {
            guard case .invalid = connectAnswer(text) else {
                Issue.record("\(text)")
                continue
            }
        }
    }

    @Test func aConnectAnswerIsBounded() {
        let start = "HTTP/1.1 200 OK\r\n"
        let endless = start + String(repeating: "X: yyyyyyyyyyyy\r\n", count: 2_000)
        #expect(ConnectClient.answer(Array(endless.utf8.prefix(ConnectClient.longestAnswer - 1)).span) == .needsMore)
        guard case .invalid = ConnectClient.answer(Array(endless.utf8.prefix(ConnectClient.longestAnswer)).span) else {
            Issue.record("no bound")
            return
        }
    }

    // ---- PROXY ----

    @Test func proxyHeaders() {
        let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
        let from = SocketAddress("10.0.0.1:40000")!
        let to = SocketAddress("192.0.2.1:443")!
        #expect(
            ProxyHeader.version2(source: from, destination: to)
                == signature + [0x21, 0x11, 0, 12, 10, 0, 0, 1, 192, 0, 2, 1, 0x9C, 0x40, 1, 187])
        let far = SocketAddress("[2001:db8::1]:443")!
        let mixed = ProxyHeader.version2(source: from, destination: far)
        #expect(Array(mixed[12..<16]) == [0x21, 0x21, 0, 36])
        #expect(Array(mixed[16..<32]) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 10, 0, 0, 1])
        #expect(mixed.count == 52)
        #expect(ProxyHeader.local == signature + [0x20, 0, 0, 0])
    }

    // ---- Probes ----

    /// What a probe sends, and what it finds, the proxy's bytes coming one at a time.
    private func probe(
        _ kind: ProxyHandshake.Kind, _ answers: [[UInt8]], _ credentials: ProxyCredentials? = nil
    ) -> (sent: [[UInt8]], end: ProxyProbe.Step) {
        var probe = ProxyProbe(kind, credentials)
        var sent = [probe.opening]
        var buffer: [UInt8] = []
        var step = ProxyProbe.Step.needsMore
        for byte in answers.joined() {
            buffer.append(byte)
            let length: Int
            (length, step) = probe.advance(buffer.span)
            buffer.removeFirst(length)
            switch step {
            case .send(let bytes): sent.append(bytes)
            case .needsMore: break
            case .works, .fails: return (sent, step)
            }
        }
        return (sent, step)
    }

    @Test func probesAskAsFarAsTheyCan() {
        #expect(probe(.socks5, [[5, 0]]) == ([[5, 1, 0]], .works))
        let me = ProxyCredentials(user: "me", password: "pw")
        let sent: [[UInt8]] = [[5, 2, 0, 2], [1, 2, 109, 101, 2, 112, 119]]
        #expect(probe(.socks5, [[5, 2], [1, 0]], me) == (sent, .works))
        #expect(probe(.socks5, [[5, 2], [1, 1]], me) == (sent, .fails("user name or password refused")))
        #expect(probe(.socks5, [[5, 0xFF]]).end == .fails("SOCKS5: no acceptable authentication method"))
        #expect(probe(.socks5, [[5]]).end == .needsMore)
        guard case .fails = probe(.socks5, [Array("SSH-2.0".utf8)]).end else {
            Issue.record("another protocol passes")
            return
        }
    }

    @Test func anyAnswerOfAnHTTPProxyWillDoButOne() {
        let request = "OPTIONS * HTTP/1.1\r\nHost:\r\n"
        #expect(probe(.http, []).sent == [Array((request + "Connection: close\r\n\r\n").utf8)])
        let me = ProxyCredentials(user: "me", password: "pw")
        #expect(
            probe(.http, [], me).sent
                == [Array((request + "Proxy-Authorization: Basic bWU6cHc=\r\nConnection: close\r\n\r\n").utf8)])
        for status in ["200 OK", "400 Bad Request", "405 No", "501 Not Implemented"] {
            #expect(probe(.http, [Array("HTTP/1.1 \(status)\r\n\r\n".utf8)]).end == .works, "\(status)")
        }
        #expect(probe(.http, [Array("HTTP/1.1 407 Say who\r\n\r\n".utf8)]).end == .fails("HTTP status 407"))
        guard case .fails = probe(.http, [Array("220 mail\r\n".utf8)]).end else {
            Issue.record("another protocol passes")
            return
        }
    }

    @Test func aConnectionIsAllThatSOCKS4CanBeAskedFor() {
        var probe = ProxyProbe(.socks4a, nil)
        #expect(probe.opening.isEmpty && probe.advance([UInt8]().span) == (0, .works))
    }

    @Test func changedAnswersNeverTrap() {
        var random = SplitMix(5)
        let seeds: [[UInt8]] = [
            [5, 0, 0, 1, 1, 2, 3, 4, 5, 6], [5, 0, 0, 3, 3, 97, 98, 99, 1, 2], [0, 90, 0, 0, 0, 0, 0, 0], [5, 2], [1, 0],
            Array("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nrest".utf8),
        ]
        for round in 0..<30_000 {
            var bytes = seeds[round % seeds.count]
            random.mutate(&bytes)
            for answer in [
                SOCKS5Client.answer(bytes.span), SOCKS5Client.authenticationAnswer(bytes.span), SOCKS4Client.answer(bytes.span),
                ConnectClient.answer(bytes.span),
            ] {
                if case .granted(let length) = answer { #expect(length <= bytes.count) }
            }
            _ = SOCKS5Client.methodChoice(bytes.span, offersCredentials: round % 2 == 0)
            for kind in ProxyHandshake.Kind.allCases {
                let credentials = round % 2 == 0 ? ProxyCredentials(user: "a", password: "b") : nil
                var probe = ProxyProbe(kind, credentials)
                let (length, _) = probe.advance(bytes.span)
                #expect(length <= bytes.count)
                _ = probe.advance(bytes.span.extracting(length..<bytes.count))
            }
        }
    }
}
