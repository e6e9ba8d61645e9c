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
        for piece in pieces[1..<pieces.count - 1] where !piece.octets.isEmpty {
            guard let end = end(of: piece, in: rest, text) else { return false }
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
        let text = text.extracting(place)
        let octets = piece.octets.span
        let overlaps = piece.overlaps.span
        let first = octets[0]
        var length = 0
        for index in text.indices {
            let octet = text[index]
            // Most octets are not even its first.
            if length == 0 {
                guard octet == first else { continue }
                length = 1
            } else {
                while length > 0, octet != octets[length] { length = Int(overlaps[length - 1]) }
                if octet == octets[length] { length += 1 }
            }
            if length == octets.count { return place.lowerBound + index + 1 }
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
