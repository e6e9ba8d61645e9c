internal import CSockets
internal import TLS
internal import TransparentSockets

// What the loop tells a session, and what comes of it: while it is set up a flag and a wake-up, from then on bytes that move.

extension Session {
    func clientReady(_ events: UInt32) {
        guard phase == .relaying else {
            if phase == .exchanging, let http { return settle(http.clientReady(events)) }
            return note(client: events)
        }
        let step = relay!.clientReady(events, worker.resources, now: worker.loop.now)
        settle(step)
    }

    func upstreamReady(_ events: UInt32) {
        guard phase == .relaying else {
            upstreamEvents |= events
            switch phase {
            case .dialling: answered(events)
            // Whatever it is, the next read tells.
            case .handshaking, .racing, .binding, .listening: wake(nil)
            case .exchanging: if let http { settle(http.upstreamReady(events)) }
            case .associated: controlReady()
            default: break
            }
            return
        }
        let step = relay!.upstreamReady(events, worker.resources, now: worker.loop.now)
        settle(step)
    }

    func goOn() {
        isQueued = false
        if phase == .exchanging, let http { return settle(http.step()) }
        if phase == .negotiating { return wake(nil) }
        guard phase == .relaying else { return }
        settle(relay!.step(worker.resources, now: worker.loop.now))
    }

    func deadlineReached() {
        switch phase {
        case .sniffing, .listening, .negotiating, .authenticating, .resolving, .binding, .dialling, .racing, .handshaking:
            // The wheel looks early at what lies beyond its turn.
            guard setUpDeadline <= worker.loop.now else { return worker.loop.setDeadline(id, at: setUpDeadline) }
            wake(Self.timeout(in: phase))
        case .relaying:
            if lastWords != nil { return endWithClient() }
            let settings = worker.settings
            if let deadline = relayDeadline, deadline <= worker.loop.now {
                let isHalfClosed = relay!.isHalfClosed && settings.halfCloseTimeout > 0
                settle(Relay.Step.ended(isHalfClosed ? .proxyHalfClose : .proxyIdle))
            } else {
                armKeepAlive()
                setRelayDeadline()
            }
        case .exchanging: httpDeadlineReached()
        case .associated, .settingUp, .ending: break
        }
    }

    /// Sends the acknowledgement that `side` waits for, when no data has carried it.
    func acknowledge(_ side: Relay.Side) {
        guard phase == .relaying else { return }
        switch side {
        case .upstream:
            if relay!.up.moved == 0, let raw = upstream?.raw { acknowledgeNow(raw) }
        case .client:
            if relay!.down.moved == asked?.down, let raw = socket?.descriptor.raw { acknowledgeNow(raw) }
        }
    }

    /// Ends the session now: the drain is over. One that is just being set up finds that out by itself.
    func cut() {
        switch phase {
        case .sniffing, .listening, .negotiating, .authenticating, .resolving, .binding, .dialling, .racing, .handshaking:
            wake(.proxyDrain)
        case .relaying: settle(Relay.Step.ended(.proxyDrain))
        case .exchanging: finish(.proxyDrain)
        case .associated: finish(.proxyDrain)
        case .settingUp, .ending: break
        }
    }

    /// Until when, in monotonic nanoseconds, a stop waits for a client that has said nothing yet: one that has only just connected may be about
    /// to. On an intercepted connection, it is the server's turn as well, whatever they speak.
    var unusedUntil: UInt64 {
        guard worker.isDraining else { return .max }
        let isIntercepted = settings.service == nil && settings.http?.origin == nil
        return startedAt &+ (isIntercepted ? 3_000_000_000 : 1_000_000_000)
    }

    private func note(client events: UInt32) {
        clientEvents |= events
        // A reset: nobody is left to connect for.
        let isBroken = events & cs_epoll_err != 0
        switch phase {
        case .sniffing, .listening, .negotiating, .binding: wake(isBroken ? .clientGone : nil)
        case .authenticating, .resolving, .dialling, .racing, .handshaking: if isBroken { wake(.clientGone) }
        default: break
        }
    }

    /// The timeouts have changed.
    func settingsChanged() {
        if phase == .relaying { setRelayDeadline() }
        if phase == .exchanging {
            setHTTPDeadline()
            drainHTTP()
        }
    }

    // MARK: Relaying

    func settle(_ step: Relay.Step) {
        switch step {
        case .goOn:
            // The half-close timer is the shorter one: it starts when the first side ends, not at the next look.
            if halfClosedAt == 0, relay!.isHalfClosed {
                halfClosedAt = worker.loop.now
                setRelayDeadline()
            }
            if !isAnswered { noteFirstAnswer() }
            if worker.isEnding { endWithClient() }
        case .comeBack:
            guard !isQueued else { break }
            isQueued = true
            worker.loop.comeBack(id)
        case .ended(.upstreamProtocol): finish(report(.upstreamProtocol, channel?.complaint ?? ""))
        case .ended(let ending): finish(ending)
        }
    }

    /// The client's first data is best acknowledged by the answer to it, if that comes soon.
    private func noteFirstAnswer() {
        guard relay!.up.moved > 0 else { return }
        let now = worker.loop.now
        if asked == nil {
            asked = (now, relay!.up.moved, relay!.down.moved)
            if !worker.loop.acknowledgeSoon(id, to: .client) { acknowledge(.client) }
        } else if let asked, relay!.down.moved > asked.down {
            isAnswered = true
            // An answer to more than that may have waited for the client, and the client for us.
            if relay!.up.moved == asked.up { worker.loop.noteAnswer(after: now - asked.at) }
        }
    }

    private var relayDeadline: UInt64? {
        guard let relay else { return nil }
        if let lastWords { return lastWords.dueAt }
        let settings = worker.settings
        let timeout =
            relay.isHalfClosed && settings.halfCloseTimeout > 0
            ? min(settings.halfCloseTimeout, settings.idleTimeout == 0 ? .max : settings.idleTimeout) : settings.idleTimeout
        return timeout == 0 ? nil : relay.lastActivity &+ timeout
    }

    func setRelayDeadline() {
        worker.loop.setDeadline(id, at: relayDeadline ?? .max)
    }

    /// At the first look at a session that lives longer than most, and not at its start: short sessions are spared the calls
    /// and the kernel's timers.
    private func armKeepAlive() {
        guard !keepsAlive, let raw = upstream?.raw, let clientRaw = socket?.descriptor.raw else { return }
        keepsAlive = true
        try? setKeepAlive(raw, seconds: worker.settings.keepAlive)
        try? setKeepAlive(clientRaw, seconds: worker.settings.keepAlive)
    }
}
