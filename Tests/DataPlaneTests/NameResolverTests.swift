import Glibc
import Policy
import Synchronization
import TestSupport
import Testing
import TransparentSockets

@testable import DataPlane

// None of these asks a network: the lookup is a table, which counts who asks and can be made to hang.

@Suite struct NameResolverTests {
    private static let second: UInt64 = 1_000_000_000
    /// All ask in the name of this one, where nothing else is said.
    fileprivate static let asker = IPAddress("203.0.113.1")!
    private var asker: IPAddress { Self.asker }

    // MARK: Answers

    @Test func anAnswerComesOnTheAskersLoop() async throws {
        let bench = try Bench()
        let other = try RunningLoop()
        for loop in [bench.loop, other, bench.loop] {
            let mine = await loop.threadID()
            let name = DomainName("loop\(mine).example")!
            let (answer, thread): (NameResolver.Answer, UInt) = await withCheckedContinuation { continuation in
                let known = bench.resolver.resolve(name, for: loop.loop, from: asker) {
                    continuation.resume(returning: ($0, currentThread()))
                }
                if let known { continuation.resume(returning: (known, mine)) }
            }
            #expect(answer == .addresses([IPAddress("192.0.2.1")!]))
            #expect(thread == mine)
        }
    }

    @Test func aKnownAnswerIsReturnedAtOnce() async throws {
        let bench = try Bench()
        #expect(await bench.ask("a.example") == .addresses([IPAddress("192.0.2.1")!]))
        let again = bench.resolver.resolve(DomainName("A.example.")!, for: bench.loop.loop, from: asker) { _ in
            Issue.record("called")
        }
        #expect(again == .addresses([IPAddress("192.0.2.1")!]))
        #expect(bench.asked() == ["a.example"])
    }

