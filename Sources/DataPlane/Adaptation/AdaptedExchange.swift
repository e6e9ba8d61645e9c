internal import CSockets
internal import Protocols
internal import TransparentSockets

/// Stands between a session's relay of requests and its upstream, and shows what passes to services of ICAP: for as long as the relay
/// keeps this upstream, one request and its response after the other.
///
/// ``run()`` reads from top to bottom. Whatever it waits for, it waits by ``turn()``, which meanwhile moves the bodies that are under way.
/// To the relay it is the upstream: what goes wrong before a response has begun becomes one, and afterwards an end that is too early.
final class AdaptedExchange {
    unowned(unsafe) let worker: Worker
    /// Whose upstream it is, as long as that lives.
    weak var session: Session?
    let listener: String
    let client: String
    /// Whose share of the services' connections it takes.
    let source: IPAddress
    let settings: ICAPSettings
    let requestService: ICAPService?
    let responseService: ICAPService?
    let bell: Bell
    let relay: Wire
    let server: Wire
    /// The service that a message is shown to now, and whether we wait for what it says.
    var service: Wire?
    var awaitsService = false
    /// Whose turn at a connection we have, what is sent over it, and whether it can be used again.
    var entered: ICAPService?
    var upload: BodyPump?
    var mayReuse = false
    /// What the service has found in the message at hand, in its words.
    var foundThreat: String?
    /// The request that a service has changed, until the server has it.
    var sending: Sending?
    /// The client was told to send its body, and need not be told again.
    var hasSaidContinue = false
    /// A body was left where it was: what follows it is no message.
    var isSpent = false
    /// What the response at hand answers.
    var method = RequestMethod.get
    /// Bodies that move beside what ``run()`` does.
    var pumps: [BodyPump] = []
    /// As many as the relay takes.
    private static let mostInterim = 16
    /// Turns since others had theirs.
    private var turns = 0

    private init(
        of session: Session, _ settings: ICAPSettings, request: ICAPService?, response: ICAPService?, relay: LoopSocket,
        server: LoopSocket, _ bell: Bell
    ) {
        worker = session.worker
        self.session = session
        listener = session.settings.name
        client = "\(session.client.value.address)"
        source = BackOff.source(of: session.client.value.address)
        self.settings = settings
        requestService = request
        responseService = response
        self.bell = bell
        self.relay = Wire(relay, .relay, worker.loop)
        self.server = Wire(server, .server, worker.loop)
    }

    /// Begins to stand there.
    ///
    /// - Parameters:
    ///   - upstream: connected; nothing has been sent over it.
    /// - Returns: what the relay takes for the upstream; nil: no descriptor is left.
    static func begin(of session: Session, _ settings: ICAPSettings, upstream: consuming Descriptor) -> Descriptor? {
        let worker = session.worker
        var pair: [Int32] = [-1, -1]
        guard pair.withUnsafeMutableBufferPointer({ cs_socketpair($0.baseAddress!) }) == 0 else { return nil }
        let near = Descriptor(owning: pair[0])
        let far = Descriptor(owning: pair[1])
        let bell = Bell(worker.loop)
        guard let relay = try? LoopSocket(far, bell), let server = try? LoopSocket(upstream, bell) else { return nil }
        let exchange = AdaptedExchange(
            of: session, settings, request: worker.services.icap(settings, settings.request, session.routes, worker),
            response: worker.services.icap(settings, settings.response, session.routes, worker), relay: relay, server: server, bell)
        let bound = LoopBound(exchange)
        Task(executorPreference: worker.loop) { await bound.value.run() }
        return near
    }

    private func run() async {
        do throws(AdaptationFault) {
            while try await transaction() {}
        } catch {
            // Before a response, the relay says so itself; behind its beginning, it breaks off as well.
            if error.side == .service {
                warn(error.reason)
                // What was found counts for more.
                if session?.adapted == nil { note(.proxyService, error.reason) }
            }
        }
        // Whoever leaves in the middle must not keep a place that others wait for.
        dropService()
        endSending()
        pumps = []
    }

    // MARK: One request and its response

