internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import TLS
internal import TransparentSockets

// A session whose client speaks HTTP: how its relay begins, and what becomes of what it asks for.

extension Session {
    /// - Returns: how the session ends; nil: its relay has begun.
    func beginHTTP(_ http: HTTPSettings) async -> Ending? {
        guard http.admits(client.value.address) else { return refuse(.proxyRejected, "no client of this listener") }
        guard let source = holdShare() else { return tooManyOfOne() }
        if let ended = await begin(http, holding: source) {
            worker.handshakes.end(source)
            return ended
        }
        return nil
    }

    /// - Parameter source: whose share of the handshakes is held; given back when this returns an ending, or by the relay.
    private func begin(_ http: HTTPSettings, holding source: IPAddress) async -> Ending? {
        guard http.origin == nil else {
            guard let raw = clientRaw, worker.loop.watch(raw, .client, of: id) == 0 else {
                return report(.proxyLimit, "epoll takes no more sockets (fs.epoll.max_user_watches)")
            }
            startHTTP(holding: source)
            return nil
        }
        if let failed = arrive() { return failed }
        switch await firstWord() {
        case .http:
            startHTTP(holding: source)
            return nil
        case .other:
            guard relaysOthers else { return refuse(.clientProtocol, "it speaks no HTTP") }
            if upstream == nil, let failed = await decideAndDial() { return failed }
            startRelay(looksAt: judgesRequests ? FirstLine() : nil)
            worker.handshakes.end(source)
            return nil
        case .ended(let ending): return ending
        }
    }

    /// - Parameter source: whose share of the handshakes is held until the first head is whole.
    func startHTTP(holding source: IPAddress) {
        guard let raw = clientRaw else {
            worker.handshakes.end(source)
            return finish(.proxyError)
        }
        let http = HTTPRelay(self, client: raw, now: worker.loop.now)
        http.heldShare = source
        self.http = http
        guard !worker.isCut else { return finish(.proxyDrain) }
        if upstream != nil {
            guard let raw = upstreamForRequests(tunnel: false) else { return finish(.proxyLimit) }
            http.opened(raw, for: decision.action, events: upstreamEvents)
        }
        resumeHTTP()
    }

    private func resumeHTTP() {
        guard let http else { return finish(.proxyError) }
        guard !worker.isCut else { return finish(.proxyDrain) }
        http.up.noteSource(clientEvents)
        http.down.noteSink(clientEvents)
        // What was waited for may have taken longer than the upstream's patience.
        if http.upstream >= 0 {
            http.down.noteSource(upstreamEvents)
            http.up.noteSink(upstreamEvents)
        }
        clientEvents &= cs_epoll_rdhup | cs_epoll_hup | cs_epoll_err
        phase = .exchanging
        setHTTPDeadline()
        settle(http.step())
    }

    // MARK: What the relay comes to

    func settle(_ step: HTTPRelay.Step) {
        switch step {
        case .goOn: if worker.isEnding { endWithClient() }
        case .comeBack:
            guard !isQueued else { break }
            isQueued = true
            worker.loop.comeBack(id)
        case .open: goOn { await $0.openUpstream() }
        case .switched: changeProtocol()
        case .dismiss(let ending):
            let limit: Leave.Limit = ending == .clientSlow || http?.isUnused == true ? .short : .long
            leaveUpstream(ending)
            goOn {
                await $0.takeLeave(atMost: limit)
                $0.finish(ending)
            }
        case .ended(let ending): finish(ending)
        }
    }

    /// The upstream does not wait while the client takes its leave.
    private func leaveUpstream(_ ending: Ending) {
        if ending.isOrderly { channel?.close() } else if let upstreamRaw { _ = cs_reset_on_close(upstreamRaw) }
        http?.dropUpstream()
    }

    private func goOn(_ work: @escaping (Session) async -> Void) {
        phase = .settingUp
        let bound = LoopBound((self, work))
        Task(executorPreference: worker.loop) { await bound.value.1(bound.value.0) }
    }

    func setHTTPDeadline() {
        guard let http else { return }
        http.armedAt = http.deadline
        worker.loop.setDeadline(id, at: http.armedAt)
    }

    func httpDeadlineReached() {
        guard let http else { return }
        guard let step = http.tooLate() else { return setHTTPDeadline() }
        switch step {
        case .dismiss(let ending), .ended(let ending): http.record(ending)
        case .goOn, .comeBack: setHTTPDeadline()
        case .open, .switched: break
        }
        settle(step)
    }

