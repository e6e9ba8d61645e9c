internal import Configuration
internal import Policy
internal import TransparentSockets

/// Which rule decides for a session, and where it would go: what `run` would do, in words.
public func explain(
    configurationAt path: String?, destination: String, client: String?, name: String?, listener: String?
) throws(Failure) -> String {
    let configuration = try loadConfiguration(path)
    guard let address = SocketAddress(destination), address.port != 0 else {
        throw Failure(.usage, "DESTINATION: \"\(destination)\" is no address and port, such as 203.0.113.5:443")
    }
    var query = Query(
        listener: configuration.listeners[0].name, client: IPAddress("0.0.0.0")!, destination: address.address, port: address.port)
    if let client {
        guard let value = IPAddress(client) else { throw Failure(.usage, "--client: \"\(client)\" is no address") }
        query.client = value
    }
    if let name {
        guard let value = DomainName(name) else { throw Failure(.usage, "--name: \"\(name)\" is no host name") }
        query.name = value
    }
    if let listener {
        let names = configuration.listeners.map(\.name)
        guard names.contains(listener) else {
            throw Failure(.usage, "--listener: there is no \"\(listener)\", only \(names.joined(separator: ", "))")
        }
        query.listener = listener
    }
    let policy = Policy(configuration.rules)
    let decision = policy.decide(query)
    var lines = [decision.rule.map { "rule \($0 + 1) (\(place(of: $0, in: configuration)))" } ?? "no rule (default)"]
    lines[0] += ": " + action(decision, query, configuration)
    if policy.needsName(query) {
        lines.append("a name could change this: \"clearway run\" would look for one in the client's first bytes (give --name)")
    }
    return lines.joined(separator: "\n")
}

private func action(_ decision: Decision, _ query: Query, _ configuration: Configuration) -> String {
    let destination = SocketAddress(query.destination, port: query.port)
    switch decision.action {
    case .direct: return "direct to \(destination)"
    case .reject: return "rejected"
    case .upstream(let index):
        let upstream = configuration.upstreams[index]
        let asked = upstream.sendName ? query.name.map { "\($0):\(query.port)" } : nil
        return "upstream \(upstream.name) (\(upstream.scheme) \(upstream.address)), asked for \(asked ?? destination.description)"
    }
}

private func place(of rule: Int, in configuration: Configuration) -> String {
    let position = configuration.positions.rule(rule)
    return "\(position.file):\(position.line)"
}

/// Rules that never decide, in lines like those of errors.
func warnings(of configuration: Configuration) -> [String] {
    Policy(configuration.rules).shadowed.map { rule, by in
        let position = configuration.positions.rule(rule)
        return "\(position.file):\(position.line):\(position.column): warning: rule \(rule + 1) never decides: "
            + "rule \(by + 1) (line \(configuration.positions.rule(by).line)) matches all that it matches"
    }
}
