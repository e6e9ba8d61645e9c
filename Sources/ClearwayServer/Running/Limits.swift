internal import CSockets
internal import Configuration
internal import DataPlane
internal import Glibc
internal import Policy

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
    /// UDP flows in all; 0: there is no UDP.
    var flows: Int

    /// - Parameters:
    ///   - others: descriptors for what not every configuration has.
    ///   - perSession: descriptors that each session may need: one for each side, at least.
    ///   - descriptors: the soft limit, after raising it to the hard one.
    ///   - wanted: `max_sessions`; 0: as many as fit.
    ///   - wantedFlows: `max_flows`, at least one for each worker; 0: as many as fit, nil: there is no UDP.
    ///   - memory: bytes of the machine's. Pipes whose readers have stopped may fill a sixteenth of it.
    /// - Returns: nil when not even one session per worker fits.
    init?(
        descriptors: Int, workers: Int, listeners: Int, others: Int = 0, perSession: Int = 2, wanted: Int, wantedFlows: Int? = nil,
        memory: Int = physicalMemory()
    ) {
        let reserved = Self.reserve + others + workers * (Self.reservePerWorker + listeners)
        let pipes = min(Self.mostPipes, descriptors / 16, memory >> 20 / 16)
        let keptSockets = min(Self.mostKeptSockets, descriptors / 32 / workers)
        // A pipe has two ends; sockets are kept for each of two families.
        let left = descriptors - reserved - 2 * pipes - 2 * keptSockets * workers
        // A flow needs a descriptor, of which flows of one client share some. Half of them may have a proxy, and need another one.
        let flows = wantedFlows.map { max($0 == 0 ? left * 2 / 9 : min(max($0, workers), left * 4 / 9), 0) } ?? 0
        let fitting = (left - flows - max(flows / 2, min(flows, workers))) / perSession
        guard fitting >= workers, wantedFlows == nil || flows >= workers else { return nil }
        self.flows = flows
        self.descriptors = descriptors
        self.pipes = pipes
        self.keptSockets = keptSockets
        sessions = wanted == 0 ? fitting : min(wanted, fitting)
    }

    /// What `run` works with at its start; nil as above.
    init?(_ configuration: Configuration, descriptors: Int, ipv6: Bool) {
        self.init(
            descriptors: descriptors, workers: configuration.workerCount,
            listeners: ListenerPlan(configuration, ipv6: ipv6).count, others: configuration.otherDescriptors,
            perSession: configuration.descriptorsOfSession,
            wanted: configuration.maxSessions, wantedFlows: configuration.wantedFlows)
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

    /// One for each side; where what passes is scanned, two for what stands between them.
    var descriptorsOfSession: Int { listeners.contains { $0.icap != nil } ? 4 : 2 }

    /// `max_flows`; nil: no listener carries UDP.
    var wantedFlows: Int? { listeners.contains { $0.protocols.contains(.udp) } ? maxFlows : nil }

    /// Of proxies that are asked whether they work, one each; of UDP, the sockets that answers leave by; of metrics, listeners of both
    /// families and those who ask; of services that requests and responses are shown to, connections.
    var otherDescriptors: Int {
        let checkedMembers =
            upstreams.filter { $0.check > .zero }.reduce(0) { $0 + $1.members.count }
            + listeners.filter { $0.check > .zero }.reduce(0) { $0 + $1.origins.count }
        let senders = wantedFlows == nil ? 0 : workerCount * Settings.mostSenders
        let asking = listeners.count { $0.authRequest != nil } * workerCount * AuthorizationSettings.mostConnections
        let scanning = icap.reduce(0) { sum, icap in
            sum + [icap.request, icap.response].count { $0 != nil } * workerCount * icap.maxConnections
        }
        return checkedMembers + senders + asking + scanning
            + (metrics.isEmpty ? 0 : 2 * metrics.count + MetricsEndpoint.descriptors)
    }
}
