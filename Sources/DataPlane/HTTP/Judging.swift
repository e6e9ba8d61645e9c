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
        if let http = settings.http, let name = http.via, head.bears(name, inCDNLoop: http.origin != nil, bytes) {
            return .respond(
                ErrorPage(508, "This request has come by here before."),
                report(.proxyLoop, "our own name in a request's Via or CDN-Loop"))
        }
        guard !request.goesInCircles else {
            return .respond(
                ErrorPage(508, "This request has come by too many proxies."), refuse(.proxyLoop, "a Via of too many proxies"))
        }
        http.minute = worker.minute(for: routes.policy)
        http.facts = routes.policy.asksForRequests ? RequestFacts(request, head, bytes, routes.policy.askedFields) : nil
        http.asked = routes.policy.asksForResponses ? Asked(request, head, bytes, to: destination) : nil
        if let service = settings.service { return judge(request, head, bytes, of: service, in: http) }
        if let origin = settings.http?.origin {
            return authenticate(head, bytes, in: http) ?? judge(request, head, bytes, forOrigin: origin, in: http)
        }
        guard let destination, !routes.policy.rules.isEmpty else { return .forward(.direct) }
        let query = claimedQuery(to: destination, in: http)
        decision = routes.policy.decide(query)
        if !query.isNameVerified, http.refusedName != name, let name, routes.policy.needsVerification(query, after: decision) {
            http.question = .name(name)
            return .wait
        }
        switch decision.action {
        case .reject: return .respond(rejection(Asked(request, head, bytes, to: destination)), .proxyRejected)
        case .direct, .upstream: return .forward(decision.action)
        }
    }

    /// What is asked of our own origins goes there, whatever it names, unless a rule rejects it.
    private func judge(
        _ request: RequestMessage, _ head: HeadReader, _ bytes: Span<UInt8>, forOrigin origin: Int, in http: HTTPRelay
    ) -> Verdict {
        decision = Decision(.upstream(origin), rule: nil)
        // What came behind it would be seen by nobody.
        guard request.method != .connect else {
            return .respond(ErrorPage(405, "This is a server, which makes no tunnels."), .proxyRejected)
        }
        guard !routes.policy.rules.isEmpty else { return .forward(decision.action) }
        let found = routes.policy.decide(originQuery(in: http))
        decision.rule = found.rule
        guard found.action != .reject else {
            decision.action = .reject
            return .respond(rejection(Asked(request, head, bytes, to: nil)), .proxyRejected)
        }
        return .forward(decision.action)
    }

    /// What rules are asked of the request whose response has come; nil: nothing.
    func responseQuery(in http: HTTPRelay) -> Query? {
        if settings.service != nil { return requested.map { query(destination?.value.address, $0.port) } }
        if settings.http?.origin != nil { return originQuery(in: http) }
        return destination.map { claimedQuery(to: $0, in: http) }
    }

    /// ... of one whose host is a claim.
    private func claimedQuery(to destination: OriginalDestination, in http: HTTPRelay) -> Query {
        var query = Query(
            listener: settings.name, client: client.value.address, destination: destination.value.address,
            port: destination.value.port, name: name)
        query.request = http.facts
        query.minute = minute
        query.isNameVerified = http.verifiedName != nil && http.verifiedName == name
        return query
    }

    private func originQuery(in http: HTTPRelay) -> Query {
        var query = Query(
            listener: settings.name, client: client.value.address, destination: nil, port: ownPort, name: name, user: user)
        query.request = http.facts
        query.minute = minute
        return query
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

extension RequestMessage {
    /// One that goes no further, by its Max-Forwards, is answered here (RFC 9110 §7.6.2), as far as its client may ask.
    func stoppedHere(_ verdict: Session.Verdict) -> Session.Verdict {
        guard maxForwards == 0, case .forward = verdict else { return verdict }
        let page =
            method == .options ? ErrorPage(200, "This is a proxy.") : ErrorPage(501, "This is a proxy, which traces nothing.")
        return .respond(page, .proxyRejected)
    }
}

extension RequestFacts {
    /// - Parameter asked: ``Policy/askedFields``.
    fileprivate init(_ request: RequestMessage, _ head: HeadReader, _ bytes: Span<UInt8>, _ asked: Set<String>) {
        func text(_ place: Range<Int>) -> String {
            bytes.extracting(place).withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
        }
        var fields: [Field] = []
        if !asked.isEmpty {
            for field in head.fields {
                let name = text(field.name)
                if asked.contains(Field.folded(name)) {
                    fields.append(Field(name: name, value: Array(bytes.extracting(field.value))))
                }
            }
        }
        self.init(
            method: text(request.methodPlace), target: text(request.target.path), authority: text(request.authority),
            fields: fields)
    }
}

extension HeadReader {
    /// Whether a Via of this head says that it has been by us before, or a CDN-Loop.
    fileprivate func bears(_ name: String, inCDNLoop: Bool, _ bytes: Span<UInt8>) -> Bool {
        fields.contains { field in
            (field.known == .via || inCDNLoop && field.known == .cdnLoop)
                && bytes.extracting(field.value).withUnsafeBufferPointer { value in
                    String(decoding: value, as: UTF8.self).split(whereSeparator: { ", \t;".contains($0) }).contains { $0 == name }
                }
        }
    }
}
