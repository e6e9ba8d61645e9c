internal import Configuration
public import Firewall

/// The kernel rules, routes and sysctls that a configuration needs, as text; nothing is applied.
///
/// The marks are those that `run` would take now, so that both show the same; with `firewall.manage = false` they are fixed.
public func rules(configurationAt path: String?, _ format: Plan.Format) throws(Failure) -> String {
    let configuration = try loadConfiguration(path)
    // A comment in each of the formats.
    guard configuration.intercepts else { return "# No listener intercepts anything: there are no rules to make.\n" }
    var choice = Choice.fixed(mark: configuration.firewall.mark, routeTable: configuration.firewall.routeTable)
    if configuration.firewall.manage, let free = freeChoice(configuration.firewall) { choice = free }
    do throws(PlanError) {
        return try Plan(FirewallSpec(configuration, choice)).rendered(format)
    } catch {
        throw Failure(.configuration, error.description)
    }
}

/// nil where `ip` is missing: the text is wanted all the same.
private func freeChoice(_ firewall: Configuration.Firewall) -> Choice? {
    guard let (choice, _) = try? MarkReservation.choose(mark: firewall.mark, routeTable: firewall.routeTable) else { return nil }
    return choice
}
