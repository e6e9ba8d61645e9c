internal import Policy
internal import Protocols
internal import TransparentSockets

// What a client hears of a rule that rejects its request, or the response to it.

/// What answers need to know of a request, also when its head is gone.
struct Asked {
    /// As a URL; of a request for a tunnel HOST:PORT.
    let url: String
    /// The host that it names; may be empty.
    let host: String
    let isTunnel: Bool
    let prefersHTML: Bool

    /// - Parameter destination: where the client has connected to, for a request that names nobody.
    init(_ request: RequestMessage, _ head: HeadReader, _ bytes: Span<UInt8>, to destination: OriginalDestination?) {
        let authority = bytes.text(request.authority)
        let named = authority.isEmpty ? destination.map { "\($0)" } ?? "" : authority
        url =
            switch request.target.form {
            case .origin: "http://\(named)\(bytes.text(request.target.path))"
            case .asterisk: "http://\(named)"
            case .absolute, .authority: bytes.text(request.targetPlace)
            }
        host = String(
            authority.hasSuffix("]") ? authority[...] : authority.prefix(upTo: authority.lastIndex(of: ":") ?? authority.endIndex))
        isTunnel = request.method == .connect
        prefersHTML = Protocols.prefersHTML(head, bytes)
    }
}

extension Session {
    /// Octets of a URL that a page shows.
    private static let longestShown = 1_024
    /// Octets of a URL that a client is sent to: longer ones are understood by few.
    private static let longestLocation = 8_192

    /// The answer to a request that was rejected as ``decision`` says.
    func rejection(_ asked: Asked) -> ErrorPage {
        let owner = settings.service == nil && settings.http?.origin != nil ? "server" : "proxy"
        var standard = ErrorPage(403, "This \(owner)'s rules do not allow this request.")
        standard.isHTML = asked.prefersHTML
        // Who asks for a tunnel shows nobody what it hears, and goes nowhere else.
        guard let number = decision.rule, let rejection = routes.policy.rules[number].rejection, !asked.isTunnel else {
            return standard
        }
        func value(_ place: Template.Place, url: String) -> String {
            switch place {
            case .url: url
            case .client: "\(client.value.address)"
            case .name: name?.description ?? asked.host
            case .rule: "\(number + 1)"
            }
        }
        switch rejection {
        case .standard(let status): return standard.with(status: status)
        case .page(let page, let status):
            let shown = asked.url.utf8.count <= Self.longestShown ? asked.url : "\(asked.url.prefix(Self.longestShown))…"
            var answer = standard.with(status: status)
            answer.isHTML = page.isHTML
            answer.body = page.template.filled(page.isHTML ? .html : .plain) { value($0, url: shown) }
            return answer
        case .redirect(let location, let status):
            let url = location.filled(.url) { value($0, url: asked.url) }
            guard url.utf8.count <= Self.longestLocation else { return standard }
            var answer = ErrorPage(status, "This request is answered elsewhere.")
            answer.isHTML = asked.prefersHTML
            answer.add("Location", url.utf8)
            return answer
        }
    }

    /// What the client hears in place of a response; nil: the response. Rules are asked again, in order and with all that they ask for; what
    /// they would choose now comes too late, what they reject does not.
    func rejection(of response: ResponseMessage, _ head: HeadReader, _ bytes: Span<UInt8>, in http: HTTPRelay) -> ErrorPage? {
        guard routes.policy.asksForResponses, let asked = http.asked, var query = responseQuery(in: http) else { return nil }
        var types: [[UInt8]] = []
        for field in head.fields where field.known == .contentType { types.append(Array(bytes.extracting(field.value))) }
        query.request?.response = ResponseFacts(contentTypes: types, hasBody: response.body != .none)
        let found = settings.service == nil ? routes.policy.decide(query) : routes.policy.decideInEveryForm(query)
        guard found.action == .reject else { return nil }
        decision = found
        return rejection(asked)
    }
}

extension HTTPRelay {
    /// The client hears this; what the upstream says is read no further.
    func replaceResponse(with page: ErrorPage) -> Step? {
        transaction!.status = page.status
        transaction!.firstByteAt = now
        transaction!.refusal = .proxyRejected
        if !transaction!.request.isDone || isEnding { transaction!.keepsAlive = false }
        transaction!.response = .done
        dropUpstream()
        let isHead = transaction!.method == .head
        let answer = page.bytes(closes: !transaction!.keepsAlive, isHead: isHead)
        transaction!.headBytes += answer.count - page.bodyLength(isHead: isHead)
        return sendDown(answer[...]) == 0 ? nil : .ended(.clientReset)
    }

    /// The answer to the request in `stash`, if it was a rule that rejected it as its way was sought, and not what nobody may reach.
    var unopenedRejection: (page: ErrorPage, isHead: Bool)? {
        guard session.decision.action == .reject, session.cause == nil else { return nil }
        var reader = requestReader ?? HeadReader(.request)
        guard (try? reader.read(stash.span)) == true, let message = try? RequestMessage(reader, stash.span) else { return nil }
        let asked = Asked(message, reader, stash.span, to: session.destination)
        return (session.rejection(asked), message.method == .head)
    }
}

extension Span<UInt8> {
    fileprivate func text(_ place: Range<Int>) -> String {
        extracting(place).withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }
}
