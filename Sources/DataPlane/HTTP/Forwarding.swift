internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import TransparentSockets

// Clients that ask us for pages of other servers: `GET http://host/path`, over HTTP/1.

extension Session {
    /// Looks at the client's first bytes without taking them: whether it asks for a page, and not for a tunnel.
    ///
    /// - Parameter orTunnels: by HTTP; where each request is judged by more than its target, the relay of requests sees to those, too.
    func asksForPages(orTunnels: Bool = false, until deadline: UInt64) async -> Result<Bool, Refused> {
        while true {
            guard let raw = clientRaw else { return .failure(Refused(ending: .proxyError)) }
            let buffer = worker.resources.buffer
            let count = cs_peek(raw, buffer, 256)
            if count > 0 {
                let bytes = Span(_unsafeStart: buffer.assumingMemoryBound(to: UInt8.self), count: count)
                if orTunnels { return .success(ServedProtocol(firstByte: bytes[0]) != .socks) }
                if let asks = beginsWithPage(bytes) { return .success(asks) }
                guard count < 256 else { return .success(false) }
            } else if count == -Int(EINTR) {
                continue
            } else if count != -Int(EAGAIN) {
                return .failure(Refused(ending: .clientGone))
            }
            // An end that came with the bytes brings no further edge.
            guard !hasClientEnded else { return .success(false) }
            if let ended = await awaitMore(until: deadline, hasBegun: count > 0) { return .failure(Refused(ending: ended)) }
        }
    }

    /// What is to be done for a client that asks us for a page. Where it may go is found out as for tunnels, when a connection is opened.
    func judge(_ request: RequestMessage, _ head: HeadReader, _ bytes: Span<UInt8>, of service: Service, in http: HTTPRelay)
        -> Verdict
    {
        let goesNowhere = request.maxForwards == 0
        guard request.target.form == .absolute || request.target.form == .authority || goesNowhere else {
            return .respond(ErrorPage(400, "This is a proxy, and no web server: it wants a whole URL."), .clientProtocol)
        }
        guard request.method != .connect || request.body == .none else {
            return .respond(ErrorPage(400, "a CONNECT request with a body"), .clientProtocol)
        }
        if service.login != nil {
            switch credentials(.proxyAuthorization, head, bytes) {
            case nil: return .respond(.authenticationRequired, .clientUnauthorized)
            case .some(let (shown, field)) where field != http.acceptedCredentials:
                http.question = .credentials(shown, field: field)
                return .wait
            default: break
            }
        }
        guard !goesNowhere else { return .forward(.direct) }
        guard
            let target = ProxyTarget(
                authority: Array(bytes.extracting(request.authority)), defaultPort: request.method == .connect ? nil : 80)
        else { return .respond(ErrorPage(400, "a request for something that is not HOST:PORT"), .clientProtocol) }
        guard service.mayAsk(for: target.port, overHTTP: true, forPages: request.method != .connect) else {
            return .respond(ErrorPage(403, "This proxy does not serve that port."), .proxyRejected)
        }
        // Another host, or another user, is judged anew.
        let mayBeOpen = request.method != .connect && (request.upgrade == nil || parent == nil)
        if requested == target, mayBeOpen, let opened = http.openedFor {
            guard routes.policy.asksForRequests || routes.policy.asksForTime else { return .forward(opened) }
            let query = query(destination?.value.address, target.port)
            let found = destination == nil ? routes.policy.decide(query) : routes.policy.decideInEveryForm(query)
            let isDecided = destination != nil || !routes.policy.needsAddress(query, after: found)
            if isDecided, found.action == .reject {
                decision = found
                return .respond(rejection(Asked(request, head, bytes, to: destination)), .proxyRejected)
            }
            if isDecided, found.action == opened {
                decision = found
                return .forward(opened)
            }
        }
        http.openedFor = nil
        (requested, destination, name) = (target, nil, nil)
        decision = Decision(.direct, rule: nil)
        // Another protocol behind it would be the proxy's to speak.
        http.asksForPage = request.method != .connect && request.upgrade == nil
        return .forward(.direct)
    }
}

extension ErrorPage {
    fileprivate static var authenticationRequired: ErrorPage {
        var page = ErrorPage(407, "This proxy wants a user name and a password.")
        page.add("Proxy-Authenticate", "Basic realm=\"proxy\"".utf8)
        return page
    }
}
