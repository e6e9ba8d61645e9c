internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import SystemPackage
internal import TransparentSockets

// A client that speaks a proxy protocol with us: what it asks for, and what it is told.

extension Session {
    /// - Returns: nil when both sockets are connected and the client knows, else how the session ends.
    func serve(_ service: Service) async -> Ending? {
        guard service.admits(client.value.address) else { return refuse(.proxyRejected, "no client of this listener") }
        guard let raw = clientRaw, worker.loop.watch(raw, .client, of: id) == 0 else {
            return report(.proxyLimit, "epoll takes no more sockets (fs.epoll.max_user_watches)")
        }
        guard let source = holdShare() else { return tooManyOfOne() }
        let deadline = worker.loop.now + worker.settings.handshakeTimeout
        if settings.http != nil {
            switch await asksForPages(orTunnels: settings.http?.authorization != nil, until: deadline) {
            case .success(true):
                // It has not said yet what it wants, and may be slow about it.
                startHTTP(holding: source)
                return nil
            case .success(false): break
            case .failure(let refused):
                worker.handshakes.end(source)
                return refused.ending
            }
        }
        switch await readRequest(service, until: deadline) {
        case .ended(let ending, let answer):
            await dismiss(answer)
            worker.handshakes.end(source)
            return ending
        case .request(let request, let handshake):
            worker.handshakes.end(source)
            let ending = await serve(request, handshake)
            if let ending, !ending.isClientGone, !isServed {
                let isUnknown = socks?.stage == .command
                await dismiss(handshake.answer(isUnknown ? .commandNotSupported : ServingOutcome(ending, cause)))
            }
            return ending
        }
    }

    /// Takes one of the handshakes that the client's source may have under way.
    ///
    /// - Returns: the source, whose share must be given back; nil: it has too many.
    func holdShare() -> IPAddress? {
        let source = BackOff.source(of: client.value.address)
        return worker.handshakes.begin(source, atMost: worker.mostHandshakesOfOne) ? source : nil
    }

    func tooManyOfOne() -> Ending { refuse(.proxyLimit, "too many clients of this address have not said yet what they want") }

    private func serve(_ request: ServedRequest, _ handshake: any ServingHandshake) async -> Ending? {
        requested = request.target
        guard !isOutdated || renew(handshake), let service = settings.service else { return changedMeanwhile() }
        switch request.command {
        case .connect: break
        case .bind where service.servesBind: return await bind(for: request.target, service, handshake)
        case .bind: return refuseCommand("BIND is not served")
        case .udpAssociate where service.servesUDP: return await relayDatagrams(for: request.target, service, handshake)
        case .udpAssociate: return refuseCommand("UDP is not served")
        }
        guard service.mayAsk(for: request.target.port, overHTTP: handshake is ConnectServer) else {
            return refuse(.proxyRejected, "a port that this listener does not serve")
        }
        if let failed = await connect(to: request.target, service) { return failed }
        guard let local else { return .proxyError }
        return tell(handshake.answer(.succeeded(bound: local.value)))
    }

    /// Takes the rules that are in force now for a request that was begun before. Its client has shown who it is, if it had to by then.
    ///
    /// - Returns: false: it must show more now.
    private func renew(_ handshake: any ServingHandshake) -> Bool {
        let before = settings.service?.login?.users
        guard renew() else { return false }
        if let users = settings.service?.login?.users {
            guard let user, let before, users.hasSame(user, as: before) else { return false }
        }
        return handshake is SOCKSServer || settings.http?.authorization == nil
    }

    private func changedMeanwhile() -> Ending { refuse(.proxyRejected, "what this listener serves has changed meanwhile") }

