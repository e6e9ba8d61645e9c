internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import SystemPackage
internal import TransparentSockets

// How a session passes through a proxy.

extension Session {
    /// Connects to the proxy and has it connect to `destination`, all within the connect timeout.
    ///
    /// - Returns: nil when the proxy has granted it, else how the session ends.
    func dial(through upstream: UpstreamSettings, to destination: OriginalDestination) async -> Ending? {
        let known = upstream.sendsName ? name.map { ProxyTarget.Host.name($0.description) } : nil
        let target = ProxyTarget(known ?? .address(destination.value.address), port: destination.value.port)
        guard var handshake = ProxyHandshake(upstream.kind, target, upstream.credentials) else {
            return report(.upstreamRejected, "\(upstream.name): \(upstream.kind) cannot be asked for \(destination)")
        }
        if let failed = await dial(upstream.address, source: .unspecified) { return failed }
        if let failed = send(handshake.opening) { return failed }
        while true {
            switch read(&handshake) {
            case .needsMore:
                if let failed = await wait(.handshaking) { return failed }
            case .send(let bytes):
                if let failed = send(bytes) { return failed }
            case .done: return nil
            case .ended: return report(.upstreamProtocol, "\(upstream.name): it ended in its handshake")
            case .refused(let why):
                return ending(of: why, upstream.name)
            case .invalid(let why):
                return report(.upstreamProtocol, "\(upstream.name): \(why)")
            case .broken(let ending): return ending
            }
        }
    }

    private enum Answer {
        case needsMore, done, ended
        case send([UInt8])
        case refused(ProxyRefusal)
        case invalid(String)
        case broken(Ending)
    }

    /// Looks at what the proxy has sent, and takes out of the socket what belongs to the handshake and no byte more: the rest
    /// is the relay's.
    private func read(_ handshake: inout ProxyHandshake) -> Answer {
        guard let raw = upstreamRaw else { return .broken(.proxyError) }
        let buffer = worker.resources.buffer
        let count = cs_peek(raw, buffer, handshake.longestAnswer)
        guard count > 0 else {
            switch -Int32(count) {
            case EAGAIN: return .needsMore
            case EINTR: return read(&handshake)
            case 0: return .ended
            default: return .broken(failure(SocketError(call: "recv", errno: .init(rawValue: -Int32(count)))))
            }
        }
        let bytes = Span(_unsafeStart: buffer.assumingMemoryBound(to: UInt8.self), count: count)
        let (length, step) = handshake.advance(bytes)
        if length > 0 { _ = cs_receive(raw, buffer, length) }
        return switch step {
        // An end that came with the bytes brings no further edge.
        case .needsMore: hasUpstreamEnded ? .ended : .needsMore
        case .send(let bytes): .send(bytes)
        case .done: .done
        case .refused(let why): .refused(why)
        case .invalid(let why): .invalid(why)
        }
    }

    /// A handshake's bytes fit into any socket's buffer, unless something is wrong with it.
    private func send(_ bytes: [UInt8]) -> Ending? {
        guard let raw = upstreamRaw else { return .proxyError }
        let sent = bytes.withUnsafeBytes { cs_send(raw, $0.baseAddress!, $0.count, 0) }
        guard sent != bytes.count else { return nil }
        guard sent < 0 else { return report(.proxyError, "send: \(sent) of \(bytes.count) bytes") }
        return failure(SocketError(call: "send", errno: .init(rawValue: -Int32(sent))))
    }

    private func ending(of refusal: ProxyRefusal, _ upstream: String) -> Ending {
        switch refusal.cause {
        case .refused: .upstreamRefused
        case .unreachable: .upstreamUnreachable
        case .timedOut: .upstreamTimeout
        case .forbidden, .unsupported, .failed: report(.upstreamRejected, "\(upstream): \(refusal)")
        }
    }
}
