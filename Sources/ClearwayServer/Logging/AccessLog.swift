internal import CSockets
internal import Configuration
internal import DataPlane
internal import Synchronization
internal import TransparentSockets

/// What one worker tells the log: its finished sessions and its events. Lines gather in a buffer of the worker's own and
/// go to the sink once per turn.
class AccessLog: SessionObserver, @unchecked Sendable {
    private let sink: LogSink
    private let line: LogLine
    private let drainedWorkers: DrainSignal
    /// Format, threshold and switches, in one word that a reload changes and every record reads.
    private let settings: Atomic<UInt64>
    private var clock = LogClock()
    private var buffer: [UInt8] = []
    /// Lines of the format `combined`, which has no place for other records.
    private var requests: [UInt8] = []
    private var lines: UInt64 = 0
    private var recent: [String: Repetition] = [:]

    /// Equal events within a second are one record and a count: a flood of them says no more than one.
    private struct Repetition {
        var loggedAt: UInt64
        var suppressed: UInt64
    }

    init(_ log: Configuration.Log, _ sink: LogSink, _ line: LogLine, _ drainedWorkers: DrainSignal) {
        self.sink = sink
        self.line = line
        self.drainedWorkers = drainedWorkers
        settings = Atomic(Self.packed(log))
    }

    /// From any thread.
    func configure(_ log: Configuration.Log) { settings.store(Self.packed(log), ordering: .relaxed) }

    private static func packed(_ log: Configuration.Log) -> UInt64 {
        let format = UInt64(Configuration.Log.Format.allCases.firstIndex(of: log.format) ?? 0)
        let level = UInt64(Configuration.Log.Level.allCases.firstIndex(of: log.level) ?? 0)
        return format | level << 8 | (log.access ? 1 << 16 : 0) | (log.query ? 1 << 17 : 0)
    }

    private var format: Configuration.Log.Format {
        Configuration.Log.Format.allCases[Int(settings.load(ordering: .relaxed) & 0xFF)]
    }

    func isLogged(_ level: Configuration.Log.Level) -> Bool {
        let threshold = Int(settings.load(ordering: .relaxed) >> 8 & 0xFF)
        return Configuration.Log.Level.allCases.firstIndex(of: level)! <= threshold
    }

    // MARK: SessionObserver

    func sessionEnded(_ record: SessionRecord) {
        // Of its requests each had a record.
        guard record.requests == 0, wantsTransactions else { return }
        write(record, nil, "session")
    }

    func transactionEnded(_ record: SessionRecord) {
        guard wantsTransactions, let transaction = record.transaction.map(withoutSecrets) else { return }
        guard format == .combined else { return write(record, transaction, "request") }
        requests.append(combined: record, transaction, now: cs_realtime_microseconds())
        lines += 1
    }

    private func withoutSecrets(_ transaction: TransactionRecord) -> TransactionRecord {
        var transaction = transaction
        transaction.referer = LoggedURL.withoutUser(transaction.referer)
        guard settings.load(ordering: .relaxed) >> 17 & 1 == 0 else { return transaction }
        transaction.target = LoggedURL.withoutQuery(transaction.target)
        transaction.referer = LoggedURL.withoutQuery(transaction.referer)
        return transaction
    }

    var wantsTransactions: Bool { settings.load(ordering: .relaxed) >> 16 & 1 == 1 && isLogged(.info) }

    private func write(_ record: SessionRecord, _ transaction: TransactionRecord?, _ message: String) {
        var fields: [(key: String, value: LogValue)] = []
        fields.reserveCapacity(22)
        // There is none yet; the place is kept for what it will have to say.
        if transaction != nil { fields.append(("cache", .text("none"))) }
        fields.append(("client", .address(record.client.value)))
        if let datagrams = record.datagrams {
            fields.append(("datagrams_down", .count(datagrams.down)))
            fields.append(("datagrams_up", .count(datagrams.up)))
        }
        if let destination = record.destination {
            fields.append(("destination", .address(destination.value)))
        } else if let requested = record.requested {
            fields.append(("destination", .text("\(requested)")))
        }
        fields.append(("down", .count(record.down)))
        fields.append(("duration", .duration(record.duration)))
        if transaction == nil || !record.ending.isOrderly { fields.append(("ending", .text(record.ending.rawValue))) }
        if let transaction, transaction.firstByte > 0 { fields.append(("first_byte", .duration(transaction.firstByte))) }
        fields.append(("listener", .text(record.listener)))
        if let local = record.local { fields.append(("local", .address(local.value))) }
        if let member = record.member { fields.append(("member", .text(member))) }
        if let transaction, !transaction.method.isEmpty { fields.append(("method", .text(transaction.method))) }
        if let name = record.name { fields.append(("name", .text(name))) }
        if record.datagrams != nil { fields.append(("protocol", .text("udp"))) }
        if case .denied(let reason) = record.cause { fields.append(("reason", .text(reason))) }
        if let transaction, !transaction.referer.isEmpty { fields.append(field("referer", transaction.referer)) }
        if let rule = record.rule {
            fields.append(("rule", .count(UInt64(rule + 1))))
        } else {
            fields.append(("rule", .text("default")))
        }
        if let transaction {
            fields.append(("status", .count(UInt64(transaction.status))))
            if !transaction.target.isEmpty { fields.append(("target", .text(transaction.target))) }
        }
        fields.append(("up", .count(record.up)))
        fields.append(("upstream", .text(record.upstream ?? (record.ending == .proxyRejected ? "reject" : "direct"))))
        if let user = record.user { fields.append(("user", .text(user))) }
        if let transaction, !transaction.userAgent.isEmpty { fields.append(field("user_agent", transaction.userAgent)) }
        write(.info, message, fields)
    }

