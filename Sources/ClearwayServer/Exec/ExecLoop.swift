internal import CSockets
internal import Configuration
internal import DataPlane
internal import Glibc

/// The admin thread of `exec`: what becomes of the command, what its caller wants of it, and log writing.
///
/// The command is in our process group, as it would be in its shell's without us: the terminal's signals reach it by themselves.
struct ExecLoop: ~Copyable {
    private let server: ExecServer
    private let child: pid_t
    /// The command's, once it has ended.
    private var status: Int32?
    /// When sessions that still have something to hand on are cut, in monotonic nanoseconds.
    private var end: UInt64 = .max
    private var isCut = false

    init(_ server: ExecServer, child: pid_t) {
        self.server = server
        self.child = child
    }

    /// - Returns: the command's exit status.
    consuming func run() -> Int32 {
        var logsAreDue = false
        // Whatever has become of the command by now: what told of it may have come before anybody listened.
        takeSignals(childMayHaveChanged: true)
        while !isOver {
            let logs = server.logs
            var entries = [
                pollfd(fd: server.signals.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: server.drainSignal.wakeup, events: Int16(POLLIN), revents: 0),
                pollfd(fd: logsAreDue || logs.hasPending ? -1 : logs.sink.wakeup, events: Int16(POLLIN), revents: 0),
                pollfd(fd: logs.hasPending ? logs.descriptor : -1, events: Int16(POLLOUT), revents: 0),
            ]
            let ready = poll(&entries, nfds_t(entries.count), timeout(logsAreDue))
            if logsAreDue {
                logs.collect()
                logsAreDue = false
            } else if entries[2].revents != 0 {
                logsAreDue = true
            }
            if ready > 0 {
                if entries[1].revents != 0 { takeDrained() }
                if entries[3].revents != 0 { logs.writeSome() }
                if entries[0].revents != 0 { takeSignals() }
            }
            if !isCut, cs_monotonic_nanoseconds() >= end { cut() }
        }
        server.logs.flush()
        return status ?? 0
    }

    private mutating func takeSignals(childMayHaveChanged: Bool = false) {
        var mayHaveChanged = childMayHaveChanged
        var wasContinued = false
        while let info = server.signals.nextInfo() {
            let number = Int32(info.ssi_signo)
            switch number {
            case SIGCHLD: mayHaveChanged = true
            case SIGCONT: wasContinued = true
            default: handOn(number, info)
            }
        }
        if wasContinued, status == nil { kill(child, SIGCONT) }
        if mayHaveChanged { watchChild(wasContinued: wasContinued) }
    }

    /// SI_KERNEL. Source: `sigaction(2)`.
    private static let fromKernel: Int32 = 0x80

    /// Whether a terminal has sent it. That concerns a whole group of processes.
    private func isTerminals(_ signal: Int32, _ info: signalfd_siginfo) -> Bool {
        switch signal {
        case SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH: info.ssi_code == Self.fromKernel
        // That a terminal has hung up, the leader of its session alone is told.
        case SIGHUP: info.ssi_code == Self.fromKernel && getsid(0) != getpid()
        default: false
        }
    }

    private mutating func handOn(_ signal: Int32, _ info: signalfd_siginfo) {
        // What we have brought upon ourselves, as by a log file that grows too large.
        if info.ssi_pid == UInt32(getpid()) || signal == SIGXCPU && info.ssi_code == Self.fromKernel { return }
        guard status == nil else {
            switch signal {
            case SIGTERM, SIGINT, SIGHUP, SIGQUIT: return cut()
            case SIGTSTP: kill(getpid(), SIGSTOP)
            default: break
            }
            return
        }
        // Twice would be once too often: a second Ctrl-C means something else to many programs. And one that handles Ctrl-Z, or
        // ignores it, does not stop, or not yet: we do when it has.
        if isTerminals(signal, info), getpgid(child) == getpgrp() { return }
        kill(child, signal)
    }

    /// - Parameter wasContinued: we have just been; the command is on its way to be, and its stop is old.
    private mutating func watchChild(wasContinued: Bool) {
        guard status == nil else { return }
        var raw: Int32 = 0
        while waitpid(child, &raw, WNOHANG | WUNTRACED) == child {
            guard cs_stopped(raw) != 0 else {
                status = cs_exited(raw) != 0 ? cs_exit_status(raw) : 128 + cs_term_signal(raw)
                return finish()
            }
            // The shell that waits for us must see that the command has stopped. What continues us continues it, too.
            if !wasContinued { kill(getpid(), SIGSTOP) }
        }
    }

    private mutating func finish() {
        end = cs_monotonic_nanoseconds() &+ server.configuration.timeouts.drain.nanoseconds
        for worker in server.workers { worker.endWithClients() }
    }

    private mutating func cut() {
        isCut = true
        end = cs_monotonic_nanoseconds() + AdminLoop.cutDelay * 1_000_000
        for worker in server.workers { worker.cut() }
    }

    private func takeDrained() {
        var count: UInt64 = 0
        _ = cs_read(server.drainSignal.wakeup, &count, 8)
    }

    private var isOver: Bool {
        guard status != nil else { return false }
        return server.drainSignal.drained >= server.workers.count || (isCut && cs_monotonic_nanoseconds() >= end)
    }

    private func timeout(_ logsAreDue: Bool) -> Int32 {
        if logsAreDue { return AdminLoop.logDelay }
        guard end != .max else { return -1 }
        let now = cs_monotonic_nanoseconds()
        return end <= now ? 0 : Int32(clamping: (end - now) / 1_000_000 + 1)
    }
}
