internal import Policy
internal import Protocols
internal import SystemPackage
internal import TransparentSockets

// Where a client that asks may go, and the way there.

extension Session {
    /// What a request came down to: where to connect to, all by the same decision.
    private enum Judged {
        /// Direct. One address at least.
        case direct([IPAddress])
        case upstream(Int, Wanted)
        case ended(Ending)
    }

    /// Connects to what the client asked for, if it may go there.
    ///
    /// - Returns: nil when connected, else how the session ends.
    /// - Parameter forPage: a proxy may be asked for pages in place of a tunnel.
    func connect(to target: ProxyTarget, _ service: Service, forPage: Bool = false) async -> Ending? {
        let deadline = worker.loop.now + worker.settings.connectTimeout
        switch await judge(target, service, until: deadline) {
        case .ended(let ending): return ending
        case .upstream(let index, var wanted):
            // What a page is asked for names its server, too: it must be what was judged, to every reader.
            let isPlain = wanted.name != nil || http?.names(target.host) == true
            // What is scanned is written as its server wants it.
            wanted.isPage = forPage && isPlain && settings.http?.icap == nil
            return await pass(through: index, to: wanted, until: deadline).ending
        case .direct(let addresses):
            let ways = addresses.map { (UpstreamAddress(SocketAddress($0, port: target.port)), dialOptions) }
            return await connect(to: ways, until: deadline)
        }
    }

    /// Why rules let nobody connect to that target, if they do not.
    func refusal(of target: ProxyTarget, _ service: Service) async -> Ending? {
        guard case .ended(let ending) = await judge(target, service, until: worker.loop.now + worker.settings.connectTimeout)
        else { return nil }
        return ending
    }

    /// - Parameter deadline: by when the name must be resolved, if there is one.
    private func judge(_ target: ProxyTarget, _ service: Service, until deadline: UInt64) async -> Judged {
        switch target.host {
        case .address(let address): return judge([address.unmapped], target.port, service)
        case .name(let text):
            // An address in whatever spelling is judged as that address.
            if let address = IPAddress(anySpelling: text[...]) { return judge([address.unmapped], target.port, service) }
            guard let name = DomainName(text[...]) else {
                return .ended(refuse(.clientProtocol, "neither a host name nor an address"))
            }
            self.name = name
            return await judge(name, target.port, service, until: deadline)
        }
    }

    /// Whom a client expects to connect to it, if it may have connections with them.
    ///
    /// - Returns: their addresses; empty: whoever ``mayCome(_:for:_:)``.
    func expected(_ target: ProxyTarget, _ service: Service) async -> Result<[IPAddress], Refused> {
        let judged: Judged
        if case .address(let address) = target.host, address.isUnspecified {
            judged = judgeAnybody(target.port)
        } else {
            judged = await judge(target, service, until: worker.loop.now + worker.settings.connectTimeout)
        }
        switch judged {
        case .direct(let addresses): return .success(addresses)
        case .upstream: return .failure(Refused(ending: refuse(.proxyRejected, "BIND, where a rule names an upstream")))
        case .ended(let ending): return .failure(Refused(ending: ending))
        }
    }

    /// What no address can change is decided before one is known.
    private func judgeAnybody(_ port: UInt16) -> Judged {
        let query = query(nil, port)
        decision = routes.policy.decide(query)
        guard !routes.policy.needsAddress(query, after: decision) else { return .direct([]) }
        switch decision.action {
        case .direct: return .direct([])
        case .reject: return .ended(.proxyRejected)
        case .upstream(let index): return .upstream(index, Wanted(name: nil, addresses: [], port: port))
        }
    }

    /// Whether a client that expects nobody in particular may have this peer.
    func mayCome(_ peer: IPAddress, for target: ProxyTarget, _ service: Service) -> Bool {
        if case .direct = judge([peer.unmapped], target.port, service) { return true }
        // It is the stranger who is turned away, and not the session.
        (destination, cause) = (nil, nil)
        return false
    }

    /// How the session ends.
    struct Refused: Error { var ending: Ending }

    /// A name that only goes to a proxy is not resolved here: that is the proxy's to do, which may know names that we do not.
    private func judge(_ name: DomainName, _ port: UInt16, _ service: Service, until deadline: UInt64) async -> Judged {
        if let refusal = service.refusal(of: name) { return .ended(refuse(.proxyRejected, refusal)) }
        let query = query(nil, port)
        decision = routes.policy.decide(query)
        if !routes.policy.needsAddress(query, after: decision) {
            switch decision.action {
            case .reject: return .ended(.proxyRejected)
            case .upstream(let index) where routes.upstreams[index].takesNames:
                return .upstream(index, Wanted(name: name, addresses: [], port: port))
            case .upstream, .direct: break
            }
        }
        switch await resolve(name, until: deadline) {
        case .success(let addresses): return judge(addresses, port, service)
        case .failure(let failed): return .ended(failed.ending)
        }
    }

    private func judge(_ addresses: [IPAddress], _ port: UInt16, _ service: Service) -> Judged {
        destination = OriginalDestination(SocketAddress(addresses[0], port: port))
        if let refusal = service.reach.refusal(ofAny: addresses, ourselves: worker.ownAddresses) {
            return .ended(refuse(.proxyRejected, "\(refusal)"))
        }
        var query = query(addresses[0], port)
        decision = routes.policy.decideInEveryForm(query)
        switch decision.action {
        case .reject: return .ended(.proxyRejected)
        case .upstream, .direct: break
        }
        // Only where the same rule leads: what a rule says of one address of a name, it does not say of another.
        let allowed = addresses.filter { address in
            query.destination = address
            return (address == addresses[0] || routes.policy.decideInEveryForm(query) == decision)
                && !worker.isOurselves(OriginalDestination(SocketAddress(address, port: port)))
        }
        guard let first = allowed.first else { return .ended(refuse(.proxySelf, "the destination is a listener of this proxy")) }
        destination = OriginalDestination(SocketAddress(first, port: port))
        guard case .upstream(let index) = decision.action else { return .direct(allowed) }
        // Without the name: the proxy would look it up again, and might find what was not judged.
        return .upstream(index, Wanted(name: nil, addresses: allowed, port: port))
    }

    /// What rules are asked about; the name is known by now, if there is one.
    func query(_ destination: IPAddress?, _ port: UInt16) -> Query {
        var query = Query(
            listener: settings.name, client: client.value.address, destination: destination, port: port, name: name, user: user)
        query.request = http?.facts
        query.minute = minute
        return query
    }

    func resolve(_ name: DomainName, until deadline: UInt64) async -> Result<[IPAddress], Refused> {
        let loop = worker.loop
        let answer: NameResolver.Answer
        if let known = worker.names.resolve(
            name, for: loop, from: client.value.address,
            { [id] answer in loop.slots.find(id)?._withUnsafeGuaranteedRef { $0.told(.resolution(answer), in: .resolving) } })
        {
            answer = known
        } else {
            if let ended = await wait(.resolving, until: deadline) {
                return .failure(Refused(ending: ended))
            }
            guard case .resolution(let told) = told.take() else { return .failure(Refused(ending: .proxyError)) }
            answer = told
        }
        switch answer {
        case .addresses(let addresses): return .success(addresses)
        case .noSuchName: return .failure(Refused(ending: refuse(.upstreamUnresolved, "there is no such name")))
        case .failed(let reason): return .failure(Refused(ending: refuse(.upstreamUnresolved, reason)))
        case .busy: return .failure(Refused(ending: refuse(.proxyLimit, "too many names wait to be resolved")))
        }
    }
}
