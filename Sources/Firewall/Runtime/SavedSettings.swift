internal import CSockets
internal import Glibc
internal import TransparentSockets

/// What kernel settings were before we changed them. The file outlives a SIGKILL, and is shared by all our processes in one
/// network namespace: the last one to stop restores.
struct SavedSettings {
    private static let folder = "/run/clearway"
    private let path: String?
    private var original: [String: String] = [:]

    init() {
        path = Self.path()
        for line in (path.flatMap(fileText) ?? "").split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1)
            if parts.count == 2 { original[String(parts[0])] = String(parts[1]) }
        }
    }

    /// Not the inode of the namespace: that number comes again, and with it somebody else's settings.
    static func path() -> String? {
        let raw = cs_socket_unix_datagram()
        guard raw >= 0 else { return nil }
        let socket = Descriptor(owning: raw)
        var cookie: UInt64 = 0
        guard cs_namespace_cookie(socket.raw, &cookie) == 0 else { return nil }
        return "\(folder)/netns-\(cookie).sysctl"
    }

    /// - Returns: what to tell the operator when the setting cannot be changed.
    mutating func set(_ setting: Sysctl) -> String? {
        guard let before = sysctl(setting.name), before != setting.value else { return nil }
        if original[setting.name] == nil {
            original[setting.name] = before
            save()
        }
        let failed = writeFile(sysctlPath(setting.name), setting.value)
        guard failed != 0 else { return nil }
        original[setting.name] = nil
        save()
        return "\(setting.name) cannot be set to \(setting.value) (\(String(cString: strerror(failed)))): after a stop, "
            + "connections that reuse an address and port of the last minute may stall"
    }

    mutating func restore() {
        for (name, value) in original where !name.contains("/") { _ = writeFile(sysctlPath(name), value) }
        original = [:]
        save()
    }

    /// Without a writable /run the original is remembered only as long as this process lives.
    private func save() {
        guard let path else { return }
        guard !original.isEmpty else {
            unlink(path)
            return
        }
        mkdir(Self.folder, 0o755)
        _ = writeFile(path, original.map { "\($0.key)=\($0.value)\n" }.sorted().joined(), create: true)
    }
}
