internal import CSockets
internal import Glibc
internal import Policy
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
    /// connected, and whoever says something first decides. A client cannot wait until nobody listens; a stop does not wait for a connection
    /// that nobody may ever use.
    func firstWord() async -> FirstWord {
        var deadline = worker.loop.now + (relaysOthers ? worker.settings.sniffTimeout : worker.settings.handshakeTimeout)
        var begunAt: UInt64?
        /// It is not waited for beyond the deadline, but carried.
        var isCarriedThen = false
        while true {
            guard let raw = clientRaw else { return .ended(.proxyError) }
            let buffer = worker.resources.buffer
            let count = cs_peek(raw, buffer, Sniff.limit)
            if count > 0 {
                // Nobody has said anything before: the rules that are in force now say what this is, and where it goes. By which rules, if its
                // listener is gone? It is asked again over another connection.
                guard renew() else {
                    await takeLeave(atMost: .short)
                    return .ended(.clientFIN)
                }
                let bytes = Span(_unsafeStart: buffer.assumingMemoryBound(to: UInt8.self), count: count)
                switch speaksHTTP(bytes) {
                case true: return .http
                case false: return .other
                case nil:
                    guard !hasClientEnded else { return .other }
                    let since = begunAt ?? worker.loop.now
                    begunAt = since
                    let isTooLong = count >= HeadReader.longestStartLine
                    isCarriedThen = relaysOthers && !mayBeginHTTP(bytes)
                    if isCarriedThen {
                        // Other protocols wait for an answer to this, and would wait for ever.
                        deadline = since + worker.settings.sniffTimeout
                        guard deadline > worker.loop.now, !isTooLong else { return .other }
                    } else {
                        guard !isTooLong else { return .http }
                        // It has the time of a head from its first byte on, however long it was silent.
                        deadline = since + worker.settings.handshakeTimeout
                    }
                }
            } else if count == 0 {
                return upstream == nil ? .ended(.clientGone) : .other
            } else if count == -Int(EINTR) {
                continue
            } else if count != -Int(EAGAIN) {
                return .ended(.clientGone)
            }
            if hasUpstreamSpoken { return .other }
            let end = count > 0 ? .max : unusedUntil
            guard end > worker.loop.now else { return .ended(.clientFIN) }
            if let ended = await wait(upstream == nil ? .sniffing : .listening, until: min(deadline, end)) {
                return .ended(ended)
            }
            guard deadline <= worker.loop.now, !isCarriedThen else { continue }
            if count > 0 || upstream != nil || !relaysOthers { return .ended(count > 0 ? .clientSlow : .proxyIdle) }
            if let failed = await decideAndDial() { return .ended(failed) }
            deadline = worker.settings.idleTimeout == 0 ? .max : worker.loop.now + worker.settings.idleTimeout
        }
    }

    var relaysOthers: Bool { settings.http?.relaysOthers == true }

    /// Somebody asks for requests, so that none must pass unseen.
    var judgesRequests: Bool { settings.http?.seesToRequests == true || routes.policy.asksForWhatRequestsSay }

    /// - Returns: nil: these bytes do not say.
    private func speaksHTTP(_ bytes: Span<UInt8>) -> Bool? {
        guard let http = settings.http else { return false }
        let isJudged = judgesRequests
        guard http.relaysOthers, !isJudged else { return beginsHTTP(bytes, isJudged: isJudged) }
        // HTTP/2 is another protocol, but its requests would be judged by nobody: it is carried where nobody asks for them.
        switch beginsHTTP2(bytes) {
        case true: return false
        case false: return beginsHTTP(bytes, isJudged: false)
        case nil: return nil
        }
    }

    private var hasUpstreamSpoken: Bool {
        guard let raw = upstreamRaw else { return false }
        var byte: UInt8 = 0
        return cs_peek(raw, &byte, 1) != -Int(EAGAIN)
    }
}
