internal import Policy
internal import Protocols
internal import TransparentSockets

// What is to be done with a request of HTTP, by our rules.

extension Session {
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
        if let origin = settings.http?.origin { return authenticate(head, bytes, in: http) ?? judge(forOrigin: origin, in: http) }
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
        var query = Query(
            listener: settings.name, client: client.value.address, destination: nil, port: ownPort, name: name, user: user)
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

    /// Whether our own resolver knows the destination by that name.
    func isVerified(_ name: DomainName) async -> Bool {
        guard let destination else { return false }
        switch await resolve(name, until: worker.loop.now + worker.settings.connectTimeout) {
        case .success(let addresses): return addresses.contains { $0.unmapped == destination.value.address.unmapped }
        case .failure: return false
        }
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
