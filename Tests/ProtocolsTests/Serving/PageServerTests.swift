import Protocols
import TestSupport
import Testing

/// Requests for a page of ours.
@Suite struct PageServerTests {
    private func play(_ bytes: [UInt8], chunk: Int) -> PageServer.Step {
        var server = PageServer()
        var rest = bytes[...]
        var buffer: [UInt8] = []
        while true {
            let (length, step) = server.advance(buffer.span)
            guard length <= buffer.count else {
                Issue.record("took \(length) of \(buffer.count) bytes")
                return step
            }
            buffer.removeFirst(length)
            guard step == .needsMore else { return step }
            #expect(buffer.count < PageServer.longestPart)
            if length > 0 { continue }
            guard !rest.isEmpty else { return step }
            buffer += rest.prefix(chunk)
            rest = rest.dropFirst(chunk)
        }
    }

    private func play(_ text: String) -> PageServer.Step {
        let whole = play(Array(text.utf8), chunk: .max)
        for chunk in [1, 7] { #expect(play(Array(text.utf8), chunk: chunk) == whole) }
        return whole
    }

    private func request(_ text: String) throws -> PageRequest {
        guard case .request(let request) = play(text) else { throw Unexpected() }
        return request
    }

    private struct Unexpected: Error {}

    @Test func whatIsAskedFor() throws {
        let found = try request("GET /metrics?x=1 HTTP/1.1\r\nHost: a:1\r\nUser-Agent: Prometheus/2\r\n\r\n")
        #expect(found.method == .get && found.target == "/metrics?x=1" && found.host == "a:1" && found.userAgent == "Prometheus/2")
        #expect(found.types == [])
        #expect(try request("HEAD / HTTP/1.0\r\n\r\nwhat follows").method == .head)
    }

    @Test(arguments: [
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", ["application/openmetrics-text", "text/plain"]),
        ("Text/Plain ; Q=0 , application/openmetrics-text; q=0.000", []), ("*/*;q=0.1", ["*/*"]), (",,", []), ("", []),
    ])
    func whatIsTaken(_ accept: String, _ types: [String]) throws {
        #expect(try request("GET / HTTP/1.1\r\nHost: a\r\nAccept: \(accept)\r\n\r\n").types == types)
    }

    @Test(arguments: [
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405), ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 405), ("\r\n", 400), ("GET /\r\n", 400),
        ("GET / HTTP/2.0\r\n", 505), ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\n folded\r\n", 400), ("GET /\u{1} HTTP/1.1\r\n", 400),
        ("GET /" + String(repeating: "x", count: 9_000), 414),
        ("GET / HTTP/1.1\r\nA: " + String(repeating: "x", count: 17_000), 431),
        ("GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 101), 431), ("HEAD / HTTP/1.1\r\n\r\n", 400),
    ])
    func whatIsRefused(_ text: String, _ status: Int) {
        guard case .reject(status, let answer) = play(text) else {
            Issue.record("\(play(text))")
            return
        }
        #expect(answer.starts(with: "HTTP/1.1 \(status) ".utf8))
        #expect(answer.suffix(4).elementsEqual("\r\n\r\n".utf8) == text.hasPrefix("HEAD "))
    }

    @Test func tenThousandChanges() {
        let seed = Array("GET /metrics HTTP/1.1\r\nHost: a.example:1081\r\nAccept: text/plain;q=0.5,*/*\r\n\r\n".utf8)
        var random = SplitMix(15)
        for _ in 0..<10_000 {
            var bytes = seed
            random.mutate(&bytes)
            guard play(bytes, chunk: .max) == play(bytes, chunk: 1 + random.below(9)) else {
                Issue.record("\(bytes)")
                return
            }
        }
    }
}
