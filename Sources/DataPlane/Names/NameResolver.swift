internal import CSockets
internal import Policy
internal import Synchronization
internal import TransparentSockets

/// Finds the addresses of the names that clients say they want to go to. All workers share one.
///
/// 1. `resolve` answers at once what is known, or what cannot be asked because too many ask.
/// 2. Else the name becomes a question, unless it is one already, and the asker one of those who wait for it.
/// 3. One of a few threads takes the oldest question and asks the system, which may take long: so no worker does it itself.
/// 4. The answer goes into the cache, and to each asker on its own loop, whether it still waits or not.
///
/// A thread cannot be called back from `getaddrinfo`. When all of them hang, names that are known or already asked for go on
/// being answered, other names wait up to ``longestWait``, and what finds the queue full hears `busy` at once.
///
/// No source (``BackOff/source(of:)``) has more than its share of threads, queue and waiting: whoever asks for a thousand names in
/// dead zones waits for them, and those who ask for others do not.
final class NameResolver: Sendable {
    enum Answer: Hashable, Sendable {
        /// 1 to ``mostAddresses``, in the order in which they should be tried (RFC 8305 §4).
        case addresses([IPAddress])
        /// The name does not exist, or has no address.
        case noSuchName
        /// The resolver had no answer; the reason in its words.
        case failed(String)
        /// Too many names, or askers, are waiting: the name was not asked for.
        case busy
    }

    struct Limits: Sendable {
        /// Threads that ask, started as they are needed. With answers in 20 ms they ask for 800 names a second; each name in a
        /// dead zone takes one away for 10 seconds and more.
        var threads = 16
        /// Names that wait for a thread.
        var queuedNames = 256
        /// Askers that wait, for all names together.
        var waiters = 4_096
        /// Names whose answers are kept: with 8 addresses each, about 2 MiB.
        var cachedNames = 4_096
        /// Of these, what one source may have: half, for a source can be all clients of a site, behind one address.
        var threadsOfOne = 8
        var queuedNamesOfOne = 128
        var waitersOfOne = 2_048
    }

    /// Addresses of one name that are used.
    static let mostAddresses = 8
    /// Nanoseconds that an answer is kept. `getaddrinfo` tells no TTL: half a minute is what one page with its pictures takes,
    /// and short for a service that moves.
    static let lifetime: UInt64 = 30_000_000_000
    /// ... that there is no such name. It may be about to be made.
    static let negativeLifetime: UInt64 = 3_000_000_000
    /// ... that there was no answer: only so that many who want the same name do not ask one after the other.
    static let failureLifetime: UInt64 = 1_000_000_000
    /// Nanoseconds after which a name that still waits for a thread is given up: by then its askers have.
    static let longestWait: UInt64 = 10_000_000_000

    typealias Lookup = @Sendable (DomainName) throws(LookupFailure) -> [IPAddress]

    private struct Waiter: Sendable {
        let source: IPAddress
        let loop: EventLoop
        let completion: @Sendable (Answer) -> Void
    }

    private struct Question {
        let askedAt: UInt64
        /// Who asked first, and in whose share of the queue it stands.
        let source: IPAddress
        var waiters: [Waiter]
        /// Whose share of the threads it takes; nil: it is in the queue.
        var servedFor: IPAddress?
    }

    /// What one source has of everything.
    private struct Share {
        /// Names in the queue that it was the first to ask for.
        var queued = 0
        /// Threads that ask for its names.
        var served = 0
        var waiting = 0

        var isNothing: Bool { queued == 0 && served == 0 && waiting == 0 }
    }

    private struct State {
        var cache: NameCache
        /// Those that are being asked, and those in the queue.
        var questions: [DomainName: Question] = [:]
        /// The oldest first.
        var queue: [DomainName] = []
        /// In all questions.
        var waiters = 0
        var shares: [IPAddress: Share] = [:]
        var threads = 0
        /// Threads without a question.
        var idle = 0

        /// A new question, at the end of the queue.
        mutating func add(_ name: DomainName, _ waiter: Waiter, now: UInt64) {
            questions[name] = Question(askedAt: now, source: waiter.source, waiters: [])
            queue.append(name)
            shares[waiter.source, default: Share()].queued += 1
            append(waiter, to: name)
        }

