/// Reads big-endian numbers and runs of bytes from the front of a span. It never traps: where the bytes end, it says so.
struct Reader: ~Escapable {
    private let bytes: Span<UInt8>
    /// Bytes read so far.
    private(set) var position = 0

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>) { self.bytes = bytes }

    var rest: Int { bytes.count - position }

    mutating func number8() -> Int? {
        guard rest >= 1 else { return nil }
        defer { position += 1 }
        return Int(bytes[position])
    }

    mutating func number16() -> Int? {
        guard rest >= 2 else { return nil }
        defer { position += 2 }
        return Int(bytes[position]) << 8 | Int(bytes[position + 1])
    }

    mutating func number24() -> Int? {
        guard let high = number8(), let low = number16() else { return nil }
        return high << 16 | low
    }

    mutating func number32() -> UInt32? {
        guard rest >= 4, let high = number16(), let low = number16() else { return nil }
        return UInt32(high) << 16 | UInt32(low)
    }

    mutating func number64() -> UInt64? {
        guard rest >= 8, let high = number32(), let low = number32() else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }

    /// Passes over `count` bytes.
    /// - Returns: whether there were so many.
    mutating func skip(_ count: Int) -> Bool {
        guard count >= 0, rest >= count else { return false }
        position += count
        return true
    }

    mutating func take(_ count: Int) -> [UInt8]? {
        guard count >= 0, rest >= count else { return nil }
        defer { position += count }
        return (position..<position + count).map { bytes[$0] }
    }
}
