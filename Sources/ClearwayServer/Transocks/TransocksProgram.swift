internal import Configuration

/// Runs as transocks: its command line, its configuration file, its log, its exit status.
///
/// - Parameter words: the command line without the program's name.
/// - Returns: the exit status: 0, 1 for whatever went wrong, 2 for a wrong command line.
public func transocks(_ words: [String]) -> Int32 { TransocksProgram.main(words) }

struct TransocksProgram: DropInProgram {
    static let name = "transocks"
    static let defaultFile = "/etc/transocks.toml"
    let arguments: DropInArguments

    init(_ arguments: DropInArguments) { self.arguments = arguments }

    func read() throws(DropInError) -> Configuration {
        var file = try TransocksFile.load(arguments.file)
        file.log.take(arguments)
        return try Configuration(file, listening: try listenAddresses(file.listen))
    }

    func accessLog(
        _ log: Configuration.Log, _ sink: LogSink, _ line: LogLine, _ drainedWorkers: DrainSignal
    ) -> AccessLog { TransocksLog(log, sink, line, drainedWorkers) }
}
