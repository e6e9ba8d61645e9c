/// Paths of a rule, each perhaps with a query, in a form that answers fast however many there are, and however long the path is that is
/// asked for: no more of it is looked at than the rule's own paths have.
struct PathTable: Sendable {
    typealias Entry = (path: PathPattern, query: Wildcard?)

    private struct Exact {
        let octets: [UInt8]
        var queries: [Wildcard?]
    }

    /// What begins so. All starts of one path, which are those of one another, are met on the way up from the last that does not sort behind
    /// the path: whatever sorts between a start and the path begins with that start, too.
    private struct Start {
        let octets: [UInt8]
        /// The longest other one that it begins with.
        let parent: Int?
        var queries: [Wildcard?]
    }

    /// By their octets, as are the starts.
    private var exact: [Exact] = []
    private var starts: [Start] = []

    init(_ entries: [Entry]) {
        for (octets, queries) in Self.sorted(entries.filter { !$0.path.isPrefix }) {
            exact.append(Exact(octets: octets, queries: queries))
        }
        for (octets, queries) in Self.sorted(entries.filter(\.path.isPrefix)) {
            var parent = starts.indices.last
            while let index = parent, !octets.starts(with: starts[index].octets) { parent = starts[index].parent }
            starts.append(Start(octets: octets, parent: parent, queries: queries))
        }
    }

    private static func sorted(_ entries: [Entry]) -> [(octets: [UInt8], queries: [Wildcard?])] {
        var queries: [[UInt8]: [Wildcard?]] = [:]
        for (path, query) in entries { queries[Array(path.start.utf8), default: []].append(query) }
        return queries.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { ($0.key, $0.value) }
    }

    /// Whether a path of these is that one, and its query holds.
    func contains(_ path: [UInt8], where holds: (Wildcard?) -> Bool) -> Bool {
        if let place = last(exact.count, notBehind: path, { exact[$0].octets }), exact[place].octets == path,
            exact[place].queries.contains(where: holds)
        {
            return true
        }
        guard let nearest = last(starts.count, notBehind: path, { starts[$0].octets }) else { return false }
        // All on the way up are starts of this one, and so of the path if they are no longer than what both have.
        let common = zip(path, starts[nearest].octets).prefix { $0 == $1 }.count
        var next: Int? = nearest
        while let index = next {
            let start = starts[index]
            if start.octets.count <= common, start.queries.contains(where: holds) { return true }
            next = start.parent
        }
        return false
    }

    /// The last of some in order that does not sort behind the path; nil: all do.
    private func last(_ count: Int, notBehind path: [UInt8], _ octets: (Int) -> [UInt8]) -> Int? {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if path.lexicographicallyPrecedes(octets(middle)) { high = middle } else { low = middle + 1 }
        }
        return low > 0 ? low - 1 : nil
    }

    /// Whether the query of any of these holds, whatever its path is.
    func containsAny(where holds: (Wildcard?) -> Bool) -> Bool {
        exact.contains { $0.queries.contains(where: holds) } || starts.contains { $0.queries.contains(where: holds) }
    }
}
