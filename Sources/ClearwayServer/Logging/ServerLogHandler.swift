internal import Configuration
internal import Logging
internal import Synchronization

/// Takes swift-log's records into the same formats and the same sink as the access log.
final class ServerLogHandler: LogHandler, Sendable {
    private let sink: LogSink
    private let line: LogLine
    private let settings: Mutex<Configuration.Log>

    init(_ log: Configuration.Log, _ sink: LogSink, _ line: LogLine) {
        self.sink = sink
        self.line = line
        settings = Mutex(log)
    }

    func configure(_ log: Configuration.Log) { settings.withLock { $0 = log } }

    var logLevel: Logger.Level {
        get { settings.withLock { $0.level.swiftLog } }
        set { settings.withLock { $0.level = Configuration.Log.Level.allCases.first { $0.swiftLog == newValue } ?? $0.level } }
    }

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).map { (key: $0.key, value: LogValue($0.value)) }.sorted { $0.key < $1.key }
        var bytes: [UInt8] = []
        var clock = LogClock()
        let format = settings.withLock { $0.format }
        line.append(to: &bytes, format, at: &clock, event.level.configured, event.message.description, fields)
        sink.append(bytes)
    }
}

extension LogValue {
    /// Numbers stay numbers, so that collectors can add them up.
    init(_ value: Logger.Metadata.Value) {
        if case .stringConvertible(let number as any BinaryInteger) = value, let count = UInt64(exactly: number) {
            self = .count(count)
        } else {
            self = .text(value.description)
        }
    }
}

extension Configuration.Log.Level {
    var swiftLog: Logger.Level {
        switch self {
        case .critical: .critical
        case .error: .error
        case .warning: .warning
        case .notice: .notice
        case .info: .info
        case .debug: .debug
        }
    }
}

extension Logger.Level {
    var configured: Configuration.Log.Level {
        switch self {
        case .trace, .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        case .critical: .critical
        }
    }
}
