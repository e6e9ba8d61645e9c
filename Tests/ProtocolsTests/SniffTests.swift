import TestSupport
import Testing

@testable import Protocols

@Suite struct SniffTests {
    private func sniffed(_ bytes: [UInt8]) -> Sniff { sniff(bytes.span) }
    private func name(_ text: String) -> Sniff { .name(Array(text.utf8)) }

    /// Whole: the answer. Any part of it: not yet, or the same.
    private func expect(_ bytes: [UInt8], _ answer: Sniff, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(sniffed(bytes) == answer, sourceLocation: sourceLocation)
        for count in 0..<bytes.count {
            let part = sniffed(Array(bytes[..<count]))
            #expect(part == .needsMore || part == answer, "\(count) bytes", sourceLocation: sourceLocation)
        }
        // Early data, or anything else behind it, changes nothing.
        for more: [UInt8] in [[0x14, 3, 3, 0, 1, 1, 0x17, 3, 3, 0, 2, 9, 9], [0], [0x16, 3, 3, 0, 4, 2, 0, 0, 0], [0x47]] {
            #expect(sniffed(bytes + more) == answer, sourceLocation: sourceLocation)
        }
    }

    @Test func theServerNameOfAHello() {
        expect(Hello().bytes, name("example.com"))
        expect(Hello(name: "A.b-c.EXAMPLE").bytes, name("A.b-c.EXAMPLE"))
    }

    @Test func aHelloInManyRecords() {
        for size in [1, 2, 5, 40, 41, 100] { expect(Hello(recordSize: size).bytes, name("example.com")) }
    }

    /// Found by fuzzing: with all of it there was no name, with its first records there was one.
    @Test func aBrokenRecordBehindTheNameChangesNothing() {
        // All but the end of the last extension, which says nothing of names.
        let size = Hello().bytes.count - 5 - 5
        let hello = Hello(recordSize: size).bytes
        let second = 5 + size
        #expect(sniffed(Array(hello[..<second])) == name("example.com"))
        for (place, value): (Int, UInt8) in [(second, 0x17), (second + 1, 9), (second + 3, 0xFF)] {
            var broken = hello
            broken[place] = value
            expect(broken, name("example.com"))
        }
    }

    @Test func greaseAndBigKeysBeforeTheName() {
        var hello = Hello()
        hello.before = [(0x0A0A, []), (0x0033, [UInt8](repeating: 7, count: 1_300)), (0xFE0D, [UInt8](repeating: 8, count: 300))]
        expect(hello.bytes, name("example.com"))
    }

    @Test func aHelloWithoutAName() {
        expect(Hello(name: nil).bytes, .none)
        expect(Hello(name: "").bytes, .none)
        expect(Hello(name: nil, hasExtensions: false).bytes, .none)
    }

    @Test func whatIsNoHello() {
        #expect(sniffed([]) == .needsMore)
        for first in UInt8.min...UInt8.max where first != 0x16 && !(UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first) {
            #expect(sniffed([first, 1, 2, 3]) == .none)
        }
        // Another version, an empty record, a record too long, another message, a record of another kind behind.
        #expect(sniffed([0x16, 2, 0, 0, 5, 1]) == .none)
        #expect(sniffed([0x16, 3, 1, 0, 0, 1]) == .none)
        #expect(sniffed([0x16, 3, 1, 0x40, 1, 1]) == .none)
        #expect(sniffed([0x16, 3, 1, 0, 5, 2]) == .none)
        var cut = Array(Hello().bytes.prefix(60))
        cut[4] = 55
        cut += [0x15, 3, 3, 0, 2]
        #expect(sniffed(cut) == .none)
    }

    @Test func lengthsThatDoNotFit() {
        let whole = Hello().bytes
        // The list of extensions is longer than the message: it can never be complete.
        var hello = Hello()
        hello.extensionsExcess = 200
        #expect(sniffed(hello.bytes) == .none)
        for index in 5..<whole.count {
            for value: UInt8 in [0, 1, 0x7F, 0xFF] {
                var changed = whole
                changed[index] = value
                _ = sniffed(changed)
            }
        }
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", "example.com"),
        ("GET / HTTP/1.1\r\nhost:\texample.com:8080 \r\n\r\n", "example.com"),
        ("POST /x?y HTTP/1.0\r\nA: b\r\nHOST:EXAMPLE.com.\r\nC: d\r\n\r\n", "EXAMPLE.com."),
        ("OPTIONS * HTTP/1.1\nHost: a\n\n", "a"),
        ("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "[2001:db8::1]"),
        ("PROPFIND / HTTP/1.1\r\nX-Host: no\r\nHost: dav.example\r\n\r\n", "dav.example"),
    ])
    func theHostOfARequest(_ text: String, _ host: String) { expect(Array(text.utf8), name(host)) }

    @Test func anAbsoluteTargetOverridesHost() {
        #expect(sniffed(Array("GET http://a.example:80/x HTTP/1.1\r\nHost: b.example\r\n\r\n".utf8)) == name("a.example"))
        #expect(sniffed(Array("GET HTTP://a.example?x HTTP/1.1\r\n".utf8)) == name("a.example"))
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\r\n",
        "GET / HTTP/2.0\r\n",
        "GET  HTTP/1.1\r\n", "EHLO client.example\r\n", "get / HTTP/1.1\r\n", "G3T / HTTP/1.1\r\n", "SSH-2.0-x\r\n",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    ])
    func aRequestWithoutAClearHostHasNone(_ text: String) { #expect(sniffed(Array(text.utf8)) == .none) }

    @Test func anUnfinishedRequestNeedsMore() {
        for text in ["G", "GET", "GET ", "GET /", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\nHost: a\r\n", "ABCDEFGHIJKLMNOPQRST"] {
            #expect(sniffed(Array(text.utf8)) == .needsMore)
        }
    }

    @Test func changedBytesNeverTrap() {
        var random = SplitMix(3)
        let seeds = [
            Hello().bytes, Hello(recordSize: 7).bytes, Array("GET http://a.example/ HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\n".utf8),
        ]
        for round in 0..<30_000 {
            var bytes = seeds[round % seeds.count]
            random.mutate(&bytes)
            _ = sniffed(bytes)
        }
    }
}

/// A ClientHello, as a client might send it.
struct Hello {
    var name: String? = "example.com"
    var recordSize = 16_384
    var hasExtensions = true
    var before: [(type: Int, body: [UInt8])] = []
    var extensionsExcess = 0

    var bytes: [UInt8] {
        func number(_ value: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(value >> (8 * (count - 1 - $0)) & 255) } }
        var extensions: [UInt8] = []
        for (type, body) in before { extensions += number(type, 2) + number(body.count, 2) + body }
        if let name {
            let entry = [0] + number(name.utf8.count, 2) + Array(name.utf8)
            extensions += number(0, 2) + number(entry.count + 2, 2) + number(entry.count, 2) + entry
        }
        extensions += number(16, 2) + number(5, 2) + [0, 3, 2, 104, 50]
        var body: [UInt8] = [3, 3] + [UInt8](repeating: 9, count: 32) + [32] + [UInt8](repeating: 1, count: 32)
        body += number(4, 2) + [0x13, 1, 0x13, 2] + [1, 0]
        if hasExtensions { body += number(extensions.count + extensionsExcess, 2) + extensions }
        let message = [1] + number(body.count, 3) + body
        return stride(from: 0, to: message.count, by: recordSize).flatMap { start in
            let part = message[start..<min(start + recordSize, message.count)]
            return [0x16, 3, 1] + number(part.count, 2) + part
        }
    }
}
