internal import CSockets
internal import Glibc
internal import Protocols
internal import SystemPackage
internal import TLS
internal import TransparentSockets

/// The checks of one member, one after the other. Confined to the checker's thread.
///
/// A check goes the way of a session (`Passage`) and blames whom a session would: it connects to the nearest proxy, speaks TLS
/// where that is spoken, and has each proxy connect to the next; the last one is the member, and is asked whether it works.
final class Check {
    enum Verdict {
        case works
        case fails(String)
        /// The way is broken in front of the member, perhaps on this host, or a name on it was not resolved: that says nothing of the
        /// member.
        case unknown
    }

    private enum Stage {
        case connecting, securing
        case asking(Question)
    }

    let member: UpstreamMember
    /// What lies on the way, the nearest first; the last one is the member's own.
    private let groups: [UpstreamGroup]
    /// How the nearest one is dialled; nil: plainly.
    private let exit: UpstreamGroup?
    private let mark: UInt32
    private(set) var dueAt: UInt64 = 0
    private(set) var deadline: UInt64 = 0

    /// The proxies in front of the member, by their numbers in ``groups``; and those that this check has tried in their place.
    private var chosen: [Int] = []
    private var tried: [UpstreamGroup.Tried] = []
    private var isRepeated = false

    private let socket = LayeredSocket()
    /// Addresses of the nearest proxy that were not tried yet.
    private var others: ArraySlice<UpstreamAddress> = []
    /// Which of ``groups`` the connection has come to.
    private var place = 0
    private var stage = Stage.connecting
    /// The proxy there has said something.
    private var hasSpoken = false
    /// What has come and is not understood yet.
    private var received: [UInt8] = []

    /// - Parameter upstreams: what `via` counts in.
    init(_ member: UpstreamMember, of group: UpstreamGroup, among upstreams: [UpstreamGroup], mark: UInt32) {
        self.member = member
        var groups = [group]
        var exit: UpstreamGroup?
        while exit == nil, let via = groups[0].settings.via {
            if upstreams[via].settings.exit == nil { groups.insert(upstreams[via], at: 0) } else { exit = upstreams[via] }
        }
        self.groups = groups
        self.exit = exit
        self.mark = mark
    }

    var upstream: String { groups[last].settings.name }
    /// -1, which `poll` skips, while there is nothing to wait for.
    var raw: Int32 { socket.raw }
    /// Once connected, whoever waits waits for an answer: what a check sends at a time, TLS's own messages included, fits into any
    /// socket's buffer. (To wait for room as well would be to turn in circles, for there nearly always is some.)
    var events: Int16 { if case .connecting = stage { Int16(POLLOUT) } else { Int16(POLLIN) } }
    /// Monotonic nanoseconds.
    var nextLook: UInt64 { raw < 0 ? dueAt : min(deadline, dueAt) }

    private var last: Int { groups.count - 1 }
    private func proxy(at place: Int) -> UpstreamMember { place == last ? member : groups[place].members[chosen[place]] }

    /// - Returns: nil, here and below: the check goes on.
    func begin(now: UInt64) -> Verdict? {
        let interval = groups[last].settings.checkInterval
        dueAt = now + interval
        deadline = now + min(interval, HealthChecker.longestCheck)
        isRepeated = false
        tried = groups.map { _ in UpstreamGroup.Tried() }
        return setOut()
    }

    /// The socket is ready.
    func advance() -> Verdict? {
        switch stage {
        case .connecting:
            guard let error = connectionError(raw) else { return meet() }
            return others.isEmpty ? blame("\(SocketError(call: "connect", errno: error))") : connect()
        case .securing: return secure()
        case .asking(let question): return receive(question)
        }
    }

    func timedOut() -> Verdict {
        var silent = place
        // It has answered before, and now it waits for the next one itself.
        if case .asking(.passage(let handshake)) = stage, handshake.isAsked, hasSpoken { silent += 1 }
        return silent == last ? .fails("no answer") : .unknown
    }

    func stop() { socket.close() }

    // MARK: The way

    /// Chooses the proxies in front of the member, and connects to the nearest.
    private func setOut() -> Verdict? {
        stop()
        let now = cs_monotonic_nanoseconds()
        chosen = []
        for (group, tried) in zip(groups.dropLast(), tried) {
            guard let number = group.nextForCheck(after: tried, now: now) else { return .unknown }
            chosen.append(number)
        }
        place = 0
        others = proxy(at: 0).addresses[...]
        // The resolver tells of names that it cannot find.
        guard !others.isEmpty else { return leaveOut() ? setOut() : .unknown }
        return connect()
    }

