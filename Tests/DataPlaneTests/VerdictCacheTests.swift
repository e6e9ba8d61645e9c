import Protocols
import Testing

@testable import DataPlane

/// What is kept of verdicts: for the same question, for its time, within its bounds.
@Suite struct VerdictCacheTests {
    private static let second: UInt64 = 1_000_000_000

    private func question(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func forTheSameQuestionAndItsTime() {
        var cache = VerdictCache(lifetime: Self.second)
        cache.keep(.forbidden, on: question("a"), now: 5)
        #expect(cache.verdict(on: question("a"), now: 5) == .forbidden)
        #expect(cache.verdict(on: question("b"), now: 5) == nil)
        #expect(cache.verdict(on: question(""), now: 5) == nil)
        #expect(cache.verdict(on: question("a"), now: 4 + Self.second) == .forbidden)
        #expect(cache.verdict(on: question("a"), now: 5 + Self.second) == nil)
    }

    @Test func aNewerVerdictCountsFromItsOwnTime() {
        var cache = VerdictCache(lifetime: Self.second)
        cache.keep(.forbidden, on: question("a"), now: 0)
        cache.keep(.granted(lines: [1]), on: question("a"), now: Self.second - 1)
        #expect(cache.verdict(on: question("a"), now: Self.second) == .granted(lines: [1]))
        // The entry of before goes, and takes nothing with it.
        cache.keep(.forbidden, on: question("b"), now: Self.second)
        #expect(cache.verdict(on: question("a"), now: Self.second) == .granted(lines: [1]))
        #expect(cache.count == 2)
    }

    @Test func nothingIsKeptWithoutALifetime() {
        var cache = VerdictCache(lifetime: 0)
        cache.keep(.forbidden, on: question("a"), now: 0)
        #expect(cache.verdict(on: question("a"), now: 0) == nil && cache.count == 0)
    }

    @Test func itIsBounded() {
        var cache = VerdictCache(lifetime: 1_000 * Self.second, mostBytes: 100_000)
        for number in 0..<10_000 { cache.keep(.forbidden, on: question("question \(number)"), now: UInt64(number)) }
        #expect(cache.bytes <= 100_000 && cache.count > 100)
        #expect(cache.verdict(on: question("question 9999"), now: 10_000) == .forbidden)
        #expect(cache.verdict(on: question("question 0"), now: 10_000) == nil)
        cache.keep(.forbidden, on: [UInt8](repeating: 1, count: VerdictCache.longestQuestion + 1), now: 10_000)
        #expect(cache.verdict(on: [UInt8](repeating: 1, count: VerdictCache.longestQuestion + 1), now: 10_000) == nil)
    }

    @Test func whatIsOverGoes() {
        var cache = VerdictCache(lifetime: Self.second)
        for number in 0..<1_000 { cache.keep(.forbidden, on: question("\(number)"), now: 0) }
        cache.keep(.forbidden, on: question("late"), now: 2 * Self.second)
        #expect(cache.count == 1 && cache.bytes < 1_000)
    }
}
