import Protocols
import Testing

/// What a response's head comes down to, and when it is no answer.
@Suite struct ResponseMessageTests {
    private func response(
        _ fields: String..., line: String = "HTTP/1.1 200 OK", to method: RequestMethod = .get
    ) -> ReadResponse {
        let text = "\(line)\r\n\(fields.map { $0 + "\r\n" }.joined())\r\n"
        let whole = ReadResponse(text, to: method)
        let pieces = ReadResponse(text, to: method, chunk: 1)
        #expect(pieces.written == whole.written && pieces.fault == whole.fault)
        return whole
    }

    @Test func itIsWrittenAnew() {
        let response = ReadResponse(
            """
            HTTP/1.0 404 Not  Found\r
            Server : x\r
            Content-Length: 5, 5\r
            Content-Length: 5\r
            Connection: x-gone\r
            X-Gone: 1\r
            Set-Cookie: a\r
            Set-Cookie: b\r
            Keep-Alive: 3\r
            \r

            """, via: "us", keepsAlive: false)
        #expect(
            response.written == """
                HTTP/1.1 404 Not  Found\r
                Server: x\r
                Set-Cookie: a\r
                Set-Cookie: b\r
                Via: 1.0 us\r
                Connection: close\r
                Content-Length: 5\r
                \r

                """)
    }

    @Test func bodies() {
        #expect(response("Content-Length: 5").message?.body == .length(5))
        #expect(response("Content-Length: 0").message?.body == MessageBody.none)
        #expect(response("Transfer-Encoding: chunked").message?.body == .chunked)
        #expect(response().message?.body == .untilClose && response().message?.keepsAlive == false)
        // A tunnel has none either; a refusal of one is a response as any other.
        #expect(ReadResponse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", to: .connect).written == "HTTP/1.1 200 OK\r\n\r\n")
        #expect(ReadResponse("HTTP/1.1 405 x\r\nContent-Length: 0\r\n\r\n", to: .connect).written.contains("Content-Length: 0"))
        for line in ["HTTP/1.1 204 No Content", "HTTP/1.1 103 Early Hints"] {
            #expect(response(line: line).message?.body == MessageBody.none)
            #expect(response("Content-Length: 5", line: line).status == 502)
            #expect(response("Content-Length: 0", line: line).written == "\(line)\r\n\r\n")
            #expect(response("Transfer-Encoding: chunked", line: line).status == 502)
        }
        let unchanged = response("Content-Length: 5", line: "HTTP/1.1 304 Not Modified")
        #expect(unchanged.message?.body == MessageBody.none && unchanged.written.contains("Content-Length: 5"))
        let head = response("Content-Length: 5", to: .head)
        #expect(head.message?.body == MessageBody.none && head.written.contains("Content-Length: 5"))
        #expect(response(to: .head).message?.keepsAlive == true)
    }

    @Test(arguments: [
        "Content-Length: 5, 6", "Content-Length: x", "Content-Length: 5\r\nContent-Length: 6", "Content-Length:",
        "Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, chunked", " Folded: x", "X: a\n", "X: a\u{0}", "No-Colon", "X: a\rb",
        "X: \(String(repeating: "a", count: 20_000))",
    ])
    func badFields(field: String) { #expect(response(field).status == 502) }

    @Test(arguments: [
        "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 600 OK", "HTTP/1.1 099 OK", "HTTP/2 200 OK", "HTTP/2.0 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1  200 OK", "HTTP/1.1 200OK", "ICY 200 OK", "HTTP/1.1", "SSH-2.0-OpenSSH_9.2", "",
    ])
    func badStatusLines(line: String) { #expect(response(line: line).status == 502) }

    @Test func statusLines() {
        #expect(response(line: "HTTP/1.1 200").written.hasPrefix("HTTP/1.1 200 \r\n"))
        #expect(response(line: "HTTP/1.1 200 ").message?.status == 200)
        #expect(response("Transfer-Encoding: chunked", line: "HTTP/1.0 200 OK").status == 502)
    }

    @Test func keptAlive() {
        #expect(response("Content-Length: 1").message?.keepsAlive == true)
        #expect(response("Content-Length: 1", "Connection: close").message?.keepsAlive == false)
        #expect(response("Content-Length: 1", line: "HTTP/1.0 200 OK").message?.keepsAlive == false)
        #expect(response("Content-Length: 1", "Connection: Keep-Alive", line: "HTTP/1.0 200 OK").message?.keepsAlive == true)
    }

    @Test func switching() {
        let response = response("Connection: upgrade", "Upgrade: websocket", line: "HTTP/1.1 101 Switching Protocols")
        #expect(response.message?.upgrade != nil && response.message?.isInterim == false)
        #expect(response.written.contains("Connection: upgrade\r\nUpgrade: websocket\r\n"))
        #expect(self.response("Upgrade: websocket", line: "HTTP/1.1 101 x").message?.upgrade == nil)
        #expect(self.response("Upgrade: h2c", "Connection: upgrade", line: "HTTP/1.1 200 OK").message?.upgrade == nil)
    }
}
