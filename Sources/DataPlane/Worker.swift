internal import CSockets
internal import Glibc
internal import Policy
public import Synchronization
internal import SystemPackage
public import TransparentSockets

/// One thread that serves sessions, and everything it owns: loop, listeners, sessions, pipes, buffer.
///
/// Workers share nothing but counters and the immutable ``Settings``. Every public method may be called from any thread:
/// it only posts to the loop.
public final class Worker: @unchecked Sendable {
    let loop: EventLoop
    let observer: any SessionObserver
    let loopGuard: LoopGuard
    let names: NameResolver
    let datagramPorts: DatagramPorts
    let handshakes: HandshakeShares
    private let sessions: Shared.SessionCount
    private(set) var settings: Settings
    private(set) var resources: Resources
    /// Upstream sockets that can be dialled again.
    var sockets: SocketPool
    /// Those that requests are shown to.
    var services = Services()
    private var selfCheck = SelfCheck([])
    private var listeners: [Listener] = []
    private var datagramListeners: [DatagramListener] = []
    /// nil: no UDP so far.
    private var datagrams: Datagrams?
    private var clock = LocalClock()
    private var pausedListeners = 0
    private var active = 0
    /// Sessions ended since the start.
    private(set) var ended: UInt64 = 0
    /// No new sessions, and no further requests of HTTP.
    private(set) var isDraining = false
    /// The drain is over: sessions that are still being set up end by themselves.
    private(set) var isCut = false
    private var isDrained = false
    /// Sessions end with their clients.
    private(set) var isEnding = false

    /// What other threads may read of this worker.
    public let counters = Counters()
    public final class Counters: Sendable {
        /// Sessions open now.
        public let active = Atomic<Int>(0)
        /// Sessions ended since the start.
        public let ended = Atomic<UInt64>(0)
        /// Bytes moved by ended sessions, client to upstream and back.
        public let up = Atomic<UInt64>(0)
        public let down = Atomic<UInt64>(0)
        /// UDP's.
        public let datagrams = DatagramCounters()
    }

    /// What all workers of a process share.
    public struct Shared: Sendable {
        let loopGuard = LoopGuard()
        let sessions = SessionCount()
        let names: NameResolver
        let datagramPorts = DatagramPorts()
        let handshakes = HandshakeShares()
        public init() throws(SocketError) { names = try NameResolver() }

        /// Sessions open now, in all workers: the limit is the process's, and the kernel spreads connections unevenly.
        final class SessionCount: Sendable {
            let value = Atomic<Int>(0)
            /// Sockets that sessions have beside the two that each may have.
            let rivals = Atomic<Int>(0)
        }
    }

    public init(_ settings: Settings, _ shared: Shared, observer: any SessionObserver) throws(SocketError) {
        loop = try EventLoop()
        self.observer = observer
        loopGuard = shared.loopGuard
        names = shared.names
        datagramPorts = shared.datagramPorts
        handshakes = shared.handshakes
        sessions = shared.sessions
        self.settings = settings
        resources = Resources(settings)
        sockets = SocketPool(limit: settings.maxKeptSockets)
        loop.endOfTurn = { [unowned self] in endTurn() }
    }

    /// The time, where rules ask for it.
    func minute(for policy: Policy) -> MinuteOfWeek? { policy.asksForTime ? clock.now() : nil }

    // MARK: From any thread

    /// Starts the thread.
    public func start(name: String) throws(SocketError) {
        try startThread(name) { [self] in loop.run() }
    }

    /// Replaces the listeners by `sockets`, and the settings. Listeners that stay keep their place in the backlog.
    ///
    /// - Parameters:
    ///   - added: bound sockets that are new.
    ///   - kept: settings, by address, of listeners that go on; those missing here stop accepting.
    ///   - datagramAdded, datagramKept: the same of those for UDP.
    public func configure(
        _ settings: Settings, adding added: consuming [NewListener], keeping kept: [ListenAddress: ListenerSettings],
        addingDatagrams datagramAdded: consuming [NewDatagramListener] = [],
        keepingDatagrams datagramKept: [ListenAddress: ListenerSettings] = [:], allAddresses: [ListenAddress]
    ) {
        let datagramAdded = datagramAdded
        let added = added
        loop.post { [self] in
            self.settings = settings
            services.reloaded()
            resources.mode = settings.relay
            resources.pipes.limit = settings.maxPipes
            selfCheck = SelfCheck(allAddresses)
            listeners.removeAll { listener in
                guard let newSettings = kept[listener.address] else {
                    stopListener(listener)
                    return true
                }
                listener.settings = newSettings
                return false
            }
            for new in added {
                guard let socket = new.take() else { continue }
                let listener = Listener(socket, new.settings, of: self)
                guard listener.start() else {
                    observer.event(.acceptPaused(listener: new.settings.name, reason: "epoll takes no more sockets"))
                    continue
                }
                listeners.append(listener)
            }
            configureDatagrams(adding: datagramAdded, keeping: datagramKept)
            resumeListeners()
            for session in loop.slots.all() { session.settingsChanged() }
        }
    }

    private func configureDatagrams(adding added: [NewDatagramListener], keeping kept: [ListenAddress: ListenerSettings]) {
        datagramListeners.removeAll { listener in
            guard let newSettings = kept[listener.address] else {
                listener.stop()
                return true
            }
            listener.settings = newSettings
            return false
        }
        datagrams?.settingsChanged()
        for new in added {
            guard let socket = new.take() else { continue }
            let failure: String
            do throws(SocketError) {
                let listener = DatagramListener(socket, new.settings, new.answers, try datagramsMade())
                if listener.start() {
                    datagramListeners.append(listener)
                    continue
                }
                failure = "epoll takes no more sockets"
            } catch {
                failure = "\(error)"
            }
            observer.event(.acceptPaused(listener: new.settings.name, reason: failure))
        }
    }

