internal import Synchronization

/// A row of counters that any thread may add to and read, without waiting and in no order.
final class Counters: Sendable {
    private nonisolated(unsafe) let values: UnsafeMutablePointer<Atomic<UInt64>>
    let count: Int

    init(_ count: Int) {
        self.count = count
        values = .allocate(capacity: count)
        for index in 0..<count { (values + index).initialize(to: Atomic(0)) }
    }

    deinit {
        values.deinitialize(count: count)
        values.deallocate()
    }

    func add(_ value: UInt64 = 1, at index: Int) {
        precondition(0..<count ~= index)
        values[index].wrappingAdd(value, ordering: .relaxed)
    }

    subscript(index: Int) -> UInt64 {
        precondition(0..<count ~= index)
        return values[index].load(ordering: .relaxed)
    }
}

/// A counter for each value of a type that names all of them.
final class CountersBy<Key: CaseIterable & Hashable & Sendable>: Sendable {
    private let counters = Counters(Key.allCases.count)
    private let places = Dictionary(uniqueKeysWithValues: Key.allCases.enumerated().map { ($1, $0) })

    func add(_ value: UInt64 = 1, at key: Key) {
        if let place = places[key] { counters.add(value, at: place) }
    }

    subscript(key: Key) -> UInt64 { places[key].map { counters[$0] } ?? 0 }
}

/// How often values fell into which range, and what they add up to.
final class Histogram: Sendable {
    /// What a unit of the values is worth in the unit that is shown.
    private let scale: Double
    /// The ranges' upper ends, included, ascending.
    private let bounds: [UInt64]
    /// One for each range, one for what lies above them, and the sum.
    private let counters: Counters

    private init(_ bounds: [UInt64], scale: Double) {
        self.bounds = bounds
        self.scale = scale
        counters = Counters(bounds.count + 2)
    }

    /// Of nanoseconds, shown as seconds, in the ranges that Prometheus' libraries have by default.
    static func seconds() -> Histogram {
        let milliseconds: [UInt64] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000]
        return Histogram(milliseconds.map { $0 * 1_000_000 }, scale: 1e-9)
    }

    /// Of bytes, from 256 to a gibibyte, each range four times the one before.
    static func bytes() -> Histogram { Histogram((4...15).map { 1 << UInt64(2 * $0) }, scale: 1) }

    func observe(_ value: UInt64) {
        counters.add(at: bounds.firstIndex { value <= $0 } ?? bounds.count)
        counters.add(value, at: bounds.count + 1)
    }

    /// For each upper end how many values lie at or below it; nil: all. And the sum.
    var value: (counts: [(bound: Double?, count: UInt64)], sum: Double) {
        var counts: [(Double?, UInt64)] = []
        var total: UInt64 = 0
        for index in 0...bounds.count {
            total &+= counters[index]
            counts.append((index < bounds.count ? Double(bounds[index]) * scale : nil, total))
        }
        return (counts, Double(counters[bounds.count + 1]) * scale)
    }
}
