internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import TransparentSockets

/// The requests of one client connection and their responses, one after the other: a plain state machine, driven by edges, as `Relay` is.
///
/// The way of a transaction:
/// 1. `awaitRequest` gathers its head, the session judges it, and where no upstream is connected that may have it, has one opened.
/// 2. `forward` writes the head anew, with what has come of the body; `moveRequestBody` moves the rest.
/// 3. `readResponse` passes on the heads of responses, `moveResponseBody` the body.
/// 4. `endTransaction` tells the log, and whether another one can follow.
///
/// What does not fit together ends both connections: nobody must see another message than we saw.
final class HTTPRelay {
    enum Phase {
        /// A request is awaited, or is on its way.
        case head
        /// The session opens an upstream for the request in `stash`.
        case opening
        case exchanging
        /// The last thing that the client hears is on its way out.
        case closing
    }

    enum Step {
        case goOn
        /// A budget was used up: come back in the next turn.
        case comeBack
        /// An upstream is wanted for what was judged; then ``opened()``.
        case open
        /// Both sides speak another protocol from now on.
        case switched
        /// End our side, and give the client a moment to end its own.
        case dismiss(Ending)
        case ended(Ending)
    }

    unowned(unsafe) let session: Session
    let client: Int32
    var upstream: Int32 = -1
    var requestWriter: MessageWriter
    var responseWriter: MessageWriter
    /// From the client, and from the upstream: their flags are kept over all transactions.
    var up = Direction()
    var down = Direction()
    var phase = Phase.head
    /// What was read of the client's and is not used yet: part of a head, requests behind the present one, or incomplete trailers.
    var stash: [UInt8] = []
    /// The same of the upstream's.
    var responseStash: [UInt8] = []
    /// Heads that are not whole.
    var requestReader: HeadReader?
    var responseReader: HeadReader?
    var transaction: Transaction?
    /// What the present upstream was opened for.
    var openedFor: Action?
    /// What the upstream is opened for is a page, which a proxy of HTTP can be asked for itself.
    var asksForPage = false
    /// The request in `stash` was judged, and its upstream is open.
    var isCleared = false
    /// Transactions that the present upstream has seen, and all.
    var answered = 0
    var count = 0
    /// Proxies that have hung up over the present request.
    var hungUp: [UpstreamMember] = []
    /// A request that can be asked again of a fresh connection, should this one turn out to have ended.
    var unanswered: [UInt8] = []
    /// How the session ends behind what is on its way out.
    var lastEnding = Ending.upstreamFIN
    /// The upstream closes behind the present response.
    var isLast = false
    /// The upstream has answered what it did not hear to its end.
    var wasCut = false
    /// What was wrong with a body in chunks.
    var bodyFault: MessageFault?
    /// Whom the last request named, as it stood there.
    var claimed: [UInt8] = []
    /// Of names that were claimed: the last one that the destination bears, and the last one that it does not.
    var verifiedName: DomainName?
    var refusedName: DomainName?
    /// What must be known before a request can be judged.
    var question: Question?
    enum Question {
        case name(DomainName)
        /// - Parameter field: that they were in, as it stood there.
        case credentials(ServedCredentials, field: [UInt8])
        case permission(PermissionQuestion)
    }
    /// The request in `stash` asks us for a tunnel.
    var opensTunnel = false
    /// What a service has said of the request in `stash`.
    var permission: Session.Permission?
    /// What it has put in place of fields of the present request.
    var replacement: FieldReplacement?
    /// What rules ask of the present request, if they do.
    var facts: RequestFacts?
    /// When the present request was judged, where rules ask for the time: its response is judged by the same.
    var minute: MinuteOfWeek?
    /// What its answer might need, where rules may still reject its response.
    var asked: Asked?
    /// The credentials that were right last time.
    var acceptedCredentials: [UInt8] = []
    /// Those of the present request, which were not.
    var refusedCredentials: [UInt8]?
    /// Monotonic nanoseconds of the last turn in which something moved.
    var lastActivity: UInt64
    /// When the first byte of the head that is on its way came; 0: none has.
    var headBegunAt: UInt64
    /// Whose share of the handshakes this one is part of.
    var heldShare: IPAddress?
    var pace: BodyPace
    /// Bytes that were moved each way when their acknowledgement was thought of last.
    var acknowledged: (up: UInt64, down: UInt64) = (0, 0)
    /// When the loop looks at the deadline next.
    var armedAt = UInt64.max

    var resources: Resources { session.worker.resources }
    var now: UInt64 { session.worker.loop.now }

    init(_ session: Session, client: Int32, now: UInt64) {
        self.session = session
        self.client = client
        lastActivity = now
        headBegunAt = now
        requestWriter = session.requestWriter
        responseWriter = session.responseWriter
        pace = BodyPace(now: now)
        (up.isFrugal, down.isFrugal) = (true, true)
        up.noteSource(session.clientEvents | cs_epoll_in)
        down.noteSink(session.clientEvents)
    }

    /// The upstream is connected.
    func opened(_ raw: Int32, for action: Action, events: UInt32) {
        upstream = raw
        openedFor = action
        answered = 0
        wasCut = false
        (down.isReadable, down.isHungUp, down.hasEnded, down.failure) = (false, false, false, 0)
        up.isWritable = true
        note(upstream: events)
        isCleared = phase == .opening
        phase = .head
    }

    /// Whether the request names that address, in the one spelling that everybody reads so.
    func names(_ host: ProxyTarget.Host) -> Bool {
        guard case .address(let address) = host, address == address.unmapped else { return false }
        let text = address.isIPv6 ? "[\(address)]" : "\(address)"
        guard claimed.starts(with: text.utf8) else { return false }
        return claimed.count == text.utf8.count || claimed[text.utf8.count] == UInt8(ascii: ":")
    }

