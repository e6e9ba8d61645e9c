internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import SystemPackage
internal import TransparentSockets

// How a session passes through a proxy.

extension Session {
    /// Has the proxy that this session's socket leads to connect to `target`.
    ///
    /// - Parameter header: sent before the handshake.
    func shakeHands(
        with member: UpstreamSettings.Member, _ target: ProxyTarget, after header: [UInt8], until deadline: UInt64
    ) async -> Passage {
        guard var handshake = ProxyHandshake(member.kind, target, member.credentials, agent: member.agent) else {
            return .unfit(report(.upstreamRejected, "\(member.label) cannot be asked for \(target.host)"))
        }
        if let failed = send(header + handshake.opening) { return .failed(failed) }
        while true {
            switch read(&handshake) {
            case .needsMore:
                guard let ended = await wait(.handshaking, until: deadline) else { continue }
                // Whoever dials a silent destination must not have the proxy taken for silent.
                return ended == .upstreamTimeout && handshake.isAsked ? .refused(ended) : .failed(ended)
            case .send(let bytes):
                if let failed = send(bytes) { return .failed(failed) }
            case .done: return .passed
            case .ended: return .failed(report(.upstreamProtocol, "\(member.label): it ended in its handshake", .ended))
            case .refused(let why): return passage(why, member.label)
            case .invalid(let why): return .failed(report(.upstreamProtocol, "\(member.label): \(why)"))
            case .broken(let ending): return .failed(ending)
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

    private func passage(_ refusal: ProxyRefusal, _ member: String) -> Passage {
        cause = .refusal(refusal)
        switch refusal.cause {
        case .refused: return .over(.upstreamRefused)
        case .unreachable: return .over(.upstreamUnreachable)
        case .timedOut: return .over(.upstreamTimeout)
        case .forbidden, .unsupported, .failed:
            let ending = report(.upstreamRejected, "\(member): \(refusal)", cause)
            if refusal.isOfAll { return .failed(ending) }
            return refusal.cause == .failed ? .refused(ending) : .over(ending)
        }
    }
}
