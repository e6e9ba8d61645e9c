internal import Configuration
internal import DataPlane
internal import Glibc
internal import Logging

/// Runs as usocksd: its command line, its configuration file, its log, its metrics, its exit status.
///
/// - Parameter words: the command line without the program's name.
/// - Returns: the exit status: 0, 1 for whatever went wrong, 2 for a wrong command line.
public func usocksd(_ words: [String]) -> Int32 { UsocksdProgram.main(words) }

struct UsocksdProgram: DropInProgram {
    static let name = "usocksd"
    static let defaultFile = ""
    /// What is read without `-f`, if it is there.
    private static let usualFile = "/etc/usocksd.toml"

    let arguments: DropInArguments
    /// Of all workers, and over every reload.
    private let counts = UsocksdMetrics()

    init(_ arguments: DropInArguments) { self.arguments = arguments }

    func read() throws(DropInError) -> Configuration {
        var file = UsocksdFile()
        if !arguments.file.isEmpty {
            file = try UsocksdFile.load(arguments.file)
        } else if access(Self.usualFile, F_OK) == 0 {
            file = try UsocksdFile.load(Self.usualFile)
        }
        file.log.take(arguments)
        return try Configuration(file)
    }

    func accessLog(
        _ log: Configuration.Log, _ sink: LogSink, _ line: LogLine, _ drainedWorkers: DrainSignal
    ) -> AccessLog { UsocksdLog(log, sink, line, drainedWorkers, counts) }

    func serves(_ configuration: Configuration, _ logger: Logger) {
        if configuration.listeners.contains(where: { $0.clients == UsocksdFile.neighbours }) {
            logger.warning("incoming.allow_from is not set: only this host and private networks are served")
        }
        logger.info("well: new child", metadata: ["pid": .stringConvertible(getpid())])
    }

    /// usocksd went on accepting for some seconds.
    var signalFields: Logger.Metadata { ["delay": .stringConvertible(0)] }

    func leaves(from sources: [SourcePool], _ counters: BlockListChecker.Counters) { counts.tell(sources, counters) }

    func metrics(_ format: Exposition.Format) -> [UInt8] { counts.exposition(format) }

    /// usocksd did so at `info`: a record every few seconds, of nothing that happened.
    func answered(_ exchange: MetricsEndpoint.Exchange, _ logger: Logger) {
        logger.log(
            level: exchange.status < 400 ? .debug : .warning, "well: access",
            metadata: [
                "type": "access", "pid": .stringConvertible(getpid()), "http_status_code": .stringConvertible(exchange.status),
                "http_method": "\(exchange.method)", "url": "\(exchange.target)", "http_host": "\(exchange.host)",
                "http_user_agent": "\(exchange.userAgent)", "protocol": "HTTP/1.1",
                "request_size": .stringConvertible(exchange.received), "response_size": .stringConvertible(exchange.sent),
                "remote_ipaddr": "\(exchange.client)",
                "response_time": "\(Double(exchange.duration / 1_000) / 1_000_000)",
            ])
    }
}