    /// What a client sent, which may be any bytes. JSON's texts cannot hold what is no UTF-8: there each byte is the character that ISO 8859-1
    /// has for it, under a name that says so.
    private func field(_ key: String, _ bytes: [UInt8]) -> (key: String, value: LogValue) {
        if let text = String(validating: bytes, as: UTF8.self) { return (key, .text(text)) }
        guard format == .json else { return (key, .bytes(bytes)) }
        return (key + "_latin1", .text(String(String.UnicodeScalarView(bytes.map { UnicodeScalar($0) }))))
    }

    func sessionOpened(_ opening: SessionOpening) {}

    func event(_ event: WorkerEvent) {
        switch event {
        case .acceptPaused(let listener, let reason):
            log(.error, "accepting paused", [("listener", .text(listener)), ("reason", .text(reason))])
        case .sessionLimit(let listener, let limit):
            log(
                .warning, "accepting paused: max_sessions are open",
                [("limit", .count(UInt64(limit))), ("listener", .text(listener))])
        case .acceptResumed(let listener):
            log(.notice, "accepting resumed", [("listener", .text(listener))])
        case .memberEjected(let upstream, let member, let nanoseconds, let reason):
            log(
                .warning, "upstream member left out",
                [
                    ("duration", .duration(nanoseconds)), ("member", .text(member)), ("reason", .text(reason)),
                    ("upstream", .text(upstream)),
                ], kind: upstream + " " + member)
        // The sessions' own records say it.
        case .memberFailed: break
        case .memberRestored(let upstream, let member):
            log(
                .notice, "upstream member works again", [("member", .text(member)), ("upstream", .text(upstream))],
                kind: upstream + " " + member)
        case .pipeliningStopped(let upstream, let member):
            log(
                .warning, "upstream member silent after a pipelined request: pipeline is off for it until a reload",
                [("member", .text(member)), ("upstream", .text(upstream))], kind: upstream + " " + member)
        case .sessionFailed(let listener, let ending, let reason):
            log(
                .warning, "session failed",
                [("ending", .text(ending.rawValue)), ("listener", .text(listener)), ("reason", .text(reason))],
                kind: ending.rawValue)
        }
    }

    func turnEnded() {
        guard lines > 0 else { return }
        sink.append(buffer, requests: requests, lines: lines)
        buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 16)
        requests.removeAll(keepingCapacity: requests.capacity <= 1 << 16)
        lines = 0
    }

    func drained() { drainedWorkers.add() }

    /// One line, if the level is logged.
    ///
    /// - Parameter fields: sorted by key.
    func write(_ level: Configuration.Log.Level, _ message: String, _ fields: [(key: String, value: LogValue)]) {
        guard isLogged(level) else { return }
        line.append(to: &buffer, format, at: &clock, level, message, fields)
        lines += 1
    }

    /// One line, unless an equal one was logged within a second.
    ///
    /// - Parameter kind: what makes it unequal, beside the message.
    func log(
        _ level: Configuration.Log.Level, _ message: String, _ fields: [(key: String, value: LogValue)], kind: String = ""
    ) {
        guard isLogged(level) else { return }
        let now = cs_monotonic_nanoseconds()
        let key = message + kind
        if let last = recent[key], now - last.loggedAt < 1_000_000_000 {
            recent[key]!.suppressed += 1
            return
        }
        let suppressed = recent[key]?.suppressed ?? 0
        recent[key] = Repetition(loggedAt: now, suppressed: 0)
        let all = suppressed == 0 ? fields : fields + [("repeated", .count(suppressed))]
        write(level, message, all)
    }
}

/// Counts workers that have drained, and wakes the admin.
final class DrainSignal: Sendable {
    private let count = Atomic<Int>(0)
    let wakeup: Int32

    init() throws(Failure) { wakeup = try newWakeup() }

    var drained: Int { count.load(ordering: .acquiring) }

    func add() {
        count.wrappingAdd(1, ordering: .releasing)
        var one: UInt64 = 1
        _ = cs_write(wakeup, &one, 8)
    }
}
