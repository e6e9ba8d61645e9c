import Protocols
import TestSupport
import Testing
import TransparentSockets

@Suite struct SOCKS5ServerTests {
    private let open = SOCKSServer(wantsCredentials: false)
    private let closed = SOCKSServer(wantsCredentials: true)
    private let asked: [UInt8] = [5, 1, 0, 1, 192, 0, 2, 1, 1, 187]
    private let request = ServedRequest(.connect, "192.0.2.1", 443)

    private func credentials(_ user: [UInt8], _ password: [UInt8]) -> [UInt8] {
        [1, UInt8(user.count)] + user + [UInt8(password.count)] + password
    }

    private func domain(_ name: [UInt8], port: UInt16 = 80) -> [UInt8] {
        [5, 1, 0, 1 + 2, UInt8(name.count)] + name + [UInt8(port >> 8), UInt8(port & 255)]
    }

    // ---- Greeting: K1 to K6 ----

    @Test func nothingIsWanted() { expectRequest(open, [5, 1, 0] + asked, request, sent: [[5, 0]]) }

    @Test func theListenerChooses() {
        expectRequest(open, [5, 2, 0, 2] + asked, request, sent: [[5, 0]])
        expectRequest(
            closed, [5, 2, 0, 2] + credentials([117], Array("secret".utf8)) + asked, request, sent: [[5, 2], [1, 0]])
    }

    @Test func theMethodWantedMayComeLastOfMany() {
        expectRequest(open, [5, 255] + [UInt8](repeating: 9, count: 254) + [0] + asked, request, sent: [[5, 0]])
        expectRequest(open, [5, 5, 1, 1, 2, 0, 0] + asked, request, sent: [[5, 0]])
        expectRequest(open, [5, 3, 0x80, 0xFE, 0] + asked, request, sent: [[5, 0]])
    }

    @Test func noMethodInCommon() {
        for methods: [UInt8] in [[5, 1, 0], [5, 1, 1], [5, 2, 0, 1], [5, 0], [5, 1, 3]] {
            expectRejection(closed, methods, answer: [5, 0xFF])
        }
        // GSSAPI is not offered.
        for methods: [UInt8] in [[5, 1, 1], [5, 0], [5, 2, 3, 0xFF]] { expectRejection(open, methods, answer: [5, 0xFF]) }
    }

    @Test func credentialsThatNobodyWantsAreIgnored() {
        expectRequest(open, [5, 1, 2] + credentials([117], [112]) + asked, request, sent: [[5, 2], [1, 0]])
        #expect(served(open, [5, 1, 2] + credentials([117], [112]) + asked).credentials == nil)
        expectRejection(open, [5, 1, 2] + credentials([117], []), answer: [1, 1], sent: [[5, 2]])
    }

    // ---- Credentials: K7 to K9 ----

    @Test func credentialsAreBytes() {
        for (user, password): ([UInt8], [UInt8]) in [
            ([0], [0]), ([0x0D, 0x0A, 0xFF], [0x25, 0, 0x0A]),
            ([UInt8](repeating: 97, count: 255), [UInt8](repeating: 0xFF, count: 255)),
            (Array("ü".utf8), Array("p:w".utf8)),
        ] {
            let outcome = served(closed, [5, 1, 2] + credentials(user, password) + asked)
            #expect(outcome.credentials == ServedCredentials(user: user, password: password))
        }
    }

    @Test func theLongestCredentialsFit() {
        let longest = [UInt8](repeating: 120, count: 255)
        let text = String(repeating: "x", count: 255)
        let outcome = Served(closed, [5, 1, 2] + credentials(longest, longest) + asked, chunk: 1, password: text)
        #expect(outcome.end == .request(request) && outcome.left.isEmpty)
    }

    @Test func wrongCredentialsEndItWithTheRequestBehindThem() {
        let fault = expectRejection(closed, [5, 1, 2] + credentials([117], [112]) + asked, answer: [1, 1], sent: [[5, 2]])
        #expect(fault == .credentials("user name or password refused"))
    }

    @Test func anEmptyPasswordIsJudged() {
        let empty = served(closed, [5, 1, 2] + credentials([117], []) + asked, password: "")
        #expect(empty.credentials == ServedCredentials(user: [117], password: []) && empty.end == .request(request))
        expectRejection(closed, [5, 1, 2] + credentials([117], []) + asked, answer: [1, 1], sent: [[5, 2]])
    }

