internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import TransparentSockets

// A session whose client may speak HTTP: who speaks, and what the relay of its requests asks for.

extension Session {
    private enum FirstWord {
        case http
        /// Something else, or the upstream speaks first.
        case other
        case ended(Ending)
    }

    /// - Returns: how the session ends; nil: its relay has begun.
    func beginHTTP(_ http: HTTPSettings) async -> Ending? {
        guard http.origin == nil else {
            guard http.admits(client.value.address) else { return refuse(.proxyRejected, "no client of this listener") }
            guard let raw = clientRaw, worker.loop.watch(raw, .client, of: id) == 0 else {
                return report(.proxyLimit, "epoll takes no more sockets (fs.epoll.max_user_watches)")
            }
            startHTTP()
            return nil
        }
        if let failed = arrive() { return failed }
        switch await firstWord(http) {
        case .http:
            startHTTP()
            return nil
        case .other:
            guard http.relaysOthers else { return refuse(.clientProtocol, "it speaks no HTTP") }
            if upstream == nil, let failed = await decideAndDial() { return failed }
            startRelay()
            return nil
        case .ended(let ending): return ending
        }
    }

    /// Looks at the client's first bytes without taking them. Of a client that is silent, the upstream may be one that speaks first: it is
    /// connected, and whoever says something first decides. A client cannot wait until nobody listens.
    private func firstWord(_ http: HTTPSettings) async -> FirstWord {
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

    /// - Parameter source: whose share of the handshakes is held until the first head is whole.
    func startHTTP(holding source: IPAddress? = nil) {
        guard let raw = clientRaw else { return finish(.proxyError) }
        let http = HTTPRelay(self, client: raw, now: worker.loop.now)
        http.heldShare = source
        self.http = http
        guard !worker.isCut else { return finish(.proxyDrain) }
        if let upstreamRaw { http.opened(upstreamRaw, for: decision.action, events: upstreamEvents) }
        resumeHTTP()
    }

    private func resumeHTTP() {
        guard let http else { return finish(.proxyError) }
        guard !worker.isCut else { return finish(.proxyDrain) }
        http.up.noteSource(clientEvents)
        http.down.noteSink(clientEvents)
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
        case .dismiss(let answer, let ending): dismiss(answer, ending)
        case .ended(let ending): finish(ending)
        }
    }

    private func goOn(_ work: @escaping (Session) async -> Void) {
        phase = .settingUp
        let bound = LoopBound((self, work))
        Task(executorPreference: worker.loop) { await bound.value.1(bound.value.0) }
    }

    private func dismiss(_ answer: [UInt8], _ ending: Ending) {
        goOn {
            if answer.isEmpty { await $0.takeLeave() } else { await $0.dismiss(answer) }
            $0.finish(ending)
        }
    }

    func setHTTPDeadline() {
        guard let http else { return }
        http.armedAt = http.deadline
        worker.loop.setDeadline(id, at: http.armedAt)
    }

    func httpDeadlineReached() {
        guard let http else { return }
        guard http.deadline <= worker.loop.now else { return setHTTPDeadline() }
        let step = http.tooLate
        http.record(.proxyIdle)
        settle(step)
    }

