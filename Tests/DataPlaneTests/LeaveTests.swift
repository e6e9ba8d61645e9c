import Testing

@testable import DataPlane

@Suite struct LeaveTests {
    private static let second: UInt64 = 1_000_000_000

    /// Looks at a client whenever that is due, from 0 on.
    ///
    /// - Parameter sight: what it has sent since the last look, and not taken at all, by the second.
    /// - Returns: the second in which nobody waits for it any more.
    private func end(atMost limit: UInt64, _ sight: (UInt64) -> (thrownAway: Int, untaken: Int)) -> UInt64 {
        var leave = Leave(now: 0, atMost: limit * Self.second)
        var now: UInt64 = 0
        while true {
            let seen = sight(now / Self.second)
            guard let next = leave.look(thrownAway: seen.thrownAway, untaken: seen.untaken, now: now) else { break }
            #expect(next > now && next <= limit * Self.second)
            now = next
        }
        return now / Self.second
    }

    @Test func whoHasAllAndSaysNothing() { #expect(end(atMost: 60) { _ in (0, 0) } == 1) }

    @Test func whoTakesNothing() { #expect(end(atMost: 60) { _ in (0, 100) } == 5) }

    @Test func whoGoesOnTaking() {
        // All of it is taken after 20 s, and the connection is left open.
        #expect(end(atMost: 60) { (0, max(0, 100 - Int($0) * 5)) } == 21)
        #expect(end(atMost: 60) { (0, 1_000 - Int($0)) } == 60)
        // What is one side's hurry is no progress of the other's.
        #expect(end(atMost: 60) { (0, 100 + Int($0)) } == 5)
    }

    /// It takes nothing meanwhile, and may pause before it looks at its answer.
    @Test func whoGoesOnSending() {
        #expect(end(atMost: 60) { ($0 < 12 ? 1 : 0, 100) } == 15)
        #expect(end(atMost: 60) { ($0 < 12 ? 1 : 0, 0) } == 15)
        #expect(end(atMost: 60) { _ in (1, 100) } == 60)
        #expect(end(atMost: 1) { _ in (1, 100) } == 1)
    }
}