    /// - Returns: whether another one may follow.
    private func transaction() async throws(AdaptationFault) -> Bool {
        pumps = []
        guard let request = try await nextRequest() else { return false }
        method = request.message.method
        hasSaidContinue = false
        let path = String(decoding: request.bytes[request.message.target.path], as: UTF8.self)
        var requestHead = request.bytes
        // Whatever the service says, the method stays: by it the response is understood.
        if let requestService {
            let original = OriginalBody(BodySource(request.message.body), from: relay)
            switch try await adapt(
                .request, by: requestService, requestHead: request.bytes, path: path, original: original,
                isExpected: request.message.expectsContinue)
            {
            case .unchanged:
                server.output += request.bytes
                pumps.append(BodyPump(original.kept, original.source, from: relay, to: server, as: request.message.body))
            case .changedRequest(let head, let source, let from):
                guard head.message.method == method else {
                    return try await refuse("the service changes the method of a request")
                }
                requestHead = head.bytes
                MessageWriter(via: nil).write(head.message, head.reader, head.bytes.span, into: &server.output)
                beginSending(BodyPump([], source, from: from, to: server, as: head.message.body), from: from)
            case .changedResponse(let head, let beginning, let source, let from):
                return try await answer(with: head, beginning, source, from)
            case .refused(let threat): return try await refuse(threat: threat)
            case .failed(let reason): return try await refuse(reason)
            }
        } else {
            server.output += request.bytes
            pumps.append(BodyPump([], BodySource(request.message.body), from: relay, to: server, as: request.message.body))
        }
        do throws(AdaptationFault) {
            return try await response(to: request, requestHead, path)
        } catch {
            // Of a request that it has changed, a service owes the rest.
            guard error.side == .service, let sending, !sending.isAnswered else { throw error }
            return try await refuse(error.reason)
        }
    }

    private func response(to request: RequestHead, _ requestHead: [UInt8], _ path: String) async throws(AdaptationFault) -> Bool {
        var response = try await nextResponse(to: request.message.method)
        var interim = 0
        while response.message.isInterim {
            interim += 1
            guard interim <= Self.mostInterim else { throw server.fault("interim responses without end") }
            while !relay.hasRoom { try await turn() }
            if !hasSaidContinue || response.message.status != 100 { relay.output += response.bytes }
            response = try await nextResponse(to: request.message.method)
        }
        sending?.isAnswered = true
        let message = response.message
        if message.status == 101 || request.message.method == .connect && message.status < 300 {
            // What is left of the request would be lost between the two protocols.
            guard sending == nil, pumps.allSatisfy(\.isDone) else {
                throw server.fault("it changes the protocol before it has the request")
            }
            relay.output += response.bytes
            try await tunnel()
            return false
        }
        // How the relay gets it: an end that is seen is the only one that is known to be the right one.
        let framing = message.body == .untilClose ? .chunked : message.body
        guard let responseService else {
            write(response, as: framing)
            return try await finish(
                BodyPump([], BodySource(message.body), from: server, to: relay, as: framing), message.keepsAlive)
        }
        let original = OriginalBody(BodySource(message.body), from: server)
        var shown: [UInt8] = []
        // What concerns our connection with the server is none of the service's business (RFC 3507 §4.4.2).
        let stated: MessageBody =
            if case .length = message.body { message.body } else { message.body == .none ? .none : .untilClose }
        MessageWriter(via: nil).write(
            message, response.reader, response.bytes.span, body: stated, keepsAlive: true, into: &shown)
        switch try await adapt(
            .response, by: responseService, requestHead: requestHead, responseHead: shown, path: path, original: original)
        {
        case .unchanged:
            write(response, as: framing)
            return try await finish(
                BodyPump(original.kept, original.source, from: server, to: relay, as: framing), message.keepsAlive)
        case .changedResponse(let head, let beginning, let source, let from):
            return try await answer(with: head, beginning, source, from)
        case .changedRequest: return try await refuse("the service answers a response with a request")
        case .refused(let threat): return try await refuse(threat: threat)
        case .failed(let reason): return try await refuse(reason)
        }
    }

    /// Hands on what a service has said in place of the server's response, or of the request.
    private func answer(
        with head: ResponseHead, _ beginning: [UInt8], _ source: BodySource, _ from: Wire
    ) async throws(AdaptationFault) -> Bool {
        let framing = head.message.body == .untilClose ? .chunked : head.message.body
        // What the server may still have to say to this request, nobody reads: its connection ends here.
        MessageWriter(via: nil).write(
            head.message, head.reader, head.bytes.span, body: framing, keepsAlive: false, into: &relay.output)
        return try await finish(BodyPump(beginning, source, from: from, to: relay, as: framing), false)
    }

