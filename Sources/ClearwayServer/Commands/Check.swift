internal import Configuration
internal import TransparentSockets

/// Validates a configuration and says in one line what it would do.
public func check(configurationAt path: String?) throws(Failure) -> String {
    let configuration = try loadConfiguration(path)
    for warning in warnings(of: configuration) { printToStandardError(warning) }
    let listeners = configuration.listeners.map { listener in
        "\(listener.name) (\(listener.mode.rawValue) \(listener.listen.map(\.description).joined(separator: ", ")))"
    }
    let count = listeners.count == 1 ? "1 listener" : "\(listeners.count) listeners"
    return "\(configurationFile(path) ?? "default configuration"): good: \(count): \(listeners.joined(separator: "; "))"
}
