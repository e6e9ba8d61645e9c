internal import Synchronization
internal import TransparentSockets

/// The members of an upstream, and the choice among them.
public final class UpstreamGroup: Sendable {
    public let settings: UpstreamSettings
    public let members: [UpstreamMember]
    /// Some member is given names.
    let sendsName: Bool
    /// All members are: they can do without an address.
    let takesNames: Bool
    /// What sessions leave from, where there is no proxy.
    public let sources: SourcePool?
    private let rendezvous: Rendezvous
    /// Round-robin's place.
    private let turn = Atomic<Int>(0)

    /// - Parameter old: members that it has as well are taken over with what is known of them.
    public init(_ settings: UpstreamSettings, inheriting old: UpstreamGroup? = nil) {
        self.settings = settings
        members = settings.members.map { member in
            old?.members.first { $0.settings == member }
                // With another password it is another proxy, at the same addresses.
                ?? UpstreamMember(
                    member, resolvedTo: old?.members.first { $0.settings.host == member.host }?.resolvedAddresses ?? [])
        }
        for member in members { member.reloaded() }
        sendsName = settings.members.contains(where: \.sendsName)
        takesNames = settings.exit == nil && settings.members.allSatisfy(\.sendsName)
        sources = settings.exit.flatMap { exit in
            exit.sources.isEmpty
                ? nil
                : SourcePool(name: settings.name, addresses: exit.sources, blockList: exit.blockList, inheriting: old?.sources)
        }
        rendezvous = Rendezvous(settings.members.map(\.label))
    }

    /// A set of members, by number.
    struct Tried {
        private var bits: UInt64 = 0
        var count: Int { bits.nonzeroBitCount }
        func contains(_ member: Int) -> Bool { bits >> UInt64(member) & 1 != 0 }
        mutating func insert(_ member: Int) { bits |= 1 << UInt64(member) }
    }

    /// The member that a session tries next: of those that work the one that the policy prefers. When none does, the preferred
    /// one of all: refusing would help nobody.
    ///
    /// - Returns: nil when all were tried; `isTrial`: it failed before, and this session is the one that finds out.
    func next(for client: IPAddress, after tried: Tried, now: UInt64) -> (member: Int, isTrial: Bool)? {
        if members.count == 1 { return tried.contains(0) ? nil : (0, false) }
        let order = preference(for: client).filter { !tried.contains($0) }
        for member in order {
            switch members[member].standing(now: now) {
            case .works: return (member, false)
            case .onTrial: if members[member].claimTrial(now: now) { return (member, true) }
            case .away: break
            }
        }
        return order.first.map { ($0, false) }
    }

    /// The member that a check of others behind this upstream goes through: of those that work the first. Any will do, so it takes
    /// no session's turn, is no trial, and counts nowhere.
    ///
    /// - Returns: nil when all were tried.
    func nextForCheck(after tried: Tried, now: UInt64) -> Int? {
        let left = members.indices.filter { !tried.contains($0) }
        return left.first { members[$0].standing(now: now) == .works } ?? left.first
    }

    /// All members, the most wanted first.
    private func preference(for client: IPAddress) -> [Int] {
        let all = Array(members.indices)
        switch settings.balancing {
        case .failover: return all
        case .roundRobin:
            let first = turn.wrappingAdd(1, ordering: .relaxed).oldValue
            let start = Int(UInt(bitPattern: first) % UInt(all.count))
            return Array(all[start...] + all[..<start])
        case .leastSessions:
            let counts = members.map { $0.sessions.load(ordering: .relaxed) }
            return all.sorted { (counts[$0], $0) < (counts[$1], $1) }
        case .clientHash:
            let key = Rendezvous.Key(client)
            let weights = all.map { rendezvous.weight(of: $0, for: key) }
            return all.sorted { (weights[$1], $0) < (weights[$0], $1) }
        }
    }
}