    private func write(_ response: ResponseHead, as framing: MessageBody) {
        MessageWriter(via: nil).write(
            response.message, response.reader, response.bytes.span, body: framing, keepsAlive: response.message.keepsAlive,
            into: &relay.output)
    }

    /// Moves a response's body to its end.
    ///
    /// - Returns: whether the server's connection can be used again.
    private func finish(_ body: BodyPump, _ keepsAlive: Bool) async throws(AdaptationFault) -> Bool {
        pumps.append(body)
        while !body.isDone { try await turn() }
        leaveService()
        try await flushRelay()
        // Behind a whole response, the rest of the request is of no use to anybody.
        endSending()
        return keepsAlive && !isSpent && pumps.allSatisfy(\.isDone) && !server.isDeaf && server.unsent == 0
            && server.input.isEmpty
    }

    func flushRelay() async throws(AdaptationFault) {
        while relay.unsent > 0 { try await turn() }
    }

    // MARK: Saying no

    private func refuse(_ reason: String) async throws(AdaptationFault) -> Bool {
        warn(reason)
        note(.proxyService, reason)
        return try await say(ErrorPage(503, "What this is about could not be scanned."))
    }

    private func refuse(threat: String?) async throws(AdaptationFault) -> Bool {
        noteThreat(threat)
        let name = threat.map { ": \(Self.plain($0))" } ?? ""
        return try await say(ErrorPage(403, "A scanner has refused this\(name)."))
    }

    private func say(_ page: ErrorPage) async throws(AdaptationFault) -> Bool {
        // A body that is still on its way goes nowhere.
        pumps = []
        endSending()
        relay.output += page.bytes(closes: true, isHead: method == .head)
        try await flushRelay()
        return false
    }

    func noteThreat(_ threat: String?) {
        note(.proxyRejected, threat.map { "icap: \(settings.name): \(Self.plain($0))" } ?? "icap: \(settings.name): refused")
    }

    /// What the record of the transaction says.
    private func note(_ ending: Ending, _ reason: String) {
        session?.cause = .denied(reason)
        session?.adapted = ending
    }

    func warn(_ reason: String) {
        worker.observer.event(
            .sessionFailed(listener: listener, ending: .proxyService, reason: "icap: \(settings.name): \(reason)"))
    }

    /// Nothing that could mean something to whoever shows it.
    private static func plain(_ text: String) -> String {
        String(
            text.unicodeScalars.map { scalar in
                let isPlain =
                    scalar.isASCII && (scalar.properties.isAlphabetic || "0123456789.,:;_-+/()= ".unicodeScalars.contains(scalar))
                return isPlain ? Character(scalar) : "_"
            })
    }

    // MARK: Waiting

    /// Moves what can be moved, and if that is nothing, waits until something can.
    ///
    /// - Throws: `AdaptationFault`: nobody is there any more, or a service lets us wait too long.
    func turn() async throws(AdaptationFault) {
        var isNews = false
        for pump in pumps where try pump.step() { isNews = true }
        if try moveSending() { isNews = true }
        if try relay.flush() { isNews = true }
        if try server.flush() { isNews = true }
        if let service, try service.flush() { isNews = true }
        guard !isNews else { return await share() }
        guard !relay.socket.isHungUp else { throw relay.fault("the relay is gone") }
        let sendingDeadline = sending?.deadline(settings.timeout) ?? .max
        guard await bell.wait(until: min(serviceDeadline, sendingDeadline)) else {
            if let sending, sending.isAnswered, sendingDeadline <= worker.loop.now { return endSending() }
            throw AdaptationFault(side: .service, reason: "no answer in time", isLate: true)
        }
        turns = 0
    }

    /// When the service lets us wait too long; `.max`: it may.
    private var serviceDeadline: UInt64 {
        guard let service else { return .max }
        let reader = pumps.first { $0.isReading(service) }
        // While it waits for us, it may; nor is it late when we do not hear it, for the client takes nothing.
        let isHungry = (awaitsService || reader?.isHungry == true) && upload?.isHungry != true
        return service.deadline(isAwaited: (service.unsent > 0 || isHungry) && reader?.isBlocked != true, settings.timeout)
    }

    /// Lets the worker's other sessions have their turn, now and then.
    func share() async {
        turns += 1
        guard turns >= 16 else { return }
        turns = 0
        await bell.pause()
    }
}
