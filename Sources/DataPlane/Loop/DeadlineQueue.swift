/// What the loop rings at its time, the earliest first: a heap. Beside sessions' timers, which a wheel looks after, these are few.
///
/// An entry stays until it is due, though nobody may wait for it any more: whoever is rung finds that out.
struct DeadlineQueue {
    private var entries: [(due: UInt64, bell: Bell)] = []

    /// Monotonic nanoseconds at which the next one is due; `.max`: none waits.
    var due: UInt64 { entries.first?.due ?? .max }

    mutating func add(_ bell: Bell, at due: UInt64) {
        entries.append((due, bell))
        var child = entries.count - 1
        while child > 0, entries[child].due < entries[(child - 1) / 2].due {
            entries.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Takes out one that is due.
    mutating func next(now: UInt64) -> Bell? {
        guard due <= now, let last = entries.popLast() else { return nil }
        guard let first = entries.first else { return last.bell }
        entries[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count && entries[child].due < entries[least].due {
                least = child
            }
            guard least != parent else { return first.bell }
            entries.swapAt(parent, least)
            parent = least
        }
    }
}
