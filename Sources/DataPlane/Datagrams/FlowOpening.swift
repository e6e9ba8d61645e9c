internal import Policy
internal import Synchronization
internal import TransparentSockets

// How a flow begins: with a decision, and a way to go.

extension Datagrams {
    /// Opens a flow.
    ///
    /// - Returns: nil: there is no way; an event has said why.
    func open(
        _ key: FlowKey, _ endpointKey: EndpointKey, _ client: SocketAddress, to destination: SocketAddress, name: DomainName?,
        _ decision: Decision, _ side: any ClientSide
    ) -> Flow? {
        while let flow = table.inTheWay(of: client.address, sparing: endpointKey) { evict(flow) }
        let endpoint = endpoints[endpointKey] ?? Endpoint(endpointKey, client, side)
        let way: Flow.Way
        var upstream: String?
        do throws(SocketError) {
            switch decision.action {
            case .direct: way = .direct(try mapping(of: endpoint, directOptions(for: client, to: destination, side)))
            case .reject: way = .nowhere(.proxyRejected)
            case .upstream(let index):
                let routes = worker.settings.routes
                let group = routes.upstreams[index]
                upstream = group.settings.name
                if group.settings.exit == nil {
                    guard let association = association(of: endpoint, index, routes) else {
                        return report(.proxyLimit, side, "too many associations with proxies (max_flows)")
                    }
                    way = .association(association)
                } else if let options = options(of: group, for: client, to: destination) {
                    way = .direct(try mapping(of: endpoint, options))
                } else {
                    return report(
                        .upstreamUnreachable, side, "\(group.settings.name): it has no source of the destination's family")
                }
            }
        } catch {
            return report(error.isOfThisHost ? .proxyLimit : .proxyError, side, "\(error)")
        }
        endpoints[endpointKey] = endpoint
        let flow = Flow(
            key, of: endpoint, to: destination, name: name, decision, upstream: upstream, way, now: worker.loop.now)
        table.insert(flow)
        switch way {
        case .direct(let mapping): mapping.add(flow)
        case .association(let association): association.add(flow)
        // It is told now, and the flow stays so that what follows is not told again.
        case .nowhere(let why): worker.observer.sessionEnded(record(of: flow, why, nil))
        }
        worker.flowStarted()
        if worker.loop.alarmAt == .max { worker.loop.alarmAt = worker.loop.now + Self.expiryInterval }
        return flow
    }

    func directOptions(for client: SocketAddress, to destination: SocketAddress, _ side: any ClientSide) -> Mapping.Options {
        var dialling = plainOptions
        switch side.settings.preservedSource {
        case .off: break
        case .address: dialling.source = .address(client.address)
        case .addressAndPort: dialling.source = .addressAndPort(client)
        }
        return Mapping.Options(isIPv6: destination.address.isIPv6, dialling: dialling)
    }

    func options(of exit: UpstreamGroup, for client: SocketAddress, to destination: SocketAddress) -> Mapping.Options? {
        var plain = DialOptions()
        plain.mark = worker.settings.mark
        guard let options = exit.options(plain, for: client.address, to: destination.address) else { return nil }
        var dialling = plainOptions
        dialling.mark = options.mark
        dialling.device = options.device
        dialling.source = options.source
        return Mapping.Options(isIPv6: destination.address.isIPv6, dialling: dialling)
    }

    var plainOptions: DatagramDialOptions {
        var dialling = DatagramDialOptions()
        dialling.mark = worker.settings.mark
        dialling.takesBursts = worker.settings.batch > 1
        return dialling
    }

    func mapping(of endpoint: Endpoint, _ options: Mapping.Options) throws(SocketError) -> Mapping {
        if let known = endpoint.mappings.first(where: { $0.options == options }) { return known }
        let mapping = try Mapping(options, of: endpoint, self)
        endpoint.mappings.append(mapping)
        return mapping
    }

    /// Sockets towards everybody that there may be: those that are kept leave what flows could take (`Limits`) to them.
    private var mostSockets: Int { table.limit - associations }

    func takeSocket(_ options: Mapping.Options) throws(SocketError) -> OutsideSocket {
        try sockets.take(options, turn: worker.loop.now, limit: mostSockets)
    }

    /// Takes back the socket of a mapping that has ended.
    func giveBack(_ socket: OutsideSocket) {
        sockets.giveBack(socket, turn: worker.loop.now, limit: mostSockets)
    }

    /// Ends flows that are too many since the limit was lowered.
    func makeRoom() {
        while table.count > table.limit, let flow = table.longestSilent() { evict(flow) }
        sockets.makeRoom(for: 0, limit: mostSockets)
    }

    /// Ends a flow that is in the way, or sends what came for it together with others: after that, another one may be.
    func evict(_ flow: Flow) {
        guard flow.firstEntry < 0 else { return sendUp() }
        finish(flow, .flowEvicted)
        counters.evicted.wrappingAdd(1, ordering: .relaxed)
    }

    /// - Returns: nil: there are too many.
    func association(of endpoint: Endpoint, _ index: Int, _ routes: Routes) -> Association? {
        if let known = endpoint.associations.first(where: { $0.group === routes.upstreams[index] }) { return known }
        guard associations < table.mostAssociations,
            table.associations(of: endpoint.client.address) < table.mostAssociationsOfOne
        else { return nil }
        sockets.makeRoom(for: 1, limit: mostSockets)
        let association = Association(routes, index, of: endpoint, self)
        associations += 1
        endpoint.associations.append(association)
        return association
    }
}
