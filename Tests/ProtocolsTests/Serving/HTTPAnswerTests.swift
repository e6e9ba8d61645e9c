import Protocols
import Testing
import TransparentSockets

@Suite struct HTTPAnswerTests {
    /// Status line, fields and body.
    private func parts(_ bytes: [UInt8]) throws -> (status: String, fields: [String], body: String) {
        let text = String(decoding: bytes, as: UTF8.self)
        let end = try #require(text.firstRange(of: "\r\n\r\n"))
        let lines = text[..<end.lowerBound].split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
        return (lines[0], Array(lines.dropFirst()), String(text[end.upperBound...]))
    }

    private static let all: [(HTTPAnswer, Int, String?)] = [
        (.badRequest("a test"), 400, nil), (.forbidden, 403, nil),
        (.authenticationRequired(realm: "clearway"), 407, "Proxy-Authenticate: Basic realm=\"clearway\""),
        (.requestTimeout, 408, nil),
        (.targetTooLong, 414, nil), (.fieldsTooLarge, 431, nil), (.notImplemented("A test."), 501, nil),
        (HTTPAnswer(.refused)!, 502, nil), (HTTPAnswer(.overloaded(retryAfter: 7))!, 503, "Retry-After: 7"),
        (HTTPAnswer(.timedOut)!, 504, nil), (.versionNotSupported, 505, nil),
    ]

    @Test func everyAnswerIsWhole() throws {
        for (answer, status, field) in Self.all {
            let (line, fields, body) = try parts(answer.bytes())
            #expect(line == "HTTP/1.1 \(answer.status)" && answer.status.hasPrefix("\(status) "))
            #expect(
                fields == [
                    "Content-Type: text/plain; charset=utf-8", "Content-Length: \(body.utf8.count)", "Connection: close",
                ] + (field.map { [$0] } ?? []))
            #expect(body.hasPrefix("\(answer.status)\n\n") && body.hasSuffix(".\n"), "\(body)")
            #expect(answer.bytes().allSatisfy { $0 < 0x80 })
        }
    }

    /// C12, and what RFC 9209 §2.3 calls it.
    @Test(
        arguments: [
            (.refused, 502, "connection_refused"), (.networkUnreachable, 502, "destination_ip_unroutable"),
            (.hostUnreachable, 502, "destination_ip_unroutable"), (.ttlExpired, 502, "destination_ip_unroutable"),
            (.nameUnresolved, 502, "dns_error"), (.generalFailure, 502, "destination_unavailable"),
            (.timedOut, 504, "connection_timeout"),
            (.forbidden, 403, "http_request_denied"), (.overloaded(retryAfter: 1), 503, "connection_limit_reached"),
            (.commandNotSupported, 501, nil), (.addressTypeNotSupported, 501, nil),
        ] as [(ServingOutcome, Int, String?)])
    func outcomes(_ outcome: ServingOutcome, _ status: Int, _ error: String?) throws {
        let (line, fields, _) = try parts(ConnectServer(realm: nil, proxy: "gw").answer(outcome))
        #expect(line.hasPrefix("HTTP/1.1 \(status) "))
        #expect(fields.last == "Proxy-Status: \"gw\"\(error.map { "; error=\($0)" } ?? "")")
        let (_, plain, _) = try parts(ConnectServer(realm: nil).answer(outcome))
        #expect(!plain.contains { $0.hasPrefix("Proxy-Status") })
    }

    /// C1.
    @Test func successHasNoBody() throws {
        let success = ServingOutcome.succeeded(bound: SocketAddress("192.0.2.1:1")!)
        let bytes = ConnectServer(realm: nil).answer(success)
        #expect(bytes == Array("HTTP/1.1 200 Connection established\r\n\r\n".utf8))
        #expect(ConnectClient.answer(bytes.span) == .granted(length: bytes.count))
        let (_, fields, body) = try parts(ConnectServer(realm: nil, proxy: "gw").answer(success))
        #expect(fields == ["Proxy-Status: \"gw\""] && body.isEmpty)
    }

    @Test func lateClientsAreTold() throws {
        #expect(try parts(ConnectServer(realm: nil).lateAnswer).status == "HTTP/1.1 408 Request Timeout")
    }

    @Test func rejectionsNameTheProxyToo() throws {
        var server = ConnectServer(realm: nil, proxy: "gw")
        guard case .reject(let answer, _) = server.advance(Array("CONNECT\r\n".utf8).span).step else {
            Issue.record("no rejection")
            return
        }
        #expect(try parts(answer).fields.last == "Proxy-Status: \"gw\"; error=http_request_error")
    }

    @Test func namesCannotBreakTheAnswer() throws {
        let name = "a\"b\\c\r\nX: y\u{0}\u{FC}"
        let (_, fields, _) = try parts(HTTPAnswer.authenticationRequired(realm: name).bytes(proxy: name))
        #expect(fields.count == 5)
        #expect(fields[3] == "Proxy-Authenticate: Basic realm=\"a\\\"b\\\\cX: y\"")
        #expect(fields[4] == "Proxy-Status: \"a\\\"b\\\\cX: y\"; error=http_request_error")
        #expect(!String(decoding: HTTPAnswer.granted(proxy: name), as: UTF8.self).contains("\r\nX"))
        #expect(String(decoding: HTTPAnswer(.overloaded(retryAfter: -1))!.bytes(), as: UTF8.self).contains("Retry-After: 0\r\n"))
    }

    /// S14: nothing that a client sends comes back to it, or gets into the log with a fault.
    @Test func noByteOfTheRequestComesBack() {
        let evil = "ev1l"
        for text in [
            "CONNECT \(evil) HTTP/1.1\r\nHost: a\r\n\r\n", "\(evil) h:1 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT h:1 \(evil)\r\n",
            "CONNECT h:1 HTTP/1.1\r\n\(evil)\r\n", "CONNECT h:1 HTTP/1.1\r\nHost: \(evil)/\r\n\r\n",
            "GET http://\(evil)/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT h:1 HTTP/1.1\r\nHost: a\r\nContent-Length: \(evil)\r\n\r\n",
            "CONNECT h:1 HTTP/1.1\r\nHost: a\r\n\(evil): \u{1}\r\n",
        ] {
            guard case .reject(let answer, let fault) = served(ConnectServer(realm: nil), Array(text.utf8)).end else {
                Issue.record("\(text)")
                continue
            }
            #expect(!String(decoding: answer, as: UTF8.self).contains(evil) && !"\(fault)".contains(evil))
        }
    }
}
