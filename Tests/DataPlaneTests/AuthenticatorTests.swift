import CSockets
import Credentials
import Glibc
import Synchronization
import Testing
import TransparentSockets

@testable import DataPlane

/// Clients that log in, the right ones and the others.
@Suite struct AuthenticatorTests {
    /// What stands in for time and crypt(3): the test sets the clock, counts verifications and holds them up. Everybody's password
    /// is `secret`.
    private final class Scene: Sendable {
        let now = Atomic<UInt64>(1_000_000_000)
        let isHeld = Atomic<Bool>(false)
        let calls = Mutex<[String]>([])
        let reports = Mutex<[String]>([])
        let users = Users(UserFile.users(in: []) { _ in })

        func authenticator(threads: Int = 1, mostSources: Int = 1_000) throws -> Authenticator {
            try Authenticator(
                threads: threads, backOff: BackOff(mostSources: mostSources), clock: { self.now.load(ordering: .relaxed) },
                check: { _, name, password, _ in
                    self.calls.withLock { $0.append(String(decoding: name, as: UTF8.self)) }
                    while self.isHeld.load(ordering: .relaxed) { usleep(200) }
                    return password == Array("secret".utf8)
                },
                report: { source, seconds in self.reports.withLock { $0.append("\(source) \(seconds)") } })
        }

        var count: Int { calls.withLock { $0.count } }
        func advance(_ seconds: Double) { now.add(UInt64(seconds * 1e9), ordering: .relaxed) }
        func hold(_ isHeld: Bool = true) { self.isHeld.store(isHeld, ordering: .relaxed) }
    }

    /// One that runs as long as the tests do.
    private static let loop: EventLoop = {
        let loop = try! EventLoop()
        try! startThread("loop") { loop.run() }
        return loop
    }()

    private static let here = IPAddress("192.0.2.1")!
    private static let elsewhere = IPAddress("192.0.2.2")!

    /// A verdict that is known at once, or the answer.
    private func ask(
        _ authenticator: Authenticator, _ users: Users, _ name: String = "alice", _ password: String = "secret",
        from source: IPAddress = here
    ) async -> Authenticator.Verdict {
        await withCheckedContinuation { continuation in
            let verdict = authenticator.verify(Array(name.utf8), Array(password.utf8), of: users, from: source, on: Self.loop) {
                continuation.resume(returning: $0)
            }
            if let verdict { continuation.resume(returning: verdict) }
        }
    }

    /// Attempts whose answers come later, or nil for a verdict that is known at once.
    private func begin(
        _ authenticator: Authenticator, _ users: Users, _ name: String = "alice", _ password: String = "secret",
        from source: IPAddress = here, to answers: Answers
    ) -> Authenticator.Verdict? {
        authenticator.verify(Array(name.utf8), Array(password.utf8), of: users, from: source, on: Self.loop) { answers.add($0) }
    }

    private final class Answers: Sendable {
        private let all = Mutex<[Authenticator.Verdict]>([])
        func add(_ verdict: Authenticator.Verdict) { all.withLock { $0.append(verdict) } }
        func count(_ verdict: Authenticator.Verdict) -> Int { all.withLock { $0.count { $0 == verdict } } }
        var count: Int { all.withLock { $0.count } }
    }

    private func until(_ condition: () -> Bool) {
        for _ in 0..<50_000 {
            if condition() { return }
            usleep(200)
        }
        Issue.record("it does not come about")
    }

    private func source(_ number: Int) -> IPAddress { .v4(IPv4Address(bits: 0x0A00_0000 + UInt32(number))) }

    // MARK: Verdicts

