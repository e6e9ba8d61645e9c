internal import Configuration
internal import DataPlane
internal import Glibc
internal import TransparentSockets

/// What one worker tells the log of a transocks: the messages and fields of old, and some fields more.
final class TransocksLog: AccessLog, @unchecked Sendable {
    private typealias Fields = [(key: String, value: LogValue)]

    private let ids = RequestIDs()
    private let pid = UInt64(getpid())

    override func sessionOpened(_ number: UInt64, _ client: ClientAddress, _ destination: OriginalDestination) {
        guard isLogged(.info) else { return }
        write(.info, "proxy starts", fields(number, client, destination))
    }

    override func sessionEnded(_ record: SessionRecord) {
        // A local address is what a session has whose upstream was reached.
        if record.local == nil { failed(record) } else { ended(record) }
    }

    private func ended(_ record: SessionRecord) {
        let isOrderly = record.ending == .clientFIN || record.ending == .upstreamFIN
        let level = isOrderly ? .info : record.ending.transocksLevel
        guard isLogged(level) else { return }
        let more: Fields = [
            ("down", .count(record.down)), ("elapsed", .duration(record.duration)), ("ending", .text(record.ending.rawValue)),
            ("up", .count(record.up)),
        ]
        let error: Fields = isOrderly ? [] : [("error", .text(record.transocksEnding))]
        write(
            level, isOrderly ? "proxy ends" : "proxy ends with an error",
            fields(record.number, record.client, record.destination, more + error))
    }

    private func failed(_ record: SessionRecord) {
        let level = record.ending.transocksLevel
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
        var fields: Fields = [
            ("client_addr", .address(client.value)), ("pid", .count(pid)), ("request_id", .text(ids.text(number))),
            ("type", .text("access")),
        ]
        if let destination { fields.append(("dest_addr", .address(destination.value))) }
        return (fields + more).sorted { $0.key < $1.key }
    }

    override func event(_ event: WorkerEvent) {
        switch event {
        case .acceptPaused(let listener, let reason):
            let fields: Fields = [("addr", .text(listener)), ("error", .text(reason)), ("pid", .count(pid))]
            log(.error, "well: Listener.Accept error", fields, kind: listener)
        // The session's own record says it.
        case .sessionFailed: break
        default: super.event(event)
        }
    }
}

extension Ending {
    /// What an operator cannot change is no error: clients come and go.
    fileprivate var transocksLevel: Configuration.Log.Level {
        switch self {
        case .clientFIN, .upstreamFIN, .clientReset, .clientGone, .clientTimeout, .proxyIdle, .proxyHalfClose, .proxyDrain: .info
        default: .error
        }
    }
}

/// Identifiers of sessions in the shape of a UUID: different for each, and not to be guessed from one another.
private struct RequestIDs {
    private let secrets = (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max))

    /// - Parameter number: a session's, of this worker.
    func text(_ number: UInt64) -> String {
        let digits = Self.hexadecimal(Self.mixed(number ^ secrets.0)) + Self.hexadecimal(Self.mixed(number ^ secrets.1))
        var text: [UInt8] = []
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { text.append(UInt8(ascii: "-")) }
            text.append(digit)
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func hexadecimal(_ value: UInt64) -> [UInt8] {
        stride(from: 60, through: 0, by: -4).map { shift in
            let digit = UInt8(value >> UInt64(shift) & 15)
            return digit < 10 ? 0x30 + digit : 0x61 + digit - 10
        }
    }

    /// The finalizer of SplitMix64: one to one, so that different numbers stay different.
    private static func mixed(_ value: UInt64) -> UInt64 {
        var value = value &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
