internal import TransparentSockets

/// What a rule asks for beside its domains, in a form that answers fast.
struct Criteria: Sendable {
    let destinations: NetworkSet?
    let clients: NetworkSet?
    let ports: PortSet?
    let listeners: Set<String>?
    let users: Set<String>?
    let times: WeekTimes?
    let request: RequestCriteria?
    let transport: TransportProtocol?
    let isNamed: Bool?

    /// - Parameters:
    ///   - hosts: of the URLs of all rules.
    ///   - budget: of all rules.
    ///   - costly: numbers of what takes long (``RequestComparisons``) that are given out already.
    init(_ rule: Rule, _ hosts: HostNumbers, _ budget: ComparisonBudget, _ costly: inout Int) {
        destinations = rule.destinations.map(NetworkSet.init)
        clients = rule.clients.map(NetworkSet.init)
        ports = rule.ports.map(PortSet.init)
        listeners = rule.listeners.map { Set($0) }
        users = rule.users.map { Set($0) }
        times = rule.times
        request = rule.asksForRequest ? RequestCriteria(rule, hosts, budget, &costly) : nil
        transport = rule.transport
        // Both at once, nobody is.
        isNamed = rule.isNamed ?? (rule.anchors == nil ? nil : true)
    }

    /// Whether all but the domain holds: who asks has found the rule by its domain, or wants to know whether one matters.
    ///
    /// - Parameters:
    ///   - anyDestination: as if the address that is not known were the right one.
    ///   - anyName: as if the name that is not known were the right one.
    ///   - anyRequest: the same of a request and its response.
    ///   - anyResponse: the same of a response.
    ///   - comparisons: of the request, if there is one.
    func match(
        _ query: Query, anyDestination: Bool = false, anyName: Bool = false, anyRequest: Bool = false, anyResponse: Bool = false,
        _ comparisons: inout RequestComparisons
    ) -> Bool {
        if let isNamed, isNamed != (anyName || query.name != nil) { return false }
        if let transport, transport != query.transport { return false }
        if let ports, !ports.contains(query.port) { return false }
        if let listeners, !listeners.contains(query.listener) { return false }
        if let users { guard let user = query.user, users.contains(user) else { return false } }
        if let times { guard let minute = query.minute, times.contains(minute) else { return false } }
        if !anyDestination, !matchDestination(query) { return false }
        if let clients { guard let client = query.client, clients.contains(client) else { return false } }
        // What takes longest comes last.
        if let request, !anyRequest { guard request.match(query, anyResponse: anyResponse, &comparisons) else { return false } }
        return true
    }

    /// Whether that alone holds.
    func matchDestination(_ query: Query) -> Bool {
        guard let destinations else { return true }
        return query.destination.map { destinations.contains($0) } ?? false
    }

    /// Whether all but the domains holds wherever `other`'s does.
    func covers(_ other: Criteria) -> Bool {
        if let transport, transport != other.transport { return false }
        if let isNamed, isNamed != other.isNamed { return false }
        if let ports { guard let theirs = other.ports, ports.covers(theirs) else { return false } }
        if let listeners { guard let theirs = other.listeners, theirs.isSubset(of: listeners) else { return false } }
        if let request { guard let theirs = other.request, request.covers(theirs) else { return false } }
        if let times { guard let theirs = other.times, times.covers(theirs) else { return false } }
        if let users { guard let theirs = other.users, theirs.isSubset(of: users) else { return false } }
        if let destinations { guard let theirs = other.destinations, destinations.covers(theirs) else { return false } }
        if let clients { guard let theirs = other.clients, clients.covers(theirs) else { return false } }
        return true
    }
}
