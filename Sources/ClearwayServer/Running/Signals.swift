internal import CSockets
internal import Glibc

/// The signals that a program of ours answers, as a descriptor that the admin thread reads.
struct Signals: ~Copyable {
    let descriptor: Int32

    /// Those that `run` answers.
    static let ofServer = set(SIGTERM, SIGINT, SIGHUP, SIGUSR1)
    /// Those that `exec` hands on to the command, or learns from what became of it: all that can be, but the faults of a program.
    static let ofCommand = all(but: SIGPIPE, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT)

    private static func set(_ numbers: Int32...) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        return set
    }

    private static func all(but numbers: Int32...) -> sigset_t {
        var set = sigset_t()
        sigfillset(&set)
        for number in numbers { sigdelset(&set, number) }
        return set
    }

    /// Blocks them in this thread and so in every thread started later. SIGPIPE is ignored: `splice` cannot be told
    /// otherwise.
    init(_ signals: sigset_t = Signals.ofServer) throws(Failure) {
        signal(SIGPIPE, SIG_IGN)
        var set = signals
        pthread_sigmask(SIG_BLOCK, &set, nil)
        descriptor = cs_signalfd(&set)
        guard descriptor >= 0 else { throw Failure(.systemError, "signalfd: \(errorText(-descriptor))") }
    }

    /// The next signal that came; nil when there is none.
    func next() -> Int32? { nextInfo().map { Int32($0.ssi_signo) } }

    /// ... with where it came from.
    func nextInfo() -> signalfd_siginfo? {
        var info = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        guard cs_read(descriptor, &info, size) == size else { return nil }
        return info
    }
}