    @Test func bothFamiliesByTurnsAndEachAddressOnce() async throws {
        @Sendable func addresses(_ texts: [String]) -> [IPAddress] { texts.map { IPAddress($0)! } }
        for (found, used) in [
            (["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"], ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]),
            (["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"], ["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"]),
            (["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1"], ["192.0.2.1", "192.0.2.2"]),
            (["2001:db8::1", "192.0.2.1", "2001:db8::2"], ["2001:db8::1", "192.0.2.1", "2001:db8::2"]),
        ] {
            #expect(NameResolver.byTurns(addresses(found)) == addresses(used))
            #expect(NameResolver.byTurns(addresses(used)) == addresses(used))
        }
        #expect(NameResolver.byTurns([]) == [])
        // A family has its share of the eight however many the other has.
        let many = (1...20).map { "2001:db8::\($0)" } + ["192.0.2.1", "192.0.2.2"]
        let bench = try Bench { _ in addresses(many) }
        guard case .addresses(let used) = await bench.ask("many.example") else {
            Issue.record("no addresses")
            return
        }
        #expect(used.count == NameResolver.mostAddresses)
        #expect(used.prefix(5) == addresses(["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"])[...])
    }

    @Test func whatIsNoAddressIsToldApart() async throws {
        let bench = try Bench { name throws(LookupFailure) in
            switch name.description {
            case "none.example": throw .noSuchName
            case "broken.example": throw .failed("out of order")
            default: return []
            }
        }
        #expect(await bench.ask("none.example") == .noSuchName)
        #expect(await bench.ask("empty.example") == .noSuchName)
        #expect(await bench.ask("broken.example") == .failed("out of order"))
    }

    /// By `/etc/hosts`, or by itself: no network is asked.
    @Test func theSystemIsAsked() throws {
        #expect(try lookUp(DomainName("localhost")!).allSatisfy(\.isLoopback))
    }

    /// EAI_NODATA and EAI_ADDRFAMILY.
    private static let (noData, noAddressOfFamily): (Int32, Int32) = (-5, -9)

    @Test(arguments: [
        (EAI_NONAME, true), (noData, true), (noAddressOfFamily, true), (EAI_AGAIN, false), (EAI_FAIL, false),
        (EAI_MEMORY, false), (EAI_SYSTEM, false),
    ])
    func onlyASureAnswerIsNoSuchName(_ code: Int32, _ isSure: Bool) {
        let reason = String(cString: gai_strerror(code))
        #expect(LookupFailure(ResolutionError(reason: reason)) == (isSure ? .noSuchName : .failed(reason)))
    }

    // MARK: The cache

    @Test(arguments: [
        ("good.example", NameResolver.lifetime), ("none.example", NameResolver.negativeLifetime),
        ("broken.example", NameResolver.failureLifetime),
    ])
    func anAnswerIsKeptForItsTimeAndNoLonger(_ name: String, _ lifetime: UInt64) async throws {
        let bench = try Bench { name throws(LookupFailure) in
            switch name.description {
            case "none.example": throw .noSuchName
            case "broken.example": throw .failed("out of order")
            default: return [IPAddress("192.0.2.1")!]
            }
        }
        let first = await bench.ask(name)
        bench.advance(lifetime - 1)
        #expect(await bench.ask(name) == first)
        #expect(bench.asked().count == 1)
        bench.advance(1)
        #expect(await bench.ask(name) == first)
        #expect(bench.asked().count == 2)
    }

    @Test func theTimesAreThePromisedOnes() {
        #expect(NameResolver.lifetime == 30 * Self.second)
        #expect(NameResolver.negativeLifetime == 3 * Self.second)
        #expect(NameResolver.failureLifetime <= Self.second)
    }

    @Test func whatWasAskedForLongestAgoIsForgottenFirst() {
        var cache = NameCache(limit: 3)
        let names = (0..<5).map { DomainName("n\($0).example")! }
        for name in names[..<3] { cache.keep(.noSuchName, for: name, until: 100) }
        #expect(cache.answer(for: names[0], now: 1) == .noSuchName)
        cache.keep(.noSuchName, for: names[3], until: 100)
        #expect(names.map { cache.answer(for: $0, now: 1) != nil } == [true, false, true, true, false])
        // Asked for in the order 0, 2, 3 just now; a new answer counts as use too.
        cache.keep(.busy, for: names[0], until: 100)
        cache.keep(.noSuchName, for: names[4], until: 100)
        #expect(names.map { cache.answer(for: $0, now: 1) != nil } == [true, false, false, true, true])
        #expect(cache.answer(for: names[0], now: 1) == .busy)
        #expect(cache.count == 3)
    }

    @Test func theCacheDoesAsASimpleOneWould() {
        var random = SplitMix(61)
        for limit in [1, 2, 7] {
            var cache = NameCache(limit: limit)
            var simple: [(name: DomainName, answer: NameResolver.Answer, until: UInt64)] = []
            for now in UInt64(0)..<20_000 {
                let name = DomainName("n\(random.below(12)).example")!
                if random.below(2) == 0 {
                    let place = simple.firstIndex { $0.name == name }
                    let expected = place.flatMap { now < simple[$0].until ? simple[$0].answer : nil }
                    #expect(cache.answer(for: name, now: now) == expected)
                    if let place, expected != nil { simple.append(simple.remove(at: place)) }
                } else {
                    let answer = NameResolver.Answer.failed("\(now)")
                    let until = now + UInt64(random.below(30))
                    cache.keep(answer, for: name, until: until)
                    simple.removeAll { $0.name == name }
                    if simple.count == limit { simple.removeFirst() }
                    simple.append((name, answer, until))
                }
            }
            #expect(cache.count == limit)
        }
    }

    // MARK: Many at once

    @Test func manyWhoAskForOneNameAreOneQuestion() async throws {
        let bench = try Bench()
        bench.hang()
        let other = try RunningLoop()
        let answers = Counted<NameResolver.Answer>()
        for number in 0..<100 {
            let loop = number % 2 == 0 ? bench.loop.loop : other.loop
            #expect(bench.resolver.resolve(DomainName("a.example")!, for: loop, from: asker) { answers.add($0) } == nil)
        }
        try await until { bench.asked().count == 1 }
        bench.goOn()
        try await until { answers.all().count == 100 }
        #expect(Set(answers.all()) == [.addresses([IPAddress("192.0.2.1")!])])
        #expect(bench.asked() == ["a.example"])
    }

    @Test func tooManyWaitersAreToldAtOnce() async throws {
        let bench = try Bench(.init(threads: 1, queuedNames: 4, waiters: 3, cachedNames: 8))
        let answers = Counted<NameResolver.Answer>()
        func ask(_ name: String) -> NameResolver.Answer? {
            bench.resolver.resolve(DomainName(name)!, for: bench.loop.loop, from: asker) { answers.add($0) }
        }
        // As many each time: those who were told wait no more.
        for round in 1...3 {
            bench.hang()
            #expect(ask("a\(round).example") == nil)
            #expect(ask("a\(round).example") == nil)
            #expect(ask("b\(round).example") == nil)
            #expect(ask("a\(round).example") == .busy)
            #expect(ask("c\(round).example") == .busy)
            bench.goOn()
            try await until { answers.all().count == 3 * round }
        }
        #expect(await bench.ask("c.example") == .addresses([IPAddress("192.0.2.1")!]))
    }

    @Test func whenAllThreadsHangTheQueueFillsAndThenNamesAreRefused() async throws {
        let bench = try Bench(.init(threads: 2, queuedNames: 3, waiters: 100, cachedNames: 8))
        #expect(await bench.ask("known.example") == .addresses([IPAddress("192.0.2.1")!]))
        bench.hang()
        let answers = Counted<NameResolver.Answer>()
        func ask(_ name: String) -> NameResolver.Answer? {
            bench.resolver.resolve(DomainName(name)!, for: bench.loop.loop, from: asker) { answers.add($0) }
        }
        for name in ["h1.example", "h2.example"] { #expect(ask(name) == nil) }
        try await until { bench.asked().count == 3 }
        for name in ["q1.example", "q2.example", "q3.example"] { #expect(ask(name) == nil) }
        #expect(ask("q4.example") == .busy)
        // What is known or already asked for is not concerned.
        #expect(ask("known.example") == .addresses([IPAddress("192.0.2.1")!]))
        #expect(ask("h1.example") == nil)
        #expect(ask("q1.example") == nil)
        #expect(answers.all().isEmpty)
        bench.goOn()
        try await until { answers.all().count == 7 }
        #expect(!answers.all().contains(.busy))
        #expect(bench.asked().count == 6)
    }

    @Test func aNameThatWaitedTooLongGivesWayToANewOne() async throws {
        let bench = try Bench(.init(threads: 1, queuedNames: 1, waiters: 100, cachedNames: 8))
        bench.hang()
        let answers = Counted<String>()
        func ask(_ name: String) -> NameResolver.Answer? {
            bench.resolver.resolve(DomainName(name)!, for: bench.loop.loop, from: asker) { answers.add("\(name) \($0 == .busy)") }
        }
        #expect(ask("hangs.example") == nil)
        try await until { bench.asked().count == 1 }
        #expect(ask("old.example") == nil)
        bench.advance(NameResolver.longestWait)
        #expect(ask("new.example") == .busy)
        bench.advance(1)
        #expect(ask("new.example") == nil)
        try await until { answers.all() == ["old.example true"] }
        // A thread that comes back does not ask for what nobody waits for either.
        bench.advance(NameResolver.longestWait + 1)
        bench.goOn()
        try await until { answers.all().count == 3 }
        #expect(Set(answers.all()) == ["old.example true", "new.example true", "hangs.example false"])
        #expect(bench.asked() == ["hangs.example"])
    }

    @Test func oneThatHangsStopsNoOther() async throws {
        let bench = try Bench(.init(threads: 3, queuedNames: 100, waiters: 1_000, cachedNames: 1_000))
        bench.hang(only: ["h1.example", "h2.example"])
        let late = Counted<NameResolver.Answer>()
        for name in ["h1.example", "h2.example"] {
            #expect(bench.resolver.resolve(DomainName(name)!, for: bench.loop.loop, from: asker) { late.add($0) } == nil)
        }
        for number in 0..<200 { #expect(await bench.ask("n\(number).example") == .addresses([IPAddress("192.0.2.1")!])) }
        #expect(late.all().isEmpty)
        bench.goOn()
        try await until { late.all().count == 2 }
        // It came late, and is known now.
        let known = bench.resolver.resolve(DomainName("h1.example")!, for: bench.loop.loop, from: asker) { _ in
            Issue.record("called")
        }
        #expect(known == .addresses([IPAddress("192.0.2.1")!]))
    }

    // MARK: One among many

    private static let shared = NameResolver.Limits(
        threads: 4, queuedNames: 8, waiters: 40, cachedNames: 1_000, threadsOfOne: 2, queuedNamesOfOne: 4, waitersOfOne: 20)

    /// A source is an IPv4 address, or all of an IPv6 host's.
    @Test(arguments: [["192.0.2.1"], ["::ffff:192.0.2.1", "192.0.2.1"], ["2001:db8::1", "2001:db8::2:0:0:3", "2001:db8::4"]])
    func whoeverFillsTheQueueFillsAPart(_ addresses: [String]) async throws {
        let bench = try Bench(Self.shared)
        let dead = (0..<50).map { "dead\($0).example" }
        let answers = Counted<NameResolver.Answer>()
        func ask(_ name: String, _ turn: Int) -> NameResolver.Answer? {
            bench.resolver.resolve(DomainName(name)!, for: bench.loop.loop, from: IPAddress(addresses[turn % addresses.count])!) {
                answers.add($0)
            }
        }
        for round in 1...3 {
            bench.hang(only: Set(dead.map { "r\(round)\($0)" }))
            let before = bench.asked().count
            for turn in 0..<2 { #expect(ask("r\(round)\(dead[turn])", turn) == nil) }
            try await until { bench.asked().count == before + 2 }
            // Two threads, then a place in the queue for four, and then no more.
            for turn in 2..<50 { #expect(ask("r\(round)\(dead[turn])", turn) == (turn < 6 ? nil : .busy), "\(turn)") }
            for number in 0..<100 {
                let other = IPAddress("198.51.100.\(number)")!
                #expect(await bench.ask("r\(round)n\(number).example", from: other) == .addresses([IPAddress("192.0.2.1")!]))
            }
            #expect(bench.asked().count == before + 2 + 100)
            bench.goOn()
            try await until { answers.all().count == 6 * round }
        }
        #expect(Set(answers.all()) == [.addresses([IPAddress("192.0.2.1")!])])
    }

    @Test func whoeverWaitsALotIsOnlyAPartOfThoseWhoWait() async throws {
        let bench = try Bench(Self.shared)
        let answers = Counted<NameResolver.Answer>()
        func ask(_ address: String) -> NameResolver.Answer? {
            bench.resolver.resolve(DomainName("dead.example")!, for: bench.loop.loop, from: IPAddress(address)!) { answers.add($0) }
        }
        for round in 1...3 {
            bench.hang(only: ["dead.example"])
            for turn in 0..<30 { #expect(ask("192.0.2.1") == (turn < 20 ? nil : .busy)) }
            for turn in 0..<30 { #expect(ask("192.0.2.2") == (turn < 20 ? nil : .busy)) }
            // All of them together are bounded too.
            #expect(ask("192.0.2.3") == .busy)
            bench.goOn()
            try await until { answers.all().count == 40 * round }
            bench.advance(NameResolver.lifetime)
        }
    }

    /// Else it could keep others from the names that everybody wants, by asking for them first.
    @Test func nobodyWaitsForWhoeverAskedFirst() async throws {
        let bench = try Bench(Self.shared)
        bench.hang(only: ["dead1.example", "dead2.example"])
        let answers = Counted<String>()
        func ask(_ name: String) -> NameResolver.Answer? {
            bench.resolver.resolve(DomainName(name)!, for: bench.loop.loop, from: asker) { _ in answers.add(name) }
        }
        for name in ["dead1.example", "dead2.example"] { #expect(ask(name) == nil) }
        try await until { bench.asked().count == 2 }
        for name in ["own.example", "popular.example"] { #expect(ask(name) == nil) }
        let other = IPAddress("192.0.2.9")!
        #expect(await bench.ask("popular.example", from: other) == .addresses([IPAddress("192.0.2.1")!]))
        // The one who asked first has its answer as well, and waits for its own.
        try await until { answers.all() == ["popular.example"] }
        bench.goOn()
        try await until { answers.all().count == 4 }
        #expect(bench.asked().count == 4)
    }

    @Test func threadsAreStartedAsTheyAreNeeded() async throws {
        let bench = try Bench(.init(threads: 8, queuedNames: 100, waiters: 1_000, cachedNames: 1_000))
        for number in 0..<50 { _ = await bench.ask("n\(number).example") }
        // One after the other: one thread is enough, or a few where those before were not back yet.
        #expect((1...4).contains(bench.threads()))
        bench.hang()
        let answers = Counted<NameResolver.Answer>()
        for number in 0..<50 {
            _ = bench.resolver.resolve(DomainName("m\(number).example")!, for: bench.loop.loop, from: asker) { answers.add($0) }
        }
        try await until { bench.asked().count == 58 }
        bench.goOn()
        try await until { answers.all().count == 50 }
        #expect(bench.threads() == 8)
    }

    @Test func everyAskerHearsOnceWhateverTheThreadsDo() async throws {
        let limits = NameResolver.Limits(
            threads: 4, queuedNames: 32, waiters: 200, cachedNames: 16, threadsOfOne: 2, queuedNamesOfOne: 12, waitersOfOne: 80)
        let bench = try Bench(limits) { name throws(LookupFailure) in
            let number = name.description.utf8.reduce(0) { $0 &* 31 &+ Int($1) }
            if number % 7 == 0 { usleep(500) }
            if number % 5 == 0 { throw .noSuchName }
            return [IPAddress("192.0.2.1")!]
        }
        let loops = try (0..<4).map { _ in try RunningLoop() }
        let (asked, atOnce, told, wrong) = (Tally(), Tally(), Tally(), Tally())
        await withTaskGroup(of: Void.self) { group in
            for asker in 0..<4 {
                group.addTask {
                    var random = SplitMix(UInt64(asker))
                    let source = IPAddress("203.0.113.\(asker % 3)")!
                    for round in 0..<20_000 {
                        let loop = loops[random.below(4)]
                        let name = DomainName("n\(random.below(300)).example")!
                        asked.count()
                        let known = bench.resolver.resolve(name, for: loop.loop, from: source) { _ in
                            told.count()
                            if currentThread() != loop.thread.load(ordering: .relaxed) { wrong.count() }
                        }
                        if known != nil { atOnce.count() }
                        if round % 100 == 0 { bench.advance(Self.second) }
                    }
                }
            }
        }
        try await until { atOnce.value + told.value >= asked.value }
        #expect(atOnce.value + told.value == 80_000)
        #expect(told.value > 0 && atOnce.value > 0)
        #expect(wrong.value == 0)
        // Nothing is left behind that would make the next ones wait.
        #expect(await bench.ask("last.example") != .busy)
        #expect(bench.resolver.sources == 0)
    }
}

/// A resolver with a clock that stands still until it is moved, and a lookup that can be stopped.
private final class Bench: Sendable {
    let resolver: NameResolver
    let loop: RunningLoop
    private let log: Log

    private final class Log: Sendable {
        struct State {
            var asked: [String] = []
            var threads: Set<UInt> = []
            var hangs = false
            /// Empty: all names.
            var hanging: Set<String> = []
        }
        let state = Mutex(State())
        let now = Atomic<UInt64>(1_000_000_000)

        func note(_ name: String) {
            state.withLock {
                $0.asked.append(name)
                $0.threads.insert(currentThread())
            }
            while state.withLock({ $0.hangs && ($0.hanging.isEmpty || $0.hanging.contains(name)) }) { usleep(200) }
        }
    }

    init(
        _ limits: NameResolver.Limits = .init(),
        lookup: @escaping NameResolver.Lookup = { _ in [IPAddress("192.0.2.1")!] }
    ) throws {
        let log = Log()
        self.log = log
        loop = try RunningLoop()
        resolver = try NameResolver(
            limits: limits,
            lookup: { name throws(LookupFailure) in
                log.note(name.description)
                return try lookup(name)
            },
            clock: { log.now.load(ordering: .relaxed) })
    }

    func ask(_ name: String, from address: IPAddress = NameResolverTests.asker) async -> NameResolver.Answer {
        await withCheckedContinuation { continuation in
            let known = resolver.resolve(DomainName(name)!, for: loop.loop, from: address) { continuation.resume(returning: $0) }
            if let known { continuation.resume(returning: known) }
        }
    }

    /// Names in the order in which the system was asked.
    func asked() -> [String] { log.state.withLock { $0.asked } }
    func threads() -> Int { log.state.withLock { $0.threads.count } }
    func advance(_ nanoseconds: UInt64) { log.now.wrappingAdd(nanoseconds, ordering: .relaxed) }
    func hang(only names: Set<String> = []) { log.state.withLock { ($0.hangs, $0.hanging) = (true, names) } }
    func goOn() { log.state.withLock { $0.hangs = false } }
}

/// A loop without sessions. It runs until the tests end, as loops do.
private final class RunningLoop: Sendable {
    let loop: EventLoop
    let thread = Atomic<UInt>(0)

    init() throws {
        let loop = try EventLoop()
        self.loop = loop
        try startThread("loop") { loop.run() }
        loop.post { [self] in thread.store(currentThread(), ordering: .relaxed) }
    }

    func threadID() async -> UInt {
        await withCheckedContinuation { continuation in loop.post { continuation.resume(returning: currentThread()) } }
    }
}

private func currentThread() -> UInt { UInt(pthread_self()) }

private final class Counted<Value: Sendable>: Sendable {
    private let values = Mutex<[Value]>([])
    func add(_ value: Value) { values.withLock { $0.append(value) } }
    func all() -> [Value] { values.withLock { $0 } }
}

private final class Tally: Sendable {
    private let number = Atomic<Int>(0)
    var value: Int { number.load(ordering: .relaxed) }
    func count() { number.wrappingAdd(1, ordering: .relaxed) }
}

private struct NeverHappened: Error {}

/// Waits for a condition, and never for a time; ten seconds are for a machine that is busy otherwise.
private func until(_ condition: () -> Bool) async throws {
    for _ in 0..<10_000 {
        if condition() { return }
        try await Task.sleep(for: .milliseconds(1))
    }
    throw NeverHappened()
}