    /// Relays a client's datagrams for as long as its connection lasts.
    ///
    /// - Returns: how the session ends.
    private func relayDatagrams(for target: ProxyTarget, _ service: Service, _ handshake: any ServingHandshake) async -> Ending {
        guard let raw = clientRaw, let own = try? localAddress(raw) else { return .proxyError }
        let association: ServedAssociation
        do throws(SocketError) {
            association = try ServedAssociation(
                of: client.value.address, port: target.port, at: own.value, service, settings, user: user,
                try worker.datagramsMade())
        } catch {
            return failure(error)
        }
        defer { association.close() }
        if let failed = tell(handshake.answer(.succeeded(bound: association.bound.value))) { return failed }
        isServed = true
        try? setKeepAlive(raw, seconds: worker.settings.keepAlive)
        var thrownAway = 0
        while true {
            // What the client says by this connection from now on means nothing; its end does. Who says it without end would have this
            // loop to itself, and other sessions wait.
            guard thrownAway < Resources.budget else {
                return refuse(.clientProtocol, "bytes without end, where datagrams were asked for")
            }
            let count = cs_receive(raw, worker.resources.buffer, Resources.bufferSize)
            thrownAway += max(count, 0)
            if count == 0 { return .clientFIN }
            if count == -Int(EAGAIN) {
                if hasClientEnded { return .clientFIN }
                if let ended = await wait(.binding, until: .max) { return ended }
            } else if count < 0, count != -Int(EINTR) {
                return .clientReset
            }
        }
    }

    private func refuseCommand(_ reason: String) -> Ending {
        socks?.stage = .command
        return refuse(.clientProtocol, reason)
    }

    /// Ends a session for the client's sake: the record says why, and no event beside it, for anybody can cause them.
    func refuse(_ ending: Ending, _ reason: String) -> Ending {
        cause = .denied(reason)
        return ending
    }

    // MARK: The handshake

    private enum Negotiated {
        case request(ServedRequest, any ServingHandshake)
        case ended(Ending, answer: [UInt8])
    }

    private func readRequest(_ first: Service, until deadline: UInt64) async -> Negotiated {
        var service = first
        var handshake = service.handshake
        var hasBegun = false
        if handshake is SOCKSServer { socks = SOCKSProgress() }
        while true {
            guard let raw = clientRaw else { return .ended(.proxyError, answer: []) }
            let buffer = worker.resources.buffer
            let count = cs_peek(raw, buffer, handshake.map { type(of: $0).longestPart } ?? 1)
            if count > 0 {
                // The first thing that it says is for the rules, and the users, that are there now.
                if !hasBegun, isOutdated {
                    guard renew(), let now = settings.service else { return .ended(changedMeanwhile(), answer: []) }
                    service = now
                    handshake = service.handshake
                    socks = handshake is SOCKSServer ? SOCKSProgress() : nil
                }
                hasBegun = true
                let bytes = Span(_unsafeStart: buffer.assumingMemoryBound(to: UInt8.self), count: count)
                if handshake == nil {
                    guard let chosen = service.handshake(for: bytes[0]) else {
                        let fault = ServingFault.foreign(ServedProtocol.guess(bytes[0]))
                        return .ended(refuse(.clientProtocol, "\(fault)"), answer: [])
                    }
                    handshake = chosen
                    continue
                }
                var (length, step) = handshake!.advance(bytes)
                if let server = handshake as? SOCKSServer { socks = server.progress }
                if length > 0 { _ = cs_receive(raw, buffer, length) }
                if case .authenticate(let credentials) = step {
                    switch await isAccepted(credentials, service.login, until: deadline) {
                    case .success(let isAccepted):
                        step = handshake!.judge(accepted: isAccepted)
                        if let server = handshake as? SOCKSServer { socks = server.progress }
                    case .failure(let refused): return .ended(refused.ending, answer: [])
                    }
                }
                switch step {
                case .needsMore where length > 0: continue
                case .needsMore: break
                case .send(let answer):
                    if let failed = tell(answer) { return .ended(failed, answer: []) }
                    continue
                case .authenticate: return .ended(.proxyError, answer: [])
                case .request(let request): return .request(request, handshake!)
                case .reject(let answer, let fault):
                    // Of credentials, more is known than the protocol can say.
                    if case .credentials = fault, cause != nil { return .ended(Ending(fault), answer: answer) }
                    return .ended(refuse(Ending(fault), "\(fault)"), answer: answer)
                }
            } else if count == 0 {
                return .ended(.clientGone, answer: [])
            } else if count == -Int(EINTR) {
                continue
            } else if count != -Int(EAGAIN) {
                return .ended(.clientGone, answer: [])
            }
            // An end that came with the bytes brings no further edge.
            guard !hasClientEnded else { return .ended(.clientGone, answer: []) }
            if let ended = await awaitMore(until: deadline, hasBegun: hasBegun) {
                return .ended(ended, answer: ended == .clientSlow ? handshake?.lateAnswer ?? [] : [])
            }
        }
    }

