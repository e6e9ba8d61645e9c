internal import CSockets
internal import Policy
internal import Protocols
internal import SystemPackage
internal import TLS
internal import TransparentSockets

/// One client connection and its upstream, from accept to ending. Belongs to one worker for life.
///
/// `run` is the story up to the relay, `finish` its end. Until both sockets are connected, edges reach the session as flags;
/// from then on they go straight to the relay (`Readiness.swift`). The task ends as the relay starts: kept waiting for the ending, it would cost
/// an idle session more memory than everything else.
final class Session {
    /// Outlives every session of its own.
    unowned(unsafe) let worker: Worker
    /// Its listener's, of the same time as ``routes``.
    var settings: ListenerSettings
    let client: ClientAddress
    var socket: AcceptedConnection?
    var upstream: Descriptor?
    /// What is spoken through `upstream`, if it is not spoken to directly.
    var channel: TLSChannel?
    /// The upstream is this proxy, which is asked for pages.
    var parent: Parent?
    /// Where the client meant to go; of one that asked for a name, what that was resolved to, if it was.
    var destination: OriginalDestination?
    /// What a client asked for that speaks a proxy protocol with us.
    var requested: ProxyTarget?
    /// ... and how far it came in asking, if it was by SOCKS.
    var socks: SOCKSProgress?
    /// What this session holds open, in place of carrying bytes for a client.
    private(set) var association: Association?
    /// Taken at the start, for reloads do not concern sessions that are there, once something was done for them: see ``renew()``.
    var routes: Routes
    var decision = Decision(.direct, rule: nil)
    /// The sniffed one.
    var name: DomainName?
    /// Whom `upstream` was dialled to.
    private var dialled: UpstreamAddress?
    private(set) var local: LocalAddress?
    /// With the options of ``dialOptions`` and no others: what else a socket was given, it keeps.
    var isDialledPlainly = true
    /// How often the connection has been ours before, as it seems.
    private var depth = 0
    /// The proxies that it passes through, the farthest first.
    var members: [UpstreamMember] = []
    let startedAt: UInt64
    private var openedAt: UInt64 = 0
    var id = SlotID(index: 0, generation: 0)
    /// Why the upstream was not reached; of several attempts, the last one.
    var cause: FailureCause?

    /// `sniffing`, `listening`, `dialling`, `racing` and `handshaking` are waits of `run`'s: for the client's bytes, whoever speaks first, the
    /// upstream's answer, the first answer of several addresses, the upstream's bytes; so are `negotiating`, `authenticating`, `resolving`
    /// and `binding`, for a client's request, the verdict on its password, the addresses of the name in it, and the peer that it waits for.
    enum Phase {
        case settingUp, sniffing, listening, negotiating, authenticating, resolving, binding, dialling, racing, handshaking
        case relaying, exchanging, associated, ending
    }
    var phase = Phase.settingUp
    /// What the kernel said of each socket before the relay could hear it.
    var clientEvents: UInt32 = 0
    var upstreamEvents: UInt32 = 0
    /// `run`, while it waits.
    var waiter: UnsafeContinuation<Ending?, Never>?
    var relay: Relay?
    /// In its place, where the client speaks HTTP.
    var http: HTTPRelay?
    var setUpDeadline: UInt64 = 0
    var keepsAlive = false
    var isQueued = false
    /// The client was told why its request failed, and is on its way out.
    var isDismissed = false
    /// The client's datagrams are relayed: there is nothing more to tell it.
    var isServed = false
    /// What another thread was asked for, while it is on its way to `run`.
    enum Told {
        case resolution(NameResolver.Answer)
        case verdict(Authenticator.Verdict)
        /// ... that whoever waits for it holds.
        case permission
    }
    var told: Told?
    /// How the present request ends, if a service that it was shown to has said so.
    var adapted: Ending?
    /// Who the client is, if it has shown that.
    var user: String?
    /// Of a client that has left, as far as it is known, and whose end has not come.
    var lastWords: LastWords?
    /// When the first side was seen to have ended; 0: none was.
    var halfClosedAt: UInt64 = 0
    /// When the client's first data was handed on, and what had been moved each way by then.
    var asked: (at: UInt64, up: UInt64, down: UInt64)?
    /// ... and data of the upstream's has followed.
    var isAnswered = false