    /// The proxy that we have come to is at fault.
    private func blame(_ why: String) -> Verdict? {
        guard place == last else { return leaveOut() ? setOut() : .unknown }
        // Behind others it must fail twice: the first time the way may have broken in front of it.
        guard place > 0, !isRepeated else { return .fails(why) }
        isRepeated = true
        tried = groups.map { _ in UpstreamGroup.Tried() }
        return setOut()
    }

    /// The proxy that we have come to works, and the next one cannot be reached from it.
    private func blameNext(_ why: String) -> Verdict? {
        let reason = "\(proxy(at: place).settings.label): \(why)"
        place += 1
        return blame(reason)
    }

    /// Goes no more through the proxy that we have come to, in this check.
    ///
    /// - Returns: whether another one can be asked in its place.
    private func leaveOut() -> Bool {
        guard place < last else { return false }
        tried[place].insert(chosen[place])
        for nearer in 0..<place { tried[nearer] = UpstreamGroup.Tried() }
        return tried[place].count < groups[place].members.count
    }

    // MARK: Stages

    /// To the next address of the nearest proxy.
    private func connect() -> Verdict? {
        var plain = DialOptions()
        plain.mark = mark
        var failure = "no address"
        stage = .connecting
        while let address = others.popFirst() {
            // No client's: each proxy is one of its own.
            let own = exit.map { $0.options(plain, for: address.value.address, to: address.value.address) }
            guard let options = own ?? plain else { continue }
            do throws(SocketError) {
                socket.open(try dial(address, options).release())
                return nil
            } catch {
                if error.isOfThisHost { return .unknown }
                failure = "\(error)"
            }
        }
        return blame(failure)
    }

    /// The connection leads to the next proxy now.
    private func meet() -> Verdict? {
        hasSpoken = false
        received = []
        let header = groups[place].settings.sendsHeader ? ProxyHeader.local : []
        do throws(TLSError) {
            guard let context = try proxy(at: place).tlsContext() else { return ask(after: header) }
            // Before TLS, as whoever expects it reads it.
            if let failure = socket.send(header) { return blame(failure) }
            try socket.add(context)
            stage = .securing
            return secure()
        } catch {
            return blame("\(error)")
        }
    }

    private func secure() -> Verdict? {
        switch socket.shakeHands() {
        case .waits: return nil
        case .failed(let why): return blame(why)
        // That is not the proxy's own word: often somebody else speaks TLS for it.
        case .done: return ask(after: [])
        }
    }

    /// Has the proxy connect to the next one, or asks the member whether it works.
    private func ask(after header: [UInt8]) -> Verdict? {
        let settings = proxy(at: place).settings
        let question: Question
        if place == last {
            guard let kind = settings.kind else { return .works }
            question = .health(ProxyProbe(kind, settings.credentials))
        } else {
            guard let target = Wanted(proxy(at: place + 1)).target(for: settings) else { return leaveOut() ? setOut() : .unknown }
            let wanted = settings.kind.flatMap { ProxyHandshake($0, target, settings.credentials, agent: settings.agent) }
            guard let handshake = wanted else {
                return leaveOut() ? setOut() : blameNext("it cannot be asked for \(target.host)")
            }
            question = .passage(handshake)
        }
        // Who is not asked anything is not told who asks.
        if !question.opening.isEmpty, let failure = socket.send(header + question.opening) { return blame(failure) }
        return understand(question)
    }

    private func receive(_ question: Question) -> Verdict? {
        var buffer = [UInt8](repeating: 0, count: ConnectClient.longestAnswer)
        let count = buffer.withUnsafeMutableBytes { socket.receive($0) }
        guard count > 0 else {
            if count == -Int(EAGAIN) || count == -Int(EINTR) { return nil }
            guard count < 0 else { return blame("it ended in its handshake") }
            return blame(socket.failure(Int32(clamping: -count)))
        }
        hasSpoken = true
        received += buffer[..<count]
        return understand(question)
    }

    private func understand(_ question: Question) -> Verdict? {
        var question = question
        while true {
            let step = question.advance(&received)
            stage = .asking(question)
            switch step {
            case .needsMore: return received.count < ConnectClient.longestAnswer ? nil : blame("its answer has no end")
            case .send(let bytes): if let failure = socket.send(bytes) { return blame(failure) }
            case .fails(let why): return blame(why)
            case .refused(let why) where why.isOfAll: return blame("\(why)")
            case .refused(let why): return why.cause == .failed && leaveOut() ? setOut() : blameNext("\(why)")
            case .granted where place == last:
                socket.finish()
                return .works
            case .granted:
                place += 1
                // No proxy speaks first; and TLS would look for these bytes in the socket.
                return received.isEmpty ? meet() : blame("it speaks before it is asked")
            }
        }
    }
}
