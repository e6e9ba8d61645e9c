import Testing

@testable import DataPlane

@Suite struct BodyPaceTests {
    private static let second: UInt64 = 1_000_000_000

    /// Looks every 20 seconds at a connection that began at 0.
    ///
    /// - Parameter sight: what is seen, by the second.
    /// - Returns: the second in which the client is found to be slow; nil: in none of the first two minutes.
    private func slowAt(rate: UInt64 = 500, _ sight: (UInt64) -> BodyPace.Sight) -> UInt64? {
        var pace = BodyPace(now: 0)
        for moment in stride(from: UInt64(20), through: 120, by: 20) {
            #expect(pace.dueAt == moment * Self.second)
            if pace.look(sight(moment), now: moment * Self.second, atLeast: rate) { return moment }
        }
        return nil
    }

    @Test(arguments: [(UInt64(1), UInt64?(40)), (499, 40), (500, nil), (100_000, nil)])
    func sendersOfBodies(rate: UInt64, slow: UInt64?) {
        #expect(slowAt { .init(received: $0 * rate, sendingSince: 0, sent: 0, unacknowledged: 0) } == slow)
        // A body has its grace, too; and of another body nothing is known from before.
        let late = slow.map { $0 + 40 }
        #expect(
            slowAt { .init(received: $0 * rate, sendingSince: $0 < 40 ? nil : 35 * Self.second, sent: 0, unacknowledged: 0) }
                == late)
        #expect(slowAt { .init(received: $0 * rate, sendingSince: ($0 - 1) * Self.second, sent: 0, unacknowledged: 0) } == nil)
        // Somebody else is waited for now and then.
        #expect(
            slowAt { .init(received: $0 * rate, sendingSince: $0 % 40 == 0 ? 0 : nil, sent: 0, unacknowledged: 0) } == nil)
    }

    @Test(arguments: [(UInt64(0), UInt64?(40)), (499, 40), (500, nil)])
    func readersOfBodies(rate: UInt64, slow: UInt64?) {
        #expect(slowAt { .init(received: 0, sent: 1_000_000, unacknowledged: 1_000_000 - $0 * rate) } == slow)
    }

    /// A server that says little and often: something is always on its way, and nothing waits.
    @Test func serversThatSayLittle() {
        #expect(slowAt { .init(received: 0, sent: $0 * 10, unacknowledged: 10) } == nil)
        #expect(slowAt { .init(received: 0, sent: $0 * 10, unacknowledged: 0) } == nil)
    }

    /// A little at the end that nobody takes.
    @Test func aTailThatNobodyTakes() {
        #expect(slowAt { _ in .init(received: 0, sent: 5_000, unacknowledged: 100) } == 40)
    }

    @Test func numbersThatCannotBe() {
        #expect(slowAt(rate: .max) { .init(received: .max, sendingSince: 0, sent: 0, unacknowledged: .max - $0) } == 40)
    }
}
