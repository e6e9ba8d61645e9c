internal import Configuration
internal import Policy
internal import TransparentSockets

// What `explain` says of listeners that intercept, beside the rule that decides.

/// Which keys leave out what is asked about, with a comma between them; nil: one of these listeners takes it.
func keysLeavingOut(_ query: Query, _ listeners: [Listener]) -> String? {
    var keys: [String] = []
    for listener in listeners where listener.mode.intercepts {
        guard let key = keyLeavingOut(query, listener) else { return nil }
        if !keys.contains(key) { keys.append(key) }
    }
    return keys.isEmpty ? nil : keys.joined(separator: ", ")
}

/// The key of a listener that intercepts by which it does not intercept this.
private func keyLeavingOut(_ query: Query, _ listener: Listener) -> String? {
    guard listener.ports.contains(where: { $0.contains(query.port) }) else { return "ports" }
    if let destination = query.destination {
        let isMeant = listener.destinations.isEmpty || listener.destinations.contains { $0.contains(destination) }
        guard isMeant else { return "destinations" }
        guard !listener.exclude.contains(where: { $0.contains(destination) }) else { return "exclude" }
    }
    guard let client = query.client, !listener.clients.isEmpty else { return nil }
    return listener.clients.contains { $0.contains(client) } ? nil : "clients"
}

/// What holds of a request only if the name that it claims leads where it goes.
func claim(
    _ query: Query, _ decision: Decision, to target: SocketAddress, _ policy: Policy, _ configuration: Configuration
) -> [String] {
    var claimed = query
    claimed.isNameVerified = false
    let other = policy.decide(claimed)
    guard let name = query.name, policy.needsVerification(claimed, after: other) else { return [] }
    let what = query.request == nil ? "of a request of HTTP " : ""
    return [
        "\(what)only if this host's resolver finds \(target.address) by \(name); else "
            + explanation(of: other, claimed, to: target, configuration)
    ]
}
