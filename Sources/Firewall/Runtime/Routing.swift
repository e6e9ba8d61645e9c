internal import TransparentSockets

/// Makes rules and routes what a plan says, whatever an earlier life left behind.
struct Routing {
    let ip: Tool

    func install(_ plan: Plan) throws(FirewallError) {
        for family in plan.familyOptions {
            let listed = try rules(family)
            let ours = listed.filter { $0.isOurs && $0.mask == plan.spec.marks.mask }
            var lines: [String] = []
            if let route = plan.route { lines.append("route replace \(route)") }
            // Added first: between the two a marked packet must find a route. Rules of one preference may stand side by side.
            for rule in plan.rules where !ours.contains(where: { $0.isSame(as: rule) }) { lines.append("rule add \(rule.words)") }
            let stale = ours.filter { rule in !plan.rules.contains { rule.isSame(as: $0) } }
            lines += inOrderOfRemoval(stale).map(deletion)
            guard !lines.isEmpty else { continue }
            let result = try ip.run([family, "-batch", "-"], input: lines.map { $0 + "\n" }.joined())
            guard result.status == 0 else { throw failed(result, family) }
            for table in staleTables(ours, plan) { try removeRoute(family, table) }
        }
    }

    /// Takes away what we made, as far as it is there; both families, because an earlier plan may have had more than this one.
    func remove(_ plan: Plan) throws(FirewallError) {
        for family in ["-4", "-6"] {
            guard let listed = try? rules(family) else { continue }
            let ours = listed.filter { $0.isOurs && $0.mask == plan.spec.marks.mask }
            if !ours.isEmpty {
                // -force: somebody else may have deleted one in the meantime.
                _ = try ip.run([family, "-force", "-batch", "-"], input: ours.map { deletion($0) + "\n" }.joined())
            }
            for table in Set(ours.compactMap(\.table) + [plan.spec.routeTable])
            where !listed.contains(where: { $0.table == table && !ours.contains($0) }) {
                try removeRoute(family, table)
            }
        }
    }

    func rules(_ family: String) throws(FirewallError) -> [ListedRule] {
        let result = try ip.run([family, "-N", "rule", "show"])
        guard result.status == 0 else { throw failed(result, family) }
        return ListedRule.parse(result.output, isIPv6: family == "-6")
    }

    private func removeRoute(_ family: String, _ table: UInt32) throws(FirewallError) {
        _ = try ip.run([family, "route", "del", "local", "default", "dev", "lo", "table", "\(table)", "protocol", "\(ownProtocol)"])
    }

    private func staleTables(_ ours: [ListedRule], _ plan: Plan) -> Set<UInt32> {
        Set(ours.compactMap(\.table)).subtracting([plan.spec.routeTable])
    }

    /// The reverse of the order in a plan: those for "lo" keep the others' packets from being called martians.
    private func inOrderOfRemoval(_ rules: [ListedRule]) -> [ListedRule] {
        rules.filter { $0.incoming != "lo" } + rules.filter { $0.incoming == "lo" }
    }

    /// With its target: another rule may differ in that alone.
    private func deletion(_ rule: ListedRule) -> String {
        let target = rule.goto.map { " goto \($0)" } ?? rule.table.map { " lookup \($0)" } ?? ""
        return
            "rule del pref \(rule.preference)\(rule.incoming.map { " iif \($0)" } ?? "") fwmark \(hex(rule.mark ?? 0))/\(hex(rule.mask))\(target) protocol \(ownProtocol)"
    }

    private func failed(_ result: Tool.Finished, _ family: String) -> FirewallError {
        if result.errors.contains("Operation not permitted") { return .noCapability }
        if result.errors.contains("is not up") || result.errors.contains("Network is down") {
            return FirewallError(.system, "interface lo is down, and intercepted packets go through it: ip link set lo up")
        }
        if result.errors.contains("not supported") {
            return FirewallError(
                .missingFeature,
                "the kernel has no policy routing: CONFIG_IP_MULTIPLE_TABLES, CONFIG_IPV6_MULTIPLE_TABLES (\(result.complaint))")
        }
        return FirewallError(.system, "ip \(family): \(result.complaint)")
    }
}
