import Protocols
import Synchronization
import Testing
import TransparentSockets

@testable import DataPlane

@Suite struct UpstreamGroupTests {
    private static let second: UInt64 = 1_000_000_000

    private func group(_ count: Int, _ balancing: Balancing, from first: Int = 1, inheriting old: UpstreamGroup? = nil)
        -> UpstreamGroup
    {
        let members = (first..<first + count).map { number in
            UpstreamSettings.Member(
                kind: .socks5, host: .address(IPAddress("10.0.0.\(number)")!), port: 1080, credentials: nil, sendsName: true,
                label: "socks5://10.0.0.\(number):1080")
        }
        return UpstreamGroup(
            UpstreamSettings(
                name: "group", members: members, balancing: balancing, checkInterval: 0, via: nil, sendsHeader: false),
            inheriting: old)
    }

    private func client(_ number: Int) -> IPAddress { IPAddress("192.0.\(number >> 8).\(number & 255)")! }

    /// The members that one session would try, one after the other.
    private func order(_ group: UpstreamGroup, _ client: IPAddress, now: UInt64 = 1) -> [Int] {
        var tried = UpstreamGroup.Tried()
        var order: [Int] = []
        while let (member, _) = group.next(for: client, after: tried, now: now) {
            tried.insert(member)
            order.append(member)
        }
        return order
    }

    @Test func eachPolicyOrdersAllMembers() {
        #expect(order(group(3, .failover), client(1)) == [0, 1, 2])
        let inTurn = group(3, .roundRobin)
        let firsts = (0..<6).map { _ in inTurn.next(for: client(1), after: .init(), now: 1)?.member }
        #expect(firsts == [0, 1, 2, 0, 1, 2])
        let least = group(3, .leastSessions)
        least.members[0].sessions.store(5, ordering: .relaxed)
        least.members[1].sessions.store(2, ordering: .relaxed)
        least.members[2].sessions.store(2, ordering: .relaxed)
        #expect(order(least, client(1)) == [1, 2, 0])
        #expect(Set(order(group(64, .clientHash), client(1))).count == 64)
    }

    /// Whoever has a request that proxies hang up over takes none of them from those whose requests they answer.
    @Test func hangUpsCountInARow() {
        let member = group(1, .failover).members[0]
        for _ in 0..<10 {
            #expect(!member.hungUp() && !member.hungUp())
            member.answered()
        }
        #expect(!member.hungUp() && !member.hungUp() && member.hungUp())
    }

    @Test func clientHashIsEvenAndStable() {
        let hashed = group(5, .clientHash)
        var counts = [0, 0, 0, 0, 0]
        for number in 0..<10_000 { counts[order(hashed, client(number))[0]] += 1 }
        #expect(counts.allSatisfy { (1_800...2_200).contains($0) }, "\(counts)")
        // A fleet agrees without talking, across releases too: these numbers must never change.
        #expect((0..<12).map { order(hashed, client($0))[0] } == Self.agreed)
        #expect(order(hashed, IPAddress("::ffff:192.0.0.7")!) == order(hashed, client(7)))
    }

    private static let agreed = [1, 2, 1, 2, 4, 2, 1, 0, 3, 4, 4, 0]

    @Test func losingAMemberRemapsOnlyItsClients() {
        let five = group(5, .clientHash)
        let four = group(4, .clientHash)
        for number in 0..<2_000 {
            let before = order(five, client(number))
            let after = order(four, client(number))
            // Without the fifth, each one's order is what it was.
            #expect(after == before.filter { $0 != 4 })
        }
    }

    @Test func oneThatFailedIsLeftOutForLongerEachTime() {
        let pair = group(2, .failover)
        let first = pair.members[0]
        var now = Self.second
        var times: [UInt64?] = []
        for _ in 0..<8 {
            let (member, isTrial) = pair.next(for: client(1), after: .init(), now: now)!
            #expect(member == 0)
            let time = first.failed(now: now, isTrial: isTrial)
            times.append(time.map { $0 / Self.second })
            #expect(pair.next(for: client(1), after: .init(), now: now + 1)!.member == 1)
            now += (time ?? 0) + 1
        }
        #expect(times == [1, 2, 4, 8, 16, 32, 60, 60])
        let (member, isTrial) = pair.next(for: client(1), after: .init(), now: now)!
        #expect(member == 0 && isTrial)
        // Everybody else waits for what that one finds.
        #expect(pair.next(for: client(2), after: .init(), now: now)!.member == 1)
        #expect(first.worked())
        #expect(pair.next(for: client(2), after: .init(), now: now)! == (0, false))
        #expect(!first.worked())
        // ... and the first failure after that counts as the first.
        #expect(first.failed(now: now, isTrial: false) == Self.second)
    }

    @Test func manySessionsThatFailTogetherAreOneFailure() {
        let pair = group(2, .failover)
        #expect(pair.members[0].failed(now: 5, isTrial: false) == Self.second)
        for _ in 0..<500 { #expect(pair.members[0].failed(now: 6, isTrial: false) == nil) }
        #expect(pair.members[0].standing(now: 5 + Self.second) == .onTrial)
    }

    @Test func aTrialWithoutAResultDoesNotKeepOthersAwayForEver() {
        let pair = group(2, .failover)
        _ = pair.members[0].failed(now: 0, isTrial: false)
        #expect(pair.next(for: client(1), after: .init(), now: 2 * Self.second)! == (0, true))
        #expect(pair.next(for: client(1), after: .init(), now: 11 * Self.second)!.member == 1)
        #expect(pair.next(for: client(1), after: .init(), now: 12 * Self.second)! == (0, true))
    }

    @Test func whenAllAreAwayThePreferredOneIsTriedAllTheSame() {
        let pair = group(2, .failover)
        for member in pair.members { _ = member.failed(now: 1, isTrial: false) }
        #expect(order(pair, client(1), now: 2) == [0, 1])
    }

    @Test func checksTakeOutAndBringBack() {
        let pair = group(2, .failover)
        #expect(!pair.members[0].checked(true))
        #expect(pair.members[0].checked(false))
        #expect(!pair.members[0].checked(false))
        #expect(order(pair, client(1)) == [1, 0])
        // A check that succeeds ends what sessions found as well.
        _ = pair.members[0].failed(now: 1, isTrial: false)
        #expect(pair.members[0].checked(true))
        #expect(pair.members[0].standing(now: 2) == .works)
    }

    @Test func aCheckOfOthersGoesThroughOneThatWorksAndLeavesNoTrace() {
        let three = group(3, .roundRobin)
        _ = three.members[0].failed(now: 1, isTrial: false)
        _ = three.members[2].checked(false)
        var tried = UpstreamGroup.Tried()
        for expected in [1, 0, 2] {
            #expect(three.nextForCheck(after: tried, now: 2 * Self.second) == expected)
            tried.insert(expected)
        }
        #expect(three.nextForCheck(after: tried, now: 2 * Self.second) == nil)
        // The trial is still a session's, and so is the turn.
        #expect(three.next(for: client(1), after: .init(), now: 2 * Self.second)! == (0, true))
        #expect(three.members.allSatisfy { $0.sessions.load(ordering: .relaxed) == 0 })
    }

    @Test func aReloadKeepsWhatIsKnown() {
        let old = group(3, .failover)
        _ = old.members[1].failed(now: 1, isTrial: false)
        let new = group(3, .roundRobin, from: 2, inheriting: old)
        #expect(new.members[0] === old.members[1] && new.members[1] === old.members[2])
        #expect(new.members[0].standing(now: 2) == .away)
        #expect(new.members[2].standing(now: 2) == .works)
    }
}
