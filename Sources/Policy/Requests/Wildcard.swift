internal import Glibc

/// A text in which `*` stands for anything, and for nothing. It is looked for in one pass: each piece between two `*` at its first place
/// (Knuth, Morris and Pratt), which is as good as any other, without a copy of the
/// text, so that nobody who sends it can make that take long.
public struct Wildcard: Hashable, Sendable {
    /// Octets of a pattern.
    public static let longest = 256

    /// Whether `A` and `a` are the same.
    private let foldsCase: Bool
    /// What stands between the `*`; without one, a single piece.
    private let pieces: [Piece]

    private struct Piece: Hashable, Sendable {
        let octets: [UInt8]
        /// Of the octets up to each: how many of them are both beginning and end; fewer than ``Wildcard/longest``.
        let overlaps: [UInt8]

        init(_ octets: [UInt8]) {
            self.octets = octets
            var overlaps = [UInt8](repeating: 0, count: octets.count)
            var length = 0
            for index in octets.indices.dropFirst() {
                while length > 0, octets[index] != octets[length] { length = Int(overlaps[length - 1]) }
                if octets[index] == octets[length] { length += 1 }
                overlaps[index] = UInt8(length)
            }
            self.overlaps = overlaps
        }
    }

    /// Nil: it is longer than ``longest``.
    ///
    /// - Parameter foldsCase: the case of ASCII letters makes no difference.
    public init?(_ text: String, foldsCase: Bool = true) {
        guard text.utf8.count <= Self.longest else { return nil }
        self.foldsCase = foldsCase
        pieces = text.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false).map { piece in
            Piece(piece.map { foldsCase ? foldedOctet($0) : $0 })
        }
    }

    /// Whether something is looked for in all of a text, and not at its ends alone.
    var isSearched: Bool { pieces.dropFirst().dropLast().contains { !$0.octets.isEmpty } }

    public func matches(_ text: [UInt8]) -> Bool {
        var left = Int.max
        return matches(text, folded: foldsCase ? text.map(foldedOctet) : [], &left)
    }

    /// What a comparison takes beside what it looks at, and each piece that is looked for, in the octets of ``ComparisonBudget``.
    private static let octetsOfComparison = 8

    /// - Parameters:
    ///   - folded: the same text with its ASCII letters in lower case, for whoever compares it with many patterns.
    ///   - left: of what the request may take in all (``ComparisonBudget/all``): what this takes goes off.
    func matches(_ text: [UInt8], folded: [UInt8], _ left: inout Int) -> Bool {
        matches(foldsCase ? folded.span : text.span, &left)
    }

    private func matches(_ text: Span<UInt8>, _ left: inout Int) -> Bool {
        left -= Self.octetsOfComparison
        guard let first = pieces.first?.octets, let last = pieces.last?.octets else { return false }
        guard pieces.count > 1 else { return text.count == first.count && has(first, at: 0, text, &left) }
        guard text.count >= first.count + last.count, has(first, at: 0, text, &left),
            has(last, at: text.count - last.count, text, &left)
        else { return false }
        var rest = first.count..<text.count - last.count
        for number in 1..<pieces.count - 1 where !pieces[number].octets.isEmpty {
            left -= Self.octetsOfComparison
            guard let end = end(of: pieces[number], in: rest, text, &left) else { return false }
            rest = end..<rest.upperBound
        }
        return true
    }

    private func has(_ octets: [UInt8], at start: Int, _ text: Span<UInt8>, _ left: inout Int) -> Bool {
        guard !octets.isEmpty else { return true }
        left -= octets.count / 16
        return text.extracting(start..<start + octets.count).withUnsafeBufferPointer { text in
            octets.withUnsafeBufferPointer { octets in
                guard let text = text.baseAddress, let own = octets.baseAddress else { return false }
                return memcmp(text, own, octets.count) == 0
            }
        }
    }

    /// Where the first such piece ends, which is not empty.
    private func end(of piece: Piece, in place: Range<Int>, _ text: Span<UInt8>, _ left: inout Int) -> Int? {
        text.extracting(place).withUnsafeBufferPointer { text in
            piece.octets.withUnsafeBufferPointer { octets in
                piece.overlaps.withUnsafeBufferPointer { overlaps in
                    Self.end(of: octets, overlaps, in: text, &left).map { place.lowerBound + $0 }
                }
            }
        }
    }

    private static func end(
        of octets: UnsafeBufferPointer<UInt8>, _ overlaps: UnsafeBufferPointer<UInt8>, in text: UnsafeBufferPointer<UInt8>,
        _ left: inout Int
    ) -> Int? {
        guard let base = text.baseAddress, text.count >= octets.count else { return nil }
        guard octets.count > 1 else {
            let place = memchr(base, Int32(octets[0]), text.count).map { UnsafeRawPointer(base).distance(to: $0) }
            left -= (place ?? text.count) / 16
            return place.map { $0 + 1 }
        }
        let (first, second) = (octets[0], octets[1])
        // No piece begins with the last octet.
        let last = text.count - 1
        var index = 0
        // What is passed over takes less than what is looked at octet by octet.
        var passed = 0
        defer { left -= index - passed / 4 * 3 }
        while index < last {
            // Where much begins like it, the next one is near; most texts have long ways between two of its first octets.
            let near = min(index + 4, last)
            while index < near, text[index] != first || text[index + 1] != second { index += 1 }
            if index == near {
                let place = place(of: first, second, in: text, from: index) ?? last
                passed += place - index
                index = place
                guard index < last else { return nil }
            }
            index += 2
            var length = 2
            while length > 0 {
                if length == octets.count { return index }
                guard index < text.count else { return nil }
                if text[index] == octets[length] {
                    length += 1
                    index += 1
                } else {
                    length = Int(overlaps[length - 1])
                }
            }
        }
        return nil
    }

    /// Where these two stand beside each other first: eight places at a time, of which the lowest octet of zeros is the one
    /// (Warren, Hacker's Delight, §6-1).
    private static func place(
        of first: UInt8, _ second: UInt8, in text: UnsafeBufferPointer<UInt8>, from start: Int
    ) -> Int? {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let (firsts, seconds) = (UInt64(first) &* ones, UInt64(second) &* ones)
        let bytes = UnsafeRawBufferPointer(text)
        var index = start
        while index + 9 <= text.count {
            let here = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)) ^ firsts
            let next = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index + 1, as: UInt64.self)) ^ seconds
            let differing = here | next
            let zeros = (differing &- ones) & ~differing & (ones &* 0x80)
            if zeros != 0 { return index + zeros.trailingZeroBitCount / 8 }
            index += 8
        }
        while index + 1 < text.count {
            if text[index] == first, text[index + 1] == second { return index }
            index += 1
        }
        return nil
    }

    /// Whether it matches wherever `other` does. A `*` of the other's, which stands for any text, must be within one of these.
    func covers(_ other: Wildcard) -> Bool {
        (foldsCase || !other.foldsCase) && matches(Array(other.pieces.map(\.octets).joined(separator: [UInt8(ascii: "*")])))
    }
}

func foldedOctet(_ octet: UInt8) -> UInt8 { octet &- 0x41 < 26 ? octet | 0x20 : octet }

extension Wildcard: CustomStringConvertible {
    public var description: String {
        String(decoding: Array(pieces.map(\.octets).joined(separator: [UInt8(ascii: "*")])), as: UTF8.self)
    }
}
