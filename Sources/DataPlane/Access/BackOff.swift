internal import TransparentSockets

/// How long a source must wait after wrong passwords: nothing after the first two, then 1, 2, 4, 8, 16 and ever again 30 seconds.
///
/// Guesses are then worth nothing, and a person who mistypes hardly notices. What comes too early is refused and not held back: a
/// session that waits would cost more than the answer. It does not make the wait longer either, since browsers try several
/// times by themselves.
///
/// A plain value; times are monotonic nanoseconds.
struct BackOff: Sendable {
    /// Failures until the first wait, that one included.
    static let patience = 3
    static let longest: UInt64 = 30_000_000_000
    /// After that long without a failure, and without a wait, all is forgotten.
    static let window: UInt64 = 60_000_000_000
    /// Sources that are known. To be forgotten, one would have to fail from as many other addresses within its wait, and each of
    /// those costs a call of crypt(3).
    static let mostSources = 65_536

    private struct Record {
        var failures: Int
        var failedAt: UInt64
        var until: UInt64
    }

    private var records: RecentlyUsed<IPAddress, Record>

    init(mostSources: Int = Self.mostSources) { records = RecentlyUsed(count: mostSources) }

    var sources: Int { records.kept }

    /// One IPv4 address, or the 64 bits that an IPv6 host may choose the rest for.
    static func source(of address: IPAddress) -> IPAddress {
        switch address.unmapped {
        case .v4(let v4): .v4(v4)
        case .v6(let v6): .v6(IPv6Address(high: v6.high, low: 0))
        }
    }

    /// Nanoseconds that `source` must still wait; nil: nothing.
    mutating func wait(of source: IPAddress, now: UInt64) -> UInt64? {
        guard let record = records[source], record.until > now else { return nil }
        return record.until - now
    }

    /// - Returns: the wait that begins, when it is longer than the one before. So each is told once.
    mutating func failed(_ source: IPAddress, now: UInt64) -> UInt64? {
        var record = records[source] ?? Record(failures: 0, failedAt: now, until: 0)
        if now > max(record.failedAt, record.until) &+ Self.window { record.failures = 0 }
        let before = Self.wait(after: record.failures)
        // It must not count for ever.
        record.failures = min(record.failures + 1, 64)
        let wait = Self.wait(after: record.failures)
        record.failedAt = now
        record.until = now &+ wait
        records[source] = record
        return wait > before ? wait : nil
    }

    mutating func succeeded(_ source: IPAddress) { records[source] = nil }

    private static func wait(after failures: Int) -> UInt64 {
        failures < patience ? 0 : min(1_000_000_000 << UInt64(min(failures - patience, 5)), longest)
    }
}
