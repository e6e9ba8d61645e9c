internal import Configuration
internal import Policy

/// Rules that ask for, or choose, what none of their listeners has.
func unheeded(of configuration: Configuration) -> [String] {
    let all = Set(configuration.listeners.map(\.name))
    let inFrontOfServers = Set(configuration.listeners.filter { !$0.origins.isEmpty }.map(\.name))
    let lines = configuration.rules.enumerated().flatMap { index, rule -> [String] in
        guard rule.canMatch else { return [] }
        let own = rule.listeners.map { Set($0) } ?? all
        // For a command there are none.
        let isOfServers = !own.isEmpty && own.isSubset(of: inFrontOfServers)
        let ways = configuration.listeners.filter { own.contains($0.name) && $0.protocols.contains(.udp) }
        let position = configuration.positions.rule(index)
        let complaints = unheeded(in: rule, isOfServers: isOfServers) + unheeded(in: rule, ofDatagramsBy: ways)
        return complaints.map {
            "\(position.file):\(position.line):\(position.column): warning: rule \(index + 1) \($0)"
        }
    }
    let more = lines.count > mostWarnings ? ["\(lines.count - mostWarnings) more warnings of rules like these"] : []
    return lines.prefix(mostWarnings) + more
}

/// - Parameter isOfServers: all of its listeners are in front of servers of ours.
private func unheeded(in rule: Rule, isOfServers: Bool) -> [String] {
    var complaints: [String] = []
    if isOfServers, rule.destinations != nil {
        complaints.append("never decides: where a listener has an origin, requests have no destination")
    }
    if isOfServers, case .upstream = rule.action {
        complaints.append("lets requests pass, but not to its action's upstream: where a listener has an origin, they go there")
    }
    if rule.urls != nil, let methods = rule.methods, methods.allSatisfy({ $0 == "CONNECT" }) {
        complaints.append("never decides: a request for a tunnel (CONNECT) has no URL")
    }
    return complaints
}

/// What datagrams do not have.
///
/// - Parameter listeners: those of the rule that carry datagrams; that there are none is told otherwise.
private func unheeded(in rule: Rule, ofDatagramsBy listeners: [Listener]) -> [String] {
    guard rule.transport == .udp, !listeners.isEmpty else { return [] }
    if rule.asksForRequest { return ["never decides: datagrams are no requests"] }
    guard rule.domains != nil, listeners.allSatisfy(\.mode.intercepts) else { return [] }
    return ["never decides: no name is looked for in datagrams that are intercepted"]
}
