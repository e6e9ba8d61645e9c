internal import Configuration
internal import DataPlane
internal import Synchronization

/// What one worker tells the log of a command: also that a proxy fails, for who runs a command need not see its sessions.
final class ExecAccessLog: AccessLog, @unchecked Sendable {
    /// What all workers have told already. Once is enough for a command.
    final class Told: Sendable {
        /// Proxies fail for a few reasons each.
        private static let limit = 1_024

        private let reasons = Mutex<Set<String>>([])

        /// - Returns: whether it was not there yet.
        func insert(_ reason: String) -> Bool {
            reasons.withLock { $0.count < Self.limit && $0.insert(reason).inserted }
        }
    }

    private let told: Told

    init(_ log: Configuration.Log, _ sink: LogSink, _ line: LogLine, _ drainedWorkers: DrainSignal, _ told: Told) {
        self.told = told
        super.init(log, sink, line, drainedWorkers)
    }

    override func event(_ event: WorkerEvent) {
        guard case .memberFailed(let upstream, let member, let reason) = event else { return super.event(event) }
        guard told.insert("\(upstream) \(member) \(reason)") else { return }
        write(
            .warning, "upstream failed", [("member", .text(member)), ("reason", .text(reason)), ("upstream", .text(upstream))])
    }
}
