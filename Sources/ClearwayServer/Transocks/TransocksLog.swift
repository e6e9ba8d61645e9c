internal import Configuration
internal import DataPlane
internal import TransparentSockets

/// What one worker tells the log of a transocks: the messages and fields of old, and some fields more.
final class TransocksLog: DropInAccessLog, @unchecked Sendable {
    override func sessionOpened(_ opening: SessionOpening) {
        guard isLogged(.info) else { return }
        write(.info, "proxy starts", fields(opening.number, opening.client, opening.destination))
    }

    override func sessionEnded(_ record: SessionRecord) {
        // A local address is what a session has whose upstream was reached.
        if record.local == nil { failed(record) } else { ended(record) }
    }

    private func ended(_ record: SessionRecord) {
        let isOrderly = record.ending == .clientFIN || record.ending == .upstreamFIN
        let level = record.ending.dropInLevel
        guard isLogged(level) else { return }
        let more: Fields = [
            ("down", .count(record.down)), ("elapsed", .duration(record.duration)), ("ending", .text(record.ending.rawValue)),
            ("up", .count(record.up)),
        ]
        let error: Fields = isOrderly ? [] : [("error", .text(record.goEnding))]
        write(
            level, isOrderly ? "proxy ends" : "proxy ends with an error",
            fields(record.number, record.client, record.destination, more + error))
    }

    private func failed(_ record: SessionRecord) {
        let level = record.ending.dropInLevel
        guard isLogged(level) else { return }
        let message =
            switch record.ending {
            case .proxyNoDestination: "GetOriginalDST failed"
            case .proxySelf, .proxyLoop: "connection loop"
            default: "failed to connect to proxy server"
            }
        write(
            level, message,
            fields(
                record.number, record.client, record.destination,
                [("elapsed", .duration(record.duration)), ("error", .text(record.transocksFailure))]))
    }

    private func fields(
        _ number: UInt64, _ client: ClientAddress, _ destination: OriginalDestination?, _ more: Fields = []
    ) -> Fields {
        fields(number, client, more + (destination.map { [("dest_addr", .address($0.value))] } ?? []))
    }
}
