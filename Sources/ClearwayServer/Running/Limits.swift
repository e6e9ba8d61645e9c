internal import CSockets
internal import Configuration
internal import DataPlane
internal import Glibc

/// What the descriptor limit allows. Worked out at the start, so that running out is planned for and not met.
struct Limits: Equatable {
    /// Descriptors for everything that is not a session: listeners, logs, rules, reload.
    static let reserve = 28
    static let reservePerWorker = 8
    /// Pipes that sessions may borrow at a time, in all: past it, directions go on copying.
    static let mostPipes = 1_024
    /// Used sockets that one worker may keep per family. More than sessions end at a time in one turn of its loop is no use.
    static let mostKeptSockets = 64

    var descriptors: Int
    var sessions: Int
    var pipes: Int
    /// Of one worker, per family.
    var keptSockets: Int

    /// - Parameters:
    ///   - checks: proxies that are asked whether they work; a descriptor each.
    ///   - descriptors: the soft limit, after raising it to the hard one.
    ///   - wanted: `max_sessions`; 0: as many as fit.
    ///   - memory: bytes of the machine's. Pipes whose readers have stopped may fill a sixteenth of it.
    /// - Returns: nil when not even one session per worker fits.
    init?(descriptors: Int, workers: Int, listeners: Int, checks: Int = 0, wanted: Int, memory: Int = physicalMemory()) {
        let reserved = Self.reserve + checks + workers * (Self.reservePerWorker + listeners)
        let pipes = min(Self.mostPipes, descriptors / 16, memory >> 20 / 16)
        let keptSockets = min(Self.mostKeptSockets, descriptors / 32 / workers)
        // A session needs a descriptor for each side; a pipe has two ends; sockets are kept for each of two families.
        let fitting = (descriptors - reserved - 2 * pipes - 2 * keptSockets * workers) / 2
        guard fitting >= workers else { return nil }
        self.descriptors = descriptors
        self.pipes = pipes
        self.keptSockets = keptSockets
        sessions = wanted == 0 ? fitting : min(wanted, fitting)
    }

    /// What `run` works with at its start; nil as above.
    init?(_ configuration: Configuration, descriptors: Int, ipv6: Bool) {
        self.init(
            descriptors: descriptors, workers: configuration.workerCount,
            listeners: ListenerPlan(configuration, ipv6: ipv6).keys.count, checks: configuration.checkedMembers,
            wanted: configuration.maxSessions)
    }

    /// Raises the soft descriptor limit to the hard one, and tells it.
    static func raiseDescriptors() -> Int {
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        _ = cs_raise_descriptor_limit(&soft, &hard)
        return Int(clamping: soft)
    }
}

/// CPUs that this process may use.
func availableCPUs() -> Int {
    var set = cpu_set_t()
    guard sched_getaffinity(0, MemoryLayout<cpu_set_t>.size, &set) == 0 else { return 1 }
    return withUnsafeBytes(of: set) { bytes in max(bytes.reduce(0) { $0 + $1.nonzeroBitCount }, 1) }
}

/// Bytes of memory that the machine has.
func physicalMemory() -> Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

extension Configuration {
    /// Threads that carry sessions.
    var workerCount: Int { workers == 0 ? availableCPUs() : workers }

    /// Proxies that are asked whether they work.
    var checkedMembers: Int { upstreams.filter { $0.check > .zero }.reduce(0) { $0 + $1.members.count } }
}
