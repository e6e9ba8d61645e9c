import Protocols
import Testing
import TransparentSockets

/// Each handshake against a scripted proxy, whose bytes come all at once, or one at a time.
@Suite struct ProxyHandshakeTests {
    private let target = ProxyTarget(.address(IPAddress("192.0.2.1")!), port: 443)
    private let granted: [UInt8] = [5, 0, 0, 1, 10, 0, 0, 1, 0, 80]

    /// What we sent, how it ended, and how many of the proxy's bytes are not ours to read.
    private func play(
        _ handshake: ProxyHandshake?, _ script: [[UInt8]], chunk: Int
    ) throws -> (sent: [[UInt8]], end: ProxyHandshake.Step, left: Int) {
        var handshake = try #require(handshake)
        var sent = [handshake.opening]
        var waiting = script
        var buffer: [UInt8] = []
        while true {
            let (length, step) = handshake.advance(buffer.span)
            buffer.removeFirst(length)
            switch step {
            case .send(let bytes): sent.append(bytes)
            case .needsMore:
                guard !waiting.isEmpty else { return (sent, .needsMore, buffer.count) }
                buffer += waiting[0].prefix(chunk)
                waiting[0].removeFirst(min(chunk, waiting[0].count))
                if waiting[0].isEmpty { waiting.removeFirst() }
            default: return (sent, step, buffer.count + waiting.joined().count)
            }
        }
    }

    @Test(arguments: [1, 3, 1_000])
    func socks5WithoutCredentials(_ chunk: Int) throws {
        let outcome = try play(ProxyHandshake(.socks5, target, nil), [[5, 0] + granted + [83, 83, 72]], chunk: chunk)
        #expect(outcome.sent == [[5, 1, 0], [5, 1, 0, 1, 192, 0, 2, 1, 1, 187]])
        #expect(outcome.end == .done && outcome.left == 3)
    }

    @Test(arguments: [1, 3, 1_000])
    func socks5Pipelined(_ chunk: Int) throws {
        let opening: [UInt8] = [5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 1, 1, 187]
        let pipelined = ProxyHandshake(.socks5, target, nil, isPipelined: true)
        let outcome = try play(pipelined, [[5, 0] + granted + [83, 83, 72]], chunk: chunk)
        #expect(outcome.sent == [opening] && outcome.end == .done && outcome.left == 3)
        #expect(try play(pipelined, [[5, 0], [5, 5]], chunk: chunk).end == .refused(.socks5(5)))
        #expect(try play(pipelined, [[5, 255]], chunk: chunk).end == .refused(.noAcceptableMethod))
        #expect(try play(pipelined, [[5, 0]], chunk: chunk).end == .needsMore)
        // The longest answer, together with the choice of the method.
        var long = try #require(pipelined)
        let answer: [UInt8] = [5, 0, 5, 0, 0, 3, 255] + [UInt8](repeating: 97, count: 255) + [0, 80]
        let (length, step) = long.advance(Array((answer + [83]).prefix(long.longestAnswer)).span)
        #expect(length == answer.count && step == .done)
        // The method decides what comes next.
        let credentials = ProxyCredentials(user: "u", password: "p")
        let asked = try play(
            ProxyHandshake(.socks5, target, credentials, isPipelined: true), [[5, 2], [1, 0] + granted], chunk: chunk)
        #expect(asked.sent.first == [5, 2, 0, 2] && asked.end == .done)
    }

    @Test(arguments: [1, 3, 1_000])
    func socks5WithCredentials(_ chunk: Int) throws {
        let credentials = ProxyCredentials(user: "u", password: "p")
        let request: [UInt8] = [5, 1, 0, 1, 192, 0, 2, 1, 1, 187]
        let asked = try play(ProxyHandshake(.socks5, target, credentials), [[5, 2], [1, 0] + granted + [1]], chunk: chunk)
        #expect(asked.sent == [[5, 2, 0, 2], [1, 1, 117, 1, 112], request])
        #expect(asked.end == .done && asked.left == 1)
        let notAsked = try play(ProxyHandshake(.socks5, target, credentials), [[5, 0], granted], chunk: chunk)
        #expect(notAsked.sent == [[5, 2, 0, 2], request])
        #expect(notAsked.end == .done && notAsked.left == 0)
        let refused = try play(ProxyHandshake(.socks5, target, credentials), [[5, 2], [1, 1]], chunk: chunk)
        #expect(refused.end == .refused(.credentials))
    }

    @Test func refusals() throws {
        #expect(try play(ProxyHandshake(.socks5, target, nil), [[5, 255]], chunk: 9).end == .refused(.noAcceptableMethod))
        #expect(try play(ProxyHandshake(.socks5, target, nil), [[5, 0, 5, 5]], chunk: 9).end == .refused(.socks5(5)))
        #expect(try play(ProxyHandshake(.socks4a, target, nil), [[0, 91]], chunk: 9).end == .refused(.socks4(91)))
        let no = Array("HTTP/1.1 403 Forbidden\r\n\r\n".utf8)
        #expect(try play(ProxyHandshake(.http, target, nil), [no], chunk: 1).end == .refused(.http(403)))
        #expect(try play(ProxyHandshake(.socks5, target, nil), [Array("HTTP".utf8)], chunk: 9).end.isInvalid)
        #expect(try play(ProxyHandshake(.http, target, nil), [[5, 0]], chunk: 9).end.isInvalid)
    }

    @Test(arguments: [1, 7, 1_000])
    func http(_ chunk: Int) throws {
        let yes = Array("HTTP/1.1 200 OK\r\nX: y\r\n\r\nSSH-".utf8)
        let outcome = try play(ProxyHandshake(.http, target, nil), [yes], chunk: chunk)
        #expect(outcome.end == .done && outcome.left == 4)
    }

    @Test func socks4aKnowsNoIPv6Address() {
        let address = ProxyTarget(.address(IPAddress("2001:db8::1")!), port: 1)
        if ProxyHandshake(.socks4a, address, nil) != nil { Issue.record("an IPv6 address") }
        if ProxyHandshake(.socks4a, ProxyTarget(.name("a.example"), port: 1), nil) == nil { Issue.record("a name will do") }
    }
}

extension ProxyHandshake.Step {
    fileprivate var isInvalid: Bool { if case .invalid = self { true } else { false } }
}