    @Test func eachAttemptHasItsVerdict() async throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        #expect(await ask(authenticator, scene.users) == .accepted)
        #expect(await ask(authenticator, scene.users, "alice", "Secret") == .denied)
        #expect(await ask(authenticator, scene.users, "bob", "") == .denied)
        #expect(scene.calls.withLock { $0 } == ["alice", "alice", "bob"])
        #expect(authenticator.waiting == 0)
    }

    @Test func answersComeOnTheAskingLoop() async throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        let loops: UInt = await withCheckedContinuation { continuation in
            Self.loop.post { continuation.resume(returning: UInt(pthread_self())) }
        }
        let answered: UInt = await withCheckedContinuation { continuation in
            let verdict = authenticator.verify([1], [2], of: scene.users, from: Self.here, on: Self.loop) { _ in
                continuation.resume(returning: UInt(pthread_self()))
            }
            #expect(verdict == nil)
        }
        #expect(answered == loops)
    }

    @Test func whatNobodyCanHaveIsDeniedAtOnce() throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        let answers = Answers()
        let long = String(repeating: "x", count: 256)
        #expect(begin(authenticator, scene.users, "", "secret", to: answers) == .denied)
        #expect(begin(authenticator, scene.users, long, "secret", to: answers) == .denied)
        #expect(begin(authenticator, scene.users, "alice", long, to: answers) == .denied)
        #expect(scene.count == 0)
    }

    /// With the system's crypt(3), from hash to verdict.
    @Test func realHashesAreVerified() async throws {
        let users = Users(
            UserFile.users(
                in: Array("alice:$5$pepper$2pAgbGpQiykh.M/nsGW0.I7Vms31DG4rMmvJxdszg10\n".utf8), { Issue.record("\($0)") }))
        let authenticator = try Authenticator(
            threads: 1, backOff: BackOff(), clock: { 1_000_000_000 },
            check: { $0.verify(name: $1, password: $2, with: $3) }, report: { _, _ in })
        #expect(await ask(authenticator, users) == .accepted)
        #expect(await ask(authenticator, users, "alice", "other") == .denied)
        #expect(await ask(authenticator, users, "alice", "secret\0") == .denied)
        #expect(await ask(authenticator, users, "bob") == .denied)
        // The clock stands still: the third failure is less than a second ago.
        #expect(await ask(authenticator, users) == .tooEarly(seconds: 1))
    }

    // MARK: What is remembered

    @Test func aBusyClientCostsOneVerificationAMinute() async throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        let answers = Answers()
        #expect(await ask(authenticator, scene.users) == .accepted)
        for _ in 0..<100 { #expect(begin(authenticator, scene.users, to: answers) == .accepted) }
        // From elsewhere too.
        #expect(begin(authenticator, scene.users, from: Self.elsewhere, to: answers) == .accepted)
        scene.advance(59.9)
        #expect(begin(authenticator, scene.users, to: answers) == .accepted)
        #expect(scene.count == 1)
        // Use does not prolong it.
        scene.advance(0.1)
        #expect(await ask(authenticator, scene.users) == .accepted)
        #expect(scene.count == 2)
    }

    @Test func wrongPasswordsAreNotRemembered() async throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        for _ in 0..<2 { #expect(await ask(authenticator, scene.users, "alice", "x") == .denied) }
        #expect(await ask(authenticator, scene.users) == .accepted)
        #expect(await ask(authenticator, scene.users, "alice", "x") == .denied)
        #expect(await ask(authenticator, scene.users, "bob") == .accepted)
        #expect(scene.count == 5)
    }

    @Test func anotherTableRemembersNothing() async throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        let answers = Answers()
        #expect(await ask(authenticator, scene.users) == .accepted)
        let reloaded = Users(UserFile.users(in: []) { _ in })
        scene.hold()
        #expect(begin(authenticator, reloaded, to: answers) == nil)
        // Nor what is being verified while the table changes.
        let again = Users(UserFile.users(in: []) { _ in })
        #expect(begin(authenticator, again, "alice", "x", to: answers) == nil)
        scene.hold(false)
        until { answers.count == 2 }
        #expect(answers.count(.accepted) == 1 && answers.count(.denied) == 1)
        #expect(begin(authenticator, reloaded, to: answers) == .accepted)
        #expect(begin(authenticator, again, to: answers) == nil)
        until { answers.count == 3 }
        #expect(scene.count == 4)
    }

    // MARK: Back-off

    @Test func failuresMakeASourceWaitLongerAndLonger() async throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        let answers = Answers()
        for _ in 0..<2 { #expect(await ask(authenticator, scene.users, "alice", "x") == .denied) }
        for seconds in [1, 2, 4, 8, 16, 30, 30, 30] {
            let calls = scene.count
            #expect(await ask(authenticator, scene.users, "alice", "x") == .denied)
            #expect(scene.count == calls + 1)
            // Nobody looks at the password: neither a wrong one nor the right one.
            for password in ["y", "secret"] {
                #expect(begin(authenticator, scene.users, "alice", password, to: answers) == .tooEarly(seconds: seconds))
            }
            scene.advance(Double(seconds) - 0.5)
            #expect(begin(authenticator, scene.users, "alice", "secret", to: answers) == .tooEarly(seconds: 1))
            #expect(scene.count == calls + 1)
            scene.advance(0.5)
        }
        // Others do not notice.
        #expect(await ask(authenticator, scene.users, from: Self.elsewhere) == .accepted)
        #expect(scene.reports.withLock { $0 } == [1, 2, 4, 8, 16, 30].map { "192.0.2.1 \($0)" })
    }

    @Test func aSuccessClearsTheFailures() async throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        for _ in 0..<3 {
            for _ in 0..<2 { #expect(await ask(authenticator, scene.users, "alice", "x") == .denied) }
            #expect(await ask(authenticator, scene.users) == .accepted)
            scene.advance(60)
        }
        for _ in 0..<3 { #expect(await ask(authenticator, scene.users, "alice", "x") == .denied) }
        scene.advance(1)
        #expect(await ask(authenticator, scene.users) == .accepted)
        #expect(authenticator.sources == 0)
    }

    /// Whoever has an account could otherwise guess others' passwords two at a time.
    @Test func aRememberedLoginClearsNothing() async throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        let answers = Answers()
        #expect(await ask(authenticator, scene.users, "mallory") == .accepted)
        for _ in 0..<3 {
            #expect(begin(authenticator, scene.users, "mallory", to: answers) == .accepted)
            #expect(await ask(authenticator, scene.users, "alice", "x") == .denied)
        }
        #expect(begin(authenticator, scene.users, "mallory", to: answers) == .tooEarly(seconds: 1))
    }

    @Test func aBurstOfGuessesIsAsManyAsItsFirstThree() throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        let answers = Answers()
        scene.hold()
        for guess in 0..<500 { #expect(begin(authenticator, scene.users, "alice", "\(guess)", to: answers) == nil) }
        #expect(begin(authenticator, scene.users, "bob", from: Self.elsewhere, to: answers) == nil)
        scene.hold(false)
        until { answers.count == 501 }
        #expect(answers.count(.denied) == 3 && answers.count(.tooEarly(seconds: 1)) == 497 && answers.count(.accepted) == 1)
        #expect(scene.calls.withLock { $0 } == ["alice", "alice", "alice", "bob"])
    }

    @Test func sourcesHaveABound() async throws {
        let scene = Scene()
        let authenticator = try scene.authenticator(mostSources: 50)
        for _ in 0..<3 { _ = await ask(authenticator, scene.users, "alice", "x", from: Self.here) }
        for number in 0..<300 {
            #expect(await ask(authenticator, scene.users, "alice", "x", from: source(number)) == .denied)
            #expect(authenticator.sources <= 100)
            // One that keeps asking stays known.
            #expect(await ask(authenticator, scene.users) == .tooEarly(seconds: 1))
        }
    }

    // MARK: Bounds

    @Test func equalAttemptsAreVerifiedOnce() throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        let answers = Answers()
        scene.hold()
        for _ in 0..<100 {
            #expect(begin(authenticator, scene.users, to: answers) == nil)
            #expect(begin(authenticator, scene.users, "bob", "x", to: answers) == nil)
        }
        #expect(authenticator.waiting == 200)
        scene.hold(false)
        until { answers.count == 200 }
        #expect(answers.count(.accepted) == 100 && answers.count(.denied) == 100)
        #expect(scene.calls.withLock { $0 } == ["alice", "bob"] && authenticator.waiting == 0)
        // A hundred times the same guess is one failure.
        #expect(begin(authenticator, scene.users, "bob", "y", to: answers) == nil)
        until { answers.count(.denied) == 101 }
    }

    @Test func theQueueHasABound() throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        let answers = Answers()
        scene.hold()
        for number in 0..<4 {
            for guess in 0..<1_024 {
                #expect(begin(authenticator, scene.users, "alice", "\(guess)", from: source(number), to: answers) == nil)
            }
            // Others still get in, as long as there is room at all.
            #expect(begin(authenticator, scene.users, "alice", "one more", from: source(number), to: answers) == .busy)
        }
        #expect(authenticator.waiting == 4_096)
        #expect(begin(authenticator, scene.users, from: Self.elsewhere, to: answers) == .busy)
        scene.hold(false)
        until { answers.count == 4_096 }
        #expect(scene.count == 12 && authenticator.waiting == 0)
        #expect(begin(authenticator, scene.users, from: Self.elsewhere, to: answers) == nil)
        until { answers.count(.accepted) == 1 }
    }

    @Test func aVerdictThatTakesTooLongIsANo() throws {
        let scene = Scene()
        let authenticator = try scene.authenticator()
        let answers = Answers()
        scene.hold()
        #expect(begin(authenticator, scene.users, "first", to: answers) == nil)
        until { scene.count == 1 }
        scene.advance(1)
        #expect(begin(authenticator, scene.users, "second", to: answers) == nil)
        authenticator.expire()
        #expect(authenticator.waiting == 2)
        scene.advance(1.9)
        authenticator.expire()
        until { answers.count(.late) == 1 }
        #expect(authenticator.waiting == 1)
        scene.advance(1)
        authenticator.expire()
        until { answers.count(.late) == 2 }
        // What nobody waits for is not begun; what was begun counts.
        scene.hold(false)
        until { begin(authenticator, scene.users, "first", to: answers) == .accepted }
        #expect(scene.calls.withLock { $0.contains("second") } == false)
        // Asked again and again until it is known: those answers come when they come.
        until { authenticator.waiting == 0 }
        #expect(answers.count(.denied) == 0 && answers.count(.busy) == 0)
    }

    /// By the machine's clock, with nobody to help. Looked at on the loop, where it is told: a task of the tests' may have to wait
    /// for its turn.
    @Test func thereIsAVerdictWithinThreeSeconds() async throws {
        let scene = Scene()
        scene.hold()
        let authenticator = try Authenticator(
            threads: 1, backOff: BackOff(), clock: { cs_monotonic_nanoseconds() },
            check: { _, _, _, _ in
                while scene.isHeld.load(ordering: .relaxed) { usleep(1_000) }
                return true
            }, report: { _, _ in })
        let start = cs_monotonic_nanoseconds()
        let (verdict, toldAt) = await withCheckedContinuation { continuation in
            let known = authenticator.verify(Array("alice".utf8), [1], of: scene.users, from: Self.here, on: Self.loop) {
                continuation.resume(returning: ($0, cs_monotonic_nanoseconds()))
            }
            #expect(known == nil)
        }
        #expect(verdict == .late)
        // Never earlier; later only by what it takes a thread to wake up.
        #expect(toldAt - start >= Authenticator.longest)
        scene.hold(false)
    }

    // MARK: Many at once

    @Test func manyClientsGetTheirOwnVerdicts() async throws {
        let scene = Scene()
        let authenticator = try scene.authenticator(threads: 4)
        let wrong = await withTaskGroup(of: Int.self) { group in
            for client in 0..<16 {
                group.addTask {
                    var wrong = 0
                    for turn in 0..<200 {
                        // All together less than what makes a verdict late, however slow the machine.
                        scene.advance(0.0005)
                        // Some share users, none shares a source with one that fails.
                        let isRight = client % 4 != 0
                        let verdict = await ask(
                            authenticator, scene.users, "user\(turn % 20)", isRight ? "secret" : "\(turn)", from: source(client))
                        switch verdict {
                        case .accepted where isRight, .denied where !isRight, .tooEarly where !isRight: break
                        default: wrong += 1
                        }
                    }
                    return wrong
                }
            }
            return await group.reduce(0, +)
        }
        #expect(wrong == 0 && authenticator.waiting == 0)
    }
}