    @Test(arguments: [[0], [5, 1, 117, 1, 112], [2, 1], [1, 0], [1, 0, 1, 112], [0xFF]] as [[UInt8]])
    func brokenCredentials(_ bytes: [UInt8]) { expectRejection(closed, [5, 1, 2] + bytes, answer: [1, 1], sent: [[5, 2]]) }

    @Test func aVerdictThatNobodyAskedForRejects() {
        var server = closed
        guard case .reject = server.judge(accepted: true) else {
            Issue.record("accepted")
            return
        }
        guard case (0, .reject) = server.advance([5, 1, 2].span) else {
            Issue.record("goes on")
            return
        }
    }

    // ---- Request: K10, K13 ----

    @Test func everyKindOfTarget() {
        func expect(_ bytes: [UInt8], _ target: ServedRequest, sourceLocation: SourceLocation = #_sourceLocation) {
            expectRequest(open, [5, 1, 0] + bytes, target, sent: [[5, 0]], sourceLocation: sourceLocation)
        }
        let v6: [UInt8] = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        let mapped: [UInt8] = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF, 192, 0, 2, 1]
        expect([5, 1, 0, 4] + v6 + [0x1F, 0x90], ServedRequest(.connect, "2001:db8::1", 8_080))
        expect([5, 1, 0, 4] + mapped + [1, 187], request)
        expect(domain(Array("example.com".utf8)), ServedRequest(.connect, "example.com", 80))
        expect(domain([120], port: 65_535), ServedRequest(.connect, "x", 65_535))
    }

    @Test func otherCommandsMayLeaveAddressAndPortOpen() {
        for (code, command): (UInt8, ServedRequest.Command) in [(2, .bind), (3, .udpAssociate)] {
            expectRequest(
                open, [5, 1, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0], ServedRequest(command, "0.0.0.0", 0), sent: [[5, 0]])
            expectRequest(
                open, [5, 1, 0, 5, code, 0, 1, 10, 0, 0, 1, 0, 9], ServedRequest(command, "10.0.0.1", 9), sent: [[5, 0]])
        }
    }

    @Test func theReservedOctetIsIgnored() {
        for reserved: UInt8 in [1, 0x7F, 0xFF] {
            expectRequest(open, [5, 1, 0, 5, 1, reserved, 1, 192, 0, 2, 1, 1, 187], request, sent: [[5, 0]])
        }
    }

    private func expectReply(_ code: UInt8, _ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) {
        expectRejection(
            open, [5, 1, 0] + bytes, answer: [5, code, 0, 1, 0, 0, 0, 0, 0, 0], sent: [[5, 0]], sourceLocation: sourceLocation)
    }

    @Test func brokenRequests() {
        for version: UInt8 in [0, 1, 4, 6, 0xFF] { expectReply(1, [version, 1, 0, 1, 192, 0, 2, 1, 1, 187]) }
        for command: UInt8 in [0, 4, 0x7F, 0xF0, 0xF1, 0xFF] { expectReply(7, [5, command, 0, 1, 192, 0, 2, 1, 1, 187]) }
        for type: UInt8 in [0, 2, 5, 0xFF] { expectReply(8, [5, 1, 0, type]) }
        expectReply(1, [5, 1, 0, 1, 192, 0, 2, 1, 0, 0])
        expectReply(1, domain(Array("example.com".utf8), port: 0))
        // The first fault counts.
        expectReply(7, [5, 9, 0, 9])
    }

    @Test(arguments: badNames) func namesThatAreNone(_ name: [UInt8]) { expectReply(4, domain(name)) }

    @Test func aNameOf253OctetsFits() {
        let longest = name(253)
        expectRequest(
            open, [5, 1, 0] + domain(longest), ServedRequest(.connect, String(decoding: longest, as: UTF8.self), 80),
            sent: [[5, 0]])
        let dotted = served(open, [5, 1, 0] + domain(longest + [0x2E]))
        #expect(dotted.end == .request(ServedRequest(.connect, String(decoding: longest, as: UTF8.self), 80)))
        expectReply(4, domain(name(254)))
        expectReply(4, domain(name(255)))
    }

    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("192.0.2.1.", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("[2001:DB8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"), ("::", "::"),
    ])
    func aDomainThatIsAnAddress(_ text: String, _ address: String) {
        #expect(served(open, [5, 1, 0] + domain(Array(text.utf8))).end == .request(ServedRequest(.connect, address, 80)))
    }

    /// Here they are names yet: to judge them is the business of who knows every spelling.
    @Test(arguments: ["127.1", "0x7f.0.0.1", "017700000001", "2130706433", "localhost", "a_b.example", "xn--mnchen-3ya.de"])
    func otherNames(_ text: String) {
        let outcome = served(open, [5, 1, 0] + domain(Array(text.utf8)))
        #expect(outcome.end == .request(ServedRequest(.connect, ProxyTarget(.name(text), port: 80))))
    }

    // ---- Strangers ----

    @Test(arguments: [
        ("GET / HTTP/1.1\r\n", "HTTP, or other text"), ("POST /", "HTTP, or other text"), ("CONNECT a:1", "HTTP, or other text"),
        ("\u{16}\u{3}\u{1}", "TLS"), ("\u{0}\u{0}", "first byte 0"), ("\u{6}", "first byte 6"), ("get", "text"),
    ])
    func strangersGetNothing(_ text: String, _ guess: String) {
        #expect(expectRejection(open, Array(text.utf8), answer: []) == .foreign(guess))
        #expect(expectRejection(closed, Array(text.utf8), answer: []) == .foreign(guess))
    }

    @Test func theLastByteOfAllIsAStranger() {
        #expect(expectRejection(open, [0xFF, 5], answer: []) == .foreign("first byte 255"))
    }
}

