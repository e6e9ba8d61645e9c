internal import CSockets
internal import Policy
internal import Protocols
internal import SystemPackage
internal import TransparentSockets

// SOCKS' second command (RFC 1928 §4): a client that waits for its peer to connect to it, as FTP's active mode wants.

extension Session {
    /// Listens for the client's peer, and tells the client where; when the peer has come, tells it who it is.
    ///
    /// - Returns: nil when both sockets are connected, else how the session ends.
    func bind(for target: ProxyTarget, _ service: Service, _ handshake: any ServingHandshake) async -> Ending? {
        let expected: [IPAddress]
        switch await self.expected(target, service) {
        case .success(let addresses): expected = addresses
        case .failure(let refused): return refused.ending
        }
        let deadline = worker.loop.now + worker.settings.bindTimeout
        do throws(SocketError) {
            let address = try localAddress(towards: expected.first)
            let listener = try TransparentListener(ListenAddress(SocketAddress(address, port: 0)), bindOptions)
            guard watch(upstream: listener.descriptor.raw) else { return .proxyLimit }
            let bound = try TransparentSockets.localAddress(listener.descriptor.raw)
            if let failed = tell(handshake.answer(.succeeded(bound: bound.value))) { return failed }
            while true {
                while let connection = try listener.accept() {
                    let peer = connection.client.value
                    // Whoever finds the port first is not who is waited for.
                    guard expected.isEmpty ? mayCome(peer.address, for: target, service) : expected.contains(peer.address) else {
                        continue
                    }
                    forgetUpstreamEvents()
                    adopt(connection.release(), dialledTo: UpstreamAddress(peer))
                    destination = OriginalDestination(peer)
                    guard let raw = upstreamRaw, watch(upstream: raw) else { return .proxyLimit }
                    return tell(handshake.answer(.succeeded(bound: peer)))
                }
                guard !hasClientEnded else { return .clientGone }
                if let ended = await wait(.binding, until: deadline) {
                    return ended == .upstreamTimeout ? refuse(ended, "nobody came") : ended
                }
            }
        } catch {
            return failure(error)
        }
    }

    private var bindOptions: ListenerOptions {
        var options = ListenerOptions(mode: .redirect)
        options.mark = worker.settings.mark
        options.backlog = 4
        return options
    }

    /// The address of ours that the peer will see, and connect to: the one that packets to it leave from. Of an unknown peer, the one that the
    /// client has reached us at.
    private func localAddress(towards peer: IPAddress?) throws(SocketError) -> IPAddress {
        if let peer { return try TransparentSockets.localAddress(towards: peer) }
        guard let raw = clientRaw else { throw SocketError(call: "getsockname", errno: .badFileDescriptor) }
        return try TransparentSockets.localAddress(raw).value.address
    }
}