        mutating func append(_ waiter: Waiter, to name: DomainName) {
            questions[name]?.waiters.append(waiter)
            waiters += 1
            shares[waiter.source, default: Share()].waiting += 1
        }

        /// Ends a question, which is not in the queue any more.
        mutating func takeWaiters(of name: DomainName) -> [Waiter] {
            guard let question = questions.removeValue(forKey: name) else { return [] }
            waiters -= question.waiters.count
            for waiter in question.waiters { shares[waiter.source]?.waiting -= 1 }
            if let source = question.servedFor {
                shares[source]?.served -= 1
            } else {
                shares[question.source]?.queued -= 1
            }
            for source in Set(question.waiters.map(\.source)) where shares[source]?.isNothing == true {
                shares[source] = nil
            }
            return question.waiters
        }

        /// The oldest name of the queue that somebody asks for whose share of the threads is not used up. Whoever else waits for a
        /// name must not have to wait for the one who asked first.
        mutating func next(_ limits: Limits) -> DomainName? {
            for place in queue.indices {
                guard let question = questions[queue[place]],
                    let waiter = question.waiters.first(where: { shares[$0.source].map { $0.served < limits.threadsOfOne } ?? true }
                    )
                else { continue }
                let name = queue.remove(at: place)
                shares[question.source]?.queued -= 1
                shares[waiter.source, default: Share()].served += 1
                questions[name]?.servedFor = waiter.source
                return name
            }
            return nil
        }

        /// In all, or for that source.
        func isFull(for source: IPAddress, _ limits: Limits) -> Bool {
            let share = shares[source] ?? Share()
            return waiters >= limits.waiters || queue.count >= limits.queuedNames || share.waiting >= limits.waitersOfOne
                || share.queued >= limits.queuedNamesOfOne
        }

        /// The askers of names that have waited for too long, which are no questions any more.
        mutating func takeStale(now: UInt64) -> [Waiter] {
            var stale: [Waiter] = []
            while let name = queue.first, let question = questions[name], now > question.askedAt + NameResolver.longestWait {
                queue.removeFirst()
                stale += takeWaiters(of: name)
            }
            return stale
        }
    }

    private let state: Mutex<State>
    private let wakeup: Descriptor
    private let limits: Limits
    private let lookup: Lookup
    private let clock: @Sendable () -> UInt64

    /// - Parameters:
    ///   - lookup: called from any of the threads; may wait.
    ///   - clock: monotonic nanoseconds.
    /// - Throws: when there is no descriptor left.
    init(
        limits: Limits = Limits(), lookup: @escaping Lookup = lookUp,
        clock: @escaping @Sendable () -> UInt64 = { cs_monotonic_nanoseconds() }
    ) throws(SocketError) {
        self.limits = limits
        self.lookup = lookup
        self.clock = clock
        wakeup = try eventDescriptor()
        state = Mutex(State(cache: NameCache(limit: limits.cachedNames)))
    }

    // MARK: On a worker's thread

    /// Finds a name's addresses. Never waits; may be called from any thread.
    ///
    /// - Parameters:
    ///   - client: who asks; what counts is its source.
    ///   - completion: called on the thread of `loop`, once, and never before this returns; not called when the answer is
    ///     returned. It comes when the system is done, though the asker may be long gone by then, and is freed on any thread: it
    ///     should hold a `SlotID`, and no session.
    /// - Returns: the answer, when it is there; nil: it will be told to `completion`.
    func resolve(
        _ name: DomainName, for loop: EventLoop, from client: IPAddress, _ completion: @escaping @Sendable (Answer) -> Void
    ) -> Answer? {
        enum Outcome {
            case known(Answer)
            case waits
            /// For a thread: an idle one, or one that is still to be started.
            case queued(mustStart: Bool)
        }
        let source = BackOff.source(of: client)
        let now = clock()
        let (outcome, stale) = state.withLock { state -> (Outcome, [Waiter]) in
            if let answer = state.cache.answer(for: name, now: now) { return (.known(answer), []) }
            let stale = state.isFull(for: source, limits) ? state.takeStale(now: now) : []
            let share = state.shares[source] ?? Share()
            guard state.waiters < limits.waiters, share.waiting < limits.waitersOfOne else { return (.known(.busy), stale) }
            let waiter = Waiter(source: source, loop: loop, completion: completion)
            if let question = state.questions[name] {
                state.append(waiter, to: name)
                // Its own share may have a thread for what others' do not.
                return (question.servedFor == nil && state.idle > 0 ? .queued(mustStart: false) : .waits, stale)
            }
            guard state.queue.count < limits.queuedNames, share.queued < limits.queuedNamesOfOne else {
                return (.known(.busy), stale)
            }
            state.add(name, waiter, now: now)
            // An idle thread that has been woken is idle until it runs: each in the queue counts on one.
            let mustStart = state.queue.count > state.idle && state.threads < limits.threads
            if mustStart { state.threads += 1 }
            return (.queued(mustStart: mustStart), stale)
        }
        tell(stale, .busy)
        switch outcome {
        case .known(let answer): return answer
        case .waits: break
        case .queued(mustStart: false): signal(wakeup)
        case .queued(mustStart: true): startAnother()
        }
        return nil
    }

