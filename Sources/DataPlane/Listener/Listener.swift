internal import CSockets
internal import SystemPackage
internal import TransparentSockets

/// One bound socket of one worker: accepts, and starts a session for each connection.
final class Listener: Watched {
    /// Connections accepted per turn: enough to empty a burst, few enough that open sessions are not kept waiting.
    static let acceptsPerTurn = 64
    /// Milliseconds to wait after the kernel ran out of something, when no session of ours ends before.
    static let pause: UInt64 = 100

    private let socket: TransparentListener
    /// Outlives its listeners.
    private unowned(unsafe) let worker: Worker
    private var registration = SlotID(index: 0, generation: 0)
    private(set) var isPaused = false
    private var pausedAt: UInt64 = 0
    private var endedWhenPaused: UInt64 = 0
    var settings: ListenerSettings

    var raw: Int32 { socket.descriptor.raw }
    var address: ListenAddress { socket.address }

    init(_ socket: consuming TransparentListener, _ settings: ListenerSettings, of worker: Worker) {
        self.socket = socket
        self.settings = settings
        self.worker = worker
    }

    /// - Returns: whether it listens from now on.
    func start() -> Bool {
        guard let id = worker.loop.watch(self) else { return false }
        registration = id
        return true
    }

    /// Takes in what already waits in the backlog, as far as there is room, then stops accepting: whoever was answered by the
    /// kernel is not turned away. What does not fit is reset when the socket closes with this object.
    func stop() {
        if !isPaused { while acceptSome() {} }
        worker.loop.unwatch(self, registration)
    }

    func ready(_ events: UInt32) { _ = acceptSome() }

    /// The accept loop.
    ///
    /// - Returns: whether more may be waiting.
    private func acceptSome() -> Bool {
        for _ in 0..<Self.acceptsPerTurn {
            guard worker.hasRoom else {
                pause(.sessionLimit(listener: settings.name, limit: worker.settings.maxSessions))
                return false
            }
            do throws(SocketError) {
                guard let connection = try socket.accept() else { return false }
                handle(connection)
            } catch {
                switch error.errno {
                case .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noBufferSpace, .noMemory:
                    worker.sockets.empty()
                    pause(.acceptPaused(listener: settings.name, reason: "\(error)"))
                    return false
                default:
                    // That one connection is gone already; `accept(2)` lists a dozen ways to say so.
                    continue
                }
            }
        }
        return true
    }

    /// Handles one connection.
    private func handle(_ connection: consuming AcceptedConnection) {
        Session(connection, settings, worker).start()
    }

    private func pause(_ why: WorkerEvent) {
        isPaused = true
        pausedAt = worker.loop.now
        endedWhenPaused = worker.ended
        worker.loop.setWatching(self, registration, false)
        worker.listenerPaused()
        worker.observer.event(why)
    }

    /// A session has ended since, or the pause is over.
    var mayResume: Bool {
        worker.hasRoom && (worker.ended != endedWhenPaused || worker.loop.now - pausedAt >= Self.pause * 1_000_000)
    }

    func resume() {
        isPaused = false
        worker.loop.setWatching(self, registration, true)
        worker.observer.event(.acceptResumed(listener: settings.name))
    }
}
