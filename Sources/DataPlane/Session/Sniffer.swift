internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import TransparentSockets

// What is decided for a session, and the name that it may need for that.

extension Session {
    /// - Returns: how the session ends, if it ends here.
    func decide(_ destination: OriginalDestination) async -> Ending? {
        guard !routes.policy.rules.isEmpty, !isOverLoopback(destination) else { return nil }
        var query = Query(
            listener: settings.name, client: client.value.address, destination: destination.value.address,
            port: destination.value.port)
        query.minute = minute
        decision = routes.policy.decide(query)
        guard needsName(query) else { return nil }
        if let failed = await sniffName(within: worker.settings.sniffTimeout) { return failed }
        guard let name else { return nil }
        query.name = name
        decision = routes.policy.decide(query)
        return nil
    }

    /// The time, as rules ask for it: of a request of HTTP, and of all that becomes of it, when it was judged. Nil: none does.
    var minute: MinuteOfWeek? { http?.minute ?? worker.minute(for: routes.policy) }

    /// What no rule judges: a program's own host, which no proxy can reach for it.
    private func isOverLoopback(_ destination: OriginalDestination) -> Bool {
        settings.isElsewhere && destination.value.address.isLoopback
    }

    /// For a rule, or for the proxy that was chosen.
    private func needsName(_ query: Query) -> Bool {
        guard !Policy.serverSpeaksFirst.contains(query.port) else { return false }
        if routes.policy.needsName(query, after: decision) { return true }
        guard case .upstream(let index) = decision.action else { return false }
        return routes.upstreams[index].sendsName
    }

    /// Looks at the client's first bytes without taking them, until they show a name, or show that there is none, or the time
    /// is over.
    private func sniffName(within timeout: UInt64) async -> Ending? {
        let deadline = worker.loop.now + timeout
        while true {
            guard let raw = clientRaw else { return .proxyError }
            let buffer = worker.resources.buffer
            let count = cs_peek(raw, buffer, Sniff.limit)
            if count > 0 {
                let bytes = Span(_unsafeStart: buffer.assumingMemoryBound(to: UInt8.self), count: count)
                switch sniff(bytes) {
                case .name(let text):
                    name = DomainName(wire: text.span)
                    return nil
                case .none: return nil
                case .needsMore where count >= Sniff.limit: return nil
                case .needsMore: break
                }
            } else if count == 0 {
                return nil
            } else if count == -Int(EINTR) {
                continue
            } else if count != -Int(EAGAIN) {
                return .clientGone
            }
            // An end that came with the data brings no further edge.
            guard !hasClientEnded else { return nil }
            if let failed = await wait(.sniffing, until: deadline) { return failed }
            guard !isSetUpTimeOver else { return nil }
        }
    }
}
