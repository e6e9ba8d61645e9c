internal import CSockets
public import Policy
public import Synchronization
public import TransparentSockets

/// Asks the block lists of source pools for each of their addresses, as often as the lists' answers say, and tells the pools.
///
/// A thread of its own keeps the time; each question has another for as long as it takes, so that a list that does not answer
/// delays nobody, and an address that was listed is out of use as soon as that is known. Sessions that leave from it stay.
public final class BlockListChecker: Sendable {
    /// Questions on their way at a time.
    static let mostQuestions = 16

    private struct State {
        var schedule = BlockListSchedule()
        var questions = 0
        var isRunning = false
    }

    /// What other threads may read of this checker.
    public let counters = Counters()
    /// Questions since the start, by what became of them.
    public final class Counters: Sendable {
        public let listed = Atomic<UInt64>(0)
        public let notListed = Atomic<UInt64>(0)
        /// The list has not answered, or not as a list does.
        public let failed = Atomic<UInt64>(0)
    }

    private let state = Mutex(State())
    private let wakeup: Descriptor
    private let ask: @Sendable (BlockListQuestion) -> BlockListAnswer
    private let report: Report

    public typealias Report = @Sendable (_ pool: String, _ address: IPAddress, _ list: DomainName, _ event: BlockListEvent) -> Void

    /// - Parameter report: called from threads of the checker, from several at once.
    public convenience init(report: @escaping Report) throws(SocketError) {
        try self.init(asking: { $0.ask() }, report: report)
    }

    init(
        asking ask: @escaping @Sendable (BlockListQuestion) -> BlockListAnswer, report: @escaping Report
    ) throws(SocketError) {
        wakeup = try eventDescriptor()
        self.ask = ask
        self.report = report
    }

    /// From now on keeps what is known of these pools' addresses, and of no others. Those without a block list are passed over.
    public func watch(_ pools: [SourcePool]) throws(SocketError) {
        let mustStart = state.withLock { state in
            state.schedule.keep(pools)
            return !state.isRunning && !state.schedule.isEmpty
        }
        if mustStart {
            try startThread("blocklist") { [self] in run() }
            state.withLock { $0.isRunning = true }
        }
        signal(wakeup)
    }

    private func run() -> Never {
        while true {
            let now = cs_monotonic_nanoseconds()
            let (due, nextAt) = state.withLock { state in
                var due: [BlockListSchedule.Entry] = []
                while state.questions < Self.mostQuestions, let entry = state.schedule.next(now: now) {
                    due.append(entry)
                    state.questions += 1
                }
                // With no thread left, the next thing that happens is an answer.
                return (due, state.questions < Self.mostQuestions ? state.schedule.nextAt : .max)
            }
            for entry in due { begin(entry) }
            let wait = nextAt == .max ? -1 : Int32(clamping: (nextAt - min(nextAt, now)) / 1_000_000 + 1)
            _ = isSignalled(wakeup, within: wait)
        }
    }

    private func begin(_ entry: BlockListSchedule.Entry) {
        do throws(SocketError) {
            try startThread("blocklist") { [self] in finish(entry, ask(entry.question)) }
        } catch {
            finish(entry, .unknown("\(error)"))
        }
    }

    private func count(_ answer: BlockListAnswer) {
        switch answer {
        case .listed: counters.listed.wrappingAdd(1, ordering: .relaxed)
        case .notListed: counters.notListed.wrappingAdd(1, ordering: .relaxed)
        case .unknown: counters.failed.wrappingAdd(1, ordering: .relaxed)
        }
    }

    private func finish(_ entry: BlockListSchedule.Entry, _ answer: BlockListAnswer) {
        count(answer)
        let now = cs_monotonic_nanoseconds()
        let events = state.withLock { state in
            state.questions -= 1
            return state.schedule.heard(answer, of: entry.source, now: now)
        }
        for event in events { report(entry.pool, entry.source.address, entry.question.list, event) }
        signal(wakeup)
    }
}
