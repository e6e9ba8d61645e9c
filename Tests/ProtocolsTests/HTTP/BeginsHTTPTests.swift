import Protocols
import Testing

/// What a lenient server might take for a request is judged as one, and not carried unseen.
@Suite struct BeginsHTTPTests {
    private func begins(_ text: String) -> Bool? { beginsHTTP(Array(text.utf8).span) }

    @Test func requests() {
        for text in [
            "GET /", "get /", "CONNECT a", "\r\n\r\nGET / HTTP/1.1\r\n", " GET /", "PURGE / HTTP/1.1", "a b http/1.0\r\n",
            "\u{B}GET /", "GET\u{B}/x\u{C}HTTP/1.1", "GET\r/x\rHTTP/1.1\r\n", "\u{1F}PURGE\u{1C}/ HTTP/1.1",
            String(repeating: "\r\n", count: 40), String(repeating: "\r\n", count: 40) + "GE",
            "PURGE /" + String(repeating: "a", count: 9_000), "PURGE http://a/" + String(repeating: "a", count: 9_000),
            "PURGE" + String(repeating: " ", count: 9_000), "PURGE" + String(repeating: " ", count: 9_000) + "http",
        ] {
            #expect(begins(text) == true, "\(text)")
        }
        for octet in [0x85, 0xA0] as [UInt8] {
            #expect(beginsHTTP(([octet] + Array("GET /".utf8)).span) == true)
            #expect(beginsHTTP((Array("GET".utf8) + [octet] + Array("/".utf8)).span) == true)
        }
    }

    @Test func others() {
        for text in [
            "SSH-2.0-x\r\n", "EHLO me\r\n", "\u{16}\u{3}\u{1}", "GET\r\n", "GET\n", "\u{5}\u{1}\u{0}", "QUIT\r\n", "a b c\n",
            String(repeating: "a", count: 70), "TAG " + String(repeating: "a", count: 9_000),
        ] {
            #expect(begins(text) == false, "\(text)")
        }
        for text in ["", "GE", "GET", "GET\r", "\r\n", "PURGE /", "PURGE /x HTT"] { #expect(begins(text) == nil, "\(text)") }
    }
}