    func clientReady(_ events: UInt32) -> Step {
        up.noteSource(events)
        down.noteSink(events)
        // Nobody is left who could be told anything.
        if events & cs_epoll_err != 0 { return .ended(.clientReset) }
        let step = step()
        // Who has ended its side has less time from now on.
        if up.isHungUp, deadline < armedAt { session.setHTTPDeadline() }
        return step
    }

    func upstreamReady(_ events: UInt32) -> Step {
        guard upstream >= 0 else { return .goOn }
        note(upstream: events)
        return step()
    }

    /// Does what can be done.
    func step() -> Step {
        while true {
            let next: Step? =
                switch phase {
                case .head: awaitRequest()
                case .opening: .goOn
                case .exchanging: exchange()
                case .closing: close()
                }
            if let next { return next }
        }
    }

    /// - Returns: nil, here and below: there is more to do.
    private func exchange() -> Step? {
        let before = up.moved &+ down.moved
        // Behind a whole response, the rest of a body is of no use to anybody.
        let requestStep =
            transaction!.request.isDone ? flushUp() : transaction!.response.isDone ? .finished : moveRequestBody()
        switch requestStep {
        case .sourceFailed(let error): return failedRequest(error)
        // The response may be there already: the upstream need not hear a request to its end to answer it.
        case .sinkFailed, .waiting, .budgetUsed, .finished: break
        }
        if let step = readResponse() { return step }
        var responseStep = Moved.waiting
        if !transaction!.response.isWaiting { responseStep = transaction!.response.isDone ? flush() : moveResponseBody() }
        if up.moved &+ down.moved != before { lastActivity = now }
        switch responseStep {
        case .sourceFailed(let error) where !transaction!.response.isDone:
            // By whom it was broken off, and what was found in it, the exchange with the service knows.
            if let adapted = session.adapted { return .ended(adapted) }
            return .ended(
                session.report(error == -EPROTO ? .upstreamProtocol : .upstreamReset, "a response ended early"))
        case .sinkFailed: return .ended(.clientReset)
        case .budgetUsed: return .comeBack
        case .waiting, .sourceFailed, .finished: break
        }
        // Only now is the client done with this one, and its time for the next one begins.
        if transaction!.response.isDone, responseStep != .waiting { return endTransaction() }
        if requestStep == .budgetUsed { return .comeBack }
        // What is left of a body, and never what follows one: the connection ends behind the response.
        if !transaction!.request.isDone {
            var isForNobody = transaction!.response.isDone
            if case .sinkFailed = requestStep { isForNobody = true }
            if isForNobody, throwAway() { return .comeBack }
        }
        acknowledge()
        return .goOn
    }

    /// The response is handed on. Whether the next request may follow depends on the body of this one, too: bytes that nobody has read would
    /// be taken for it. What was promised with the head does not count by now, if rules have changed meanwhile, or sessions are to end: who
    /// has asked already asks again elsewhere (RFC 9112 §9.3.2).
    private func endTransaction() -> Step? {
        let isWhole = transaction!.request.isDone && up.rest == nil && up.inPipe == 0
        let keepsAlive = transaction!.keepsAlive && isWhole && !isEnding
        // Also where a rule has rejected the response: it is nothing that the next request comes to.
        let adapted = session.adapted.take()
        record(transaction!.refusal ?? adapted)
        answered += 1
        hungUp = []
        lastActivity = now
        headBegunAt = stash.isEmpty ? 0 : now
        wasCut = !isWhole
        if !isWhole || !responseStash.isEmpty { dropUpstream() }
        phase = keepsAlive ? .head : .closing
        // An exchange has more time than what follows it.
        if deadline < armedAt { session.setHTTPDeadline() }
        return nil
    }

    /// Tells the log of the transaction, which is over.
    ///
    /// - Parameter withRest: what the client's socket has not taken yet is an answer of ours, and counts.
    func record(_ ending: Ending?, withRest: Bool = false) {
        guard let transaction = transaction.take() else { return }
        count += 1
        unanswered = []
        session.recordTransaction(
            transaction, up: up.moved - transaction.upBefore,
            down: down.moved - transaction.downBefore + (withRest ? owed : 0), ending: ending)
    }

    /// The client has all that it was sent, and asks for nothing.
    var isUnused: Bool {
        guard case .head = phase else { return false }
        return stash.isEmpty && untaken == 0
    }

    /// The same towards the upstream.
    private func flushUp() -> Moved {
        guard up.rest != nil || up.inPipe > 0 else { return .finished }
        up.left = 0
        return moveUp()
    }

    func dropUpstream() {
        guard upstream >= 0 else { return }
        session.dropUpstream()
        upstream = -1
        openedFor = nil
        responseStash = []
        responseReader = nil
        up.dropRest()
    }

    /// The upstream is connected, has answered whatever it was asked, and waits.
    var isUpstreamIdle: Bool {
        guard upstream >= 0, !wasCut, !down.isHungUp, up.rest == nil, up.inPipe == 0 else { return false }
        guard transaction.map({ $0.request.isDone && $0.response.isDone }) ?? (answered > 0) else { return false }
        // It may have answered before it has the whole request.
        var unacknowledged: Int32 = 0
        return cs_unacknowledged(upstream, &unacknowledged) == 0 && unacknowledged == 0
    }

    func giveShareBack() {
        if let source = heldShare.take() { session.worker.handshakes.end(source) }
    }

    /// Gives back what both directions borrowed.
    func release() {
        giveShareBack()
        up.release(resources)
        down.release(resources)
    }
}
