import Protocols
import Testing

/// What a lenient server might take for a request is judged as one, and not carried unseen.
@Suite struct BeginsHTTPTests {
    private func begins(_ text: String) -> Bool? { beginsHTTP(Array(text.utf8).span) }

    private func mayBegin(_ text: String) -> Bool { mayBeginHTTP(Array(text.utf8).span) }

    private static func long(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }

    private static let requests = [
        "GET /", "get /", "CONNECT a", "\r\n\r\nGET / HTTP/1.1\r\n", " GET /", "PURGE / HTTP/1.1", "a b http/1.0\r\n",
        "\u{B}GET /", "GET\u{B}/x\u{C}HTTP/1.1", "GET\r/x\rHTTP/1.1\r\n", "\u{1F}PURGE\u{1C}/ HTTP/1.1",
        long("\r\n", 40), long("\r\n", 40) + "GE", long("A", 70) + " / HTTP/1.1\r\nHost: x\r\n\r\nGET /admin/ HTTP/1.1\r\n",
        "PURGE /" + long("a", 9_000) + "\n", "PURGE x://a/" + long("a", 9_000) + " HTTP/1.1\r\n",
        "PURGE" + long(" ", 9_000) + "/ http/1.1", long("A", 9_000) + " / HTTP/1.1\r\n",
        "G@T /admin/x HTTP/1.1\r\n", "\"GET /x HTTP/1.1\r\n", "/ x http/1.1", "{} /x HTTP/1.1\r\n", "GET: /x HTTP/1.1\r\n",
        long(" ", 60) + "G@T /x HTTP/1.1\r\n", "FOO /admin/x\r\n", "FOO http://a/x\r\n", "\u{1F}FOO\u{1C}/x\n",
        "FOO\r/x\r\n", "FOO x hHtTp/1.1", "@ " + long("a", 9_000) + " HTTP/1.0",
    ]

    @Test func requests() {
        for text in Self.requests { #expect(begins(text) == true, "\(text)") }
        for octet in [0x85, 0xA0] as [UInt8] {
            #expect(beginsHTTP(([octet] + Array("GET /".utf8)).span) == true)
            #expect(beginsHTTP((Array("GET".utf8) + [octet] + Array("/".utf8)).span) == true)
        }
    }

    /// Wherever the segment ends in which a request begins: it is never taken for something else before the rest has come.
    @Test func requestsInPieces() {
        for text in Self.requests {
            let bytes = Array(text.utf8)
            let wrong = bytes.indices.first { beginsHTTP(bytes.span.extracting(0..<$0)) == false }
            #expect(wrong == nil, "\(text.prefix(80))")
        }
    }

    /// However much of it was carried before: its end is never sent.
    @Test func requestsThatAreCarried() {
        for text in Self.requests {
            let bytes = Array(text.utf8)
            for start in bytes.indices where beginsHTTP(bytes.span.extracting(0..<start)) == nil {
                let part = bytes.span.extracting(0..<start)
                guard !mayBeginHTTP(part) else { continue }
                var line = FirstLine()
                let first = line.read(part)
                let rest = line.read(bytes.span.extracting(start..<bytes.count))
                #expect(first == nil && rest == true, "\(text.prefix(80)), \(start)")
                if start > 200 { break }
            }
        }
    }

    @Test func othersThatAreCarried() {
        let others = [
            "<?xml version='1.0'?><stream:stream to='x' xmlns='http://etherx.jabber.org/streams'>\n", "{\"path\": \"http/1.1\"}\n",
            "ruok\n", "\nTAG b /c http:\n", "FOO x/http:\n", "a ht/tp/\n", "\"x\" /y xHTTP/1.1\n",
        ]
        for text in others {
            let bytes = Array(text.utf8)
            var line = FirstLine()
            let verdicts = bytes.indices.map { line.read(bytes.span.extracting($0..<$0 + 1)) }
            #expect(verdicts.last == false && verdicts.dropLast().allSatisfy { $0 == nil }, "\(text)")
        }
    }

    /// What nearly everybody's requests begin with is worth a wait; other protocols are not.
    @Test func whatMayBegin() {
        for text in ["", "G", "GET", "get", "\r\nPO", "PROPFIN", "GET\r"] {
            #expect(mayBegin(text), "\(text)")
        }
        for text in ["ruok", "0033git-upload-pack /p", "GETS", "FOO ", "<", "PURGE", "FOO\r"] {
            #expect(!mayBegin(text), "\(text)")
        }
    }

    private static let others = [
        "SSH-2.0-x\r\n", "EHLO me\r\n", "\u{16}\u{3}\u{1}", "GET\r\n", "GET\n", "\u{5}\u{1}\u{0}", "QUIT\r\n", "a b c\n",
        long("a", 70) + "\n", long("a", 70) + "=\n", "NICK me\r\n", "{\"a\": 1}\n", "\u{16}\u{3}\u{1} \u{8}http/1.1", "\u{1} x",
        "TAG " + long("a", 4_000) + "\r\n",
    ]

    @Test func others() {
        for text in Self.others {
            let bytes = Array(text.utf8)
            #expect(beginsHTTP(bytes.span) == false, "\(text)")
            let wrong = bytes.indices.first { beginsHTTP(bytes.span.extracting(0..<$0)) == true }
            #expect(wrong == nil, "\(text.prefix(80))")
        }
    }

    /// What begins with no method, is carried where nobody asks for requests, and refused where somebody does, as soon as it is a request to anybody.
    @Test func oddMethods() {
        let odd = ["G@T /x HTTP/1.1\r\n", "\"GET /x HTTP/1.1\r\n", "\u{1}GET /x HTTP/1.1\r\n", "G\u{0}T /x HTTP/1.1", "FOO /x\r\n"]
        for text in odd {
            #expect(beginsHTTP(Array(text.utf8).span, isJudged: true) == true, "\(text)")
            #expect(beginsHTTP(Array(text.utf8).span, isJudged: false) == false, "\(text)")
        }
        #expect(beginsHTTP(([0xC9] + Array(" /x HTTP/1.1".utf8)).span) == true)
        #expect(begins("G@T /x") == nil && begins("\u{1} /x") == false)
    }

    @Test func whatDoesNotSay() {
        for text in [
            "", "GE", "GET", "GET\r", "\r\n", "PURGE /", "PURGE /x HTT", Self.long("A", 9_000),
            "TAG " + Self.long("a", 9_000), "PURGE http://a/" + Self.long("a", 9_000), "PURGE" + Self.long(" ", 9_000) + "http",
            "0033git-upload-pack /project.git\0host=h\0",
        ] {
            #expect(begins(text) == nil, "\(text)")
        }
    }

    @Test func theNextVersion() {
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        #expect(beginsHTTP2(preface.span) == true && beginsHTTP2((preface + [0, 0, 18, 4]).span) == true)
        for count in preface.indices {
            let part = Array(preface[..<count])
            #expect(beginsHTTP2(part.span) == nil, "\(count)")
            #expect(beginsHTTP2((part + [preface[count] ^ 0x20]).span) == false, "\(count)")
        }
    }
}
