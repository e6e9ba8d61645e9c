public import TransparentSockets

/// News of an address and its block list.
public enum BlockListEvent: Equatable, Sendable {
    /// It is on the list, for reasons that the list has numbers for.
    case listed([IPv4Address])
    /// It was, and is no longer.
    case recovered
    /// The list has not answered, and why; what was known of the address stays. Told again when the reason is another.
    case cannotBeAsked(String)
    /// It answers again.
    case canBeAsked
}

/// Which addresses are to be asked for, and when. Knows no clock, no thread and no network.
struct BlockListSchedule {
    /// Nanoseconds between two questions for one address: what the list's answer says, within these.
    static let shortestLifetime: UInt64 = 15_000_000_000
    static let longestLifetime: UInt64 = 3_600_000_000_000
    /// After a failure; each further one twice as long, up to the longest.
    static let firstRetry: UInt64 = 15_000_000_000
    static let longestRetry: UInt64 = 300_000_000_000

    struct Entry {
        let source: SourcePool.Source
        fileprivate(set) var pool: String
        let question: BlockListQuestion
        fileprivate var dueAt: UInt64 = 0
        fileprivate var isBeingAsked = false
        fileprivate var failures = 0
        /// What was told last, until there is an answer.
        fileprivate var failure: String?
    }

    private var entries: [Entry] = []

    var isEmpty: Bool { entries.isEmpty }

    /// Monotonic nanoseconds; `max`: an answer comes first, if anything.
    var nextAt: UInt64 { entries.lazy.filter { !$0.isBeingAsked }.map(\.dueAt).min() ?? .max }

    /// These pools and no others. What is known of their addresses stays, and when they are asked for; but those that are listed
    /// are asked for at once, for whoever has had one taken off the list would wait for up to an hour.
    mutating func keep(_ pools: [SourcePool]) {
        let old = Dictionary(entries.map { (ObjectIdentifier($0.source), $0) }) { first, _ in first }
        entries = pools.flatMap { pool in
            guard let list = pool.blockList else { return [Entry]() }
            return pool.sources.map { source in
                let question = BlockListQuestion(address: source.address, list: list)
                var entry = old[ObjectIdentifier(source)] ?? Entry(source: source, pool: pool.name, question: question)
                entry.pool = pool.name
                if source.isListed { entry.dueAt = 0 }
                return entry
            }
        }
    }

    /// The address that has waited longest, if one is to be asked for; it is not named again before its answer was `heard`.
    mutating func next(now: UInt64) -> Entry? {
        let due = entries.indices.filter { !entries[$0].isBeingAsked && entries[$0].dueAt <= now }
        guard let place = due.min(by: { entries[$0].dueAt < entries[$1].dueAt }) else { return nil }
        entries[place].isBeingAsked = true
        return entries[place]
    }

    /// - Returns: what is news; nothing about an address that is no longer kept.
    mutating func heard(_ answer: BlockListAnswer, of source: SourcePool.Source, now: UInt64) -> [BlockListEvent] {
        guard let place = entries.firstIndex(where: { $0.source === source }) else { return [] }
        return entries[place].heard(answer, now: now)
    }
}

extension BlockListSchedule.Entry {
    fileprivate mutating func heard(_ answer: BlockListAnswer, now: UInt64) -> [BlockListEvent] {
        isBeingAsked = false
        let wasListed = source.isListed
        switch answer {
        case .unknown(let why):
            dueAt = now + min(BlockListSchedule.firstRetry << UInt64(min(failures, 16)), BlockListSchedule.longestRetry)
            failures += 1
            defer { failure = why }
            return failure == why ? [] : [.cannotBeAsked(why)]
        case .listed(let codes, let seconds):
            source.found(listed: true)
            return answered(seconds, now) + (wasListed ? [] : [.listed(codes)])
        case .notListed(let seconds):
            source.found(listed: false)
            return answered(seconds, now) + (wasListed ? [.recovered] : [])
        }
    }

    private mutating func answered(_ seconds: UInt32, _ now: UInt64) -> [BlockListEvent] {
        defer { failure = nil }
        failures = 0
        let lifetime = UInt64(seconds) * 1_000_000_000
        dueAt = now + min(max(lifetime, BlockListSchedule.shortestLifetime), BlockListSchedule.longestLifetime)
        return failure == nil ? [] : [.canBeAsked]
    }
}
