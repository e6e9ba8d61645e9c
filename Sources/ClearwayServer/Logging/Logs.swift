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
    private var files: LogFiles
    private var clock = LogClock()
    private var format: Configuration.Log.Format

    init(_ log: Configuration.Log, _ line: LogLine) throws(Failure) {
        sink = try LogSink()
        files = try LogFiles(log)
        self.line = line
        format = log.format
        let handler = ServerLogHandler(log, sink, line)
        self.handler = handler
        logger = Logger(label: line.topic) { _ in handler }
    }

    func configure(_ log: Configuration.Log, _ newFiles: consuming LogFiles?) {
        handler.configure(log)
        format = log.format
        if let newFiles = consume newFiles {
            flush()
            files = newFiles
        }
    }

    var descriptor: Int32 { files.descriptor }
    var hasPending: Bool { files.hasPending }

    /// Takes the records that gathered over to the files' buffers.
    func collect() {
        // While a file is slow, records wait in the sink, which is bounded.
        guard !files.hasPending else { return }
        var (waiting, dropped) = sink.take()
        if dropped > 0 {
            line.append(
                to: &waiting.records, format, at: &clock, .error, "log records dropped: the log is written too slowly",
                [("dropped", .count(dropped))])
        }
        if !waiting.isEmpty { files.add(waiting) }
    }

    func writeSome() { files.writeSome() }

    func reopen() {
        flush()
        do throws(Failure) {
            try files.reopen()
        } catch {
            logger.error("\(error.description)")
        }
    }

    /// Writes everything that waits, within a second: for the end, and before the file changes.
    func flush() {
        files.flush(within: 1_000)
        collect()
        files.flush(within: 1_000)
    }
}

func hostName() -> String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
