/// Identifiers of sessions in the shape of a UUID: different for each, and not to be guessed from one another.
struct RequestIDs {
    private let secrets = (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max))

    /// - Parameter number: a session's, of this worker.
    func text(_ number: UInt64) -> String {
        let digits = Self.hexadecimal(Self.mixed(number ^ secrets.0)) + Self.hexadecimal(Self.mixed(number ^ secrets.1))
        var text: [UInt8] = []
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { text.append(UInt8(ascii: "-")) }
            text.append(digit)
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func hexadecimal(_ value: UInt64) -> [UInt8] {
        stride(from: 60, through: 0, by: -4).map { shift in
            let digit = UInt8(value >> UInt64(shift) & 15)
            return digit < 10 ? 0x30 + digit : 0x61 + digit - 10
        }
    }

    /// The finalizer of SplitMix64: one to one, so that different numbers stay different.
    private static func mixed(_ value: UInt64) -> UInt64 {
        var value = value &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
