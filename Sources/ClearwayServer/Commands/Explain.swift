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
        listener: configuration.listeners[0].name, client: nil, destination: address.address.unmapped, port: address.port)
    if let client {
        guard let value = IPAddress(client) else { throw Failure(.usage, "--client: \"\(client)\" is no address") }
        query.client = value.unmapped
    }
    if let name {
        let bytes = Array(name.utf8)
        do throws(DomainName.WritingError) {
            query.name = try DomainName(written: bytes.span)
        } catch {
            switch error {
            case .address(let address): throw Failure(.usage, "--name: \"\(name)\" is the address \(address), and no host name")
            case .noALabels(let reason): throw Failure(.usage, "--name: \"\(name)\" has no A-labels: \(reason)")
            case .noName: throw Failure(.usage, "--name: \"\(name)\" is no host name")
            }
        }
    }
    if let listener {
        let names = configuration.listeners.map(\.name)
        guard names.contains(listener) else {
            throw Failure(.usage, "--listener: there is no \"\(listener)\", only \(names.joined(separator: ", "))")
        }
        query.listener = listener
    }
    var notes: [String] = []
    if Policy.serverSpeaksFirst.contains(query.port) {
        if query.name != nil { notes.append("no name is looked for on port \(query.port), where the server speaks first") }
        query.name = nil
    }
    let policy = Policy(configuration.rules)
    let decision = policy.decide(query)
    if query.name == nil, !Policy.serverSpeaksFirst.contains(query.port) {
        if policy.needsName(query, after: decision) {
            notes.append("a name could change this: \"clearway run\" would look for one in the client's first bytes (give --name)")
        } else if case .upstream(let index) = decision.action, configuration.upstreams[index].sendName,
            configuration.upstreams[index].members.contains(where: { $0.scheme != .socks5 })
        {
            notes.append("the proxy would be given the name that the client asks for, if there is one (give --name)")
        }
    }
    let rule = decision.rule.map { "rule \($0 + 1) (\(place(of: $0, in: configuration)))" } ?? "no rule (default)"
    return ([rule + ": " + action(decision, query, configuration)] + notes).joined(separator: "\n")
}

private func action(_ decision: Decision, _ query: Query, _ configuration: Configuration) -> String {
    let destination = SocketAddress(query.destination, port: query.port)
    switch decision.action {
    case .direct: return "direct to \(destination)"
    case .reject: return "rejected"
    case .upstream(let index):
        let upstream = configuration.upstreams[index]
        let isNamed = upstream.sendName && upstream.members.contains { $0.scheme != .socks5 }
        let asked = isNamed ? query.name.map { "\($0):\(query.port)" } : nil
        return "upstream \(way(to: upstream, configuration)), asked for \(asked ?? destination.description)"
    }
}

/// An upstream with its members, and what is in front of it.
private func way(to upstream: Upstream, _ configuration: Configuration) -> String {
    let members = upstream.members.map { "\($0.scheme) \($0.endpoint)" }.joined(separator: ", ")
    let policy = upstream.members.count > 1 ? "\(upstream.balancing.rawValue): " : ""
    let via = upstream.via.map { " via \(way(to: configuration.upstreams[$0], configuration))" } ?? ""
    return "\(upstream.name) (\(policy)\(members))\(via)"
}

private func place(of rule: Int, in configuration: Configuration) -> String {
    let position = configuration.positions.rule(rule)
    return "\(position.file):\(position.line)"
}

/// What is allowed and cannot be meant, in lines like those of errors.
func warnings(of configuration: Configuration) -> [String] {
    let shadowed = Policy(configuration.rules).shadowed.map { rule, by in
        let position = configuration.positions.rule(rule)
        return "\(position.file):\(position.line):\(position.column): warning: rule \(rule + 1) never decides: "
            + "rule \(by + 1) (line \(configuration.positions.rule(by).line)) matches all that it matches"
    }
    let more = shadowed.count > mostWarnings ? ["\(shadowed.count - mostWarnings) more rules never decide"] : []
    return emptyLists(of: configuration) + shadowed.prefix(mostWarnings) + more + loops(of: configuration)
}

/// A list without entries is allowed, as lists come from elsewhere, and tells of a download that failed.
private func emptyLists(of configuration: Configuration) -> [String] {
    let all = configuration.positions.emptyLists
    let lines = all.prefix(mostWarnings).map { position, file, rule in
        "\(position.file):\(position.line):\(position.column): warning: \(file) has no entries"
            + (configuration.rules[rule].canMatch ? "" : ": rule \(rule + 1) never decides")
    }
    return lines + (all.count > mostWarnings ? ["\(all.count - mostWarnings) more lists have no entries"] : [])
}

/// Lines that people read.
private let mostWarnings = 20

/// A proxy on this host sends connections of its own, which no mark of ours tells from others'.
private func loops(of configuration: Configuration) -> [String] {
    guard configuration.listeners.contains(where: \.local) else { return [] }
    let ours = (try? hostAddresses()) ?? []
    let isHere = { (member: Upstream.Member) in
        guard case .address(let address) = member.host else { return false }
        return address.isLoopback || ours.contains(address)
    }
    return configuration.upstreams.filter { $0.via == nil && $0.members.contains(where: isHere) }.map {
        "upstream \($0.name) is on this host, whose own connections are intercepted (local = true): "
            + "what it sends comes back to it, unless it goes to networks in exclude"
    }
}
