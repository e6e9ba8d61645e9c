internal import CSockets
internal import Credentials
internal import Glibc
internal import Synchronization
internal import SystemPackage
public import TransparentSockets

/// Says whether a name and a password let a client in. Passwords are hashed by threads of its own, for one takes longer than a
/// worker may be kept from its sessions.
///
/// The way of an attempt: `verify` asks the back-off, then what is remembered, and joins the attempt to an equal one or puts it at the
/// end of the queue; a thread asks the back-off again and crypt(3), tells all who wait, and writes down what follows from it. The
/// timekeeper, another thread, tells those whose time is over.
public final class Authenticator: Sendable {
    /// Nanoseconds within which there is a verdict: three seconds, but for what it takes a thread to wake up and a loop to hear it.
    static let longest: UInt64 = 2_900_000_000
    /// Attempts that wait for a verdict, and how many of them can come from one source: thousands of guesses from one address must not keep
    /// others out until the first three have failed.
    static let mostWaiting = 4_096
    static let mostWaitingOfOne = 1_024
    /// How much the threads stand back behind those that move bytes: with 5, sessions get three times their share.
    private static let niceness: Int32 = 5

    enum Verdict: Sendable, Equatable {
        case accepted
        /// There is no such user, or the password is another one.
        case denied
        /// Too many failures; nobody looked at the password.
        case tooEarly(seconds: Int)
        /// Too many attempts wait.
        case busy
        /// There was none in time.
        case late
    }

    typealias Check = @Sendable (_ users: UserTable, _ name: [UInt8], _ password: [UInt8], PasswordHasher) -> Bool
    fileprivate typealias Answer = @Sendable (Verdict) -> Void

    /// What makes two attempts one: then a client that opens a hundred connections at once costs one call.
    fileprivate struct Attempt: Hashable {
        let source: IPAddress
        /// Tells different users' tables apart as well, as each has a key of its own.
        let digest: LoginDigest
    }

    fileprivate struct Job {
        let number: UInt64
        let attempt: Attempt
        let users: Users
        let name: [UInt8]
        let password: [UInt8]
        let dueAt: UInt64
        var answers: [Answer]
    }

    fileprivate struct State {
        var backOff: BackOff
        /// Without a verdict so far, by number. Numbers follow each other, so deadlines do too.
        var jobs: [UInt64: Job] = [:]
        var numbers: [Attempt: UInt64] = [:]
        /// The next new one, and the next to be verified: those between are the queue.
        var end: UInt64 = 0
        var next: UInt64 = 0
        /// No earlier one is without a verdict.
        var oldest: UInt64 = 0
        var waiting = 0
        var waitingOf: [IPAddress: Int] = [:]
    }

    private let state: Mutex<State>
    private let work: Descriptor
    private let timekeeping: Descriptor
    private let clock: @Sendable () -> UInt64
    private let check: Check
    private let report: @Sendable (_ source: IPAddress, _ seconds: Int) -> Void

    /// Starts the threads, which live as long as the process.
    ///
    /// - Parameters:
    ///   - threads: 1 or more. Each verification may take 128 MiB while it lasts.
    ///   - report: called from one of the threads when a source's failures make it wait longer than before: at most six times until
    ///     it succeeds or is forgotten. Of an IPv6 source, the first 64 bits.
    public convenience init(
        threads: Int = 2, report: @escaping @Sendable (_ source: IPAddress, _ seconds: Int) -> Void
    ) throws(SocketError) {
        try self.init(
            threads: threads, backOff: BackOff(), clock: { cs_monotonic_nanoseconds() },
            check: { $0.verify(name: $1, password: $2, with: $3) }, report: report)
    }

    /// - Parameters:
    ///   - clock: monotonic nanoseconds.
    ///   - check: what takes the time.
    init(
        threads: Int, backOff: BackOff, clock: @escaping @Sendable () -> UInt64, check: @escaping Check,
        report: @escaping @Sendable (_ source: IPAddress, _ seconds: Int) -> Void
    ) throws(SocketError) {
        state = Mutex(State(backOff: backOff))
        work = try eventDescriptor()
        timekeeping = try eventDescriptor()
        self.clock = clock
        self.check = check
        self.report = report
        try startThread("timekeeper") { [self] in keepTime() }
        for number in 0..<threads { try startThread("passwords/\(number)") { [self] in run() } }
    }

    // MARK: On a worker's thread

    /// - Parameters:
    ///   - name: bytes as the client sent them, like `password`. What no user can have is denied at once.
    ///   - loop: the caller's own.
    ///   - answer: called on `loop`, once and within ``longest``, if and only if nil is returned.
    /// - Returns: the verdict, where it is known already.
    func verify(
        _ name: [UInt8], _ password: [UInt8], of users: Users, from address: IPAddress, on loop: EventLoop,
        _ answer: @escaping @Sendable (Verdict) -> Void
    ) -> Verdict? {
        guard UserTable.canHold(name: name, password: password) else { return .denied }
        // Only for lack of memory there is none.
        guard let digest = users.digest(name, password) else { return .busy }
        let attempt = Attempt(source: BackOff.source(of: address), digest: digest)
        let now = clock()
        let (verdict, isNew, isFirst) = state.withLock { state -> (Verdict?, Bool, Bool) in
            // Before what is remembered: to guess that as fast as one can ask must not be worth anybody's while either.
            if let wait = state.backOff.wait(of: attempt.source, now: now) { return (.tooEarly(wait), false, false) }
            // Nor does it count as a success: with an account of one's own one could guess others' passwords, two at a time.
            if users.isAccepted(digest, now: now) { return (.accepted, false, false) }
            guard state.waiting < Self.mostWaiting, state.waitingOf[attempt.source, default: 0] < Self.mostWaitingOfOne else {
                return (.busy, false, false)
            }
            let isFirst = state.jobs.isEmpty
            let isNew = state.add(attempt, users, name, password, now: now) { verdict in loop.post { answer(verdict) } }
            return (nil, isNew, isFirst)
        }
        if isNew { signal(work) }
        if isFirst { signal(timekeeping) }
        return verdict
    }

