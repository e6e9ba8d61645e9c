internal import Configuration
internal import Glibc
internal import Logging

/// All there is to the program's log, as the admin thread sees it: records come in through the sink, lines go out to the
/// file.
final class Logs {
    let sink: LogSink
    let line: LogLine
    let logger: Logger
    private let handler: ServerLogHandler
    private var file: LogFile
    private var clock = LogClock()
    private var format: Configuration.Log.Format

    init(_ log: Configuration.Log, _ line: LogLine) throws(Failure) {
        sink = try LogSink()
        file = try LogFile(path: log.file)
        self.line = line
        format = log.format
        let handler = ServerLogHandler(log, sink, line)
        self.handler = handler
        logger = Logger(label: line.topic) { _ in handler }
    }

    func configure(_ log: Configuration.Log, _ newFile: consuming LogFile?) {
        handler.configure(log)
        format = log.format
        if let newFile = consume newFile {
            flush()
            file = newFile
        }
    }

    var descriptor: Int32 { file.descriptor }
    var hasPending: Bool { file.hasPending }

    /// Takes the records that gathered over to the file's buffer.
    func collect() {
        // While the file is slow, records wait in the sink, which is bounded.
        guard !file.hasPending else { return }
        var (records, dropped) = sink.take()
        if dropped > 0 {
            line.append(
                to: &records, format, at: &clock, .error, "log records dropped: the log is written too slowly",
                [("dropped", .count(dropped))])
        }
        if !records.isEmpty { file.add(records) }
    }

    func writeSome() { file.writeSome() }

    func reopen() {
        flush()
        do throws(Failure) {
            try file.reopen()
        } catch {
            logger.error("\(error.description)")
        }
    }

    /// Writes everything that waits, within a second: for the end, and before the file changes.
    func flush() {
        file.flush(within: 1_000)
        collect()
        file.flush(within: 1_000)
    }
}

func hostName() -> String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
