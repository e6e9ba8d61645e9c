internal import CSockets
internal import Glibc
internal import Synchronization
internal import SystemPackage
internal import TransparentSockets

/// One thread that serves sessions: epoll, timers, and the tasks that set sessions up.
///
/// It is a *task* executor and nothing else: a `Task` that prefers it starts here and, after every suspension, goes on
/// here. An actor with this loop as its serial executor was tried and starts each task on the global pool.
///
/// Everything but ``post(_:)`` and ``enqueue(_:)`` belongs to the loop's own thread. That is what the `@unchecked` stands
/// for, here and in what the loop confines: `Worker`, `LoopBound`, `NewListener` on its way in.
final class EventLoop: TaskExecutor, @unchecked Sendable {
    /// Whose event it is: the low bits of the payload that epoll hands back.
    enum Source: UInt64 {
        case client = 0
        case upstream = 1
        case watched = 2
        case wakeup = 3
    }

    /// Events taken from the kernel at a time. More makes each wait cheaper and the last session of a batch wait longer: with
    /// 64 busy sessions, batches of 64 gave 4 % more than 128 and the lowest p99 of 16, 32, 64 and 128.
    static let batch = 64
    private let epoll: Descriptor
    private let wakeup: Descriptor
    private let posted = Mutex<Posted>(Posted())
    private struct Posted {
        var jobs: [UnownedJob] = []
        var calls: [@Sendable () -> Void] = []
        var isAwake = false
    }

    /// Monotonic nanoseconds at the start of this turn.
    private(set) var now: UInt64
    private(set) var slots = SlotTable()
    private var timers: TimerWheel
    private var jobs: [UnownedJob] = []
    private var again: [SlotID] = []
    private var due: [UInt32] = []
    private var unacknowledged = AcknowledgementQueues()
    private(set) var bells = DeadlineQueue()
    /// Sessions that ended in this turn: they are called without being retained, so they live until it is over.
    private var ended: [Session] = []
    private var events: UnsafeMutablePointer<cs_event>
    /// What one call receives, for as long as nothing is waited for.
    let scratch = UnsafeMutableRawPointer.allocate(byteCount: scratchSize, alignment: 4096)
    static let scratchSize = 1 << 16
    private var thread: pthread_t?
    private var watched = WatchTable()
    /// Milliseconds that a turn may wait at most, whatever the timers say; -1: no bound.
    var longestWait: Int32 = -1
    /// Called after the events of each turn.
    var endOfTurn: () -> Void = {}
    /// Monotonic nanoseconds at which `alarm` is called, between two turns; `.max`: never.
    var alarmAt: UInt64 = .max
    var alarm: () -> Void = {}

    init() throws(SocketError) {
        let epoll = cs_epoll_create()
        guard epoll >= 0 else { throw SocketError(call: "epoll_create1", errno: .init(rawValue: -epoll)) }
        self.epoll = Descriptor(owning: epoll)
        let wakeup = cs_eventfd()
        guard wakeup >= 0 else { throw SocketError(call: "eventfd", errno: .init(rawValue: -wakeup)) }
        self.wakeup = Descriptor(owning: wakeup)
        now = cs_monotonic_nanoseconds()
        timers = TimerWheel(now: now)
        events = .allocate(capacity: Self.batch)
        _ = cs_epoll_control(epoll, EPOLL_CTL_ADD, wakeup, cs_epoll_in, Source.wakeup.rawValue)
    }

    deinit {
        events.deallocate()
        scratch.deallocate()
    }

    // MARK: From any thread

    /// Runs `call` on the loop's thread, in the order of posting.
    func post(_ call: @escaping @Sendable () -> Void) {
        wake { $0.calls.append(call) }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isOnLoop {
            jobs.append(job)
        } else {
            wake { $0.jobs.append(job) }
        }
    }

