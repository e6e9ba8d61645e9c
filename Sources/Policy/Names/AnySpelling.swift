public import TransparentSockets

extension IPAddress {
    /// Reads an address as resolvers and browsers read it where a name should stand: `127.1`, `0x7f.0.0.1`, `017700000001`,
    /// `2130706433`, `[::1]`, with or without a trailing dot. Nil: it is a name, or nothing.
    ///
    /// Whoever may not connect to an address must not get there by writing it as a name. Source: `inet_aton(3)`, the WHATWG
    /// URL standard's IPv4 parser.
    public init?(anySpelling text: some StringProtocol) {
        var bytes = Array(text.utf8)
        if bytes.count > 1, bytes.last == UInt8(ascii: ".") { bytes.removeLast() }
        if bytes.first == UInt8(ascii: "["), bytes.last == UInt8(ascii: "]") { bytes = Array(bytes.dropFirst().dropLast()) }
        guard !bytes.isEmpty, bytes.count <= 256 else { return nil }
        if bytes.contains(UInt8(ascii: ":")) {
            let address = bytes.split(separator: UInt8(ascii: "%"), maxSplits: 1, omittingEmptySubsequences: false)[0]
            guard let address = IPAddress(String(decoding: address, as: UTF8.self)) else { return nil }
            self = address
            return
        }
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count <= 4 else { return nil }
        var bits: UInt32 = 0
        for (index, part) in parts.enumerated() {
            guard let value = Self.number(part) else { return nil }
            // The last part fills all octets that are left.
            let isLast = index == parts.count - 1
            let width = isLast ? 8 * (5 - parts.count) : 8
            guard value < 1 << UInt64(width) else { return nil }
            bits = width == 32 ? UInt32(value) : bits << UInt32(width) | UInt32(value)
        }
        self = .v4(IPv4Address(bits: bits))
    }

    /// Decimal, octal after `0`, hexadecimal after `0x`.
    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        var digits = digits
        var radix: UInt64 = 10
        if digits.count >= 2, digits.first == UInt8(ascii: "0") {
            radix = 8
            digits = digits.dropFirst()
            if digits.first! | 0x20 == UInt8(ascii: "x") {
                radix = 16
                digits = digits.dropFirst()
            }
        } else if digits.isEmpty {
            return nil
        }
        var value: UInt64 = 0
        for byte in digits {
            let digit: UInt64
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt64(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"):
                digit = UInt64((byte | 0x20) - UInt8(ascii: "a")) + 10
            default: return nil
            }
            guard digit < radix else { return nil }
            value = value * radix + digit
            guard value <= 0xFFFF_FFFF else { return nil }
        }
        return value
    }
}
