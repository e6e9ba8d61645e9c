internal import Configuration
internal import DataPlane
internal import Glibc
internal import TransparentSockets

/// What one worker tells the log of a program that Clearway stands in for.
class DropInAccessLog: AccessLog, @unchecked Sendable {
    typealias Fields = [(key: String, value: LogValue)]

    private let ids = RequestIDs()
    private let pid = UInt64(getpid())

    /// The fields of every record about a session, and `more`, sorted.
    func fields(_ number: UInt64, _ client: ClientAddress, _ more: Fields) -> Fields {
        let common: Fields = [
            ("client_addr", .address(client.value)), ("pid", .count(pid)), ("request_id", .text(ids.text(number))),
            ("type", .text("access")),
        ]
        return (common + more).sorted { $0.key < $1.key }
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
