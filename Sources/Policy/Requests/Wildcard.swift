/// A text in which `*` stands for anything, and for nothing. It is looked for in one pass: each piece between two `*` at its first place
/// (Knuth, Morris and Pratt), which is as good as any other, so that nobody who sends text can make it take long.
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

    public func matches(_ text: [UInt8]) -> Bool {
        let text = foldsCase ? text.map(folded) : text
        guard let first = pieces.first?.octets, let last = pieces.last?.octets else { return false }
        guard pieces.count > 1 else { return text == first }
        guard text.count >= first.count + last.count, text.starts(with: first), text.suffix(last.count).elementsEqual(last) else {
            return false
        }
        var rest = text[first.count..<text.count - last.count]
        for piece in pieces[1..<pieces.count - 1] where !piece.octets.isEmpty {
            guard let end = end(of: piece, in: rest) else { return false }
            rest = rest[end...]
        }
        return true
    }

    /// Where the first such piece ends.
    private func end(of piece: Piece, in text: ArraySlice<UInt8>) -> Int? {
        var length = 0
        for index in text.indices {
            while length > 0, text[index] != piece.octets[length] { length = piece.overlaps[length - 1] }
            if text[index] == piece.octets[length] { length += 1 }
            if length == piece.octets.count { return index + 1 }
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