    // MARK: On the threads that hash

    private func run() -> Never {
        // For this thread alone: Linux has it so (setpriority(2), BUGS). Should it fail, nothing is lost.
        _ = nice(Self.niceness)
        let hasher = PasswordHasher()
        while true {
            let (job, wait, areMore) = state.withLock { $0.take(now: clock()) }
            // One signal may have stood for several jobs.
            if areMore { signal(work) }
            guard let job else {
                _ = isSignalled(work, within: -1)
                continue
            }
            if let wait {
                settle(job, .tooEarly(wait))
            } else {
                let isRight = check(job.users.table, job.name, job.password, hasher)
                conclude(job, isRight, now: clock())
            }
        }
    }

    /// What a verification means for those to come; then its answer. In this order: whoever asks again after the answer must find it.
    private func conclude(_ job: Job, _ isRight: Bool, now: UInt64) {
        if isRight { job.users.accept(job.attempt.digest, now: now) }
        let source = job.attempt.source
        let wait = state.withLock { state -> UInt64? in
            guard isRight else { return state.backOff.failed(source, now: now) }
            state.backOff.succeeded(source)
            return nil
        }
        settle(job, isRight ? .accepted : .denied)
        if let wait { report(source, Int(wait / 1_000_000_000)) }
    }

    /// Tells all who still wait for this one.
    private func settle(_ job: Job, _ verdict: Verdict) {
        let answers = state.withLock { $0.remove(job.number)?.answers ?? [] }
        for answer in answers { answer(verdict) }
    }

    // MARK: On the timekeeper's thread

    private func keepTime() -> Never {
        while true {
            let dueAt = expire()
            let now = clock()
            // A millisecond more than is left, so that it is over then.
            let milliseconds = dueAt.map { Int32(clamping: ($0 - min($0, now)) / 1_000_000 + 1) }
            _ = isSignalled(timekeeping, within: milliseconds ?? -1)
        }
    }

    /// Ends the waits whose time is over. Their verifications go on, and count.
    ///
    /// - Returns: when the next one will be, in monotonic nanoseconds.
    @discardableResult
    func expire() -> UInt64? {
        let now = clock()
        let (expired, dueAt) = state.withLock { state -> ([Job], UInt64?) in
            var expired: [Job] = []
            while let job = state.longestWaiting {
                guard job.dueAt <= now else { return (expired, job.dueAt) }
                if let job = state.remove(job.number) { expired.append(job) }
            }
            return (expired, nil)
        }
        for answer in expired.flatMap(\.answers) { answer(.late) }
        return dueAt
    }

    /// Attempts that wait for a verdict now.
    var waiting: Int { state.withLock { $0.waiting } }
    /// Sources that the back-off knows.
    var sources: Int { state.withLock { $0.backOff.sources } }
}

extension Authenticator.Verdict {
    /// - Parameter wait: nanoseconds, in whole seconds rounded up.
    fileprivate static func tooEarly(_ wait: UInt64) -> Self { .tooEarly(seconds: Int((wait + 999_999_999) / 1_000_000_000)) }
}

extension Authenticator.State {
    /// - Returns: whether it is a job of its own.
    fileprivate mutating func add(
        _ attempt: Authenticator.Attempt, _ users: Users, _ name: [UInt8], _ password: [UInt8], now: UInt64,
        _ answer: @escaping Authenticator.Answer
    ) -> Bool {
        waiting += 1
        waitingOf[attempt.source, default: 0] += 1
        if let number = numbers[attempt] {
            jobs[number]?.answers.append(answer)
            return false
        }
        jobs[end] = Authenticator.Job(
            number: end, attempt: attempt, users: users, name: name, password: password, dueAt: now &+ Authenticator.longest,
            answers: [answer])
        numbers[attempt] = end
        end += 1
        return true
    }

    /// The first of the queue.
    ///
    /// - Returns: also how long its source must wait in place of a verification, if so, and whether there are more in the queue.
    fileprivate mutating func take(now: UInt64) -> (Authenticator.Job?, wait: UInt64?, areMore: Bool) {
        while next < end {
            defer { next += 1 }
            // It may have expired.
            guard let job = jobs[next] else { continue }
            return (job, backOff.wait(of: job.attempt.source, now: now), next + 1 < end)
        }
        return (nil, nil, false)
    }

    fileprivate mutating func remove(_ number: UInt64) -> Authenticator.Job? {
        guard let job = jobs.removeValue(forKey: number) else { return nil }
        numbers[job.attempt] = nil
        waiting -= job.answers.count
        let left = waitingOf[job.attempt.source, default: 0] - job.answers.count
        waitingOf[job.attempt.source] = left > 0 ? left : nil
        return job
    }

    fileprivate var longestWaiting: Authenticator.Job? {
        mutating get {
            while oldest < end {
                if let job = jobs[oldest] { return job }
                oldest += 1
            }
            return nil
        }
    }
}