    init(_ connection: consuming AcceptedConnection, _ settings: ListenerSettings, _ worker: Worker) {
        client = connection.client
        socket = .some(connection)
        self.settings = settings
        self.worker = worker
        startedAt = worker.loop.now
        routes = worker.settings.routes
    }

    /// For an association, through that upstream.
    init(for association: Association, through index: Int, of routes: Routes, _ worker: Worker) {
        client = ClientAddress(association.endpoint.client)
        settings = association.endpoint.side.settings
        self.association = association
        self.worker = worker
        self.routes = routes
        startedAt = worker.loop.now
        decision = Decision(.upstream(index), rule: nil)
    }

    func start() {
        id = worker.loop.add(self)
        if association == nil { worker.sessionStarted() } else { worker.controlStarted() }
        let bound = LoopBound(self)
        Task(executorPreference: worker.loop) { await bound.value.run() }
    }

    /// Where a connection goes.
    private func run() async {
        if let association { return await associate(association) }
        if let http = settings.http, settings.service == nil {
            if let failed = await beginHTTP(http) { finish(failed) }
            return
        }
        let failed = if let service = settings.service { await serve(service) } else { await reachUpstream() }
        if let failed { return finish(failed) }
        // A client that asks for pages is seen to by the relay of its requests.
        if http == nil { startRelay() }
    }

    /// - Returns: nil when both sockets are connected, else how the session ends.
    private func reachUpstream() async -> Ending? {
        if let failed = arrive() { return failed }
        return await decideAndDial()
    }

    /// Finds out where the client was going.
    func arrive() -> Ending? {
        let destination: OriginalDestination
        do throws(SocketError) {
            guard let found = try socket?.originalDestination() else { return .proxyError }
            destination = found
        } catch {
            return report(.proxyNoDestination, "\(error)", .call(error))
        }
        self.destination = destination
        if let failed = checkLoop(destination) { return failed }
        guard let raw = socket?.descriptor.raw, worker.loop.watch(raw, .client, of: id) == 0 else {
            return report(.proxyLimit, "epoll takes no more sockets (fs.epoll.max_user_watches)")
        }
        return nil
    }

    func decideAndDial() async -> Ending? {
        guard let destination else { return .proxyError }
        if let failed = await decide(destination) { return failed }
        return await dialDecided()
    }

    /// Goes where the decision says.
    func dialDecided() async -> Ending? {
        guard let destination else { return .proxyError }
        switch decision.action {
        case .direct:
            return await dial(UpstreamAddress(destination.value), directOptions, until: connectDeadline)
        case .reject: return .proxyRejected
        case .upstream(let index):
            let wanted = Wanted(name: name, addresses: [destination.value.address], port: destination.value.port)
            return await pass(through: index, to: wanted, until: connectDeadline).ending
        }
    }

    /// - Returns: how the session ends if it leads back to us.
    private func checkLoop(_ destination: OriginalDestination) -> Ending? {
        guard !settings.isElsewhere else { return nil }
        guard !worker.isOurselves(destination) else {
            return report(.proxySelf, "\(client) connected to \(destination), which is this listener")
        }
        depth = worker.loopGuard.depth(of: client.value, to: destination.value)
        // Of our own address nobody else has connections.
        guard depth < (settings.preservedSource == .off ? 1 : LoopGuard.deepest) else {
            return report(.proxyLoop, "our own connection to \(destination) came back: a rule does not skip our mark")
        }
        return nil
    }

