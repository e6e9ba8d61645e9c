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

    /// The time as the logs of web servers have it: `10/Oct/2000:13:55:36 +0000`.
    ///
    /// - Parameter microseconds: since 1970-01-01.
    static func appendOfWebServers(microseconds: UInt64, to bytes: inout [UInt8]) {
        let second = microseconds / 1_000_000
        let (year, month, day) = date(second)
        let names: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"
        bytes.append(decimal: day, width: 2)
        bytes.append("/" as StaticString)
        bytes.append(contentsOf: UnsafeBufferPointer(start: names.utf8Start + Int(month - 1) * 3, count: 3))
        bytes.append("/" as StaticString)
        bytes.append(decimal: year, width: 4)
        bytes.append(":" as StaticString)
        appendTime(second, to: &bytes)
        bytes.append(" +0000" as StaticString)
    }

    private static func date(_ second: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
        // Days since 0000-03-01, in eras of 400 years: the leap day then comes last in its year.
        let days = second / 86_400 + 719_468
        let era = days / 146_097
        let dayOfEra = days % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func calendar(_ second: UInt64) -> [UInt8] {
        let (year, month, day) = date(second)
        var bytes: [UInt8] = []
        bytes.append(decimal: year, width: 4)
        bytes.append("-" as StaticString)
        bytes.append(decimal: month, width: 2)
        bytes.append("-" as StaticString)
        bytes.append(decimal: day, width: 2)
        bytes.append("T" as StaticString)
        appendTime(second, to: &bytes)
        return bytes
    }

    private static func appendTime(_ second: UInt64, to bytes: inout [UInt8]) {
        bytes.append(decimal: second % 86_400 / 3_600, width: 2)
        bytes.append(":" as StaticString)
        bytes.append(decimal: second % 3_600 / 60, width: 2)
        bytes.append(":" as StaticString)
        bytes.append(decimal: second % 60, width: 2)
    }
}
