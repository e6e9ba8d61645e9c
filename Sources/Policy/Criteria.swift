internal import TransparentSockets

/// What a rule asks for beside its domains, in a form that answers fast.
struct Criteria: Sendable {
    let destinations: NetworkSet?
    let clients: NetworkSet?
    let ports: PortSet?
    let listeners: Set<String>?
    let users: Set<String>?
    let methods: Set<String>?
    let paths: [PathPattern]?
    let urls: URLSet?
    let fields: [FieldPattern]?
    let contentTypes: [ContentTypePattern]?
    let times: WeekTimes?
    let asksForRequest: Bool
    let isReject: Bool
    let transport: TransportProtocol?
    let isNamed: Bool?

    init(_ rule: Rule) {
        destinations = rule.destinations.map(NetworkSet.init)
        clients = rule.clients.map(NetworkSet.init)
        ports = rule.ports.map(PortSet.init)
        listeners = rule.listeners.map { Set($0) }
        users = rule.users.map { Set($0) }
        methods = rule.methods.map { Set($0) }
        paths = rule.paths
        urls = rule.urls.map(URLSet.init)
        fields = rule.fields
        contentTypes = rule.contentTypes
        times = rule.times
        asksForRequest = rule.asksForRequest
        isReject = rule.action == .reject
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
        if asksForRequest, !anyRequest {
            guard let request = query.request, matches(request, query, anyResponse: anyResponse) else { return false }
        }
        if let destinations, !anyDestination {
            guard let destination = query.destination, destinations.contains(destination) else { return false }
        }
        if let clients { guard let client = query.client, clients.contains(client) else { return false } }
        return true
    }

    private func matches(_ request: RequestFacts, _ query: Query, anyResponse: Bool) -> Bool {
        if let methods, !methods.contains(request.method) { return false }
        if let paths, !matches(paths, request) { return false }
        if let urls, !urls.match(request, query, isReject: isReject) { return false }
        if let fields, !fields.allSatisfy({ $0.matches(request.fields) }) { return false }
        guard let contentTypes, !anyResponse else { return true }
        guard let response = request.response else { return false }
        return contentTypes.contains { $0.matches(response) }
    }

    /// A path may mean another one to the server than to us: what is rejected, is so in either form; what is allowed, in both.
    private func matches(_ paths: [PathPattern], _ request: RequestFacts) -> Bool {
        let isWritten = paths.contains { $0.matches(request.path) }
        let isResolved = paths.contains { $0.matches(request.resolvedPath) }
        return isReject ? isWritten || isResolved : isWritten && isResolved
    }

    /// Whether all but the domains holds wherever `other`'s does.
    func covers(_ other: Criteria) -> Bool {
        if let transport, transport != other.transport { return false }
        if let isNamed, isNamed != other.isNamed { return false }
        if let ports { guard let theirs = other.ports, ports.covers(theirs) else { return false } }
        if let listeners { guard let theirs = other.listeners, theirs.isSubset(of: listeners) else { return false } }
        if let methods { guard let theirs = other.methods, theirs.isSubset(of: methods) else { return false } }
        if let paths {
            guard let theirs = other.paths, theirs.allSatisfy({ path in paths.contains { $0.covers(path) } }) else { return false }
            // Of one path the two may think differently: this one lets pass what the other would reject.
            guard isReject || !other.isReject else { return false }
        }
        if let urls {
            guard let theirs = other.urls, urls.covers(theirs), isReject || !other.isReject else { return false }
        }
        if let fields {
            guard let theirs = other.fields, fields.allSatisfy({ field in theirs.contains { field.covers($0) } }) else {
                return false
            }
        }
        if let contentTypes {
            guard let theirs = other.contentTypes, theirs.allSatisfy({ type in contentTypes.contains { $0.covers(type) } }) else {
                return false
            }
        }
        if let times { guard let theirs = other.times, times.covers(theirs) else { return false } }
        if let users { guard let theirs = other.users, theirs.isSubset(of: users) else { return false } }
        if let destinations { guard let theirs = other.destinations, destinations.covers(theirs) else { return false } }
        if let clients { guard let theirs = other.clients, clients.covers(theirs) else { return false } }
        return true
    }
}
