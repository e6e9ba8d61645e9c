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

    public func matches(_ text: [UInt8]) -> Bool { matches(text, folded: foldsCase ? text.map(foldedOctet) : []) }

    /// - Parameter folded: the same text with its ASCII letters in lower case, for whoever compares it with many patterns.
    func matches(_ text: [UInt8], folded: [UInt8]) -> Bool { matches(foldsCase ? folded.span : text.span) }

    private func matches(_ text: Span<UInt8>) -> Bool {
        guard let first = pieces.first?.octets, let last = pieces.last?.octets else { return false }
        guard pieces.count > 1 else { return text.count == first.count && has(first, at: 0, text) }
        guard text.count >= first.count + last.count, has(first, at: 0, text), has(last, at: text.count - last.count, text) else {
            return false
        }
        var rest = first.count..<text.count - last.count
        for number in 1..<pieces.count - 1 where !pieces[number].octets.isEmpty {
            guard let end = end(of: pieces[number], in: rest, text) else { return false }
            rest = end..<rest.upperBound
        }
        return true
    }

    private func has(_ octets: [UInt8], at start: Int, _ text: Span<UInt8>) -> Bool {
        for index in octets.indices where text[start + index] != octets[index] { return false }
        return true
    }

    /// Where the first such piece ends, which is not empty.
    private func end(of piece: Piece, in place: Range<Int>, _ text: Span<UInt8>) -> Int? {
        text.extracting(place).withUnsafeBufferPointer { text in
            piece.octets.withUnsafeBufferPointer { octets in
                piece.overlaps.withUnsafeBufferPointer { overlaps in
                    Self.end(of: octets, overlaps, in: text).map { place.lowerBound + $0 }
                }
            }
        }
    }

    private static func end(
        of octets: UnsafeBufferPointer<UInt8>, _ overlaps: UnsafeBufferPointer<UInt8>, in text: UnsafeBufferPointer<UInt8>
    ) -> Int? {
        guard let base = text.baseAddress, text.count >= octets.count else { return nil }
        let first = octets[0]
        func next(from index: Int) -> Int? {
            memchr(base + index, Int32(first), text.count - index).map { UnsafeRawPointer(base).distance(to: $0) }
        }
        guard octets.count > 1 else { return next(from: 0).map { $0 + 1 } }
        let second = octets[1]
        // No piece begins with the last octet.
        let last = text.count - 1
        var index = 0
        while index < last {
            // Most texts have long ways between two of its first octets; a call for each short one would take longer than the way.
            let near = min(index + 16, last)
            while index < near, text[index] != first || text[index + 1] != second { index += 1 }
            if index == near {
                guard index < last, let place = next(from: index), place < last else { return nil }
                index = place
                guard text[index + 1] == second else {
                    index += 1
                    continue
                }
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