@Suite struct BackOffTests {
    private static let second: UInt64 = 1_000_000_000

    @Test func failuresAreForgottenAfterAQuietMinute() {
        var backOff = BackOff()
        let source = IPAddress("192.0.2.1")!
        var now = Self.second
        #expect(backOff.failed(source, now: now) == nil && backOff.failed(source, now: now) == nil)
        now += 60 * Self.second
        #expect(backOff.failed(source, now: now) == Self.second)
        #expect(
            backOff.wait(of: source, now: now + Self.second - 1) == 1 && backOff.wait(of: source, now: now + Self.second) == nil)
        // The minute begins with the end of the wait.
        now += 61 * Self.second
        #expect(backOff.failed(source, now: now) == 2 * Self.second)
        now += 62 * Self.second + 1
        #expect(backOff.failed(source, now: now) == nil && backOff.wait(of: source, now: now) == nil)
    }

    @Test func waitsStayWithinBoundsForEver() {
        var backOff = BackOff()
        let source = IPAddress("::1")!
        for _ in 0..<1_000 { _ = backOff.failed(source, now: Self.second) }
        #expect(backOff.wait(of: source, now: Self.second) == 30 * Self.second)
        _ = backOff.failed(source, now: .max)
        #expect(backOff.wait(of: source, now: .max) == nil)
    }

    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("::1", "::"),
    ])
    func aSourceIsWhatOneHostHas(address: String, source: String) {
        #expect(BackOff.source(of: IPAddress(address)!) == IPAddress(source)!)
    }
}

@Suite struct RecentlyUsedTests {
    @Test func thoseUsedLastAreKept() {
        var recent = RecentlyUsed<Int, Int>(count: 10)
        for key in 0..<1_000 {
            recent[key] = -key
            #expect(recent[0] == 0 && recent.kept <= 20)
            for last in max(0, key - 8)...key { #expect(recent[last] == -last) }
        }
        #expect(recent[900] == nil)
        recent[999] = 7
        #expect(recent[999] == 7)
        recent[999] = nil
        #expect(recent[999] == nil)
    }

    @Test func whatIsRemovedDoesNotComeBack() {
        var recent = RecentlyUsed<Int, Int>(count: 2)
        for key in 0..<3 { recent[key] = key }
        // In the older generation.
        recent[0] = nil
        #expect(recent[0] == nil && recent.kept == 2)
        recent[1] = 5
        #expect(recent[1] == 5 && recent.kept == 2)
    }
}
