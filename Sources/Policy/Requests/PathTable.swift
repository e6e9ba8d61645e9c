internal import Glibc

/// Paths, each with something that belongs to it, in a form that answers fast however many there are, and however long the path is that is
/// asked for: no more of it is looked at than these paths have.
struct PathTable<Value: Sendable>: Sendable {
    private struct Exact {
        let octets: [UInt8]
        let values: [Value]
    }

    /// What begins so. All starts of one path, which are those of one another, are met on the way up from the last that does not sort behind
    /// the path: whatever sorts between a start and the path begins with that start, too.
    private struct Start {
        let octets: [UInt8]
        /// The longest other one that it begins with.
        let parent: Int?
        let values: [Value]
    }

    /// By their octets, as are the starts.
    private var exact: [Exact] = []
    private var starts: [Start] = []

    /// The values of one path stay in order.
    init(_ entries: [(path: PathPattern, value: Value)]) {
        for (octets, values) in Self.sorted(entries.filter { !$0.path.isPrefix }) {
            exact.append(Exact(octets: octets, values: values))
        }
        for (octets, values) in Self.sorted(entries.filter(\.path.isPrefix)) {
            var parent = starts.indices.last
            while let index = parent, !octets.starts(with: starts[index].octets) { parent = starts[index].parent }
            starts.append(Start(octets: octets, parent: parent, values: values))
        }
    }

    private static func sorted(_ entries: [(path: PathPattern, value: Value)]) -> [(octets: [UInt8], values: [Value])] {
        var values: [[UInt8]: [Value]] = [:]
        for (path, value) in entries { values[Array(path.start.utf8), default: []].append(value) }
        return values.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { ($0.key, $0.value) }
    }

    /// Whether a path of these is that one, and has values of which this holds.
    func contains(_ path: [UInt8], where holds: ([Value]) -> Bool) -> Bool {
        if let place = last(exact.count, where: { !precedes(path, exact[$0].octets) }), exact[place].octets == path,
            holds(exact[place].values)
        {
            return true
        }
        guard let nearest = last(starts.count, where: { !precedes(path, starts[$0].octets) }) else { return false }
        // All on the way up are starts of this one, and so of the path if they are no longer than what both have.
        let common = zip(path, starts[nearest].octets).prefix { $0 == $1 }.count
        var next: Int? = nearest
        while let index = next {
            if starts[index].octets.count <= common, holds(starts[index].values) { return true }
            next = starts[index].parent
        }
        return false
    }

    /// The last of some that do not sort behind the path, of which those that do come last; nil: all do.
    @inline(__always)
    private func last(_ count: Int, where isNotBehind: (Int) -> Bool) -> Int? {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if isNotBehind(middle) { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? low - 1 : nil
    }

    private func precedes(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        let order = one.withUnsafeBytes { one in
            other.withUnsafeBytes { other in
                guard let first = one.baseAddress, let second = other.baseAddress else { return Int32(0) }
                return memcmp(first, second, min(one.count, other.count))
            }
        }
        return order < 0 || order == 0 && one.count < other.count
    }

    /// Whether this holds of the values of any of these, whatever its path is.
    func containsAny(where holds: ([Value]) -> Bool) -> Bool {
        exact.contains { holds($0.values) } || starts.contains { holds($0.values) }
    }
}
