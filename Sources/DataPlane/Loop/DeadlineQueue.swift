/// What the loop rings at its time, the earliest first: a heap. Beside sessions' timers, which a wheel looks after, these are few.
///
/// A bell is in it once at most, knows its place, and is taken out as it goes away: there are never more entries than bells.
struct DeadlineQueue {
    private var entries: [(due: UInt64, bell: Unmanaged<Bell>)] = []

    var count: Int { entries.count }

    /// Monotonic nanoseconds at which the next one is due; `.max`: none waits.
    var due: UInt64 { entries.first?.due ?? .max }

    /// Has a bell rung at that time, in place of the one that it was to be rung at before.
    mutating func set(_ bell: Bell, at due: UInt64) {
        if let place = bell.placeInQueue {
            entries[place].due = due
            restore(place)
        } else {
            entries.append((due, Unmanaged.passUnretained(bell)))
            rise(entries.count - 1)
        }
    }

    /// Takes out one that is due.
    mutating func next(now: UInt64) -> Bell? {
        guard due <= now, let first = entries.first?.bell else { return nil }
        let bell = first.takeUnretainedValue()
        remove(bell)
        return bell
    }

    mutating func remove(_ bell: Bell) {
        guard let place = bell.placeInQueue.take(), let last = entries.popLast(), place < entries.count else { return }
        entries[place] = last
        restore(place)
    }

    /// Brings one that has another time now to where it belongs.
    private mutating func restore(_ place: Int) {
        rise(place)
        sink(place)
    }

    private mutating func rise(_ place: Int) {
        var child = place
        while child > 0, entries[child].due < entries[(child - 1) / 2].due {
            swap(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
        note(child)
    }

    private mutating func sink(_ place: Int) {
        var parent = place
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count && entries[child].due < entries[least].due {
                least = child
            }
            guard least != parent else { break }
            swap(parent, least)
            parent = least
        }
        note(parent)
    }

    private mutating func swap(_ one: Int, _ other: Int) {
        entries.swapAt(one, other)
        note(one)
        note(other)
    }

    private func note(_ place: Int) { entries[place].bell._withUnsafeGuaranteedRef { $0.placeInQueue = place } }
}
