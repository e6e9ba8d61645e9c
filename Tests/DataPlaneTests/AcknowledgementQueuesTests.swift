import TestSupport
import Testing

@testable import DataPlane

@Suite struct AcknowledgementQueuesTests {
    private static let millisecond: UInt64 = 1_000_000

    private func id(_ index: UInt32) -> SlotID { SlotID(index: index, generation: 1) }

    private func add(_ id: SlotID, _ side: Relay.Side, now: UInt64, to queues: inout AcknowledgementQueues) -> Bool {
        queues.add(id, side, now: now)
    }

    private func next(of queues: inout AcknowledgementQueues, now: UInt64) -> (SlotID, Relay.Side)? { queues.next(now: now) }

    @Test func eachSideWaitsItsOwnTime() {
        var queues = AcknowledgementQueues()
        for _ in 0..<200 { queues.noteAnswer(after: 2 * Self.millisecond) }
        let hold = queues.clientHold!
        #expect(hold > 4 * Self.millisecond && hold <= 5 * Self.millisecond)
        #expect(queues.due == .max)
        #expect(add(id(1), .client, now: 0, to: &queues))
        #expect(queues.due == hold)
        #expect(add(id(2), .upstream, now: Self.millisecond, to: &queues))
        #expect(queues.due == 2 * Self.millisecond)

        #expect(next(of: &queues, now: 2 * Self.millisecond - 1) == nil)
        let first = queues.next(now: 2 * Self.millisecond)
        #expect(first?.0 == id(2) && first?.1 == .upstream)
        #expect(next(of: &queues, now: hold - 1) == nil)
        let second = queues.next(now: hold)
        #expect(second?.0 == id(1) && second?.1 == .client)
        #expect(queues.due == .max)
    }

    @Test func whereAnswersAreSlowNoClientWaits() {
        var queues = AcknowledgementQueues()
        #expect(queues.clientHold == AcknowledgementQueues.upstreamHold)
        for _ in 0..<200 { queues.noteAnswer(after: 8 * Self.millisecond) }
        #expect(queues.clientHold == AcknowledgementQueues.longestClientHold)
        for _ in 0..<200 { queues.noteAnswer(after: 3_600_000 * Self.millisecond) }
        #expect(queues.clientHold == nil)
        #expect(!add(id(1), .client, now: 0, to: &queues))
        #expect(add(id(1), .upstream, now: 0, to: &queues))
        for _ in 0..<400 { queues.noteAnswer(after: 0) }
        #expect(queues.clientHold == AcknowledgementQueues.upstreamHold)
    }

    @Test func noneIsLostAndNoneComesEarlyWhateverTheOrder() {
        var generator = SplitMix(11)
        var queues = AcknowledgementQueues()
        var expected: [UInt32: UInt64] = [:]
        var now: UInt64 = 0
        for index in UInt32(0)..<5_000 {
            now += generator.next() % 200_000
            let side: Relay.Side = generator.next() % 2 == 0 ? .client : .upstream
            #expect(add(id(index), side, now: now, to: &queues))
            expected[index] = now + (side == .client ? queues.clientHold! : AcknowledgementQueues.upstreamHold)
            while let (id, _) = queues.next(now: now) {
                let due = expected.removeValue(forKey: id.index)
                #expect(due != nil && due! <= now)
            }
            #expect(expected.values.allSatisfy { $0 > now })
            #expect(queues.due == expected.values.min() ?? .max)
        }
    }
}
