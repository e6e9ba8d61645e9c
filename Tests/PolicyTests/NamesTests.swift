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

    @Test(arguments: [
        ("localhost", true), ("LOCALHOST.", true), ("a.localhost", true), ("a.b.LocalHost.", true), ("ip6-loopback", true),
        ("localhost6.localdomain6", true), ("localhost.localdomain", true),
        ("localhost.example", false), ("notlocalhost", false), ("localhosts", false), ("a.ip6-loopback", false), ("local", false),
        ("localhost-a", false), ("host", false),
    ])
    func namesOfLoopback(_ text: String, _ meansLoopback: Bool) throws {
        #expect(try #require(DomainName(text)).meansLoopback == meansLoopback)
    }

    // MARK: Names as people write them

    private func written(_ text: String) -> Result<String, DomainName.WritingError> {
        let bytes = Array(text.utf8)
        do throws(DomainName.WritingError) {
            return .success(try DomainName(written: bytes.span).description)
        } catch {
            return .failure(error)
        }
    }

    @Test(arguments: [
        ("Example.COM.", "example.com"), ("münchen.de", "xn--mnchen-3ya.de"), ("MÜNCHEN.de.", "xn--mnchen-3ya.de"),
        // Composed by itself, or of a letter and its dots.
        ("mu\u{308}nchen.de", "xn--mnchen-3ya.de"),
        // Not transitional: browsers keep them apart.
        ("straße.de", "xn--strae-oqa.de"), ("strasse.de", "strasse.de"),
        // Ideographic, full-width and half-width dots, also at the end.
        ("日本語。jp", "xn--wgv71a119e.jp"), ("日本語．jp｡", "xn--wgv71a119e.jp"), ("例え。テスト。", "xn--r8jz45g.xn--zckzah"),
        ("ｅｘａｍｐｌｅ．ｃｏｍ", "example.com"), ("Ⅷ.de", "viii.de"), ("exa\u{AD}mple.com", "example.com"),
        ("_dmarc.münchen.de", "_dmarc.xn--mnchen-3ya.de"), ("XN--MNCHEN-3YA.bücher", "xn--mnchen-3ya.xn--bcher-kva"),
        ("１２７.０.０.１.ü", "127.0.0.1.xn--tda"), ("пример.рф", "xn--e1afmkfd.xn--p1ai"), ("مثال.إختبار", "xn--mgbh0fb.xn--kgbechtv"),
    ])
    func aWrittenNameHasOneForm(_ text: String, _ form: String) throws {
        #expect(written(text) == .success(form))
        // What comes out is in that form already, on the wire too.
        #expect(written(form) == .success(form))
        #expect(DomainName(form)?.description == form)
    }

    @Test(arguments: [
        ("127.1", "127.0.0.1"), ("１２７.０.０.１", "127.0.0.1"), ("１２７。1", "127.0.0.1"), ("０ｘ７ｆ.1", "127.0.0.1"),
        ("２１３０７０６４３３", "127.0.0.1"), ("１０．０．０．１。", "10.0.0.1"), ("①②⑦.1", "127.0.0.1"), ("²5.1", "25.0.0.1"),
        ("𝟏𝟐𝟕.𝟎.𝟎.𝟏", "127.0.0.1"), ("１２７.0.\u{AD}0.1", "127.0.0.1"), ("[::１]", "::1"), ("［::1］", "::1"), ("::1", "::1"),
    ])
    func anAddressIsNoNameInAnyScript(_ text: String, _ address: String) throws {
        #expect(written(text) == .failure(.address(try #require(IPAddress(address)))))
    }

    @Test(arguments: [
        "", ".", "。", "ü..de", "ü。。de", ".ü", "a b", "a/b", "ü@b", "℀.com", "＊.de", "ü.＊.de", "ü\0.de", "ü:443", "ü b.de", "ü%00",
        // What IDNA2008 allows no label: symbols, joiners and directions out of place, hyphens, accents in front, false punycode.
        "☃.com", "a\u{200D}b.de", "אa.com", "\u{202E}abc", "-ü.de", "ab--ü.de", "\u{301}a.de", "xn--zzzzzz.ü", "🙂.ws", "\u{FFFD}",
        // A label of more than 63 octets, a name of more than 253, more than anybody would look at.
        String(repeating: "ü", count: 63), String(repeating: "üüüüüüüüüüüüüüüüüüüü.", count: 12) + "de",
        String(repeating: "ü", count: 1_000_000), String(repeating: "\u{AD}", count: 2_000) + "a",
    ])
    func whatHasNoALabelsIsNoName(_ text: String) {
        guard case .failure(let error) = written(text) else {
            Issue.record("taken for a name")
            return
        }
        if case .address = error { Issue.record("taken for an address") }
        #expect(DomainPattern("*." + text) == nil)
    }

    @Test(arguments: [
        ("*.münchen.de", "*.xn--mnchen-3ya.de"), ("*。日本語。jp", "*.xn--wgv71a119e.jp"), ("*．ｃｏｍ", "*.com"), ("*｡com", "*.com"),
        ("bücher.example", "xn--bcher-kva.example"),
    ])
    func aPatternIsWrittenInAnyScript(_ text: String, _ form: String) {
        #expect(DomainPattern(text)?.description == form)
    }

    @Test func noWritingTraps() {
        var random = SplitMix(10)
        let alphabet = Array("aZ0.-*_ xnü。．｡ß٠１日本א\u{200D}\u{AD}\u{301}🙂℀\u{0}\u{FFFD}".unicodeScalars)
        for _ in 0..<20_000 {
            var text = String.UnicodeScalarView()
            for _ in 0..<random.below(12) { text.append(alphabet[random.below(alphabet.count)]) }
            guard let pattern = DomainPattern(String(text)) else { continue }
            #expect(DomainName(pattern.name.description) == pattern.name)
            #expect(IPAddress(anySpelling: pattern.name.description) == nil)
        }
        for _ in 0..<20_000 {
            let bytes = (0..<random.below(12)).map { _ in UInt8(random.below(256)) }
            _ = try? DomainName(written: bytes.span)
        }
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
