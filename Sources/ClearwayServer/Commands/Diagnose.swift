internal import Configuration
internal import Firewall

/// What the doctor found, for people, and the exit status of the gravest finding.
public struct Report: Sendable {
    public var text: String
    public var code: ExitCode
}

/// Says whether interception will work here, and if not, why, each finding with the command that mends it.
///
/// - Parameter probe: also send real traffic through this host, from a scratch client namespace to a scratch server one.
public func diagnose(configurationAt path: String?, probe: Bool) throws(Failure) -> Report {
    Rules.passPermissionOn()
    let configuration = try loadConfiguration(path)
    guard configuration.intercepts else {
        let needless = Finding.ok("interception", "no listener intercepts anything, so neither rules nor permission are needed")
        return Report(text: lines(of: [needless] + portReuse()), code: .good)
    }
    let choice = Choice.fixed(mark: configuration.firewall.mark, routeTable: configuration.firewall.routeTable)
    let plan: Plan
    do throws(PlanError) {
        plan = try Plan(FirewallSpec(configuration, choice))
    } catch {
        throw Failure(.configuration, error.description)
    }
    var state = SystemState.gather(plan)
    state.sessions = Limits(configuration, descriptors: Int(clamping: state.hardLimit), ipv6: hasIPv6())?.sessions ?? 0
    let dialsByItself = !configuration.upstreams.isEmpty || configuration.listeners.contains { $0.preserveSource == .off }
    let findings = examine(
        plan, state, manages: configuration.firewall.manage, dialsByItself: dialsByItself, maxSessions: configuration.maxSessions)
    var text = lines(of: findings)
    var code = ExitCode(rawValue: findings.map(\.exitCode).max() ?? 0) ?? .software
    if probe, code == .good {
        for outcome in try Probe(ipv6: hasIPv6()).run() {
            text += "\(outcome.carried ? "ok" : "problem"): probe \(outcome.family): \(outcome.message)\n"
            if !outcome.carried { code = .systemError }
        }
    } else if probe {
        text += "problem: probe: not sent: mend the above first\n"
    }
    return Report(text: text, code: code)
}

/// A line each, and one for what mends it.
private func lines(of findings: [Finding]) -> String {
    var text = ""
    for finding in findings {
        let word =
            switch finding.severity {
            case .ok: "ok"
            case .note: "note"
            case .warning: "warning"
            case .problem: "problem"
            }
        text += "\(word): \(finding.subject): \(finding.message)\n"
        if let remedy = finding.remedy { text += "    mend: \(remedy)\n" }
    }
    return text
}
