internal import Configuration
internal import Credentials
internal import DataPlane
internal import Policy
internal import TransparentSockets

/// What becomes of a request to a listener that serves clients: each line a question that `run` asks, in its order, up to the one that
/// settles it.
struct ServedExplanation {
    let configuration: Configuration
    let listener: Listener
    let service: Service
    /// This host's, as its interfaces have them.
    let ourselves: Set<IPAddress>
    private(set) var lines: [String] = []

    /// - Parameter listener: one that serves clients; of others nil comes out.
    init?(_ configuration: Configuration, _ listener: Listener, ourselves: Set<IPAddress>) {
        // Whoever asks here has no password to show.
        var unlocked = listener
        unlocked.users = nil
        guard let service = Service(unlocked, nil) else { return nil }
        self.configuration = configuration
        self.listener = listener
        self.service = service
        self.ourselves = ourselves
    }

    /// - Parameter query: its destination is an address; of a name, the one that it is thought to lead to.
    mutating func explain(_ query: Query) {
        guard listener.origins.isEmpty else { return explainOrigin(query) }
        guard let address = query.destination, admits(query), serves(query.port, forPages: query.request != nil) else { return }
        if let name = query.name {
            guard mayBeNamed(name) else { return }
            if decidesByName(query) { return }
        }
        guard reaches(address, query.port) else { return }
        let decision = Policy(configuration.rules).decideInEveryForm(query)
        lines.append(explanation(of: decision, query, to: SocketAddress(address, port: query.port), configuration))
    }

    /// In front of servers: its requests have no destination, and rules cannot send them elsewhere.
    ///
    /// - Parameter query: its port is the one that the client connects to.
    private mutating func explainOrigin(_ query: Query) {
        guard admits(query) else { return }
        guard listener.listen.contains(where: { $0.value.port == query.port }) else {
            lines.append("refused: \(listener.name) does not listen on port \(query.port) (listen)")
            return
        }
        guard query.request?.method != "CONNECT" else {
            lines.append("refused: in front of servers there are no tunnels (CONNECT)")
            return
        }
        var query = query
        query.destination = nil
        let policy = Policy(configuration.rules)
        let decision = policy.decide(query)
        lines.append("requests have no destination here: what no rule rejects goes to the origin, whatever it names")
        if decision.action == .reject {
            let nowhere = SocketAddress(.v4(IPv4Address(bits: 0)), port: query.port)
            lines.append(explanation(of: decision, query, to: nowhere, configuration))
        } else {
            let origins = listener.origins.map { "\($0)" }.joined(separator: ", ")
            lines.append("\(ruleName(of: decision, configuration)): to origin \(origins)")
        }
        if policy.needsRequest(query, after: decision) { lines.append("a request of HTTP could change this (give --url)") }
        if query.request != nil, query.request?.response == nil, policy.needsResponse(query, after: decision) {
            lines.append("the type of the response could change this (give --content-type)")
        }
    }

    // MARK: The questions

    private mutating func admits(_ query: Query) -> Bool {
        if let client = query.client {
            guard service.admits(client) else {
                lines.append("refused: \(client) is no client of \(listener.name) (clients)")
                return false
            }
            lines.append("\(client) is admitted by \(listener.name)")
        } else if !listener.clients.isEmpty {
            lines.append("\(listener.name) admits only some clients (give --client)")
        }
        switch (listener.users, query.user) {
        case (let users?, let user?):
            guard users.has(user) else {
                lines.append("refused: there is no user \"\(user)\" (users)")
                return false
            }
            lines.append("with the right password: user \"\(user)\"")
        case (.some, nil): lines.append("a password is asked for (give --user)")
        case (nil, _): break
        }
        return true
    }

    private mutating func serves(_ port: UInt16, forPages: Bool) -> Bool {
        let speaksSOCKS = listener.mode != .http
        let speaksHTTP = listener.mode != .socks
        switch (
            speaksSOCKS && service.mayAsk(for: port, overHTTP: false),
            speaksHTTP && service.mayAsk(for: port, overHTTP: true, forPages: forPages)
        )
        {
        case (false, false):
            lines.append("refused: port \(port) is not served (ports)")
            return false
        case (true, false) where speaksHTTP: lines.append("port \(port) is served over SOCKS, and refused over HTTP (ports)")
        default: lines.append("port \(port) is served")
        }
        return true
    }

    private mutating func mayBeNamed(_ name: DomainName) -> Bool {
        guard let refusal = service.refusal(of: name) else { return true }
        lines.append("refused: \(refusal) (reach)")
        return false
    }

    /// What the name alone decides, nobody is asked for its address.
    private mutating func decidesByName(_ query: Query) -> Bool {
        var unresolved = query
        unresolved.destination = nil
        let policy = Policy(configuration.rules)
        let decision = policy.decide(unresolved)
        guard let name = query.name, !policy.needsAddress(unresolved, after: decision) else { return false }
        switch decision.action {
        case .direct: return false
        case .upstream(let index) where !configuration.upstreams[index].takesNames: return false
        case .upstream: lines.append("\(name) is not resolved here: where it leads is the proxy's to judge")
        case .reject: break
        }
        // The address is not known then, and so in no line.
        let nowhere = SocketAddress(.v4(IPv4Address(bits: 0)), port: query.port)
        lines.append(explanation(of: decision, query, to: nowhere, configuration))
        return true
    }

    private mutating func reaches(_ address: IPAddress, _ port: UInt16) -> Bool {
        if let refusal = service.reach.refusal(of: address, ourselves: ourselves) {
            lines.append("refused: \(refusal) (reach)")
            return false
        }
        var selfCheck = SelfCheck(configuration.listeners.flatMap(\.listen))
        guard !selfCheck.isOurselves(OriginalDestination(SocketAddress(address, port: port)), now: 0) else {
            lines.append("refused: the destination is a listener of this proxy")
            return false
        }
        lines.append("\(address) can be reached")
        return true
    }
}

extension Upstream {
    /// Whether all of its proxies are given names where there are any.
    var takesNames: Bool { exit == nil && sendName && members.allSatisfy { $0.scheme != .socks5 } }
}