@Suite struct SOCKS4ServerTests {
    private let server = SOCKSServer(wantsCredentials: false)
    private let refusal: [UInt8] = [0, 0x5B, 0, 0, 0, 0, 0, 0]

    @Test func requests() {
        expectRequest(server, [4, 1, 1, 187, 192, 0, 2, 1, 0], ServedRequest(.connect, "192.0.2.1", 443))
        expectRequest(server, [4, 1, 1, 187, 192, 0, 2, 1, 109, 101, 0], ServedRequest(.connect, "192.0.2.1", 443))
        expectRequest(server, [4, 2, 0, 0, 0, 0, 0, 0, 0], ServedRequest(.bind, "0.0.0.0", 0))
    }

    @Test func names() {
        for last: UInt8 in [1, 77, 255] {
            expectRequest(
                server, [4, 1, 0, 80, 0, 0, 0, last, 109, 101, 0] + Array("example.com".utf8) + [0],
                ServedRequest(.connect, "example.com", 80))
        }
        expectRequest(server, [4, 1, 0, 80, 0, 0, 0, 9, 0] + Array("::1".utf8) + [0], ServedRequest(.connect, "::1", 80))
        expectRequest(server, [4, 1, 0, 80, 0, 0, 1, 0, 0], ServedRequest(.connect, "0.0.1.0", 80))
    }

    @Test(arguments: badNames.filter { !$0.contains(0) } + [[UInt8](repeating: 97, count: 255), name(255)])
    func namesThatAreNone(_ name: [UInt8]) {
        expectRejection(server, [4, 1, 0, 80, 0, 0, 0, 1, 0] + name + [0], answer: refusal)
    }

    @Test func theLongestTextsFit() {
        let user = [UInt8](repeating: 0xFF, count: 255)
        let bytes = [4, 1, 0, 80, 0, 0, 0, 1] + user + [0] + name(253) + [0x2E, 0]
        #expect(bytes.count <= SOCKSServer.longestPart)
        let host = String(decoding: name(253), as: UTF8.self)
        expectRequest(server, bytes, ServedRequest(.connect, host, 80))
        expectRejection(server, [4, 1, 0, 80, 192, 0, 2, 1] + user + [1], answer: refusal)
        expectRejection(server, [4, 1, 0, 80, 0, 0, 0, 1, 0] + [UInt8](repeating: 97, count: 256), answer: refusal)
    }

    @Test func brokenRequests() {
        for command: UInt8 in [0, 3, 0x7F, 0xFF] { expectRejection(server, [4, command], answer: refusal) }
        expectRejection(server, [4, 1, 0, 0, 192, 0, 2, 1, 0], answer: refusal)
    }

