internal import CSockets
internal import Glibc

/// The signals that `run` answers, as a descriptor that the admin thread reads.
struct Signals: ~Copyable {
    let descriptor: Int32

    /// Blocks them in this thread and so in every thread started later. SIGPIPE is ignored: `splice` cannot be told
    /// otherwise.
    init() throws(Failure) {
        signal(SIGPIPE, SIG_IGN)
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        descriptor = cs_signalfd(&set)
        guard descriptor >= 0 else { throw Failure(.systemError, "signalfd: \(errorText(-descriptor))") }
    }

    /// The next signal that came; nil when there is none.
    func next() -> Int32? {
        var info = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        guard cs_read(descriptor, &info, size) == size else { return nil }
        return Int32(info.ssi_signo)
    }
}
