internal import CSockets
internal import Glibc
internal import Protocols

// Who speaks first on an intercepted connection, and whether it is HTTP.

extension Session {
    enum FirstWord {
        case http
        /// Something else, or the upstream speaks first.
        case other
        case ended(Ending)
    }

    /// Looks at the client's first bytes without taking them. Of a client that is silent, the upstream may be one that speaks first: it is
    /// connected, and whoever says something first decides. A client cannot wait until nobody listens.
    func firstWord(_ http: HTTPSettings) async -> FirstWord {
        let begun = worker.loop.now
        var deadline = begun + (http.relaysOthers ? worker.settings.sniffTimeout : worker.settings.handshakeTimeout)
        while true {
            guard let raw = clientRaw else { return .ended(.proxyError) }
            let buffer = worker.resources.buffer
            let count = cs_peek(raw, buffer, Sniff.limit)
            if count > 0 {
                switch beginsHTTP(Span(_unsafeStart: buffer.assumingMemoryBound(to: UInt8.self), count: count)) {
                case true: return .http
                case false: return .other
                case nil:
                    guard count < Sniff.limit, !hasClientEnded else { return .other }
                    deadline = begun + worker.settings.handshakeTimeout
                }
            } else if count == 0 {
                return upstream == nil ? .ended(.clientGone) : .other
            } else if count == -Int(EINTR) {
                continue
            } else if count != -Int(EAGAIN) {
                return .ended(.clientGone)
            }
            if hasUpstreamSpoken { return .other }
            if let ended = await wait(upstream == nil ? .sniffing : .listening, until: deadline) { return .ended(ended) }
            guard isSetUpTimeOver else { continue }
            if count > 0 || upstream != nil || !http.relaysOthers { return .ended(count > 0 ? .clientSlow : .proxyIdle) }
            if let failed = await decideAndDial() { return .ended(failed) }
            deadline = worker.settings.idleTimeout == 0 ? .max : worker.loop.now + worker.settings.idleTimeout
        }
    }

    private var hasUpstreamSpoken: Bool {
        guard let raw = upstreamRaw else { return false }
        var byte: UInt8 = 0
        return cs_peek(raw, &byte, 1) != -Int(EAGAIN)
    }
}