    /// Clients ask no more over a connection of a draining worker, or one from before a reload.
    func drainHTTP() {
        switch phase {
        // What is under way comes first; whoever has asked meanwhile is heard.
        case .exchanging:
            guard let http, case .head = http.phase else { return }
            settle(http.step())
            if phase == .exchanging { setHTTPDeadline() }
        // Whoever waits for a client's first bytes looks at what has changed.
        case .negotiating, .sniffing, .listening: wake(nil)
        default: break
        }
    }

    private func changeProtocol() {
        guard let http, let upstreamRaw else { return finish(.proxyError) }
        http.record(nil)
        func events(_ direction: Direction) -> UInt32 {
            cs_epoll_in | cs_epoll_out | (direction.isHungUp ? cs_epoll_rdhup : 0) | (direction.hasUrgent ? cs_epoll_pri : 0)
        }
        var next = Relay(
            client: http.client, upstream: upstreamRaw, over: channel, clientReady: events(http.up),
            upstreamReady: events(http.down),
            worker.settings.relay, now: worker.loop.now)
        next.take(up: &http.up, behind: http.stash, down: &http.down)
        self.http = nil
        begin(next)
    }

    // MARK: What the relay asks for

    /// Opens an upstream for the request that waits, or finds out what must be known before.
    private func openUpstream() async {
        guard let http else { return finish(.proxyError) }
        if let question = http.question.take() {
            guard await isAnswered(question, in: http) else { return }
            http.phase = .head
            return resumeHTTP()
        }
        if upstream != nil { dropUpstream() }
        http.upstream = -1
        let failed: Ending?
        if case .upstream(let index) = decision.action, index == settings.http?.origin {
            let wanted = Wanted(name: nil, addresses: [], port: 0)
            failed = await pass(through: index, to: wanted, until: worker.loop.now + worker.settings.connectTimeout).ending
        } else if let service = settings.service, let requested {
            failed = await connect(to: requested, service, forPage: http.asksForPage)
        } else {
            failed = await dialDecided()
        }
        if let failed { return finishUnopened(failed, in: http) }
        guard let raw = upstreamForRequests(tunnel: http.opensTunnel) else { return finishUnopened(.proxyError, in: http) }
        http.opened(raw, for: decision.action, events: upstreamEvents)
        resumeHTTP()
    }

    /// Tells the client why its request cannot go on.
    private func finishUnopened(_ failed: Ending, in http: HTTPRelay) {
        if failed.isClientGone || failed == .proxyDrain { return finish(failed) }
        if failed == .proxyRejected, let (page, isHead) = http.unopenedRejection {
            http.beginUnopened()
            let body = page.bodyLength(isHead: isHead)
            http.answer(page.bytes(closes: true, isHead: isHead), page.status, body: body, failed)
            return resumeHTTP()
        }
        answerUnopened(HTTPAnswer(ServingOutcome(failed, cause)) ?? .forbidden, failed, in: http)
    }

    private func answerUnopened(_ answer: HTTPAnswer, _ ending: Ending, in http: HTTPRelay) {
        http.beginUnopened()
        let isHead = http.transaction?.method == .head
        http.answer(answer.bytes(isHead: isHead), answer.code, body: isHead ? 0 : answer.bodyLength, ending)
        resumeHTTP()
    }

    /// - Returns: false: the session has ended over it.
    private func isAnswered(_ question: HTTPRelay.Question, in http: HTTPRelay) async -> Bool {
        switch question {
        case .name(let name):
            if await isVerified(name) { http.verifiedName = name } else { http.refusedName = name }
        case .credentials(let credentials, let field):
            guard let login = settings.login else { return true }
            // Until it is known who this one is, it is nobody: what was right before shows nobody either.
            http.acceptedCredentials = []
            switch await isAccepted(credentials, login, until: worker.loop.now + worker.settings.handshakeTimeout) {
            case .success(true):
                http.acceptedCredentials = field
                // What the last user might do, the next one might not.
                http.openedFor = nil
            case .success(false) where settings.http?.origin != nil: http.refusedCredentials = field
            case .success(false):
                answerUnopened(.authenticationRequired(realm: "proxy"), .clientUnauthorized, in: http)
                return false
            case .failure(let refused):
                finish(refused.ending)
                return false
            }
        case .permission(let question):
            // Where the client may go is found out as its connection is opened; what may not is not asked about.
            if let service = settings.service, let requested, http.openedFor == nil,
                let failed = await refusal(of: requested, service)
            {
                finishUnopened(failed, in: http)
                return false
            }
            if let failed = await ask(question, in: http) {
                finishUnopened(failed, in: http)
                return false
            }
        }
        return phase != .ending
    }

    /// The upstream is not asked any more; another may be opened.
    func dropUpstream() {
        abandonUpstream()
        leave(members)
        members = []
    }
}
