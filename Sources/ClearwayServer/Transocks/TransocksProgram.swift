internal import CSockets
internal import Configuration
internal import Glibc
internal import Logging
internal import TransparentSockets

/// Runs as transocks: its command line, its configuration file, its log, its exit status.
///
/// - Parameter words: the command line without the program's name.
/// - Returns: the exit status: 0, 1 for whatever went wrong, 2 for a wrong command line.
public func transocks(_ words: [String]) -> Int32 {
    switch TransocksArguments.parse(words) {
    case .usage(let complaint):
        printToStandardError(complaint + "\n" + TransocksArguments.usage)
        return 2
    case .help:
        printToStandardError(TransocksArguments.usage)
        return 0
    case .version:
        print("clearway \(version)")
        return 0
    case .check(let arguments):
        let program = TransocksProgram(arguments: arguments)
        return program.reporting(to: nil) { () throws(Failure) in
            _ = try program.configuration()
            print("\(arguments.file): good")
        }
    case .run(let arguments):
        let program = TransocksProgram(arguments: arguments)
        return program.reporting(to: nil) { () throws(Failure) in try program.run() }
    }
}

struct TransocksProgram: ServerProgram {
    let arguments: TransocksArguments

    /// Before the configuration is read, what goes wrong is said in the format `plain` on standard error; after that, in the log.
    fileprivate func run() throws(Failure) {
        let configuration = try configuration()
        let status = reporting(to: configuration.log) { () throws(Failure) in
            do throws(TransocksError) {
                try checkFree(configuration.listeners.flatMap(\.listen))
            } catch {
                throw Failure(.systemError, error.description)
            }
            try Server(configuration, as: self).run()
        }
        if status != 0 { exit(status) }
    }

    /// - Returns: the exit status.
    fileprivate func reporting(to log: Configuration.Log?, _ work: () throws(Failure) -> Void) -> Int32 {
        do throws(Failure) {
            try work()
            return 0
        } catch {
            if let log, let logs = try? Logs(log, line) {
                // Whatever the level is: a program that ends without a word helps nobody.
                logs.logger.log(level: log.level == .critical ? .critical : .error, "\(error.description)")
                logs.flush()
            } else {
                var bytes: [UInt8] = []
                var clock = LogClock()
                line.append(to: &bytes, .plain, at: &clock, .error, error.description, [])
                _ = cs_write(2, bytes, bytes.count)
            }
            return 1
        }
    }

    // MARK: ServerProgram

    func configuration() throws(Failure) -> Configuration {
        do throws(TransocksError) {
            var file = try TransocksFile.load(arguments.file)
            if !arguments.logFile.isEmpty { file.logFilename = arguments.logFile }
            if !arguments.logLevel.isEmpty { file.logLevel = arguments.logLevel }
            if !arguments.logFormat.isEmpty { file.logFormat = arguments.logFormat }
            return try Configuration(file, listening: try listenAddresses(file.listen))
        } catch {
            throw Failure(.configuration, error.description)
        }
    }

    var line: LogLine { LogLine(host: hostName(), topic: "transocks", lacksNotice: true) }

    func accessLog(
        _ log: Configuration.Log, _ sink: LogSink, _ line: LogLine, _ drainedWorkers: DrainSignal
    ) -> AccessLog { TransocksLog(log, sink, line, drainedWorkers) }

    /// There is no child, but whoever waits for this record waits for what it stood for.
    func serves(_ logger: Logger) { logger.info("well: new child", metadata: ["pid": .stringConvertible(getpid())]) }

    func received(_ signal: Int32, _ logger: Logger) {
        guard signal != SIGHUP else { return logger.warning("well: got sighup") }
        logger.warning("well: got signal", metadata: ["signal": signal == SIGINT ? "interrupt" : "terminated"])
    }

    func cuts(_ logger: Logger) { logger.warning("well: timeout waiting for shutdown") }
}