    private func wake(_ change: (inout sending Posted) -> Void) {
        let mustWake = posted.withLock { posted in
            change(&posted)
            defer { posted.isAwake = true }
            return !posted.isAwake
        }
        if mustWake {
            var one: UInt64 = 1
            _ = cs_write(wakeup.raw, &one, 8)
        }
    }

    private var isOnLoop: Bool { thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false }

    /// In debug builds, stops whoever comes from another thread. Every session comes by here, as it starts and as it ends.
    private func assertOnLoop() { assert(isOnLoop, "\(Self.self) belongs to its own thread") }

    // MARK: Registration

    func add(_ session: Session) -> SlotID {
        assertOnLoop()
        return slots.insert(session)
    }

    func remove(_ id: SlotID) {
        assertOnLoop()
        timers.cancel(id.index, in: slots.slots)
        if let session = slots.remove(id) { ended.append(session) }
    }

    /// Watches a session's socket: every change of readiness is told once (edge-triggered).
    ///
    /// - Parameter isWatched: for an earlier session, whose socket it was.
    func watch(_ raw: Int32, _ source: Source, of id: SlotID, isWatched: Bool = false) -> Int32 {
        let payload = UInt64(id.generation) << 32 | UInt64(id.index) << 2 | source.rawValue
        return cs_epoll_control(
            epoll.raw, isWatched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, raw,
            cs_epoll_in | cs_epoll_out | cs_epoll_rdhup | cs_epoll_pri | cs_epoll_edge,
            payload)
    }

    /// Watches a session's socket no more; somebody else is about to.
    func forget(_ raw: Int32) { _ = cs_epoll_control(epoll.raw, EPOLL_CTL_DEL, raw, 0, 0) }

    /// Watches a descriptor: told as long as something can be read (level-triggered), and of errors.
    ///
    /// - Returns: its name, or nil when epoll takes no more.
    func watch(_ new: any Watched) -> SlotID? {
        let id = watched.insert(new)
        guard cs_epoll_control(epoll.raw, EPOLL_CTL_ADD, new.raw, cs_epoll_in, payload(id)) == 0 else {
            watched.remove(id)
            return nil
        }
        return id
    }

    /// The same, told of each change of readiness once (edge-triggered), as sessions are.
    func watchEdges(_ new: any Watched) -> SlotID? {
        assertOnLoop()
        let id = watched.insert(new)
        let events = cs_epoll_in | cs_epoll_out | cs_epoll_rdhup | cs_epoll_edge
        guard cs_epoll_control(epoll.raw, EPOLL_CTL_ADD, new.raw, events, payload(id)) == 0 else {
            watched.remove(id)
            return nil
        }
        return id
    }

    func setWatching(_ known: any Watched, _ id: SlotID, _ isWatching: Bool) {
        _ = cs_epoll_control(epoll.raw, EPOLL_CTL_MOD, known.raw, isWatching ? cs_epoll_in : 0, payload(id))
    }

    /// - Parameter isClosed: its descriptor is about to be closed, which ends the watching by itself.
    func unwatch(_ known: any Watched, _ id: SlotID, isClosed: Bool = false) {
        watched.remove(id)
        if !isClosed { _ = cs_epoll_control(epoll.raw, EPOLL_CTL_DEL, known.raw, 0, 0) }
    }

    private func payload(_ id: SlotID) -> UInt64 {
        UInt64(id.generation) << 32 | UInt64(id.index) << 2 | Source.watched.rawValue
    }

    func setDeadline(_ id: SlotID, at deadline: UInt64) {
        timers.set(id.index, at: deadline, in: slots.slots)
    }

    /// Has `bell` told when that time has come, in monotonic nanoseconds, and at no other.
    func ring(_ bell: Bell, at deadline: UInt64) { bells.set(bell, at: deadline) }

    /// ... not at all.
    func silence(_ bell: Bell) { bells.remove(bell) }

