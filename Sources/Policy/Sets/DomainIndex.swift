/// Which rules' domains match a name: one look at a hash table per label of the name, however many patterns there are.
///
/// Patterns come from the configuration and names from strangers, so nobody who sends names can make the table uneven.
struct DomainIndex: Sendable {
    private struct Entry {
        var start: UInt32
        var length: UInt8
        var isBelow: Bool
        var rules: Range<UInt32>
    }

    private var entries: [Entry] = []
    /// The patterns' names, one after another.
    private var text: [UInt8] = []
    private var rules: [UInt32] = []
    /// Open addressing, linear probing; 0 is empty, else an entry's number + 1. At most half full.
    private var table: [UInt32] = []
    private var mask = 0
    /// Labels of the longest pattern: of a longer name only the end is looked at.
    private var deepest = 0

    /// - Parameter patterns: with the rule each belongs to.
    init(_ patterns: [(pattern: DomainPattern, rule: UInt32)]) {
        guard !patterns.isEmpty else { return }
        var size = 16
        while size < patterns.count * 2 { size *= 2 }
        table = [UInt32](repeating: 0, count: size)
        mask = size - 1
        entries.reserveCapacity(patterns.count)
        text.reserveCapacity(patterns.reduce(0) { $0 + $1.pattern.name.description.utf8.count })
        var pairs: [(entry: UInt32, rule: UInt32)] = []
        pairs.reserveCapacity(patterns.count)
        for (pattern, rule) in patterns {
            var name = pattern.name.description
            name.withUTF8 { bytes in
                let slot = find(bytes, Self.hash(bytes, isBelow: pattern.isBelow), isBelow: pattern.isBelow)
                if table[slot] == 0 {
                    entries.append(
                        Entry(start: UInt32(text.count), length: UInt8(bytes.count), isBelow: pattern.isBelow, rules: 0..<0))
                    text.append(contentsOf: bytes)
                    table[slot] = UInt32(entries.count)
                    deepest = max(deepest, bytes.count { $0 == UInt8(ascii: ".") } + 1)
                }
                pairs.append((table[slot] - 1, rule))
            }
        }
        pairs.sort { ($0.entry, $0.rule) < ($1.entry, $1.rule) }
        rules.reserveCapacity(pairs.count)
        for (position, pair) in pairs.enumerated() {
            let isFirst = position == 0 || pairs[position - 1].entry != pair.entry
            if isFirst || pairs[position - 1].rule != pair.rule { rules.append(pair.rule) }
            let end = UInt32(rules.count)
            entries[Int(pair.entry)].rules = (isFirst ? end - 1 : entries[Int(pair.entry)].rules.lowerBound)..<end
        }
    }

    /// Calls `body` with the rules of every pattern that matches, each list in ascending order.
    @inline(__always)
    func forEachMatch(_ name: DomainName, _ body: (Span<UInt32>) -> Void) {
        guard !entries.isEmpty else { return }
        var text = name.description
        text.withUTF8 { bytes in
            var hash = Self.seed
            var labels = 0
            var index = bytes.count
            while index > 0 {
                index -= 1
                hash = Self.mix(hash, bytes[index])
                guard index == 0 || bytes[index - 1] == UInt8(ascii: ".") else { continue }
                labels += 1
                guard labels <= deepest else { return }
                let end = UnsafeBufferPointer(rebasing: bytes[index...])
                let slot = find(end, Self.finish(hash, isBelow: index > 0), isBelow: index > 0)
                guard table[slot] != 0 else { continue }
                let range = entries[Int(table[slot]) - 1].rules
                body(rules.span.extracting(Int(range.lowerBound)..<Int(range.upperBound)))
            }
        }
    }

    // ---- the table ----

    /// Where the pattern stands, or would.
    private func find(_ bytes: UnsafeBufferPointer<UInt8>, _ hash: UInt64, isBelow: Bool) -> Int {
        var slot = Int(truncatingIfNeeded: hash) & mask
        while table[slot] != 0 {
            let entry = entries[Int(table[slot]) - 1]
            if entry.isBelow == isBelow, Int(entry.length) == bytes.count, isEqual(bytes, at: Int(entry.start)) { return slot }
            slot = (slot + 1) & mask
        }
        return slot
    }

    private func isEqual(_ bytes: UnsafeBufferPointer<UInt8>, at start: Int) -> Bool {
        for index in 0..<bytes.count where text[start + index] != bytes[index] { return false }
        return true
    }

    /// From the last byte to the first, so that the hashes of a name's ends come by on the way.
    private static func hash(_ bytes: UnsafeBufferPointer<UInt8>, isBelow: Bool) -> UInt64 {
        finish(bytes.reversed().reduce(seed, mix), isBelow: isBelow)
    }

    private static let seed: UInt64 = 0xCBF2_9CE4_8422_2325

    @inline(__always)
    private static func mix(_ hash: UInt64, _ byte: UInt8) -> UInt64 { (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }

    @inline(__always)
    private static func finish(_ hash: UInt64, isBelow: Bool) -> UInt64 {
        let hash = (isBelow ? ~hash : hash) &* 0x9E37_79B9_7F4A_7C15
        return hash ^ hash >> 32
    }
}