    /// A draining worker's clients ask no more over their connections.
    func drainHTTP() {
        guard phase == .exchanging, let http else { return }
        if case .head = http.phase, http.stash.isEmpty, http.headBegunAt == 0 { dismiss([], .clientFIN) }
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

    // MARK: What the relay asks

    enum Verdict {
        case forward(Action)
        /// First something must be known that takes time: ``question``.
        case wait
        case respond(ErrorPage, Ending)
    }

    /// What is to be done with a request. What it says of its host is a claim, by which nothing is allowed: only what was verified is.
    func judge(_ request: RequestMessage, _ head: HeadReader, _ bytes: Span<UInt8>, in http: HTTPRelay) -> Verdict {
        claim(request.authority, bytes, in: http)
        if let via = settings.http?.via, head.bears(via: via, bytes) {
            return .respond(
                ErrorPage(508, "This request has come by here before."), report(.proxyLoop, "our own name in a request's Via"))
        }
        if request.maxForwards == 0 {
            let page =
                request.method == .options
                ? ErrorPage(200, "This is a proxy.") : ErrorPage(501, "This is a proxy, which traces nothing.")
            return .respond(page, .proxyRejected)
        }
        http.facts = routes.policy.asksForRequests ? RequestFacts(request, bytes) : nil
        if let service = settings.service { return judge(request, head, bytes, of: service, in: http) }
        if let origin = settings.http?.origin { return judge(forOrigin: origin, in: http) }
        guard let destination, !routes.policy.rules.isEmpty else { return .forward(.direct) }
        var query = Query(
            listener: settings.name, client: client.value.address, destination: destination.value.address,
            port: destination.value.port, name: name)
        query.request = http.facts
        query.isNameVerified = http.verifiedName != nil && http.verifiedName == name
        decision = routes.policy.decide(query)
        if !query.isNameVerified, http.refusedName != name, let name, routes.policy.needsVerification(query, after: decision) {
            http.question = .name(name)
            return .wait
        }
        switch decision.action {
        case .reject: return .respond(ErrorPage(403, "This proxy's rules do not allow this request."), .proxyRejected)
        case .direct, .upstream: return .forward(decision.action)
        }
    }

    /// What is asked of our own origins goes there, whatever it names, unless a rule rejects it.
    private func judge(forOrigin origin: Int, in http: HTTPRelay) -> Verdict {
        decision = Decision(.upstream(origin), rule: nil)
        guard !routes.policy.rules.isEmpty else { return .forward(decision.action) }
        var query = Query(listener: settings.name, client: client.value.address, destination: nil, port: ownPort, name: name)
        query.request = http.facts
        let found = routes.policy.decide(query)
        decision.rule = found.rule
        guard found.action != .reject else {
            decision.action = .reject
            return .respond(ErrorPage(403, "This server's rules do not allow this request."), .proxyRejected)
        }
        return .forward(decision.action)
    }

    /// The port that the client has connected to.
    private var ownPort: UInt16 { clientRaw.flatMap { try? localAddress($0).value.port } ?? 0 }

    /// Takes down whom the request names.
    private func claim(_ authority: Range<Int>, _ bytes: Span<UInt8>, in http: HTTPRelay) {
        let isKnown = bytes.extracting(authority).withUnsafeBufferPointer { http.claimed.elementsEqual($0) }
        guard !isKnown else { return }
        http.claimed = Array(bytes.extracting(authority))
        var host = http.claimed[...]
        if host.first != UInt8(ascii: "["), let colon = host.lastIndex(of: UInt8(ascii: ":")) { host = host[..<colon] }
        name = host.first == UInt8(ascii: "[") ? nil : DomainName(wire: Array(host).span)
    }

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
            failed = await connect(to: requested, service)
        } else {
            failed = await dialDecided()
        }
        if let failed {
            if failed.isClientGone || failed == .proxyDrain { return finish(failed) }
            let answer = HTTPAnswer(ServingOutcome(failed, cause)) ?? .forbidden
            http.recordUnopened(answer.code, failed)
            await dismiss(answer.bytes(proxy: nil))
            return finish(failed)
        }
        guard let upstreamRaw else { return finish(.proxyError) }
        http.opened(upstreamRaw, for: decision.action, events: upstreamEvents)
        resumeHTTP()
    }

    /// - Returns: false: the session has ended over it.
    private func isAnswered(_ question: HTTPRelay.Question, in http: HTTPRelay) async -> Bool {
        switch question {
        case .name(let name):
            if await isVerified(name) { http.verifiedName = name } else { http.refusedName = name }
        case .credentials(let credentials, let field):
            guard let service = settings.service else { return true }
            switch await isAccepted(credentials, service, until: worker.loop.now + worker.settings.handshakeTimeout) {
            case .success(true):
                http.acceptedCredentials = field
                // What the last user might do, the next one might not.
                http.openedFor = nil
            case .success(false):
                http.recordUnopened(407, .clientUnauthorized)
                await dismiss(HTTPAnswer.authenticationRequired(realm: "proxy").bytes(proxy: nil))
                finish(.clientUnauthorized)
                return false
            case .failure(let refused):
                finish(refused.ending)
                return false
            }
        }
        return phase != .ending
    }

    /// Whether our own resolver knows the destination by that name.
    private func isVerified(_ name: DomainName) async -> Bool {
        guard let destination else { return false }
        switch await resolve(name, until: worker.loop.now + worker.settings.connectTimeout) {
        case .success(let addresses): return addresses.contains { $0.unmapped == destination.value.address.unmapped }
        case .failure: return false
        }
    }

    /// The upstream is not asked any more; another may be opened.
    func dropUpstream() {
        abandonUpstream()
        leave(members)
        members = []
    }
}

extension RequestFacts {
    fileprivate init(_ request: RequestMessage, _ bytes: Span<UInt8>) {
        func text(_ place: Range<Int>) -> String {
            bytes.extracting(place).withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
        }
        self.init(method: text(request.methodPlace), target: text(request.target.path))
    }
}

extension HeadReader {
    /// Whether a Via of this head says that it has been by us before.
    fileprivate func bears(via name: String, _ bytes: Span<UInt8>) -> Bool {
        fields.contains { field in
            field.known == .via
                && bytes.extracting(field.value).withUnsafeBufferPointer { value in
                    String(decoding: value, as: UTF8.self).split(whereSeparator: { $0 == "," || $0 == " " || $0 == "\t" }).contains
                    { $0 == name }
                }
        }
    }
}
