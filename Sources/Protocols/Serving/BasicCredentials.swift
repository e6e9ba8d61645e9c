extension ServedCredentials {
    /// Reads the value of Proxy-Authorization (RFC 7617 §2): `Basic`, in any case, and `user:password` in base64. Nil: another
    /// scheme, or nothing of the kind.
    public init?(authorization value: ArraySlice<UInt8>) {
        let scheme = value.prefix { $0 != 0x20 }
        let encoded = value.dropFirst(scheme.count).drop { $0 == 0x20 }
        guard lowercased(scheme).elementsEqual("basic".utf8), let decoded = base64Decoded(encoded),
            let colon = decoded.firstIndex(of: UInt8(ascii: ":")), colon > 0
        else { return nil }
        self.init(user: Array(decoded[..<colon]), password: Array(decoded[(colon + 1)...]))
    }
}

/// RFC 4648 §4, whole groups only, with padding and without stray bits: what has two spellings for one meaning is refused.
func base64Decoded(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    let padding = text.suffix(2).count { $0 == UInt8(ascii: "=") }
    guard text.count % 4 == 0, text.suffix(padding).allSatisfy({ $0 == UInt8(ascii: "=") }) else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 4 * 3)
    var bits: UInt32 = 0
    var pending = 0
    for digit in text.dropLast(padding) {
        guard let value = base64Value(digit) else { return nil }
        bits = bits << 6 | value
        pending += 6
        guard pending >= 8 else { continue }
        pending -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(pending)))
        bits &= 1 << UInt32(pending) - 1
    }
    return bits == 0 ? bytes : nil
}

private func base64Value(_ digit: UInt8) -> UInt32? {
    switch digit {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(digit - UInt8(ascii: "A"))
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(digit - UInt8(ascii: "a")) + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(digit - UInt8(ascii: "0")) + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
}
