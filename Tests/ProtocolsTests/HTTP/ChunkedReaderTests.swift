import Protocols
import Testing

@Suite struct ChunkedReaderTests {
    private struct Outcome: Equatable {
        var body = ""
        var trailers: String?
        var fault = false
        /// Bytes behind the end.
        var left = 0
    }

    private func read(_ text: String) -> Outcome {
        let whole = read(Array(text.utf8), chunk: .max)
        for chunk in [1, 3] { #expect(read(Array(text.utf8), chunk: chunk) == whole) }
        return whole
    }

    private func read(_ bytes: [UInt8], chunk: Int) -> Outcome {
        var reader = ChunkedReader()
        var outcome = Outcome()
        var (start, end) = (0, 0)
        do {
            while true {
                let (length, step) = try reader.advance(bytes.span.extracting(start..<end))
                if case .data(let place) = step {
                    outcome.body += String(
                        decoding: bytes[start..<end][start + place.lowerBound..<start + place.upperBound], as: UTF8.self)
                }
                start += length
                if case .end(let trailers) = step {
                    outcome.trailers = String(decoding: trailers, as: UTF8.self)
                    outcome.left = bytes.count - start
                    return outcome
                }
                guard step == .needsMore else { continue }
                guard end < bytes.count else { return outcome }
                end = chunk == .max ? bytes.count : min(end + chunk, bytes.count)
            }
        } catch {
            outcome.fault = true
            return outcome
        }
    }

    @Test func bodies() {
        #expect(read("5\r\nhello\r\n0\r\n\r\nnext") == Outcome(body: "hello", trailers: "", left: 4))
        #expect(read("00005;a=b;c=\"d\"\r\nhello\r\n1\r\n!\r\n000\r\n\r\n") == Outcome(body: "hello!", trailers: ""))
        #expect(
            read("a\r\n0123456789\r\n0\r\n\r\n").body == "0123456789" && read("A\r\n0123456789\r\n0\r\n\r\n").body == "0123456789")
        #expect(read("0\r\n\r\n") == Outcome(trailers: ""))
        // Not whole.
        for text in ["", "5", "5\r\nhel", "5\r\nhello\r\n", "0\r\n", "0\r\nX: y\r\n"] {
            #expect(read(text).trailers == nil && !read(text).fault)
        }
    }

    @Test func trailers() {
        let text =
            "0\r\nX-Sum: 1 \r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\nHost: x\r\nAuthorization: x\r\nX-Sum: 2\r\nSet-Cookie: x\r\n\r\n"
        #expect(read(text).trailers == "X-Sum: 1\r\nX-Sum: 2\r\n")
    }

    @Test(arguments: [
        "age", "Cache-Control", "Content-Encoding", "Content-Range", "Content-Type", "content_language", "Date", "Expires",
        "If-Match",
        "If-None-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since", "Location", "Pragma", "Range", "Retry-After",
        "Vary",
        "Warning", "CDN-Loop",
    ])
    func whatHasNoBusinessBehindABody(name: String) {
        #expect(read("0\r\n\(name): x\r\nETag: \"1\"\r\n\r\n").trailers == "ETag: \"1\"\r\n")
    }

    /// Options of Connection end at the next hop, in front of a body and behind it.
    @Test func optionsOfConnection() throws {
        let fields = "Connection: close, X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n"
        func omitted(_ kind: HeadReader.Kind, _ line: String) throws -> FieldNames {
            let bytes = Array((line + fields).utf8)
            var head = HeadReader(kind)
            #expect(try head.read(bytes.span))
            return kind == .request
                ? try RequestMessage(head, bytes.span).connectionFields(bytes.span)
                : try ResponseMessage(head, bytes.span, to: .get).connectionFields(bytes.span)
        }
        for names in [
            try omitted(.request, "POST / HTTP/1.1\r\nHost: a\r\n"), try omitted(.response, "HTTP/1.1 200 OK\r\n"),
        ] {
            var reader = ChunkedReader(omitting: names)
            let body = Array("0\r\nx-hop: 5\r\nX-Sum: 1\r\n\r\n".utf8)
            #expect(try reader.advance(body.span).step == .end(trailers: Array("X-Sum: 1\r\n".utf8)))
        }
    }

    @Test(arguments: [
        "+5\r\nhello\r\n", "-5\r\n", "5_0\r\n", "0x5\r\nhello\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5 ;a\r\nhello\r\n",
        "\r\n", ";a\r\n",
        "00000000000000005\r\nhello\r\n", "ffffffffffffffff\r\n", "5\nhello\r\n", "5\r\nhello\n", "5\r\nhelloX\r\n",
        "5\r\nhello0\r\n\r\n",
        "5;a\nb\r\nhello\r\n", "5;a\rb\r\nhello\r\n", "5;a\u{0}\r\nhello\r\n", "g\r\n", "5\r\r\nhello", "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX\r\n\r\n", "0\r\nX: a\nb\r\n\r\n", "0\n\r\n",
    ])
    func faults(text: String) { #expect(read(text).fault) }

    @Test func limits() {
        #expect(!read("1;\(String(repeating: "a", count: 4_000))\r\nx\r\n0\r\n\r\n").fault)
        #expect(read("1;\(String(repeating: "a", count: 4_200))\r\nx\r\n0\r\n\r\n").fault)
        let many = (0..<50).map { _ in "1;\(String(repeating: "a", count: 100))\r\nx\r\n" }.joined()
        #expect(read(many + "0\r\n\r\n").fault)
        #expect(read("0\r\nX: \(String(repeating: "a", count: 20_000))").fault)
        #expect(read("0\r\n" + String(repeating: "X: \(String(repeating: "a", count: 1_000))\r\n", count: 17)).fault)
    }
}
