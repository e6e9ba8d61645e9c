/// One deadline per session, in buckets of 64 ms.
///
/// Setting or moving a deadline links a slot into a bucket: no allocation, no ordering. A deadline farther away than the
/// wheel turns (65 s) is looked at early and put back; that is also how an idle timer costs nothing per byte: activity
/// only notes the time, and the look finds that the deadline has moved.
struct TimerWheel: ~Copyable {
    /// Nanoseconds of one bucket, as a power of two: 2^26 ns = 67 ms.
    static let tickShift: UInt64 = 26
    static let bucketCount = 1024

    private let heads: UnsafeMutablePointer<Int32>
    /// One bit per bucket that holds anything, so that the next deadline is found without walking the wheel.
    private let occupied: UnsafeMutablePointer<UInt64>
    private var tick: UInt64
    private(set) var count = 0

    init(now: UInt64) {
        heads = .allocate(capacity: Self.bucketCount)
        heads.initialize(repeating: -1, count: Self.bucketCount)
        occupied = .allocate(capacity: Self.bucketCount / 64)
        occupied.initialize(repeating: 0, count: Self.bucketCount / 64)
        tick = now >> Self.tickShift
    }

    deinit {
        heads.deallocate()
        occupied.deallocate()
    }

    /// - Parameter deadline: monotonic nanoseconds; the look comes at or after it, or earlier if it is beyond the wheel.
    mutating func set(_ index: UInt32, at deadline: UInt64, in slots: UnsafeMutablePointer<SlotTable.Slot>) {
        cancel(index, in: slots)
        // Rounded up: a look may come late, never early, unless the wheel is too small.
        let due = (deadline >> Self.tickShift) + 1
        let when = min(max(due, tick + 1), tick + UInt64(Self.bucketCount) - 1)
        let bucket = Int32(when & UInt64(Self.bucketCount - 1))
        let head = heads[Int(bucket)]
        slots[Int(index)].bucket = bucket
        slots[Int(index)].previous = -1
        slots[Int(index)].next = head
        if head >= 0 { slots[Int(head)].previous = Int32(index) }
        heads[Int(bucket)] = Int32(index)
        occupied[Int(bucket) >> 6] |= 1 << UInt64(bucket & 63)
        count += 1
    }

    mutating func cancel(_ index: UInt32, in slots: UnsafeMutablePointer<SlotTable.Slot>) {
        let slot = slots[Int(index)]
        guard slot.bucket >= 0 else { return }
        if slot.previous >= 0 {
            slots[Int(slot.previous)].next = slot.next
        } else {
            heads[Int(slot.bucket)] = slot.next
            if slot.next < 0 { occupied[Int(slot.bucket) >> 6] &= ~(1 << UInt64(slot.bucket & 63)) }
        }
        if slot.next >= 0 { slots[Int(slot.next)].previous = slot.previous }
        slots[Int(index)].bucket = -1
        count -= 1
    }

    /// Milliseconds until the first bucket falls due, rounded up; -1 when there is nothing to wait for.
    func timeout(now: UInt64) -> Int32 {
        guard count > 0 else { return -1 }
        let mask = UInt64(Self.bucketCount - 1)
        var ahead: UInt64 = 1
        while ahead < UInt64(Self.bucketCount) {
            let bucket = (tick + ahead) & mask
            let word = occupied[Int(bucket >> 6)] >> (bucket & 63)
            if word != 0 {
                ahead += UInt64(word.trailingZeroBitCount)
                let due = (tick + ahead) << Self.tickShift
                return due <= now ? 0 : Int32((due - now + 999_999) / 1_000_000)
            }
            ahead += 64 - (bucket & 63)
        }
        // What is left stands in the buckets just behind the hand: a full turn away.
        return Int32((UInt64(Self.bucketCount) << Self.tickShift) / 1_000_000)
    }

    /// Takes out every slot that is due and appends it to `due`.
    mutating func advance(to now: UInt64, in slots: UnsafeMutablePointer<SlotTable.Slot>, due: inout [UInt32]) {
        let target = now >> Self.tickShift
        // After a long sleep every bucket is visited once and not once per missed turn.
        if target > tick + UInt64(Self.bucketCount) { tick = target - UInt64(Self.bucketCount) }
        while tick < target {
            tick += 1
            let bucket = Int(tick & UInt64(Self.bucketCount - 1))
            while heads[bucket] >= 0 {
                let index = UInt32(heads[bucket])
                cancel(index, in: slots)
                due.append(index)
            }
        }
    }
}