    /// - Parameter line: what the client says passes as long as this is no request's.
    func startRelay(looksAt line: FirstLine? = nil) {
        guard let clientSocket = socket?.descriptor.raw, let upstreamSocket = upstream?.raw else { return finish(.proxyError) }
        guard !worker.isCut else { return finish(.proxyDrain) }
        var relay = Relay(
            client: clientSocket, upstream: upstreamSocket, over: channel, clientReady: clientEvents, upstreamReady: upstreamEvents,
            worker.settings.relay, now: worker.loop.now)
        if let line { relay.up.look(at: line) }
        begin(relay)
    }

    /// From here on the loop calls the relay.
    func begin(_ newRelay: Relay) {
        relay = newRelay
        phase = .relaying
        cause = nil
        openedAt = worker.loop.now
        if let destination {
            worker.observer.sessionOpened(
                SessionOpening(
                    number: id.number, client: client, destination: destination, requested: requested, socks: socks, local: local))
        }
        setRelayDeadline()
        let isBroken = clientEvents & cs_epoll_err != 0
        let step = relay!.step(worker.resources, now: worker.loop.now, broken: isBroken ? .client : nil)
        // Nothing of the client's to carry the handshake's last acknowledgement: an upstream that speaks first waits for it.
        if relay!.up.moved == 0 { _ = worker.loop.acknowledgeSoon(id, to: .upstream) }
        settle(step)
    }

    /// The one place where a session ends.
    func finish(_ ending: Ending) {
        phase = .ending
        if !ending.isOrderly {
            if let raw = socket?.descriptor.raw, !isDismissed { _ = cs_reset_on_close(raw) }
            if let raw = upstream?.raw { _ = cs_reset_on_close(raw) }
        }
        // So that the proxy does not take the end for a cut.
        if ending.isOrderly { channel?.close() }
        // Both sockets close here, before anybody hears of it.
        socket = nil
        if isUpstreamReusable(ending), let dialled, !dialled.value.address.isLinkLocal, let used = upstream.take() {
            worker.sockets.retire(used, isIPv6: dialled.value.address.isIPv6)
        }
        relay?.release(worker.resources)
        if ending != .upstreamFIN, ending != .clientFIN { http?.record(ending) }
        http?.release()
        let local = local
        abandonUpstream()
        leave(members)
        worker.loop.remove(id)
        if let association = association.take() {
            worker.controlEnded()
            return association.ended(ending)
        }
        worker.sessionEnded(
            SessionRecord(
                number: id.number, listener: settings.name, client: client, destination: destination, requested: requested,
                socks: socks, user: user, name: name?.description,
                upstream: upstreamName, member: memberName, rule: decision.rule,
                local: relay == nil && http == nil ? nil : local, up: relay?.up.moved ?? http?.up.moved ?? 0,
                down: relay?.down.moved ?? http?.down.moved ?? 0, duration: worker.loop.now - startedAt,
                upDuration: openDuration(endedFirstBy: .clientFIN),
                downDuration: openDuration(endedFirstBy: .upstreamFIN), ending: ending, requests: http?.count ?? 0,
                cause: cause))
    }

    /// Tells of a request that is over.
    func recordTransaction(_ transaction: Transaction, up: UInt64, down: UInt64, ending: Ending?) {
        guard worker.observer.wantsTransactions else {
            cause = nil
            return
        }
        var record = SessionRecord(
            number: id.number, listener: settings.name, client: client, destination: destination, requested: requested,
            socks: socks,
            user: user, name: transaction.name, upstream: upstreamName, member: memberName, rule: decision.rule, local: local,
            up: up,
            down: down, duration: worker.loop.now - transaction.startedAt, ending: ending ?? .upstreamFIN, cause: cause)
        let firstByte = transaction.firstByteAt == 0 ? 0 : transaction.firstByteAt - transaction.startedAt
        record.transaction = TransactionRecord(
            method: transaction.methodText, target: transaction.target, isVersion10: transaction.isVersion10,
            status: transaction.status, firstByte: firstByte,
            body: down - min(down, UInt64(transaction.headBytes)),
            referer: transaction.referer, userAgent: transaction.userAgent)
        cause = nil
        worker.observer.transactionEnded(record)
    }

