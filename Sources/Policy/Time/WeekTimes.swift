/// A minute of the week on a wall clock, counted from Monday 00:00: 0…10,079.
public struct MinuteOfWeek: Hashable, Sendable {
    static let ofDay = 1_440
    static let ofWeek = 7 * ofDay
    static let dayNames = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]

    let number: UInt16

    /// - Parameters:
    ///   - day: days since Monday, 0…6.
    ///   - hour: 0…23.
    ///   - minute: 0…59.
    ///
    /// Nil: there is no such minute.
    public init?(day: Int, hour: Int, minute: Int) {
        guard 0..<7 ~= day, 0..<24 ~= hour, 0..<60 ~= minute else { return nil }
        number = UInt16(day * Self.ofDay + hour * 60 + minute)
    }

    /// Reads `Wed 14:30`.
    public init?(_ text: String) {
        let words = text.split(separator: " ")
        guard words.count == 2, let day = Self.day(words[0]), let minute = Self.minuteOfDay(words[1]), minute < Self.ofDay else {
            return nil
        }
        number = UInt16(day * Self.ofDay + minute)
    }

    static func day(_ text: Substring) -> Int? { dayNames.firstIndex { $0.lowercased() == text.lowercased() } }

    /// Reads `08:00`, up to `24:00`.
    static func minuteOfDay(_ text: Substring) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 2 && $0.utf8.allSatisfy { $0 &- 0x30 < 10 } }),
            let hour = Int(parts[0]), let minute = Int(parts[1]), minute < 60, hour * 60 + minute <= ofDay
        else { return nil }
        return hour * 60 + minute
    }
}

extension MinuteOfWeek: CustomStringConvertible {
    public var description: String {
        let (day, minute) = Int(number).quotientAndRemainder(dividingBy: Self.ofDay)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(Self.dayNames[day]) \(two(minute / 60)):\(two(minute % 60))"
    }
}

/// Times of the week, as the wall clock shows them: minutes, in ranges in ascending order without overlap.
public struct WeekTimes: Hashable, Sendable {
    private let ranges: [Range<UInt16>]

    /// One entry: days, hours, or both.
    public struct Entry: Hashable, Sendable {
        fileprivate let ranges: [Range<Int>]

        public enum Fault: Error, Hashable, Sendable {
            /// It is not `Mon-Fri 08:00-18:00`.
            case form
            /// No day of this name.
            case day(String)
            /// It ends when it begins.
            case empty
        }

        /// Reads `Mon-Fri 08:00-18:00`, `Sat,Sun`, `22:00-06:00`. What ends before it begins ends on the next day.
        public init(_ text: String) throws(Fault) {
            let words = text.split(separator: " ")
            guard (1...2).contains(words.count) else { throw .form }
            let hasHours = words[words.count - 1].contains(":")
            guard hasHours || words.count == 1 else { throw .form }
            var days = Set(0..<7)
            if words.count == 2 || !hasHours { days = try Self.days(words[0]) }
            let (begin, length) = hasHours ? try Self.hours(words[words.count - 1]) : (0, MinuteOfWeek.ofDay)
            ranges = days.flatMap { day -> [Range<Int>] in
                let start = day * MinuteOfWeek.ofDay + begin
                let over = start + length - MinuteOfWeek.ofWeek
                return over > 0 ? [start..<MinuteOfWeek.ofWeek, 0..<over] : [start..<start + length]
            }
        }

        private static func days(_ text: Substring) throws(Fault) -> Set<Int> {
            var days: Set<Int> = []
            for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                let ends = part.split(separator: "-", omittingEmptySubsequences: false)
                guard (1...2).contains(ends.count) else { throw .form }
                guard let first = MinuteOfWeek.day(ends[0]) else { throw .day(String(ends[0])) }
                guard let last = MinuteOfWeek.day(ends[ends.count - 1]) else { throw .day(String(ends[ends.count - 1])) }
                for offset in 0...(last - first + 7) % 7 { days.insert((first + offset) % 7) }
            }
            return days
        }

        private static func hours(_ text: Substring) throws(Fault) -> (begin: Int, length: Int) {
            let ends = text.split(separator: "-", omittingEmptySubsequences: false)
            guard ends.count == 2, let begin = MinuteOfWeek.minuteOfDay(ends[0]), let end = MinuteOfWeek.minuteOfDay(ends[1]),
                begin < MinuteOfWeek.ofDay
            else { throw .form }
            guard begin != end else { throw .empty }
            return (begin, begin < end ? end - begin : end + MinuteOfWeek.ofDay - begin)
        }
    }

    public init(_ entries: [Entry]) {
        var ranges: [Range<UInt16>] = []
        for range in entries.flatMap(\.ranges).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            let (start, end) = (UInt16(range.lowerBound), UInt16(range.upperBound))
            if let last = ranges.last, start <= last.upperBound {
                ranges[ranges.count - 1] = last.lowerBound..<max(last.upperBound, end)
            } else {
                ranges.append(start..<end)
            }
        }
        self.ranges = ranges
    }

    public func contains(_ minute: MinuteOfWeek) -> Bool { ranges.contains { $0.contains(minute.number) } }

    func covers(_ other: WeekTimes) -> Bool {
        other.ranges.allSatisfy { theirs in
            ranges.contains { $0.lowerBound <= theirs.lowerBound && theirs.upperBound <= $0.upperBound }
        }
    }
}
