import Glibc
import Policy
import Synchronization
import Testing
import TransparentSockets

@testable import DataPlane

/// When addresses are asked for, and what is told of them. Time is a number here, and nobody is asked.
@Suite struct BlockListScheduleTests {
    private static let second: UInt64 = 1_000_000_000
    private let code = IPv4Address("127.0.0.2")!

    private func pool(_ addresses: String..., list: String? = "list.example", inheriting old: SourcePool? = nil) -> SourcePool {
        SourcePool(
            name: "pool", addresses: addresses.map { IPAddress($0)! }, blockList: list.map { DomainName($0)! }, inheriting: old)
    }

    /// `#require` around a call that changes something does not compile.
    private func taken(_ entry: BlockListSchedule.Entry?) throws -> BlockListSchedule.Entry { try #require(entry) }

    /// Takes the one question that is due at `now` and answers it.
    private func answer(
        _ answer: BlockListAnswer, _ schedule: inout BlockListSchedule, at now: UInt64
    ) throws -> [BlockListEvent] {
        let entry = try taken(schedule.next(now: now))
        return schedule.heard(answer, of: entry.source, now: now)
    }

    /// One address, of which nothing was asked yet.
    private func one() -> (SourcePool, BlockListSchedule) {
        let pool = pool("198.51.100.1")
        var schedule = BlockListSchedule()
        schedule.keep([pool])
        return (pool, schedule)
    }

    @Test func everyAddressIsAskedForAtOnceAndNoneTwice() {
        var schedule = BlockListSchedule()
        #expect(schedule.isEmpty && schedule.nextAt == .max)
        schedule.keep([
            pool("198.51.100.1", "2001:db8::1"), pool("198.51.100.2", list: nil), pool("198.51.100.3", list: "b.example"),
        ])
        var names: [String] = []
        while let entry = schedule.next(now: 5) { names.append(entry.question.name) }
        #expect(names.count == 3 && names[0] == "1.100.51.198.list.example." && names[2] == "3.100.51.198.b.example.")
        // All are under way: only an answer brings anything new.
        #expect(schedule.nextAt == .max)
    }

    @Test(
        arguments: [(0, 15), (14, 15), (15, 15), (16, 16), (3_599, 3_599), (3_601, 3_600), (UInt32.max, 3_600)]
            as [(UInt32, UInt64)])
    func theAnswerSaysWhenToAskAgain(_ seconds: UInt32, _ wait: UInt64) throws {
        for answered in [BlockListAnswer.listed([code], seconds: seconds), .notListed(seconds: seconds)] {
            var (_, schedule) = one()
            _ = try answer(answered, &schedule, at: 7)
            #expect(schedule.nextAt == 7 + wait * Self.second)
            #expect(schedule.next(now: schedule.nextAt - 1) == nil)
            #expect(schedule.next(now: schedule.nextAt) != nil)
        }
    }

    @Test func listingAndRecoveryAreToldOnce() throws {
        var (pool, schedule) = one()
        var now: UInt64 = 0
        func hear(_ what: BlockListAnswer) throws -> [BlockListEvent] {
            defer { now = schedule.nextAt }
            return try answer(what, &schedule, at: now)
        }
        // It was never listed: no news.
        #expect(try hear(.notListed(seconds: 60)) == [])
        #expect(try hear(.listed([code], seconds: 60)) == [.listed([code])])
        #expect(pool.sources[0].isListed)
        #expect(try hear(.listed([code], seconds: 60)) == [])
        #expect(try hear(.notListed(seconds: 60)) == [.recovered])
        #expect(!pool.sources[0].isListed)
        #expect(try hear(.notListed(seconds: 60)) == [])
    }

    @Test func withoutAnAnswerWhatWasKnownStays() throws {
        var (pool, schedule) = one()
        var now: UInt64 = 0
        func hear(_ what: BlockListAnswer) throws -> [BlockListEvent] {
            defer { now = schedule.nextAt }
            return try answer(what, &schedule, at: now)
        }
        #expect(try hear(.unknown("late")) == [.cannotBeAsked("late")])
        #expect(!pool.sources[0].isListed)
        #expect(try hear(.listed([code], seconds: 60)) == [.canBeAsked, .listed([code])])
        #expect(try hear(.unknown("late")) == [.cannotBeAsked("late")])
        #expect(try hear(.unknown("late")) == [])
        #expect(pool.sources[0].isListed)
        #expect(try hear(.unknown("refused")) == [.cannotBeAsked("refused")])
        #expect(try hear(.notListed(seconds: 60)) == [.canBeAsked, .recovered])
        #expect(try hear(.notListed(seconds: 60)) == [])
    }

    @Test func failuresAreRetriedMoreAndMoreSeldom() throws {
        var (_, schedule) = one()
        var now: UInt64 = 0
        var waits: [UInt64] = []
        for _ in 0..<80 {
            _ = try answer(.unknown("late"), &schedule, at: now)
            waits.append((schedule.nextAt - now) / Self.second)
            now = schedule.nextAt
        }
        #expect(waits.prefix(7) == [15, 30, 60, 120, 240, 300, 300] && waits.dropFirst(5).allSatisfy { $0 == 300 })
        // An answer ends that.
        _ = try answer(.notListed(seconds: 60), &schedule, at: now)
        now = schedule.nextAt
        _ = try answer(.unknown("late"), &schedule, at: now)
        #expect(schedule.nextAt == now + 15 * Self.second)
    }

    @Test func theOneThatHasWaitedLongestIsNext() throws {
        var schedule = BlockListSchedule()
        schedule.keep([pool("198.51.100.1", "198.51.100.2", "198.51.100.3")])
        for seconds: UInt32 in [50, 20, 40] { _ = try answer(.notListed(seconds: seconds), &schedule, at: 0) }
        #expect(schedule.nextAt == 20 * Self.second)
        let order = (0..<3).map { _ in schedule.next(now: 100 * Self.second)?.source.address }
        #expect(order == ["198.51.100.2", "198.51.100.3", "198.51.100.1"].map { IPAddress($0) })
    }

    @Test func aReloadGoesOnWhereItWas() throws {
        let old = pool("198.51.100.1", "198.51.100.2")
        var schedule = BlockListSchedule()
        schedule.keep([old])
        let first = try taken(schedule.next(now: 0))
        _ = try answer(.notListed(seconds: 60), &schedule, at: 0)
        let new = SourcePool(
            name: "renamed", addresses: [IPAddress("198.51.100.2")!, IPAddress("198.51.100.3")!], blockList: old.blockList,
            inheriting: old)
        schedule.keep([new])
        // Who has left: its answer comes too late, and changes nothing.
        #expect(schedule.heard(.listed([code], seconds: 60), of: first.source, now: 1) == [])
        #expect(!first.source.isListed)
        // Who is new is asked for at once, who is known when its time comes.
        #expect(schedule.next(now: 1)?.source.address == IPAddress("198.51.100.3"))
        #expect(schedule.nextAt == 60 * Self.second)
        let known = try taken(schedule.next(now: 60 * Self.second))
        #expect(known.source === new.sources[0] && known.pool == "renamed")
        schedule.keep([])
        #expect(schedule.isEmpty && schedule.nextAt == .max)
    }

    /// Somebody may have had it taken off the list: it is asked for again, and it alone.
    @Test func aReloadAsksForWhatIsListed() throws {
        let old = pool("198.51.100.1", "198.51.100.2")
        var schedule = BlockListSchedule()
        schedule.keep([old])
        for answer in [BlockListAnswer.listed([code], seconds: 3_600), .notListed(seconds: 60)] {
            _ = try self.answer(answer, &schedule, at: 0)
        }
        #expect(schedule.nextAt == 60 * Self.second)
        schedule.keep([pool("198.51.100.1", "198.51.100.2", inheriting: old)])
        let listed = try taken(schedule.next(now: 1))
        #expect(listed.source === old.sources[0] && schedule.next(now: 1) == nil)
        // While it is being asked for, another reload does not ask twice.
        schedule.keep([pool("198.51.100.1", "198.51.100.2", inheriting: old)])
        #expect(schedule.next(now: 1) == nil)
        #expect(schedule.heard(.notListed(seconds: 60), of: listed.source, now: 2 * Self.second) == [.recovered])
        #expect(schedule.nextAt == 60 * Self.second)
    }
}

/// The checker's threads, with a list that is a function.
@Suite struct BlockListCheckerTests {
    private final class Record: Sendable {
        let events = Mutex<[String]>([])
        /// Now, and at most.
        let questions = Mutex((now: 0, most: 0, all: 0))
        let mayAnswer: Atomic<Bool>

