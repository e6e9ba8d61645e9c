internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import SystemPackage
internal import TLS
internal import TransparentSockets

// How a session passes through a proxy.

extension Session {
    /// Has the proxy that this session's socket leads to connect to `target`.
    ///
    /// - Parameter header: sent before the handshake.
    func shakeHands(
        with member: UpstreamMember, of group: UpstreamGroup, _ command: ProxyHandshake.Command, _ target: ProxyTarget,
        after header: [UInt8],
        until deadline: UInt64
    ) async -> Passage {
        let settings = member.settings
        let wanted = settings.kind.flatMap {
            ProxyHandshake(
                $0, target, settings.credentials, agent: settings.agent, command: command, isPipelined: member.isPipelined)
        }
        guard var handshake = wanted else {
            return .unfit(report(.upstreamRejected, "\(settings.label) cannot be asked for \(target.host)"))
        }
        if let failed = send(header + handshake.opening) { return .failed(failed) }
        /// It did not answer, and this is how it ended.
        func unanswered(_ ending: Ending) -> Passage {
            if handshake.isPipelined, member.mayHaveForgotten() {
                worker.observer.event(.pipeliningStopped(upstream: group.settings.name, member: settings.label))
            }
            // That may be our own doing.
            if handshake.isPipelined, !handshake.isAsked { return .silent(ending) }
            // Whoever dials a silent destination must not have the proxy taken for silent; nor is one that has said nothing known to work.
            guard handshake.isAsked else { return .failed(ending) }
            if handshake.hasAnswered { return ending == .upstreamTimeout ? .refused(ending) : .silent(ending) }
            return ending == .upstreamTimeout ? .silent(ending) : .failed(ending)
        }
        while true {
            switch read(&handshake) {
            case .needsMore:
                guard let ended = await wait(.handshaking, until: deadline) else { continue }
                return ended == .upstreamTimeout ? unanswered(ended) : .failed(ended)
            case .send(let bytes):
                if let failed = send(bytes) { return .failed(failed) }
            case .done:
                if handshake.isPipelined { member.readPipelined() }
                if command == .udpAssociate { bound = handshake.bound }
                return .passed
            case .ended: return unanswered(report(.upstreamProtocol, "\(settings.label): it ended in its handshake", .ended))
            case .refused(let why):
                if handshake.isPipelined, handshake.isAsked { member.readPipelined() }
                return passage(why, of: settings.label, askedFor: target)
            case .invalid(let why): return .failed(report(.upstreamProtocol, "\(settings.label): \(why)"))
            case .broken(let ending): return unanswered(ending)
            }
        }
    }

    /// Has TLS spoken with this proxy from now on.
    ///
    /// - Parameter header: sent before.
    func secure(_ member: UpstreamMember, after header: [UInt8], until deadline: UInt64) async -> Passage {
        let label = member.settings.label
        // No server of TLS speaks first; and these bytes would be missing in the inner channel.
        guard self.channel?.hasUnread != true else {
            return .failed(report(.upstreamProtocol, "\(label): it speaks before it is asked"))
        }
        if let failed = send(header) { return .failed(failed) }
        let channel: TLSChannel
        do throws(TLSError) {
            guard let raw = upstreamRaw, let context = try member.tlsContext() else { return .over(.proxyError) }
            channel = try TLSChannel(context, socket: raw, over: self.channel)
        } catch {
            return .over(report(.proxyError, "\(label): \(error)"))
        }
        self.channel = channel
        while true {
            switch channel.shakeHands() {
            case .done: return .passed
            case .waits: if let ended = await wait(.handshaking, until: deadline) { return .failed(ended) }
            case .failed(let why): return .failed(report(.upstreamProtocol, "\(label): \(why)"))
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
        let longest = handshake.longestAnswer
        let count = channel?.peek(buffer, longest) ?? cs_peek(raw, buffer, longest)
        guard count > 0 else {
            switch -Int32(count) {
            case EAGAIN: return .needsMore
            case EINTR: return read(&handshake)
            case 0: return .ended
            default: return broken(-Int32(count))
            }
        }
        let bytes = Span(_unsafeStart: buffer.assumingMemoryBound(to: UInt8.self), count: count)
        let (length, step) = handshake.advance(bytes)
        if length > 0 {
            if let channel { channel.drop(length) } else { _ = cs_receive(raw, buffer, length) }
        }
        return switch step {
        // An end that came with the bytes brings no further edge.
        case .needsMore: end ?? .needsMore
        case .send(let bytes): .send(bytes)
        case .done: .done
        case .refused(let why): .refused(why)
        case .invalid(let why): .invalid(why)
        }
    }

    /// How the upstream has ended, if no more will come.
    private var end: Answer? {
        guard let channel else { return hasUpstreamEnded ? .ended : nil }
        guard channel.failure == 0 else { return broken(channel.failure) }
        return channel.hasEnded ? .ended : nil
    }

    private func broken(_ error: Int32) -> Answer {
        // With TLS 1.3 a server says only after the handshake that it wants a certificate of ours.
        if error == EPROTO, let channel { return .invalid(channel.complaint) }
        return .broken(failure(SocketError(call: "recv", errno: .init(rawValue: error))))
    }

    /// A handshake's bytes fit into any socket's buffer, unless something is wrong with it.
    func send(_ bytes: [UInt8]) -> Ending? {
        guard let raw = upstreamRaw else { return .proxyError }
        guard !bytes.isEmpty else { return nil }
        let sent = bytes.withUnsafeBytes {
            channel?.send($0.baseAddress!, $0.count) ?? cs_send(raw, $0.baseAddress!, $0.count, 0)
        }
        guard sent != bytes.count else { return nil }
        guard sent < 0 else { return report(.proxyError, "send: \(sent) of \(bytes.count) bytes") }
        return failure(SocketError(call: "send", errno: .init(rawValue: -Int32(sent))))
    }

    private func passage(_ refusal: ProxyRefusal, of member: String, askedFor target: ProxyTarget) -> Passage {
        cause = .refusal(refusal)
        switch refusal.cause {
        case .refused: return .over(.upstreamRefused)
        case .unreachable: return .over(.upstreamUnreachable)
        case .timedOut: return .over(.upstreamTimeout)
        case .forbidden, .unsupported, .failed:
            // What refuses us, whatever we ask for, has not looked at that.
            let asked = refusal.isOfAll ? "" : ", asked for \(target)"
            let ending = report(.upstreamRejected, "\(member): \(refusal)\(asked)", cause)
            if refusal.isOfAll { return .failed(ending) }
            return refusal.cause == .failed ? .refused(ending) : .over(ending)
        }
    }
}
