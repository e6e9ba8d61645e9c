internal import CSockets
internal import Glibc

/// Tells systemd how the service fares, where it asked to be told (`sd_notify(3)`); elsewhere, nothing.
struct ServiceManager {
    private let socket: String?

    init() { socket = getenv("NOTIFY_SOCKET").map { String(cString: $0) } }

    func ready(_ status: String) { send("READY=1\nSTATUS=\(status)") }

    /// systemd matches the time with the one at which it asked, to tell this reload from another.
    func reloading() { send("RELOADING=1\nMONOTONIC_USEC=\(cs_monotonic_nanoseconds() / 1_000)") }

    func stopping(_ status: String) { send("STOPPING=1\nSTATUS=\(status)") }

    private func send(_ message: String) {
        guard let socket, !socket.isEmpty else { return }
        let descriptor = cs_socket_unix_datagram()
        guard descriptor >= 0 else { return }
        defer { _ = cs_close(descriptor) }
        var message = message
        message.withUTF8 { _ = cs_send_unix(descriptor, socket, $0.baseAddress, $0.count) }
    }
}
