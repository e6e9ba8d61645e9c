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
        /// Of the octets up to each: how many of them are both beginning and end.
        let overlaps: [Int]

        init(_ octets: [UInt8]) {
            self.octets = octets
            var overlaps = [Int](repeating: 0, count: octets.count)
            var length = 0
            for index in octets.indices.dropFirst() {
                while length > 0, octets[index] != octets[length] { length = overlaps[length - 1] }
                if octets[index] == octets[length] { length += 1 }
                overlaps[index] = length
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
            Piece(piece.map { foldsCase ? folded($0) : $0 })
        }
    }

    public func matches(_ text: [UInt8]) -> Bool { matches(text.span) }

    private func matches(_ text: Span<UInt8>) -> Bool {
        guard let first = pieces.first?.octets, let last = pieces.last?.octets else { return false }
        guard pieces.count > 1 else { return text.count == first.count && has(first, at: 0, text) }
        guard text.count >= first.count + last.count, has(first, at: 0, text), has(last, at: text.count - last.count, text) else {
            return false
        }
        var rest = first.count..<text.count - last.count
        for piece in pieces[1..<pieces.count - 1] where !piece.octets.isEmpty {
            guard let end = end(of: piece, in: rest, text) else { return false }
            rest = end..<rest.upperBound
        }
        return true
    }

    @inline(__always)
    private func octet(_ index: Int, _ text: Span<UInt8>) -> UInt8 { foldsCase ? folded(text[index]) : text[index] }

    private func has(_ octets: [UInt8], at start: Int, _ text: Span<UInt8>) -> Bool {
        for index in octets.indices where octet(start + index, text) != octets[index] { return false }
        return true
    }

    /// Where the first such piece ends.
    private func end(of piece: Piece, in place: Range<Int>, _ text: Span<UInt8>) -> Int? {
        let octets = piece.octets
        let overlaps = piece.overlaps
        var length = 0
        for index in place {
            let octet = octet(index, text)
            while length > 0, octet != octets[length] { length = overlaps[length - 1] }
            if octet == octets[length] { length += 1 }
            if length == octets.count { return index + 1 }
        }
        return nil
    }

    /// Whether it matches wherever `other` does. A `*` of the other's, which stands for any text, must be within one of these.
    func covers(_ other: Wildcard) -> Bool {
        (foldsCase || !other.foldsCase) && matches(Array(other.pieces.map(\.octets).joined(separator: [UInt8(ascii: "*")])))
    }
}

private func folded(_ octet: UInt8) -> UInt8 { octet &- 0x41 < 26 ? octet | 0x20 : octet }

extension Wildcard: CustomStringConvertible {
    public var description: String {
        String(decoding: Array(pieces.map(\.octets).joined(separator: [UInt8(ascii: "*")])), as: UTF8.self)
    }
}
