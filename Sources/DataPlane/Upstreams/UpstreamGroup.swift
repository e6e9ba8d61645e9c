internal import Synchronization
internal import TransparentSockets

/// The members of an upstream, and the choice among them.
public final class UpstreamGroup: Sendable {
    public let settings: UpstreamSettings
    public let members: [UpstreamMember]
    /// Some member is given names.
    let sendsName: Bool
    /// Of each member, for rendezvous hashing.
    private let seeds: [UInt64]
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
        sendsName = settings.members.contains(where: \.sendsName)
        seeds = settings.members.map { Self.seed($0.label) }
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
            let key = Self.key(client)
            let weights = seeds.map { Self.mixed($0 ^ key) }
            return all.sorted { (weights[$1], $0) < (weights[$0], $1) }
        }
    }

    // MARK: Rendezvous hashing (Thaler and Ravishankar, 1998)

    // Each member weighs each client by a number of their own, and the heaviest gets it: a member that leaves takes only its
    // clients with it. The numbers must be the same on every machine and in every release.

    /// FNV-1a, 64 bits.
    private static func seed(_ label: String) -> UInt64 {
        label.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    private static func key(_ client: IPAddress) -> UInt64 {
        switch client.unmapped {
        case .v4(let v4): mixed(UInt64(v4.bits))
        case .v6(let v6): mixed(mixed(v6.high) ^ v6.low)
        }
    }

    /// The finalizer of SplitMix64.
    private static func mixed(_ value: UInt64) -> UInt64 {
        var value = value &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
