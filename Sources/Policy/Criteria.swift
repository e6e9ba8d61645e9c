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

    /// - Parameter budget: of all rules.
    init(_ rule: Rule, _ budget: ComparisonBudget) {
        destinations = rule.destinations.map(NetworkSet.init)
        clients = rule.clients.map(NetworkSet.init)
        ports = rule.ports.map(PortSet.init)
        listeners = rule.listeners.map { Set($0) }
        users = rule.users.map { Set($0) }
        times = rule.times
        request = rule.asksForRequest ? RequestCriteria(rule, budget) : nil
        transport = rule.transport
        isNamed = rule.anchors == nil ? rule.isNamed : true
    }

    /// Whether all but the domain holds: who asks has found the rule by its domain, or wants to know whether one matters.
    ///
    /// - Parameters:
    ///   - anyDestination: as if the address that is not known were the right one.
    ///   - anyName: as if the name that is not known were the right one.
    ///   - anyRequest: the same of a request and its response.
    ///   - anyResponse: the same of a response.
    func match(
        _ query: Query, anyDestination: Bool = false, anyName: Bool = false, anyRequest: Bool = false, anyResponse: Bool = false
    ) -> Bool {
        if let isNamed, isNamed != (anyName || query.name != nil) { return false }
        if let transport, transport != query.transport { return false }
        if let ports, !ports.contains(query.port) { return false }
        if let listeners, !listeners.contains(query.listener) { return false }
        if let users { guard let user = query.user, users.contains(user) else { return false } }
        if let times { guard let minute = query.minute, times.contains(minute) else { return false } }
        if let destinations, !anyDestination {
            guard let destination = query.destination, destinations.contains(destination) else { return false }
        }
        if let clients { guard let client = query.client, clients.contains(client) else { return false } }
        // What takes longest comes last.
        if let request, !anyRequest { guard request.match(query, anyResponse: anyResponse) else { return false } }
        return true
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