    /// Made when it is needed first.
    func datagramsMade() throws(SocketError) -> Datagrams {
        if let datagrams { return datagrams }
        let made = try Datagrams(of: self)
        datagrams = made
        return made
    }

    /// Stops accepting; `SessionObserver.drained` follows when the last session has ended.
    public func drain() {
        loop.post { [self] in
            isDraining = true
            for listener in listeners { stopListener(listener) }
            listeners = []
            // From now on their clients' datagrams go another way.
            for listener in datagramListeners { listener.stop() }
            datagramListeners = []
            for session in loop.slots.all() { session.drainHTTP() }
        }
    }

    /// Stops accepting, and ends the sessions whose clients are there; of those that have left, what they said is handed on first, as the
    /// kernel would have done without us. `SessionObserver.drained` follows.
    public func endWithClients() {
        drain()
        loop.post { [self] in
            isEnding = true
            for session in loop.slots.all() { session.endWithClient() }
        }
    }

    /// Ends every open session now.
    public func cut() {
        loop.post { [self] in
            isCut = true
            for session in loop.slots.all() { session.cut() }
        }
    }

    // MARK: On the loop's thread

    var hasRoom: Bool {
        let rivals = sessions.rivals.load(ordering: .relaxed)
        return sessions.value.load(ordering: .relaxed) + (rivals + 1) / 2 < settings.maxSessions
    }

    /// Takes a descriptor for one more address that is tried beside another. There may be as many of them as sessions that still fit, which
    /// is half of the descriptors that those would have.
    ///
    /// - Returns: whether there is one; then ``endRivals(_:)`` must follow.
    func beginRival() -> Bool {
        let free = settings.maxSessions - sessions.value.load(ordering: .relaxed)
        guard sessions.rivals.load(ordering: .relaxed) < free else { return false }
        sessions.rivals.wrappingAdd(1, ordering: .relaxed)
        return true
    }

    func endRivals(_ count: Int) { sessions.rivals.wrappingSubtract(count, ordering: .relaxed) }

    /// Handshakes that one source may have under way, in all workers: half of the sessions. Where there are few of those, as many as one
    /// client that is well begins at once: it must not be reset because others wait their turn.
    var mostHandshakesOfOne: Int { max(settings.maxSessions / 2, 8) }

    /// What a listener does now with what it accepts; nil: there is none of that name any more.
    func listenerSettings(named name: String) -> ListenerSettings? { listeners.first { $0.settings.name == name }?.settings }

    func isOurselves(_ destination: OriginalDestination) -> Bool {
        selfCheck.isOurselves(destination, now: loop.now)
    }

    /// This host's, as its interfaces have them.
    var ownAddresses: Set<IPAddress> { selfCheck.ownAddresses(now: loop.now) }

    func sessionStarted() {
        active += 1
        sessions.value.wrappingAdd(1, ordering: .relaxed)
        counters.active.store(active, ordering: .relaxed)
    }

    func sessionEnded(_ record: SessionRecord) {
        active -= 1
        sessions.value.wrappingSubtract(1, ordering: .relaxed)
        ended += 1
        counters.active.store(active, ordering: .relaxed)
        counters.ended.store(ended, ordering: .relaxed)
        counters.up.wrappingAdd(record.up, ordering: .relaxed)
        counters.down.wrappingAdd(record.down, ordering: .relaxed)
        observer.sessionEnded(record)
    }

    func flowStarted() { counters.datagrams.active.wrappingAdd(1, ordering: .relaxed) }

    func flowEnded() {
        counters.datagrams.active.wrappingSubtract(1, ordering: .relaxed)
        counters.datagrams.ended.wrappingAdd(1, ordering: .relaxed)
    }

    func flowCarried(up: UInt64, down: UInt64) {
        counters.up.wrappingAdd(up, ordering: .relaxed)
        counters.down.wrappingAdd(down, ordering: .relaxed)
    }

    /// A session that only holds an association open: its flows are what records tell of.
    func controlStarted() { active += 1 }
    func controlEnded() { active -= 1 }

    func listenerPaused() {
        pausedListeners += 1
        loop.longestWait = Int32(Listener.pause)
    }

    private func stopListener(_ listener: Listener) {
        listener.stop()
        guard listener.isPaused else { return }
        pausedListeners -= 1
        if pausedListeners == 0 { loop.longestWait = -1 }
    }

    private func endTurn() {
        if pausedListeners > 0 { resumeListeners() }
        observer.turnEnded()
        // Only now: whoever waits for this must find every record handed over.
        if isDraining, active == 0, !isDrained {
            isDrained = true
            observer.drained()
        }
    }

    private func resumeListeners() {
        for listener in listeners where listener.isPaused && listener.mayResume {
            pausedListeners -= 1
            listener.resume()
        }
        if pausedListeners == 0 { loop.longestWait = -1 }
    }

}

/// A bound socket on its way to the worker that will serve it.
public final class NewListener: @unchecked Sendable {
    private var socket: TransparentListener?
    let settings: ListenerSettings

    public init(_ socket: consuming TransparentListener, _ settings: ListenerSettings) {
        self.socket = consume socket
        self.settings = settings
    }

    func take() -> TransparentListener? { socket.take() }
}
