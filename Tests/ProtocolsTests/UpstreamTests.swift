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
        #expect(SOCKS5Client.request(v4) == [5, 1, 0, 1, 192, 0, 2, 1, 1, 187])
        #expect(
            SOCKS5Client.request(v6) == [5, 1, 0, 4, 0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1, 0x1F, 0x90])
        #expect(SOCKS5Client.request(named) == [5, 1, 0, 3, 11] + Array("example.com".utf8) + [0, 80])
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
        }
    }
}
