internal import CSockets
internal import Glibc
public import Policy

/// The wall clock of this host, as rules ask for it. The calendar is worked out once a minute.
public struct LocalClock: Sendable {
    private var known: (minute: UInt64, value: MinuteOfWeek?)?

    /// Reads the time zone, so that no worker has to.
    public init() { Self.readTimeZone() }

    /// Finds out anew which time zone it is (`TZ`, /etc/localtime): the C library would go on with the one of the start.
    public static func readTimeZone() { tzset() }

    /// - Returns: nil: the system's time is no time.
    public mutating func now() -> MinuteOfWeek? {
        let second = cs_realtime_microseconds() / 1_000_000
        // Time zones differ by whole minutes.
        if let known, known.minute == second / 60 { return known.value }
        var time = time_t(clamping: second)
        var calendar = tm()
        let value =
            localtime_r(&time, &calendar) == nil
            ? nil
            : MinuteOfWeek(
                // Counted from Sunday.
                day: (Int(calendar.tm_wday) + 6) % 7, hour: Int(calendar.tm_hour), minute: Int(calendar.tm_min))
        known = (second / 60, value)
        return value
    }
}