    /// Waits for more of what a client says.
    ///
    /// - Parameter hasBegun: it has said something.
    func awaitMore(until deadline: UInt64, hasBegun: Bool) async -> Ending? {
        let end = hasBegun ? deadline : min(deadline, unusedUntil)
        let ended = await wait(.negotiating, until: end)
        return ended == .clientSlow && end < deadline ? .clientFIN : ended
    }

    /// Whether the client is who it says it is. Fails closed.
    func isAccepted(
        _ credentials: ServedCredentials, _ login: Service.Login?, until deadline: UInt64
    ) async -> Result<Bool, Refused> {
        guard let login else { return .success(true) }
        // Until it is known who this one is, it is nobody.
        user = nil
        let loop = worker.loop
        let known = login.authenticator.verify(
            credentials.user, credentials.password, of: login.users, from: client.value.address, on: loop
        ) { [id] verdict in
            loop.slots.find(id)?._withUnsafeGuaranteedRef { $0.told(.verdict(verdict), in: .authenticating) }
        }
        if known == nil, let ended = await wait(.authenticating, until: deadline) { return .failure(Refused(ending: ended)) }
        var verdict = known
        if verdict == nil, case .verdict(let told) = told.take() { verdict = told }
        switch verdict {
        case .accepted:
            user = String(decoding: credentials.user, as: UTF8.self)
            return .success(true)
        case .denied: cause = .denied("user name or password refused")
        case .tooEarly(let seconds): cause = .denied("too many failures from this address: not heard for \(seconds) s")
        case .busy: cause = .denied("too many passwords wait to be looked at")
        case .late, nil: cause = .denied("nobody looked at the password in time")
        }
        return .success(false)
    }

    /// What another thread was asked for is there.
    func told(_ answer: Told, in phase: Phase) {
        guard self.phase == phase else { return }
        told = answer
        wake(nil)
    }

    /// Sends the client something. It fits into any socket's buffer, unless the client reads nothing.
    func tell(_ answer: [UInt8]) -> Ending? {
        guard let raw = clientRaw, !answer.isEmpty else { return nil }
        let sent = answer.withUnsafeBytes { cs_send(raw, $0.baseAddress!, $0.count, 0) }
        return sent == answer.count ? nil : .clientGone
    }

    /// Says why it cannot be, and sees that it arrives.
    func dismiss(_ answer: [UInt8]) async {
        guard !answer.isEmpty, tell(answer) == nil else { return }
        await takeLeave(atMost: .short)
    }
}

extension Service {
    /// nil: the first byte decides.
    fileprivate var handshake: (any ServingHandshake)? {
        switch protocols {
        case .socks: socks
        case .http: http
        case .both: nil
        }
    }

    private var socks: SOCKSServer { SOCKSServer(wantsCredentials: login != nil) }
    private var http: ConnectServer { ConnectServer(realm: login == nil ? nil : "proxy") }

    fileprivate func handshake(for firstByte: UInt8) -> (any ServingHandshake)? {
        switch ServedProtocol(firstByte: firstByte) {
        case .socks: socks
        case .http: http
        case .foreign: nil
        }
    }
}

extension ServingOutcome {
    /// What a client is told of an ending.
    init(_ ending: Ending, _ cause: FailureCause?) {
        switch ending {
        case .upstreamRefused: self = .refused
        case .upstreamUnreachable:
            if case .call(let error) = cause, error.errno == .networkUnreachable {
                self = .networkUnreachable
            } else {
                self = .hostUnreachable
            }
        case .upstreamTimeout:
            // The only wait that we refuse to go on with: a peer that has not come.
            if case .denied = cause { self = .ttlExpired } else { self = .timedOut }
        case .upstreamUnresolved: self = .nameUnresolved
        case .proxyRejected, .proxySelf, .proxyLoop: self = .forbidden
        case .proxyLimit, .proxyDrain: self = .overloaded(retryAfter: 1)
        default: self = .generalFailure
        }
    }
}

extension Ending {
    fileprivate init(_ fault: ServingFault) {
        self = if case .credentials = fault { .clientUnauthorized } else { .clientProtocol }
    }
}
