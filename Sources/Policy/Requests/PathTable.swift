/// Paths of a rule, each perhaps with a query, in a form that answers fast however many there are.
struct PathTable: Sendable {
    typealias Entry = (path: PathPattern, query: Wildcard?)

    /// What begins so. All starts of one path, which are those of one another, are met on the way up from the last that does not sort behind
    /// the path: whatever sorts between a start and the path begins with that start, too.
    private struct Start {
        let octets: [UInt8]
        /// The longest other one that it begins with.
        let parent: Int?
        var queries: [Wildcard?]
    }

    private var exact: [[UInt8]: [Wildcard?]] = [:]
    /// By their octets.
    private var starts: [Start] = []

    init(_ entries: [Entry]) {
        var queries: [[UInt8]: [Wildcard?]] = [:]
        for (path, query) in entries {
            let octets = Array(path.start.utf8)
            if path.isPrefix {
                queries[octets, default: []].append(query)
            } else {
                exact[octets, default: []].append(query)
            }
        }
        for octets in queries.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            var parent = starts.indices.last
            while let index = parent, !octets.starts(with: starts[index].octets) { parent = starts[index].parent }
            starts.append(Start(octets: octets, parent: parent, queries: queries[octets] ?? []))
        }
    }

    /// Whether a path of these is that one, and its query holds.
    func contains(_ path: String, where holds: (Wildcard?) -> Bool) -> Bool {
        let path = Array(path.utf8)
        if exact[path]?.contains(where: holds) == true { return true }
        var (low, high) = (0, starts.count)
        while low < high {
            let middle = (low + high) / 2
            if path.lexicographicallyPrecedes(starts[middle].octets) { high = middle } else { low = middle + 1 }
        }
        var next: Int? = low > 0 ? low - 1 : nil
        while let index = next {
            let start = starts[index]
            if path.starts(with: start.octets), start.queries.contains(where: holds) { return true }
            next = start.parent
        }
        return false
    }

    /// Whether the query of any of these holds, whatever its path is.
    func containsAny(where holds: (Wildcard?) -> Bool) -> Bool {
        exact.values.contains { $0.contains(where: holds) } || starts.contains { $0.queries.contains(where: holds) }
    }
}
