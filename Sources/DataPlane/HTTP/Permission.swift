internal import Policy
internal import Protocols
internal import TransparentSockets

// Requests that a service outside is asked about (`auth_request`), once our rules have let them pass.

extension Session {
    /// What the service has said of one request.
    struct Permission {
        let question: [UInt8]
        let verdict: Authorizer.Verdict
    }

    /// - Parameter verdict: of our rules. What they reject is not asked about.
    func permitted(
        _ verdict: Verdict, _ request: RequestMessage, _ head: HeadReader, _ bytes: Span<UInt8>, in http: HTTPRelay
    ) -> Verdict {
        http.opensTunnel = settings.service != nil && request.method == .connect
        guard case .forward = verdict, let authorization = settings.http?.authorization else { return verdict }
        let question = PermissionQuestion(
            about: request, head, bytes, of: "\(client.value.address)",
            to: settings.service == nil && authorizesByDestination ? destination.map { "\($0)" } : nil,
            listener: authorization.listener, key: authorization.key, service: (authorization.authority, authorization.path))
        // Of another question it says nothing.
        guard let permission = http.permission.take(), permission.question == question.bytes else {
            http.question = .permission(question)
            return .wait
        }
        switch permission.verdict {
        case .answered(.granted(let lines)):
            http.replacement = FieldReplacement(authorization.pass, lines: lines)
            return verdict
        case .answered(.unauthorized(let challenges)):
            var page = ErrorPage(401, "This request needs a user.")
            for challenge in challenges { page.add("WWW-Authenticate", challenge) }
            return .respond(page, refuse(.proxyRejected, "auth_request: 401"))
        case .answered(.forbidden):
            return .respond(
                ErrorPage(403, "This request is not allowed."), refuse(.proxyRejected, "auth_request: 403"))
        case .answered(.other), .missing:
            var reason = "no verdict"
            if case .missing(let text) = permission.verdict { reason = text }
            return .respond(
                ErrorPage(503, "Nobody can say now whether this request is allowed."),
                report(.proxyService, "auth_request: \(reason)"))
        }
    }

    /// Where the client was going is the kernel's word, and in front of origins nobody's.
    private var authorizesByDestination: Bool { settings.http?.origin == nil }

    /// Asks the service.
    ///
    /// - Returns: how the session ends meanwhile, if it does.
    func ask(_ question: PermissionQuestion, in http: HTTPRelay) async -> Ending? {
        guard let authorization = settings.http?.authorization else { return nil }
        let deadline = worker.loop.now &+ authorization.timeout
        guard let authorizer = worker.services.authorizer(authorization, routes, worker) else { return .proxyError }
        let loop = worker.loop
        let asking = authorizer.ask(question, of: BackOff.source(of: client.value.address), until: deadline) { [id] in
            loop.slots.find(id)?._withUnsafeGuaranteedRef { $0.told(.permission, in: .resolving) }
        }
        var verdict = Authorizer.Verdict.missing("no answer in time")
        switch asking {
        case .known(let known): verdict = known
        case .waits(let asked):
            let ended = await wait(.resolving, until: deadline)
            told = nil
            asked.isAbandoned = true
            if let ended, ended != .upstreamTimeout { return ended }
            verdict = asked.verdict ?? verdict
        }
        http.permission = Permission(question: question.bytes, verdict: verdict)
        return nil
    }
}
