internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import TransparentSockets

// The session that holds an association open: it asks a proxy for a relay as other sessions ask for a connection, and then waits for
// the end.

extension Session {
    /// Asks for the relay.
    func associate(_ association: Association) async {
        guard case .upstream(let index) = decision.action else { return finish(.proxyError) }
        // It may have made room for others before this began.
        guard association.flows > 0 else { return finish(.clientGone) }
        let deadline = worker.loop.now + worker.settings.connectTimeout
        let passage = await pass(through: index, to: .association, until: deadline)
        if let ending = passage.ending { return finish(ending) }
        guard let relay = relay(of: association) else {
            return finish(report(.upstreamProtocol, "the proxy names no port for datagrams"))
        }
        if let ended = association.opened(at: relay, options(of: association.group, to: relay)) { return finish(ended) }
        guard !worker.isCut else { return finish(.proxyDrain) }
        phase = .associated
        worker.loop.setDeadline(id, at: .max)
        if let raw = upstreamRaw { try? setKeepAlive(raw, seconds: worker.settings.keepAlive) }
        // What came before was told to the handshake.
        controlReady()
    }

    /// Where the proxy wants the datagrams. One that names no address means its own.
    private func relay(of association: Association) -> SocketAddress? {
        guard let proxy = peer?.value, let bound = association.bound else { return nil }
        guard bound.port > 0 else { return nil }
        return bound.address.isUnspecified ? SocketAddress(proxy.address, port: bound.port, scope: proxy.scope) : bound
    }

    private func options(of group: UpstreamGroup, to relay: SocketAddress) -> DatagramDialOptions {
        var options = DatagramDialOptions()
        options.mark = worker.settings.mark
        options.takesBursts = worker.settings.batch > 1
        // Through the same exit as the connection.
        guard let via = group.settings.via,
            let way = routes.upstreams[via].options(dialOptions, for: client.value.address, to: relay.address)
        else { return options }
        options.mark = way.mark
        options.source = way.source
        options.device = way.device
        return options
    }

    /// Something has come by the connection: its end, or what means nothing.
    func controlReady() {
        guard let raw = upstreamRaw else { return finish(.proxyError) }
        let count = cs_receive(raw, worker.resources.buffer, Resources.bufferSize)
        if count == 0 { return finish(.upstreamFIN) }
        if count < 0, count != -Int(EAGAIN), count != -Int(EINTR) { return finish(.upstreamReset) }
        if hasUpstreamEnded { finish(.upstreamFIN) }
    }

    /// Nobody needs the association any more.
    func letGo() {
        switch phase {
        case .associated: finish(.clientFIN)
        case .dialling, .racing, .handshaking: wake(.clientGone)
        // It goes on in this turn, and looks before it waits again.
        default: break
        }
    }
}

extension Wanted {
    /// A relay for datagrams that may come from anywhere.
    static var association: Wanted {
        var wanted = Wanted(name: nil, addresses: [.v4(IPv4Address(bits: 0))], port: 0)
        wanted.command = .udpAssociate
        return wanted
    }
}

extension UpstreamGroup {
    /// Whether datagrams can pass through this member: a SOCKS5 proxy that is reached without another one, which they would not pass.
    func carriesDatagrams(_ member: UpstreamSettings.Member, _ routes: Routes) -> Bool {
        guard member.kind == .socks5, member.trust == nil else { return false }
        return settings.via.map { routes.upstreams[$0].settings.exit != nil } ?? true
    }
}
