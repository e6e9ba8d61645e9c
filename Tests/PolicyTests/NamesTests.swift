import Policy
import TestSupport
import Testing
import TransparentSockets

@Suite struct NamesTests {
    @Test(arguments: [
        ("example.com", "example.com"), ("EXAMPLE.Com.", "example.com"), ("a", "a"), ("_dmarc.x-y.example", "_dmarc.x-y.example"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"), ("1.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpa"), ("1.2.3.4.5", "1.2.3.4.5"),
        ("0x7g.1", "0x7g.1"), ("256.1.1.1", "256.1.1.1"), ("09", "09"),
    ])
    func aNameHasOneForm(_ text: String, _ form: String) throws {
        #expect(try #require(DomainName(text)).description == form)
    }

    @Test(arguments: [
        "", ".", "..", "a..b", ".a", "a b", "a/b", "a@b", "a\0b", "a\rb", "münchen.de", "a%00b", "a:443",
        String(repeating: "a", count: 64), String(repeating: "a.", count: 127) + "a",
        "127.0.0.1", "127.1", "0x7f.1", "017700000001", "2130706433", "127.0.0.1.", "0x7F000001", "0", "::1", "[::1]",
    ])
    func whatIsNoNameIsNone(_ text: String) {
        #expect(DomainName(text) == nil)
    }

    @Test func aNameMayBeAsLongAsNamesAre() {
        let label = String(repeating: "a", count: 63)
        let longest = "\(label).\(label).\(label).\(label.dropLast(2))"
        #expect(longest.utf8.count == 253)
        #expect(DomainName(longest)?.description == longest)
        #expect(DomainName(longest + ".")?.description == longest)
        #expect(DomainName(longest + "a") == nil)
    }

    @Test(arguments: [
        ("127.0.0.1", "127.0.0.1"), ("127.1", "127.0.0.1"), ("127.0.1", "127.0.0.1"), ("0x7f.1", "127.0.0.1"),
        ("0X7F.0.0.1", "127.0.0.1"), ("0177.0.0.01", "127.0.0.1"), ("017700000001", "127.0.0.1"), ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"), ("127.0.0.1.", "127.0.0.1"), ("127.256", "127.0.1.0"), ("10.16777215", "10.255.255.255"),
        ("4294967295", "255.255.255.255"), ("0x", "0.0.0.0"), ("00000000000000000000177.1", "127.0.0.1"),
        ("::1", "::1"), ("[::1]", "::1"), ("[fe80::1%eth0]", "fe80::1"), ("::ffff:127.0.0.1", "127.0.0.1"), ("[::1].", "::1"),
    ])
    func anAddressIsAnAddressInEverySpelling(_ text: String, _ address: String) {
        #expect(IPAddress(anySpelling: text) == IPAddress(address))
    }

    @Test(arguments: [
        "", ".", "1..2", "1.2.3.4.5", "256.1.1.1", "1.16777216", "4294967296", "0x100000000", "040000000000", "08", "0x7g", "a",
        "1.a",
        "::g", "[", "[]", "[1", "99999999999999999999999999999999999999", "-1", "+1", "1 ", " 1", "[::1", "1.2.3.",
    ])
    func whatIsNoAddressIsNone(_ text: String) {
        // "1.2.3." is 1.2.0.3 with the root's dot.
        #expect(IPAddress(anySpelling: text) == (text == "1.2.3." ? IPAddress("1.2.0.3") : nil))
    }

    @Test func noBytesTrap() {
        var random = SplitMix(9)
        let alphabet = Array("aA0x.:-_[]%zZ9fF\u{0}\u{7F} /@".utf8) + [0x80, 0xFF]
        for _ in 0..<50_000 {
            let bytes = (0..<random.below(20)).map { _ in alphabet[random.below(alphabet.count)] }
            if let name = DomainName(wire: bytes.span) {
                #expect(DomainName(name.description) == name)
                #expect(IPAddress(anySpelling: name.description) == nil)
            }
            _ = DomainPattern(String(decoding: bytes, as: UTF8.self))
        }
    }

    @Test func aPatternMatchesItselfOrWhatIsBelow() throws {
        let itself = try #require(DomainPattern("Example.com"))
        let below = try #require(DomainPattern("*.example.com"))
        for (name, isItself, isBelow) in [
            ("example.com", true, false), ("www.example.com", false, true), ("a.b.example.com", false, true),
            ("notexample.com", false, false), ("example.com.evil.org", false, false), ("com", false, false),
        ] {
            let name = try #require(DomainName(name))
            #expect(itself.matches(name) == isItself)
            #expect(below.matches(name) == isBelow)
        }
        for text in ["*", "*.", "**.a", "a.*.b", "*a.b", "*.127.1", "*.*.a"] { #expect(DomainPattern(text) == nil) }
    }
}