    /// Calls `acknowledge` of a session soon, in case no data carries the acknowledgement that one side waits for.
    ///
    /// - Returns: false when there is no use in waiting: acknowledge now.
    func acknowledgeSoon(_ id: SlotID, to side: Relay.Side) -> Bool { unacknowledged.add(id, side, now: now) }

    /// An upstream has answered a client's first data, so many nanoseconds later.
    func noteAnswer(after time: UInt64) { unacknowledged.noteAnswer(after: time) }

    /// Comes back to a session in the next turn: its budget was used up, its edge was not.
    func comeBack(_ id: SlotID) { again.append(id) }

    // MARK: The loop

    /// The calling thread becomes the loop's, for as long as the process lives.
    func run() -> Never {
        thread = pthread_self()
        while true {
            let count = cs_epoll_wait(epoll.raw, events, Int32(Self.batch), wait)
            now = cs_monotonic_nanoseconds()
            for index in 0..<max(Int(count), 0) {
                dispatch(events[index].payload, events[index].events)
            }
            runAgain()
            runTimers()
            if alarmAt <= now { alarm() }
            while let bell = bells.next(now: now) { bell.deadlineReached() }
            acknowledge()
            runJobs()
            endOfTurn()
            ended.removeAll(keepingCapacity: true)
        }
    }

    private var wait: Int32 {
        guard again.isEmpty, jobs.isEmpty else { return 0 }
        var wait = timers.timeout(now: now)
        if longestWait >= 0, wait < 0 || wait > longestWait { wait = longestWait }
        let due = min(unacknowledged.due, alarmAt, bells.due)
        guard due != .max else { return wait }
        let untilDue = due <= now ? 0 : Int32(clamping: (due - now + 999_999) / 1_000_000)
        return wait < 0 ? untilDue : min(wait, untilDue)
    }

    @inline(__always)
    private func dispatch(_ payload: UInt64, _ events: UInt32) {
        switch Source(rawValue: payload & 3).unsafelyUnwrapped {
        case .client:
            slots.find(SlotID(payload))?._withUnsafeGuaranteedRef { $0.clientReady(events) }
        case .upstream:
            slots.find(SlotID(payload))?._withUnsafeGuaranteedRef { $0.upstreamReady(events) }
        case .watched:
            watched.find(SlotID(payload))?.ready(events)
        case .wakeup:
            takePosted()
        }
    }

    private func runAgain() {
        guard !again.isEmpty else { return }
        let now = again
        again.removeAll(keepingCapacity: true)
        for id in now { slots.find(id)?._withUnsafeGuaranteedRef { $0.goOn() } }
    }

    private func acknowledge() {
        while let (id, side) = unacknowledged.next(now: now) {
            slots.find(id)?._withUnsafeGuaranteedRef { $0.acknowledge(side) }
        }
    }

    private func runTimers() {
        timers.advance(to: now, in: slots.slots, due: &due)
        guard !due.isEmpty else { return }
        let now = due
        due.removeAll(keepingCapacity: true)
        for index in now { slots.slots[Int(index)].session?._withUnsafeGuaranteedRef { $0.deadlineReached() } }
    }

    private func runJobs() {
        var next = 0
        // A job may start others: they run in the same turn.
        while next < jobs.count {
            jobs[next].runSynchronously(on: asUnownedTaskExecutor())
            next += 1
        }
        jobs.removeAll(keepingCapacity: true)
    }

    private func takePosted() {
        var count: UInt64 = 0
        _ = cs_read(wakeup.raw, &count, 8)
        let (others, calls) = posted.withLock { posted in
            defer { posted = Posted() }
            return (posted.jobs, posted.calls)
        }
        jobs += others
        for call in calls { call() }
    }
}

extension SlotID {
    @inline(__always)
    init(_ payload: UInt64) {
        index = UInt32(truncatingIfNeeded: payload >> 2) & 0x3FFF_FFFF
        generation = UInt32(truncatingIfNeeded: payload >> 32)
    }
}
