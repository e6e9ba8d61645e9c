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
    var families: [String] = []
    if spec.families.ipv4 { families.append("IPv4") }
    if spec.families.ipv6, state.missingIPv6 == nil { families.append("IPv6") }
    let absent = plan.rules.filter { wanted in state.rules.count { $0.serves(wanted) } < families.count }
    var findings = absent.map { rule in
        Finding.warning("ip rule", "missing for \(families.joined(separator: " or ")): \(rule.words)", remedy)
    }
    let routeless = families.filter(state.missingRoutes.contains)
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
            wanted.mode == rule.mode && (rule.port == nil || wanted.listen.contains { $0.value.port == rule.port })
        }
    }
    return fitting.contains { $0.table == named } ? named : fitting.first?.table
}

private func chainOfRules(_ spec: FirewallSpec, _ ruleset: ForeignRuleset) -> String? {
    ruleset.chains.first { chain in
        let words = chain.split(separator: " ")
        return words.count == 3 && words[0] != "inet" && words[2].hasPrefix(spec.iptablesPrefix)
    }
}
