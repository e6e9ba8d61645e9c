import TestSupport
import Testing

@testable import Policy

@Suite struct WildcardTests {
    private func matches(_ pattern: String, _ text: String, foldsCase: Bool = true) -> Bool {
        Wildcard(pattern, foldsCase: foldsCase)!.matches(Array(text.utf8))
    }

    @Test func starsStandForAnything() {
        let rows: [(String, [String], [String])] = [
            ("", [""], ["a"]), ("*", ["", "a", "*"], []), ("**", ["", "ab"], []), ("a", ["a", "A"], ["", "aa", "b"]),
            ("a*", ["a", "ab"], ["ba", ""]), ("*a", ["a", "ba"], ["ab"]), ("a*a", ["aa", "aba"], ["a", "ab"]),
            ("*curl*", ["curl/8", "my CURL", "ccurl"], ["cur", "c url"]), ("ab*ba", ["abba", "abxba"], ["aba"]),
            ("*aab*", ["aaab", "aabaab"], ["aa b"]), ("a*b*c", ["abc", "a1b2c", "abbcc"], ["acb", "ab"]),
            ("*abab*abac*", ["ababababac", "abababac abac"], ["ababac"]),
        ]
        for (pattern, yes, no) in rows {
            for text in yes { #expect(matches(pattern, text), "\(pattern) \(text)") }
            for text in no { #expect(!matches(pattern, text), "\(pattern) \(text)") }
        }
        #expect(!matches("a", "A", foldsCase: false) && matches("A*", "Ab", foldsCase: false))
        #expect(Wildcard(String(repeating: "a", count: 256)) != nil && Wildcard(String(repeating: "a", count: 257)) == nil)
    }

    /// Against the plainest thing that could take its place.
    @Test(arguments: 0..<10)
    func itMatchesAsTryingAllDoes(_ seed: UInt64) {
        var random = SplitMix(seed)
        func tried(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
            guard let first = pattern.first else { return text.isEmpty }
            if first == UInt8(ascii: "*") {
                return (0...text.count).contains { tried(pattern.dropFirst(), text.dropFirst($0)) }
            }
            return text.first == first && tried(pattern.dropFirst(), text.dropFirst())
        }
        for _ in 0..<3_000 {
            let pattern = (0..<random.below(9)).map { _ in Array("ab*".utf8)[random.below(3)] }
            let text = (0..<random.below(12)).map { _ in Array("ab".utf8)[random.below(2)] }
            let wildcard = Wildcard(String(decoding: pattern, as: UTF8.self))!
            #expect(wildcard.matches(text) == tried(pattern[...], text[...]))
            // What covers another one matches all that it does.
            let other = Wildcard(
                String(decoding: (0..<random.below(5)).map { _ in Array("ab*".utf8)[random.below(3)] }, as: UTF8.self))!
            if other.covers(wildcard), wildcard.matches(text) { #expect(other.matches(text), "\(other) \(wildcard)") }
        }
    }

    /// A hundred stars and a text that nearly matches: by trying, the sun would go out over it.
    @Test func nobodyMakesItTakeLong() {
        let pattern = Wildcard(String(repeating: "*a", count: 100) + "*b*c")!
        let text = [UInt8](repeating: UInt8(ascii: "a"), count: 16_384)
        let duration = ContinuousClock().measure { for _ in 0..<10 { #expect(!pattern.matches(text)) } }
        let nearly = Wildcard("*" + String(repeating: "a", count: 254) + "b")!
        let other = ContinuousClock().measure { for _ in 0..<10 { #expect(!nearly.matches(text)) } }
        #expect(max(duration, other) < .seconds(2))
    }

    /// As many values as a rule can have, none of which needs a look at more than one octet: with a copy for each it takes seconds.
    @Test func manyOfThemTakeNoCopies() {
        let text = [UInt8](repeating: UInt8(ascii: "A"), count: 524_288)
        let folded = text.map(foldedOctet)
        let patterns = (0..<256).map { Wildcard("b\($0)*")! }
        var left = Int.max
        let duration = ContinuousClock().measure {
            for pattern in patterns { #expect(!pattern.matches(text, folded: folded, &left)) }
        }
        #expect(duration < .seconds(1))
    }

    /// In octets: what is looked at one by one, a part of what is passed over, and something for each piece and each comparison.
    @Test func whatItTakesIsCounted() {
        func effort(_ pattern: String, _ text: String) -> Int {
            let text = Array(text.utf8)
            var left = 0
            _ = Wildcard(pattern)!.matches(text, folded: text, &left)
            return -left
        }
        let nearly = String(repeating: "ab", count: 500)
        #expect(effort("*ab0*", nearly) >= 1_000 && effort("*xy*", nearly) >= 250 && effort("*xy*", nearly) < 300)
        #expect(effort("*x*", nearly) > effort("x*", nearly) && effort("x*", nearly) > 0)
        let pieces = String(repeating: "*a", count: 100) + "*"
        #expect(effort(pieces, String(repeating: "a", count: 200)) >= 800)
        let long = String(repeating: "a", count: 240)
        #expect(effort(long + "b", long + "c") > effort("ab", "ac"))
    }

    @Test func covering() {
        func covers(_ one: String, _ other: String) -> Bool { Wildcard(one)!.covers(Wildcard(other)!) }
        #expect(covers("*", "a*b") && covers("a*", "a*b") && covers("a*", "ab") && covers("a", "A"))
        #expect(!covers("a*b", "a*") && !covers("ab", "a*") && !covers("*a*", "*"))
        #expect(!Wildcard("a", foldsCase: false)!.covers(Wildcard("a")!))
    }
}