        init(mayAnswer: Bool) { self.mayAnswer = Atomic(mayAnswer) }

        func waitFor(_ condition: (Record) -> Bool) -> Bool {
            for _ in 0..<5_000 {
                if condition(self) { return true }
                usleep(1_000)
            }
            return false
        }

        var all: Int { questions.withLock { $0.all } }
    }

    private func checker(_ record: Record, _ answer: @escaping @Sendable (BlockListQuestion) -> BlockListAnswer) throws
        -> BlockListChecker
    {
        try BlockListChecker(
            asking: { question in
                record.questions.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1), $0.all + 1) }
                _ = record.waitFor { $0.mayAnswer.load(ordering: .relaxed) }
                record.questions.withLock { $0.now -= 1 }
                return answer(question)
            },
            report: { pool, address, list, event in record.events.withLock { $0.append("\(pool) \(address) \(list) \(event)") } })
    }

    private func pool(_ name: String, _ addresses: [String], list: String? = "list.example") -> SourcePool {
        SourcePool(name: name, addresses: addresses.map { IPAddress($0)! }, blockList: list.map { DomainName($0)! })
    }

    @Test func listedAddressesLeaveThePool() throws {
        let record = Record(mayAnswer: true)
        let listed = IPAddress("198.51.100.2")!
        let checker = try checker(record) {
            $0.address == listed ? .listed([IPv4Address("127.0.0.4")!], seconds: 60) : .notListed(seconds: 60)
        }
        let pool = pool("out", ["198.51.100.1", "198.51.100.2"])
        try checker.watch([pool])
        #expect(record.waitFor { !$0.events.withLock { $0.isEmpty } && $0.all == 2 })
        #expect(record.events.withLock { $0 } == ["out 198.51.100.2 list.example listed([127.0.0.4])"])
        for number in 0..<50 {
            #expect(pool.source(for: IPAddress("192.0.2.\(number)")!, to: IPAddress("203.0.113.9")!) == IPAddress("198.51.100.1"))
        }
    }

    @Test func questionsAreAskedTogetherWithinTheirBound() throws {
        let record = Record(mayAnswer: false)
        let checker = try checker(record) { _ in .notListed(seconds: 60) }
        let addresses = (1...40).map { "198.51.100.\($0)" }
        try checker.watch([pool("out", addresses)])
        #expect(record.waitFor { $0.all == BlockListChecker.mostQuestions })
        // A reload while all threads wait adds none.
        try checker.watch([pool("another", addresses)])
        record.mayAnswer.store(true, ordering: .relaxed)
        #expect(record.waitFor { $0.all == BlockListChecker.mostQuestions + 40 })
        #expect(record.questions.withLock { $0.most } == BlockListChecker.mostQuestions)
        #expect(record.events.withLock { $0 } == [])
    }

    @Test func nobodyIsAskedWithoutAList() throws {
        let record = Record(mayAnswer: true)
        let checker = try checker(record) { _ in .notListed(seconds: 60) }
        try checker.watch([pool("out", ["198.51.100.1"], list: nil)])
        try checker.watch([pool("out", ["198.51.100.1"])])
        #expect(record.waitFor { $0.all == 1 })
    }

    /// The whole way, over UDP.
    @Test func aNameServerIsAsked() throws {
        let server = try NameServer { Message("127.0.0.2", seconds: 60).bytes(to: $0) }
        defer { server.stop() }
        let record = Record(mayAnswer: true)
        let checker = try checker(record) { server.ask($0) }
        let pool = pool("out", (1...20).map { "198.51.100.\($0)" } + ["2001:db8::1"])
        try checker.watch([pool])
        #expect(record.waitFor { _ in pool.sources.allSatisfy(\.isListed) })
        #expect(record.waitFor { $0.events.withLock { $0.count } == 21 })
    }
}
