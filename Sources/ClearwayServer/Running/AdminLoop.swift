internal import CSockets
internal import Configuration
internal import DataPlane
internal import Glibc

/// The admin thread's loop: signals, log writing, the rules' keeper, and the end.
struct AdminLoop: ~Copyable {
    /// Milliseconds that records may gather before they are written: a wake-up per record would cost more than it tells.
    static let logDelay: Int32 = 20
    /// Milliseconds given to sessions that were cut, to close.
    static let cutDelay: UInt64 = 2_000

    private let server: Server
    /// When a drain ends, in monotonic nanoseconds.
    private var drainEnd: UInt64?
    private var isCut = false

    init(_ server: Server) { self.server = server }

    consuming func run() {
        var logsAreDue = false
        while !isOver {
            let rules = server.rules.watched
            var entries = [
                pollfd(fd: server.signals.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: server.drainSignal.wakeup, events: Int16(POLLIN), revents: 0),
                pollfd(fd: rules ?? -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: logsAreDue || server.logs.hasPending ? -1 : server.logs.sink.wakeup, events: Int16(POLLIN), revents: 0),
                pollfd(fd: server.logs.hasPending ? server.logs.descriptor : -1, events: Int16(POLLOUT), revents: 0),
            ]
            let ready = poll(&entries, nfds_t(entries.count), timeout(logsAreDue))
            if logsAreDue {
                server.logs.collect()
                logsAreDue = false
            } else if entries[3].revents != 0 {
                logsAreDue = true
            }
            if ready > 0 {
                if entries[1].revents != 0 { takeDrained() }
                if entries[2].revents != 0 { server.rules.restore(server.logs.logger) }
                if entries[4].revents != 0 { server.logs.writeSome() }
                while let number = server.signals.next() { handle(number) }
            }
            if let retry = server.rules.retryAt, cs_monotonic_nanoseconds() >= retry { server.rules.restore(server.logs.logger) }
            if let sweep = server.rules.sweepAt, cs_monotonic_nanoseconds() >= sweep { server.rules.sweep() }
            if let end = drainEnd, cs_monotonic_nanoseconds() >= end {
                if !isCut { server.program.cuts(server.logs.logger) }
                cut()
            }
        }
    }

    private mutating func handle(_ signal: Int32) {
        if signal != SIGUSR1 { server.program.received(signal, server.logs.logger) }
        switch signal {
        case SIGHUP: if drainEnd == nil { server.reload() }
        case SIGUSR1: server.logs.reopen()
        default:
            if drainEnd == nil {
                server.startDraining()
                drainEnd = cs_monotonic_nanoseconds() + server.configuration.timeouts.drain.nanoseconds
            } else {
                cut()
            }
        }
    }

    private mutating func cut() {
        guard !isCut else { return }
        isCut = true
        for worker in server.workers { worker.cut() }
        drainEnd = cs_monotonic_nanoseconds() + Self.cutDelay * 1_000_000
    }

    private func takeDrained() {
        var count: UInt64 = 0
        _ = cs_read(server.drainSignal.wakeup, &count, 8)
    }

    private var isOver: Bool {
        guard let drainEnd else { return false }
        return server.drainSignal.drained >= server.workers.count || (isCut && cs_monotonic_nanoseconds() >= drainEnd)
    }

    private func timeout(_ logsAreDue: Bool) -> Int32 {
        var timeout: Int32 = -1
        let now = cs_monotonic_nanoseconds()
        for end in [drainEnd, server.rules.retryAt, server.rules.sweepAt] {
            guard let end else { continue }
            let left = end <= now ? 0 : Int32(clamping: (end - now) / 1_000_000 + 1)
            timeout = timeout < 0 ? left : min(timeout, left)
        }
        return logsAreDue ? (timeout < 0 ? Self.logDelay : min(timeout, Self.logDelay)) : timeout
    }
}