    @Test func itMayBeOff() {
        expectRejection(SOCKSServer(wantsCredentials: false, servesSOCKS4: false), [4], answer: refusal)
        expectRejection(SOCKSServer(wantsCredentials: true), [4, 1, 1, 187, 192, 0, 2, 1, 0], answer: refusal)
    }

    @Test func aGigabyteBeforeTheEndIsNoneOfOurs() {
        // What has no end is rejected before as many bytes have come as are ever looked at.
        for start: [UInt8] in [[4, 1, 0, 80, 192, 0, 2, 1], [4, 1, 0, 80, 0, 0, 0, 1, 0]] {
            var server = server
            let endless = start + [UInt8](repeating: 97, count: SOCKSServer.longestPart - start.count)
            guard case .reject = server.advance(endless.span).step else {
                Issue.record("waits for more")
                continue
            }
        }
    }
}

@Suite struct SOCKSAnswerTests {
    private func server(_ first: UInt8) -> SOCKSServer {
        var server = SOCKSServer(wantsCredentials: false)
        _ = server.advance([first].span)
        return server
    }

    @Test(
        arguments: [
            (.generalFailure, 1), (.overloaded(retryAfter: 1), 1), (.forbidden, 2), (.networkUnreachable, 3), (.hostUnreachable, 4),
            (.nameUnresolved, 4), (.timedOut, 4), (.refused, 5), (.ttlExpired, 6), (.commandNotSupported, 7),
            (.addressTypeNotSupported, 8),
        ] as [(ServingOutcome, UInt8)])
    func failures(_ outcome: ServingOutcome, _ code: UInt8) {
        #expect(server(5).answer(outcome) == [5, code, 0, 1, 0, 0, 0, 0, 0, 0])
        #expect(server(4).answer(outcome) == [0, 0x5B, 0, 0, 0, 0, 0, 0])
    }

    @Test func success() {
        let v4 = ServingOutcome.succeeded(bound: SocketAddress("192.0.2.1:40000")!)
        let v6 = ServingOutcome.succeeded(bound: SocketAddress("[2001:db8::1]:80")!)
        #expect(server(5).answer(v4) == [5, 0, 0, 1, 192, 0, 2, 1, 0x9C, 0x40])
        #expect(
            server(5).answer(v6) == [5, 0, 0, 4, 0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1, 0, 80])
        #expect(server(4).answer(v4) == [0, 0x5A, 0x9C, 0x40, 192, 0, 2, 1])
        #expect(server(4).answer(v6) == [0, 0x5A, 0, 80, 0, 0, 0, 0])
        #expect(server(5).lateAnswer.isEmpty)
    }

    /// What our own client's side makes of them.
    @Test func theClientsSideReadsThem() {
        let granted = server(5).answer(.succeeded(bound: SocketAddress("[2001:db8::1]:80")!))
        #expect(SOCKS5Client.answer(granted.span) == .granted(length: 22))
        #expect(SOCKS5Client.answer(server(5).answer(.refused).span) == .refused(.socks5(5)))
        #expect(SOCKS4Client.answer(server(4).answer(.succeeded(bound: SocketAddress("192.0.2.1:1")!)).span) == .granted(length: 8))
        #expect(SOCKS4Client.answer(server(4).answer(.refused).span) == .refused(.socks4(91)))
    }
}

/// A name of so many octets, in labels of 63 and a last one.
func name(_ count: Int) -> [UInt8] { (1...count).map { $0 % 64 == 0 && $0 < count ? 0x2E : 97 } }

/// What stands in no name, alone and in the middle of one.
let badNames: [[UInt8]] =
    [
        "", ".", "..", "a..b", ".a", "a..", "[", "]", "[]", "[::1", "::1]", "[192.0.2.1]", "fe80::1%eth0", "[fe80::1%25eth0]", ":",
        "a:80", "1.2.3.4:80", ":::", "http://a.example/", "user@a.example", "a%00.example", "a b", " a", "a ", "a\tb", "a\r\nb",
        "a/b", "münchen.de",
        "a,b", "*.example", "a\u{0}.example", "a.example\u{0}", "a\u{7F}", "a;b", "a?b", "a#b", "a\\b", "'a'", "\"a\"",
    ].map { Array($0.utf8) } + [[0xFF], [97, 0x80, 98], [0xC0, 0xAF], [UInt8](repeating: 97, count: 64)]
