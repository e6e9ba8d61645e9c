internal import CSockets

/// The time as log records have it: UTC, RFC 3339, six decimals. The calendar is worked out once a second.
struct LogClock {
    private var second: UInt64 = .max
    private var text: [UInt8] = []

    mutating func append(to bytes: inout [UInt8]) {
        append(microseconds: cs_realtime_microseconds(), to: &bytes)
    }

    /// - Parameter microseconds: since 1970-01-01.
    mutating func append(microseconds: UInt64, to bytes: inout [UInt8]) {
        if microseconds / 1_000_000 != second {
            second = microseconds / 1_000_000
            text = Self.calendar(second)
        }
        bytes.append(contentsOf: text)
        bytes.append(UInt8(ascii: "."))
        bytes.append(decimal: microseconds % 1_000_000, width: 6)
        bytes.append(UInt8(ascii: "Z"))
    }

    private static func calendar(_ second: UInt64) -> [UInt8] {
        // Days since 0000-03-01, in eras of 400 years: the leap day then comes last in its year.
        let days = second / 86_400 + 719_468
        let era = days / 146_097
        let dayOfEra = days % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        var bytes: [UInt8] = []
        bytes.append(decimal: year, width: 4)
        bytes.append("-" as StaticString)
        bytes.append(decimal: month, width: 2)
        bytes.append("-" as StaticString)
        bytes.append(decimal: dayOfYear - (153 * shifted + 2) / 5 + 1, width: 2)
        bytes.append("T" as StaticString)
        bytes.append(decimal: second % 86_400 / 3_600, width: 2)
        bytes.append(":" as StaticString)
        bytes.append(decimal: second % 3_600 / 60, width: 2)
        bytes.append(":" as StaticString)
        bytes.append(decimal: second % 60, width: 2)
        return bytes
    }
}
