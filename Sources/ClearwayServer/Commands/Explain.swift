internal import Configuration
internal import Glibc
internal import Policy
internal import TransparentSockets

/// Which rule decides for a session, and where it would go: what `run` would do, in words.
public func explain(
    configurationAt path: String?, destination: String, client: String?, name: String?, listener: String?, user: String? = nil,
    udp: Bool = false, request: RequestWords = RequestWords(), time: String? = nil
) throws(Failure) -> String {
    let configuration = try loadConfiguration(path, elsewhere: true)
    guard let address = SocketAddress(destination), address.port != 0 else {
        throw Failure(.usage, "DESTINATION: \"\(destination)\" is no address and port, such as 203.0.113.5:443")
    }
    let transport: TransportProtocol = udp ? .udp : .tcp
    let carrying = configuration.listeners.filter { $0.protocols.contains(transport) }
    guard let first = carrying.first else {
        throw Failure(.usage, "no listener carries \(transport.rawValue) (protocols): such traffic is not intercepted")
    }
    var query = Query(
        listener: first.name, client: nil, destination: address.address.unmapped, port: address.port, transport: transport)
    if let client {
        guard let value = IPAddress(client) else { throw Failure(.usage, "--client: \"\(client)\" is no address") }
        query.client = value.unmapped
    }
    if let name { query.name = try hostName(name, of: "--name") }
    query.minute = try minuteOfWeek(time)
    if try request.add(to: &query), name != nil { throw Failure(.usage, "--name: the host of --url is the name") }
    var chosen = first
    if let listener {
        let names = carrying.map(\.name)
        guard let place = names.firstIndex(of: listener) else {
            if configuration.listeners.contains(where: { $0.name == listener }) {
                throw Failure(.usage, "--listener: \"\(listener)\" does not carry \(transport.rawValue) (protocols)")
            }
            throw Failure(.usage, "--listener: there is no \"\(listener)\", only \(names.joined(separator: ", "))")
        }
        chosen = carrying[place]
        if let keys = keysLeavingOut(query, [chosen]) {
            throw Failure(.usage, "--listener: \"\(listener)\" does not intercept such traffic (\(keys))")
        }
    } else if first.mode.intercepts {
        let intercepting = carrying.filter(\.mode.intercepts)
        if let keys = keysLeavingOut(query, intercepting) {
            throw Failure(.usage, "no listener intercepts such traffic (\(keys)): it takes the direct way")
        }
        chosen = intercepting.first { keysLeavingOut(query, [$0]) == nil } ?? first
    }
    query.listener = chosen.name
    if let user {
        guard chosen.users != nil else {
            throw Failure(.usage, "--user: \(chosen.name) asks nobody for a password, and knows no users")
        }
        query.user = user
    }
    if query.request != nil, udp || !chosen.understandsHTTP {
        throw Failure(.usage, "--url: \(udp ? "datagrams are no requests" : "\(chosen.name) does not understand HTTP (http)")")
    }
    let ourselves = (try? hostAddresses()) ?? []
    if var served = ServedExplanation(configuration, chosen, ourselves: ourselves) {
        served.explain(query)
        return served.lines.joined(separator: "\n")
    }
    var notes: [String] = []
    if !udp, query.request == nil, Policy.serverSpeaksFirst.contains(query.port) {
        if query.name != nil { notes.append("no name is looked for on port \(query.port), where the server speaks first") }
        query.name = nil
    }
    let looksForNames = !udp && !Policy.serverSpeaksFirst.contains(query.port)
    if udp, carrying.contains(where: { $0.name == query.listener && $0.mode.intercepts }) {
        if query.name != nil { notes.append("no name is looked for in datagrams") }
        query.name = nil
    }
    let target = SocketAddress(address.address.unmapped, port: address.port)
    let policy = Policy(configuration.rules)
    let decision = policy.decide(query)
    if query.name == nil, looksForNames {
        if policy.needsName(query, after: decision) {
            notes.append("a name could change this: \"clearway run\" would look for one in the client's first bytes (give --name)")
        } else if case .upstream(let index) = decision.action, configuration.upstreams[index].sendName,
            configuration.upstreams[index].members.contains(where: { $0.scheme != .socks5 })
        {
            notes.append("the proxy would be given the name that the client asks for, if there is one (give --name)")
        }
    }
    if !udp, policy.needsRequest(query, after: decision),
        chosen.understandsHTTP
    {
        notes.append("a request of HTTP could change this (give --url)")
    }
    if query.request != nil, query.request?.response == nil, policy.needsResponse(query, after: decision) {
        notes.append("the type of the response could change this (give --content-type)")
    }
    if chosen.http, !udp { notes += claim(query, decision, to: target, policy, configuration) }
    if udp, case .upstream(let index) = decision.action, configuration.upstreams[index].exit == nil {
        let upstream = configuration.upstreams[index]
        if !upstream.members.contains(where: { $0.scheme == .socks5 || $0.scheme == .socks5h }) {
            notes.append("none of these proxies carries UDP: only SOCKS5 does")
        } else if let via = upstream.via, configuration.upstreams[via].exit == nil {
            notes.append("UDP does not get there: it passes through no proxy to reach another one")
        }
    }
    return ([explanation(of: decision, query, to: target, configuration)] + notes).joined(separator: "\n")
}

