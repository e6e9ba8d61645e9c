// The classes of octets that HTTP's grammar is made of, each a bit in two words: one look, and no table to be loaded.

/// RFC 9110 §5.6.2.
@inline(__always)
func isTokenOctet(_ octet: UInt8) -> Bool {
    // !#$%&'*+-.^_`|~ digits letters
    octet < 64
        ? 0x03FF_6CFA_0000_0000 as UInt64 >> UInt64(octet) & 1 == 1
        : octet < 128 && 0x57FF_FFFF_C7FF_FFFE as UInt64 >> UInt64(octet & 63) & 1 == 1
}

/// What may stand in a line (RFC 9110 §5.5): everything but control characters, of which tabs alone are allowed.
@inline(__always)
func isLineOctet(_ octet: UInt8) -> Bool { octet >= 0x20 && octet != 0x7F || octet == 0x09 }

@inline(__always)
func isBlankOctet(_ octet: UInt8) -> Bool { octet == 0x20 || octet == 0x09 }

@inline(__always)
func isDigitOctet(_ octet: UInt8) -> Bool { octet &- 0x30 < 10 }

/// - Returns: nil: no hexadecimal digit.
@inline(__always)
func hexadecimalValue(_ octet: UInt8) -> UInt64? {
    if isDigitOctet(octet) { return UInt64(octet &- 0x30) }
    let letter = (octet | 0x20) &- 0x61
    return letter < 6 ? UInt64(letter) + 10 : nil
}

/// ASCII letters without their case; other octets as they are.
@inline(__always)
func foldedOctet(_ octet: UInt8) -> UInt8 { octet &- 0x41 < 26 ? octet | 0x20 : octet }

/// An octet of a field's name, as programs get it that are run as CGI: without case, and all but letters and digits the same, which is `-`
/// here. Most servers write `_` for `-` alone, lighttpd for every other sign as well.
@inline(__always)
func foldedNameOctet(_ octet: UInt8) -> UInt8 {
    let folded = foldedOctet(octet)
    return folded &- 0x61 < 26 || isDigitOctet(folded) ? folded : UInt8(ascii: "-")
}

extension Span<UInt8> {
    /// Whether these octets are that text, which is in lower case, in whatever case.
    @inline(__always)
    func isText(_ place: Range<Int>, _ text: StaticString) -> Bool {
        guard place.count == text.utf8CodeUnitCount, place.upperBound <= count else { return false }
        for offset in 0..<place.count where foldedOctet(self[place.lowerBound + offset]) != text.utf8Start[offset] { return false }
        return true
    }

    /// Without the blanks around it (RFC 9110 §5.5).
    @inline(__always)
    func trimmed(_ place: Range<Int>) -> Range<Int> {
        var (start, end) = (place.lowerBound, place.upperBound)
        while start < end, isBlankOctet(self[start]) { start += 1 }
        while end > start, isBlankOctet(self[end - 1]) { end -= 1 }
        return start..<end
    }

    /// The octets there; empty where there are none.
    func octets(_ place: Range<Int>) -> [UInt8] {
        guard place.lowerBound >= 0, place.upperBound <= count else { return [] }
        return [UInt8](unsafeUninitializedCapacity: place.count) { buffer, initialized in
            for offset in 0..<place.count { buffer[offset] = self[place.lowerBound + offset] }
            initialized = place.count
        }
    }

    func text(_ place: Range<Int>) -> String { String(decoding: octets(place), as: UTF8.self) }
}

extension [UInt8] {
    mutating func append(_ text: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// What stands there in a message.
    @inline(__always)
    mutating func append(_ bytes: Span<UInt8>, _ place: Range<Int>) {
        guard place.lowerBound >= 0, place.upperBound <= bytes.count else { return }
        bytes.extracting(place).withUnsafeBufferPointer { append(contentsOf: $0) }
    }

    mutating func append(decimal number: UInt64) {
        var digits: (UInt64, Int) = (number, 1)
        var power: UInt64 = 1
        while digits.0 >= 10 {
            digits.0 /= 10
            digits.1 += 1
            power *= 10
        }
        for _ in 0..<digits.1 {
            append(UInt8(truncatingIfNeeded: number / power % 10) + 0x30)
            power = Swift.max(power / 10, 1)
        }
    }
}
