import Testing

@testable import DataPlane

@Suite struct AcknowledgementQueuesTests {
    private static let millisecond: UInt64 = 1_000_000

    private func id(_ index: UInt32) -> SlotID { SlotID(index: index, generation: 1) }

    @Test func eachSideWaitsItsOwnTime() {
        var queues = AcknowledgementQueues()
        #expect(queues.due == .max)
        queues.add(id(1), .client, now: 0)
        #expect(queues.due == AcknowledgementQueues.clientDelay)
        queues.add(id(2), .upstream, now: 5 * Self.millisecond)
        #expect(queues.due == 5 * Self.millisecond + AcknowledgementQueues.upstreamDelay)

        #expect(queues.next(now: 6 * Self.millisecond - 1) == nil)
        let first = queues.next(now: 6 * Self.millisecond)
        #expect(first?.0 == id(2) && first?.1 == .upstream)
        #expect(queues.next(now: 10 * Self.millisecond - 1) == nil)
        let second = queues.next(now: 10 * Self.millisecond)
        #expect(second?.0 == id(1) && second?.1 == .client)
        #expect(queues.due == .max)
    }

    @Test func noneIsLostAndNoneComesEarlyWhateverTheOrder() {
        var generator = SplitMix(11)
        var queues = AcknowledgementQueues()
        var expected: [UInt32: UInt64] = [:]
        var now: UInt64 = 0
        for index in UInt32(0)..<5_000 {
            now += generator.next() % 200_000
            let side: Relay.Side = generator.next() % 2 == 0 ? .client : .upstream
            queues.add(id(index), side, now: now)
            expected[index] = now + (side == .client ? AcknowledgementQueues.clientDelay : AcknowledgementQueues.upstreamDelay)
            while let (id, _) = queues.next(now: now) {
                let due = expected.removeValue(forKey: id.index)
                #expect(due != nil && due! <= now)
            }
            #expect(expected.values.allSatisfy { $0 > now })
            #expect(queues.due == expected.values.min() ?? .max)
        }
    }
}