/// The rule, and where it leads.
func explanation(
    of decision: Decision, _ query: Query, to target: SocketAddress, _ configuration: Configuration
) -> String {
    ruleName(of: decision, configuration) + ": " + action(decision, query, to: target, configuration)
}

func ruleName(of decision: Decision, _ configuration: Configuration) -> String {
    decision.rule.map { "rule \($0 + 1) (\(place(of: $0, in: configuration)))" } ?? "no rule (default)"
}

private func action(
    _ decision: Decision, _ query: Query, to destination: SocketAddress, _ configuration: Configuration
) -> String {
    switch decision.action {
    case .direct: return "direct to \(destination)"
    case .reject:
        guard let rule = decision.rule, let rejection = configuration.rules[rule].rejection else { return "rejected" }
        switch rejection {
        case .standard(let status): return "rejected, requests with status \(status)"
        case .page(let page, let status): return "rejected, requests with status \(status) and \(page.file)"
        case .redirect(let location, let status):
            return "rejected, requests sent to \(location.source) with status \(status)"
        }
    case .upstream(let index):
        let upstream = configuration.upstreams[index]
        if upstream.exit != nil { return "direct to \(destination), exit \(way(to: upstream, configuration))" }
        let isNamed = upstream.sendName && upstream.members.contains { $0.scheme != .socks5 }
        let asked = isNamed ? query.name.map { "\($0):\(query.port)" } : nil
        return "upstream \(way(to: upstream, configuration)), asked for \(asked ?? destination.description)"
    }
}

/// An upstream with its members, and what is in front of it.
private func way(to upstream: Upstream, _ configuration: Configuration) -> String {
    if let exit = upstream.exit {
        let sources = exit.sources.isEmpty ? "" : " from \(exit.sources.map(\.description).joined(separator: " or "))"
        return "\(upstream.name) (no proxy\(exit.device.map { " by \($0)" } ?? "")\(sources))"
    }
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
    var lines = emptyLists(of: configuration)
    lines += shadowed.prefix(mostWarnings)
    lines += more
    lines += strangers(of: configuration)
    lines += unheard(of: configuration)
    lines += unheeded(of: configuration)
    lines += loops(of: configuration)
    return lines + idleLog(of: configuration) + homelessLog(of: configuration)
}

/// A log file that could not be made. No error: the service manager may make its directory just before the start.
private func homelessLog(of configuration: Configuration) -> [String] {
    guard let file = configuration.log.file, let slash = file.lastIndex(of: "/"), slash > file.startIndex else { return [] }
    let directory = String(file[..<slash])
    var status = stat()
    guard stat(directory, &status) != 0 || status.st_mode & S_IFMT != S_IFDIR else { return [] }
    return ["log.file: there is no directory \"\(directory)\", and \"clearway run\" makes none: it could not open its log"]
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

/// A log for requests that nobody reads.
private func idleLog(of configuration: Configuration) -> [String] {
    guard configuration.log.format == .combined, !configuration.listeners.contains(where: \.understandsHTTP) else { return [] }
    return ["log.format = \"combined\" has lines for requests alone, and no listener understands HTTP (http = true)"]
}

/// Rules for a protocol that none of their listeners carries.
private func strangers(of configuration: Configuration) -> [String] {
    var carrying: [TransportProtocol: Set<String>] = [:]
    for listener in configuration.listeners {
        for transport in listener.protocols { carrying[transport, default: []].insert(listener.name) }
    }
    let lines = configuration.rules.enumerated().compactMap { index, rule -> String? in
        guard rule.canMatch, let transport = rule.transport else { return nil }
        let able = carrying[transport] ?? []
        guard rule.listeners.map(able.isDisjoint(with:)) ?? able.isEmpty else { return nil }
        let position = configuration.positions.rule(index)
        return "\(position.file):\(position.line):\(position.column): warning: rule \(index + 1) never decides: "
            + "no listener of it carries \(transport.rawValue) (protocols)"
    }
    let more = lines.count > mostWarnings ? ["\(lines.count - mostWarnings) more rules are for what no listener carries"] : []
    return lines.prefix(mostWarnings) + more
}

/// Rules for requests that none of their listeners understands.
private func unheard(of configuration: Configuration) -> [String] {
    let able = Set(configuration.listeners.filter(\.understandsHTTP).map(\.name))
    let lines = configuration.rules.enumerated().compactMap { index, rule -> String? in
        guard rule.canMatch, rule.asksForRequest, rule.transport != .udp,
            rule.listeners.map(able.isDisjoint(with:)) ?? able.isEmpty
        else { return nil }
        let position = configuration.positions.rule(index)
        return "\(position.file):\(position.line):\(position.column): warning: rule \(index + 1) never decides: "
            + "no listener of it understands HTTP (http)"
    }
    let more = lines.count > mostWarnings ? ["\(lines.count - mostWarnings) more rules are for what no listener understands"] : []
    return lines.prefix(mostWarnings) + more
}

/// Lines that people read.
let mostWarnings = 20

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
