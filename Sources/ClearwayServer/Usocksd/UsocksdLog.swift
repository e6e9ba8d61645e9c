internal import Configuration
internal import DataPlane
internal import Protocols
internal import TransparentSockets

/// What one worker tells the log of a usocksd, the messages and fields of old and some fields more, and its metrics.
final class UsocksdLog: DropInAccessLog, @unchecked Sendable {
    private let counts: UsocksdMetrics

    init(
        _ log: Configuration.Log, _ sink: LogSink, _ line: LogLine, _ drainedWorkers: DrainSignal, _ counts: UsocksdMetrics
    ) {
        self.counts = counts
        super.init(log, sink, line, drainedWorkers)
    }

    override func sessionOpened(_ opening: SessionOpening) {
        counts.opened(opening)
        guard isLogged(.info) else { return }
        let addresses = Self.addresses(opening.destination, opening.local)
        write(
            .info, "proxy starts",
            fields(opening.number, opening.client, Self.request(opening.requested, opening.socks) + addresses))
    }

    override func sessionEnded(_ record: SessionRecord) {
        counts.ended(record)
        // A local address is what a session has whose upstream was reached.
        if record.local == nil { failed(record) } else { ended(record) }
    }

    private func ended(_ record: SessionRecord) {
        let isOrderly = record.ending == .clientFIN || record.ending == .upstreamFIN
        let level = record.ending.dropInLevel
        guard isLogged(level) else { return }
        var more = Self.request(record.requested, record.socks) + Self.addresses(record.destination, record.local)
        more += [
            ("down", .count(record.down)), ("elapsed", .duration(record.duration)), ("ending", .text(record.ending.rawValue)),
            ("up", .count(record.up)),
        ]
        if !isOrderly { more.append(("error", .text(record.goEnding))) }
        write(
            level, isOrderly ? "proxy ends" : "proxy ends with an error", fields(record.number, record.client, more))
    }

    private func failed(_ record: SessionRecord) {
        if record.isDenied { denied(record) }
        let level = record.ending.dropInLevel
        guard isLogged(level) else { return }
        var more = Self.request(record.requested, record.socks) + Self.port(record)
        more.append(("elapsed", .duration(record.duration)))
        if let error = record.usocksdError { more.append(("error", .text(error))) }
        write(level, record.usocksdFailure, fields(record.number, record.client, more))
    }

    /// Of the site and the port, usocksd had only the one that was the reason.
    private func denied(_ record: SessionRecord) {
        guard isLogged(.warning) else { return }
        var more = Self.port(record)
        if let name = record.name { more.append(("fqdn", .text(name))) }
        write(.warning, "denied access", fields(record.number, record.client, more))
    }

    private static func request(_ requested: ProxyTarget?, _ socks: SOCKSProgress?) -> Fields {
        var fields: Fields = []
        if let version = socks?.version { fields.append(("protocol", .text(version == .five ? "SOCKS5" : "SOCKS4/4a"))) }
        guard let requested else { return fields }
        if socks?.stage == .whole { fields.append(("command", .text("connect"))) }
        let host =
            switch requested.host {
            case .address(let address): address.description
            case .name(let name): name
            }
        return fields + [("dest_host", .text(host))]
    }

    private static func addresses(_ destination: OriginalDestination?, _ local: LocalAddress?) -> Fields {
        var fields: Fields = []
        if let destination { fields.append(("dest_addr", .address(destination.value))) }
        if let local { fields.append(("src_addr", .address(local.value))) }
        return fields
    }

    /// What usocksd left out.
    private static func port(_ record: SessionRecord) -> Fields {
        record.requested.map { [("dest_port", .count(UInt64($0.port)))] } ?? []
    }
}