    /// How long a direction was open, in nanoseconds: until now, unless it was the first of the two to end.
    private func openDuration(endedFirstBy first: Ending) -> UInt64 {
        guard let relay else { return 0 }
        return (relay.endedFirst == first && halfClosedAt > 0 ? halfClosedAt : worker.loop.now) - openedAt
    }

    /// A plain socket after a short session: nothing of it is left in the socket.
    private func isUpstreamReusable(_ ending: Ending) -> Bool {
        guard ending.isOrderly, let relay, channel == nil, !keepsAlive, isDialledPlainly else { return false }
        return relay.isFinished && relay.up.moved &+ relay.down.moved <= 1 << 16
    }

    /// Tells an operator why a session ended.
    func report(_ ending: Ending, _ reason: String, _ cause: FailureCause? = nil) -> Ending {
        self.cause = cause ?? .other(reason)
        worker.observer.event(.sessionFailed(listener: settings.name, ending: ending, reason: reason))
        return ending
    }

    // MARK: Reaching the upstream

    /// Takes over the upstream's socket, which has its local address as soon as it connects, and makes it known: if a rule
    /// hands it back to us, that may be seen before the answer is.
    func adopt(_ descriptor: consuming Descriptor, dialledTo address: UpstreamAddress) {
        if let local = try? localAddress(descriptor.raw) {
            self.local = local
            if local.value != client.value { worker.loopGuard.add(local.value, to: address.value, depth: depth) }
        }
        dialled = address
        upstream = consume descriptor
    }

    /// Lets go of the upstream's socket, if there is one.
    func abandonUpstream() {
        if let local, let dialled { worker.loopGuard.remove(local.value, to: dialled.value) }
        local = nil
        dialled = nil
        // An orderly end of ours would keep the port for a minute, and with 28,000 of them to one server each further connection
        // takes the kernel a millisecond, or fails. To a server that waits for requests it makes no difference.
        if let raw = upstream?.raw, channel == nil, settings.preservedSource == .off, http?.isUpstreamIdle == true {
            _ = cs_reset_on_close(raw)
        }
        channel = nil
        parentLeft()
        parent = nil
        upstream = nil
        forgetUpstreamEvents()
    }

    /// What was told of another socket says nothing of this one.
    func forgetUpstreamEvents() { upstreamEvents = 0 }

    /// Waits for the first edge of the upstream's socket.
    func connected(until deadline: UInt64, isWatched: Bool) async -> Ending? {
        guard let raw = upstream?.raw, watch(upstream: raw, isWatched: isWatched) else { return .proxyLimit }
        return await wait(.dialling, until: deadline)
    }

    /// - Returns: whether it is watched from now on.
    func watch(upstream raw: Int32, isWatched: Bool = false) -> Bool {
        guard worker.loop.watch(raw, .upstream, of: id, isWatched: isWatched) != 0 else { return true }
        _ = report(.proxyLimit, "epoll takes no more sockets (fs.epoll.max_user_watches)")
        return false
    }

    /// Since the client's name is known, or need not be.
    private var connectDeadline: UInt64 { worker.loop.now + worker.settings.connectTimeout }

    /// Whom `upstream` was dialled to, for the association.
    var peer: UpstreamAddress? { dialled }
    /// Where a proxy relays datagrams, as it says.
    var bound: SocketAddress? {
        get { association?.bound }
        set { association?.bound = newValue }
    }
    /// The sockets, for those who read and write them before the relay does.
    var clientRaw: Int32? { socket?.descriptor.raw }
    var upstreamRaw: Int32? { upstream?.raw }
    /// The client has sent its end, or is broken: no more bytes will come.
    var hasClientEnded: Bool { clientEvents & (cs_epoll_rdhup | cs_epoll_hup | cs_epoll_err) != 0 }
    var hasUpstreamEnded: Bool { upstreamEvents & (cs_epoll_rdhup | cs_epoll_hup | cs_epoll_err) != 0 }
    var isSetUpTimeOver: Bool { setUpDeadline <= worker.loop.now }
}

/// A value that stays on its loop's thread though a task closure carries it there.
struct LoopBound<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