    private func startAnother() {
        do throws(SocketError) {
            try startThread("names") { [self] in serve() }
        } catch {
            // The others will come to it. Where there are none, nobody will.
            let abandoned = state.withLock { state in
                state.threads -= 1
                guard state.threads == 0 else { return [Waiter]() }
                let names = state.queue
                state.queue = []
                return names.flatMap { state.takeWaiters(of: $0) }
            }
            tell(abandoned, .failed("\(error)"))
        }
    }

    private func tell(_ waiters: [Waiter], _ answer: Answer) {
        for waiter in waiters { waiter.loop.post { waiter.completion(answer) } }
    }

    /// Sources that have something of it now.
    var sources: Int { state.withLock { $0.shares.count } }

    // MARK: On the resolver's threads

    private func serve() -> Never {
        while true {
            let name = next()
            let answer = ask(name)
            let goodUntil = clock() + Self.lifetime(of: answer)
            let waiters = state.withLock { state in
                state.cache.keep(answer, for: name, until: goodUntil)
                return state.takeWaiters(of: name)
            }
            tell(waiters, answer)
        }
    }

    /// Waits for a name to ask for.
    private func next() -> DomainName {
        var isIdle = false
        while true {
            let now = clock()
            let (name, isLast, stale) = state.withLock { state in
                let stale = state.takeStale(now: now)
                let name = state.next(limits)
                // Idle until it has a name: one that was woken for nothing stays counted, or another would be started in its place.
                if isIdle != (name == nil) {
                    isIdle.toggle()
                    state.idle += isIdle ? 1 : -1
                }
                return (name, state.queue.isEmpty, stale)
            }
            tell(stale, .busy)
            if let name {
                // Whoever reads the eventfd takes all signals at once, and others may have slept through them.
                if !isLast { signal(wakeup) }
                return name
            }
            _ = isSignalled(wakeup, within: -1)
        }
    }

    private func ask(_ name: DomainName) -> Answer {
        do throws(LookupFailure) {
            let found = Self.byTurns(try lookup(name))
            return found.isEmpty ? .noSuchName : .addresses(Array(found.prefix(Self.mostAddresses)))
        } catch {
            return switch error {
            case .noSuchName: .noSuchName
            case .failed(let reason): .failed(reason)
            }
        }
    }

    private static func lifetime(of answer: Answer) -> UInt64 {
        switch answer {
        case .addresses: lifetime
        case .noSuchName: negativeLifetime
        case .failed, .busy: failureLifetime
        }
    }

    /// Both families by turns, beginning with the first one's (RFC 8305 §4), each address once. So each family has its share
    /// of those that are used, however many there are of the other.
    static func byTurns(_ addresses: [IPAddress]) -> [IPAddress] {
        var families: (same: [IPAddress], other: [IPAddress]) = ([], [])
        var seen: Set<IPAddress> = []
        for address in addresses where seen.insert(address).inserted {
            if address.isIPv6 == addresses[0].isIPv6 { families.same.append(address) } else { families.other.append(address) }
        }
        return (0..<max(families.same.count, families.other.count)).flatMap { index in
            [families.same, families.other].compactMap { index < $0.count ? $0[index] : nil }
        }
    }
}
