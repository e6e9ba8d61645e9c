/// Names a session to the kernel: an event may outlive the session it was meant for, so the place in the table is not
/// enough.
struct SlotID: Equatable {
    var index: UInt32
    var generation: UInt32

    /// Of one loop's sessions, each has another one.
    var number: UInt64 { UInt64(generation) << 32 | UInt64(index) }
}

/// The sessions of one loop, found by number in constant time, and the links by which timers thread them.
///
/// Confined to the loop's thread. Grows by doubling and never shrinks: an empty place costs 32 bytes.
struct SlotTable: ~Copyable {
    struct Slot {
        var session: Unmanaged<Session>?
        var generation: UInt32
        /// Next free place, while `session` is nil.
        var nextFree: Int32
        /// Neighbours in a bucket of the timer wheel, and the bucket; -1: none.
        var previous: Int32
        var next: Int32
        var bucket: Int32
    }

    private(set) var slots: UnsafeMutablePointer<Slot>
    private var capacity: Int
    private var firstFree: Int32 = -1
    private(set) var count = 0

    init() {
        capacity = 0
        slots = .allocate(capacity: 0)
        grow(to: 64)
    }

    deinit { slots.deallocate() }

    mutating func insert(_ session: Session) -> SlotID {
        if firstFree < 0 { grow(to: capacity * 2) }
        let index = firstFree
        let slot = slots + Int(index)
        firstFree = slot.pointee.nextFree
        slot.pointee.session = .passRetained(session)
        count += 1
        return SlotID(index: UInt32(index), generation: slot.pointee.generation)
    }

    /// Takes a session out. The caller keeps what is returned for as long as a method of it may still be running.
    mutating func remove(_ id: SlotID) -> Session? {
        let slot = slots + Int(id.index)
        guard let session = slot.pointee.session, slot.pointee.generation == id.generation else { return nil }
        slot.pointee.session = nil
        slot.pointee.generation &+= 1
        slot.pointee.nextFree = firstFree
        firstFree = Int32(id.index)
        count -= 1
        return session.takeRetainedValue()
    }

    /// The session, or nil when it has ended since the name was given out.
    @inline(__always)
    func find(_ id: SlotID) -> Unmanaged<Session>? {
        guard id.index < capacity else { return nil }
        let slot = slots[Int(id.index)]
        return slot.generation == id.generation ? slot.session : nil
    }

    /// Every session there is now. For the rare sweep, such as the end of a drain.
    func all() -> [Session] {
        (0..<capacity).compactMap { slots[$0].session?.takeUnretainedValue() }
    }

    private mutating func grow(to size: Int) {
        let bigger = UnsafeMutablePointer<Slot>.allocate(capacity: size)
        bigger.moveInitialize(from: slots, count: capacity)
        for index in (capacity..<size).reversed() {
            (bigger + index).initialize(
                to: Slot(session: nil, generation: 0, nextFree: firstFree, previous: -1, next: -1, bucket: -1))
            firstFree = Int32(index)
        }
        slots.deallocate()
        slots = bigger
        capacity = size
    }
}
