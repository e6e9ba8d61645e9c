internal import TransparentSockets

/// Whether the rules that people make are there. They are written as people like: what every form of them has is looked for.
func rulesByHand(_ plan: Plan, _ state: SystemState) -> [Finding] {
    let spec = plan.spec
    let remedy = "clearway rules --format shell   # or nft, or iptables: shows what is needed (-c FILE)"
    let routing = routingByHand(plan, state, remedy)
    guard state.capable, !state.missingPrograms.contains("nft"), !state.failedCommands.contains(where: { $0.hasPrefix("nft ") })
    else { return routing }
    if let table = tableOfRules(spec, state.ruleset) {
        return [.ok("rules by hand", "they are in nft table \(table)")] + routing
    }
    if let chain = chainOfRules(spec, state.ruleset) {
        return [.ok("rules by hand", "they are in iptables, such as \(chain)")] + routing
    }
    if let rule = possibleRule(spec, state.ruleset) {
        let ports = rule.ports.map { "to ports \($0.lowerBound)-\($0.upperBound)" } ?? "without saying to which port"
        return [
            .warning("rules by hand", "nft table \(rule.table) intercepts \(ports): of ours, nothing is said for certain", remedy)
        ] + routing
    }
    let message =
        "neither nft table inet \(spec.table) nor iptables chains \(spec.iptablesPrefix)… are there: "
        + "nothing is intercepted, unless by rules of another name"
    // Who has set up the routing has rules that use it, if none that can be seen.
    let isRouted = !routing.isEmpty && routing.allSatisfy { $0.severity == .ok }
    let missing: Finding =
        isRouted || state.mayHaveLegacyRules
        ? .warning("rules by hand", message, remedy) : .problem(71, "rules by hand", message, remedy)
    return [missing] + routing
}

/// Whether intercepted packets are delivered to this host; empty where that is not needed, or cannot be looked at.
private func routingByHand(_ plan: Plan, _ state: SystemState, _ remedy: String) -> [Finding] {
    let spec = plan.spec
    guard let route = plan.route, !state.missingPrograms.contains("ip"),
        !state.failedCommands.contains(where: { $0.contains(" rule ") })
    else { return [] }
    var families: [(name: String, isIPv6: Bool)] = []
    if spec.families.ipv4 { families.append(("IPv4", false)) }
    if spec.families.ipv6, state.missingIPv6 == nil { families.append(("IPv6", true)) }
    var findings: [Finding] = plan.rules.compactMap { wanted in
        let absent = families.filter { family in !state.rules.contains { $0.isIPv6 == family.isIPv6 && $0.serves(wanted) } }
        guard !absent.isEmpty else { return nil }
        return .warning("ip rule", "missing for \(absent.map(\.name).joined(separator: " and ")): \(wanted.words)", remedy)
    }
    let routeless = families.map(\.name).filter(state.missingRoutes.contains)
    if !routeless.isEmpty {
        findings.append(.warning("ip route", "missing for \(routeless.joined(separator: " and ")): \(route)", remedy))
    }
    if findings.isEmpty {
        findings.append(.ok("ip rule", "table \(spec.routeTable) delivers intercepted packets to this host"))
    }
    return findings
}

/// The nft table that intercepts for us: the one of our name, if it has rules, else one with rules as they are needed.
func tableOfRules(_ spec: FirewallSpec, _ ruleset: ForeignRuleset) -> String? {
    let named = "inet \(spec.table)"
    let fitting = ruleset.interceptions.filter { rule in
        spec.interceptions.contains { wanted in
            wanted.mode == rule.mode && wanted.listen.contains { rule.ports == $0.value.port...$0.value.port }
        }
    }
    return fitting.contains { $0.table == named } ? named : fitting.first?.table
}

/// A rule that may be one of ours: it chooses among several ports of which one is ours, or says none.
func possibleRule(_ spec: FirewallSpec, _ ruleset: ForeignRuleset) -> ForeignRuleset.Interception? {
    ruleset.interceptions.first { rule in
        spec.interceptions.contains { wanted in
            wanted.mode == rule.mode && wanted.listen.contains { rule.ports?.contains($0.value.port) ?? true }
        }
    }
}

private func chainOfRules(_ spec: FirewallSpec, _ ruleset: ForeignRuleset) -> String? {
    ruleset.chains.first { chain in
        let words = chain.split(separator: " ")
        return words.count == 3 && words[0] != "inet" && words[2].hasPrefix(spec.iptablesPrefix)
    }
}
