internal import Policy

/// What was answered lately, for as long as it is good. When it is full, the name that was asked for least recently goes.
struct NameCache {
    private struct Entry {
        var name: DomainName
        var answer: NameResolver.Answer
        /// Monotonic nanoseconds.
        var goodUntil: UInt64
        /// The neighbours in the order of use, by number; -1: none.
        var newer: Int
        var older: Int
    }

    private let limit: Int
    private var entries: [Entry] = []
    private var places: [DomainName: Int] = [:]
    private var newest = -1
    private var oldest = -1

    /// - Parameter limit: entries; at least one.
    init(limit: Int) { self.limit = limit }

    var count: Int { entries.count }

    /// - Parameter now: monotonic nanoseconds.
    mutating func answer(for name: DomainName, now: UInt64) -> NameResolver.Answer? {
        // One that is good no more keeps its place for the answer that is about to be asked for.
        guard let place = places[name], now < entries[place].goodUntil else { return nil }
        unlink(place)
        linkAsNewest(place)
        return entries[place].answer
    }

    mutating func keep(_ answer: NameResolver.Answer, for name: DomainName, until goodUntil: UInt64) {
        let place: Int
        if let known = places[name] {
            place = known
            unlink(place)
        } else if entries.count < limit {
            place = entries.count
            entries.append(Entry(name: name, answer: answer, goodUntil: goodUntil, newer: -1, older: -1))
        } else {
            place = oldest
            unlink(place)
            places[entries[place].name] = nil
        }
        entries[place].name = name
        entries[place].answer = answer
        entries[place].goodUntil = goodUntil
        places[name] = place
        linkAsNewest(place)
    }

    private mutating func unlink(_ place: Int) {
        let (newer, older) = (entries[place].newer, entries[place].older)
        if newer >= 0 { entries[newer].older = older } else { newest = older }
        if older >= 0 { entries[older].newer = newer } else { oldest = newer }
    }

    private mutating func linkAsNewest(_ place: Int) {
        entries[place].newer = -1
        entries[place].older = newest
        if newest >= 0 { entries[newest].newer = place } else { oldest = place }
        newest = place
    }
}
