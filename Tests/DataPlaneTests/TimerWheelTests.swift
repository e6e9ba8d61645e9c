import TestSupport
import Testing

@testable import DataPlane

/// The wheel against the plainest thing that could take its place: a list of deadlines.
@Suite struct TimerWheelTests {
    static let tick: UInt64 = 1 << TimerWheel.tickShift

    final class Slots {
        let slots: UnsafeMutablePointer<SlotTable.Slot>
        init(_ count: Int) {
            slots = .allocate(capacity: count)
            slots.initialize(
                repeating: SlotTable.Slot(session: nil, generation: 0, nextFree: -1, previous: -1, next: -1, bucket: -1),
                count: count)
        }
        deinit { slots.deallocate() }
    }

    @Test func neverEarlyAndAtMostTwoTicksLate() {
        var generator = SplitMix(7)
        let slots = Slots(200)
        var wheel = TimerWheel(now: 0)
        var deadlines = [UInt64?](repeating: nil, count: 200)
        var now: UInt64 = 0
        var due: [UInt32] = []
        for _ in 0..<20_000 {
            switch generator.next() % 4 {
            case 0, 1:
                let index = Int(generator.next() % 200)
                let deadline = now + generator.next() % (50 * Self.tick * 10)
                wheel.set(UInt32(index), at: deadline, in: slots.slots)
                deadlines[index] = deadline
            case 2:
                let index = Int(generator.next() % 200)
                wheel.cancel(UInt32(index), in: slots.slots)
                deadlines[index] = nil
            default:
                now += generator.next() % (8 * Self.tick)
                due.removeAll()
                wheel.advance(to: now, in: slots.slots, due: &due)
                for index in due {
                    let deadline = deadlines[Int(index)]
                    #expect(deadline != nil && deadline! <= now)
                    deadlines[Int(index)] = nil
                }
                for deadline in deadlines { #expect(deadline.map { $0 + 2 * Self.tick > now } ?? true) }
            }
            #expect(wheel.count == deadlines.count { $0 != nil })
        }
    }

    @Test func timeoutLeadsToTheFirstDeadline() {
        let slots = Slots(2)
        var wheel = TimerWheel(now: 0)
        #expect(wheel.timeout(now: 0) == -1)
        wheel.set(0, at: 10 * Self.tick, in: slots.slots)
        let wait = UInt64(wheel.timeout(now: 0)) * 1_000_000
        #expect(wait >= 10 * Self.tick && wait <= 12 * Self.tick)
        var due: [UInt32] = []
        wheel.advance(to: wait, in: slots.slots, due: &due)
        #expect(due == [0])
        #expect(wheel.timeout(now: wait) == -1)
    }

    @Test func farDeadlinesAreLookedAtWithinOneTurn() {
        let slots = Slots(1)
        var wheel = TimerWheel(now: 5 * Self.tick)
        wheel.set(0, at: .max, in: slots.slots)
        let wait = UInt64(wheel.timeout(now: 5 * Self.tick)) * 1_000_000
        #expect(wait <= (UInt64(TimerWheel.bucketCount) + 1) * Self.tick)
        var due: [UInt32] = []
        wheel.advance(to: 5 * Self.tick + wait, in: slots.slots, due: &due)
        #expect(due == [0])
    }

    @Test func aLongSleepLosesNothing() {
        let slots = Slots(64)
        var wheel = TimerWheel(now: 0)
        for index in 0..<64 { wheel.set(UInt32(index), at: UInt64(index) * 16 * Self.tick, in: slots.slots) }
        var due: [UInt32] = []
        wheel.advance(to: 100_000 * Self.tick, in: slots.slots, due: &due)
        #expect(Set(due) == Set(0..<64))
    }
}
