internal import Configuration
internal import DataPlane
internal import Logging

/// As which program the server runs: `clearway run`, or one that it stands in for. They differ in where the configuration comes
/// from and in what the log says.
protocol ServerProgram: Sendable {
    /// Reads the configuration, at the start and at every reload.
    func configuration() throws(Failure) -> Configuration
    /// How log lines begin.
    var line: LogLine { get }
    /// What one worker tells the log.
    func accessLog(
        _ log: Configuration.Log, _ sink: LogSink, _ line: LogLine, _ drainedWorkers: DrainSignal
    ) -> AccessLog
    /// A configuration is in force: after the start, and after every reload.
    func serves(_ configuration: Configuration, _ logger: Logger)
    /// These are the addresses that sessions leave from: before the start, and after every reload.
    ///
    /// - Parameter counters: of the questions to the block lists of all of them, ever.
    func leaves(from sources: [SourcePool], _ counters: BlockListChecker.Counters)
    /// A signal came that ends the program or has it read its configuration again.
    func received(_ signal: Int32, _ logger: Logger)
    /// What is told to whoever asks at ``Configuration/metrics``.
    func metrics(_ format: Exposition.Format) -> [UInt8]
    /// Somebody has asked there.
    func answered(_ exchange: MetricsEndpoint.Exchange, _ logger: Logger)
    /// The drain is over and sessions are open still.
    func cuts(_ logger: Logger)
}

extension ServerProgram {
    func leaves(from sources: [SourcePool], _ counters: BlockListChecker.Counters) {}
    /// Of a configuration without such addresses.
    func metrics(_ format: Exposition.Format) -> [UInt8] { [] }
    func answered(_ exchange: MetricsEndpoint.Exchange, _ logger: Logger) {}
}

struct ClearwayProgram: ServerProgram {
    /// As `-c` says.
    let path: String?

    func configuration() throws(Failure) -> Configuration { try loadConfiguration(path) }

    var line: LogLine { LogLine(host: hostName(), topic: "clearway") }

    func accessLog(
        _ log: Configuration.Log, _ sink: LogSink, _ line: LogLine, _ drainedWorkers: DrainSignal
    ) -> AccessLog { AccessLog(log, sink, line, drainedWorkers) }

    func serves(_ configuration: Configuration, _ logger: Logger) {}
    func received(_ signal: Int32, _ logger: Logger) {}
    func cuts(_ logger: Logger) {}
}
