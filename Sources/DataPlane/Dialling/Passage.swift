internal import Policy
internal import Protocols
internal import Synchronization
internal import SystemPackage
internal import TransparentSockets

/// How a way through a proxy turned out.
enum Passage {
    case passed
    /// The proxy is at fault: others should be asked, and it be left out for a while.
    case failed(Ending)
    /// The proxy works and could not do it; another may.
    case refused(Ending)
    /// It has not said anything, and that may be its fault or its destination's; another may answer.
    case silent(Ending)
    /// The proxy was not asked, for it is not of the kind that could do it; another may be.
    case unfit(Ending)
    /// The way to the proxy is broken, in front of it: that says nothing of the proxy.
    case cutOff(Ending)
    /// Another proxy would not change that.
    case over(Ending)

    /// The proxy did what a proxy does, whatever came of it.
    var wasAnswered: Bool {
        switch self {
        case .passed, .refused: true
        case .over(let ending): !ending.isOurs
        case .failed, .silent, .unfit, .cutOff: false
        }
    }

    var ending: Ending? {
        switch self {
        case .passed: nil
        case .failed(let ending), .refused(let ending), .silent(let ending), .unfit(let ending), .cutOff(let ending),
            .over(let ending):
            ending
        }
    }
}

/// What a proxy is to connect to: the address that the client dialled, or another proxy.
struct Wanted {
    var name: DomainName?
    /// Empty: only the name is known. A proxy is asked for the first that it can be asked for.
    var addresses: [IPAddress]
    var port: UInt16
    var command = ProxyHandshake.Command.connect
    /// A proxy of HTTP is asked for pages itself (RFC 9112 §3.2.2): many let nobody have tunnels to the ports of servers without TLS.
    var isPage = false

    func target(for member: UpstreamSettings.Member) -> ProxyTarget? {
        if member.sendsName, let name { return ProxyTarget(.name(name.description), port: port) }
        // SOCKS4 has no room for an IPv6 address.
        let address = member.kind == .socks4a ? addresses.first { !$0.isIPv6 } : nil
        return (address ?? addresses.first).map { ProxyTarget(.address($0), port: port) }
    }
}

extension Wanted {
    /// A proxy, for the one in front of it.
    init(_ member: UpstreamMember) {
        self.init(name: nil, addresses: member.addresses.map(\.value.address), port: member.settings.port)
        if case .name(let name) = member.settings.host { self.name = name }
    }
}

// Through which proxies a session leaves.

extension Session {
    /// Parts that the time for reaching an upstream is shared out in at most.
    private static let mostShares = 3

    /// Passes through one member of an upstream, and through those in front of it. While the relay has not begun nothing of the
    /// client's is lost, so what one member cannot do is asked of the next one.
    func pass(through index: Int, to wanted: Wanted, until deadline: UInt64) async -> Passage {
        let group = routes.upstreams[index]
        guard group.settings.exit == nil else { return await leave(through: group, to: wanted, until: deadline) }
        var tried = UpstreamGroup.Tried()
        for member in http?.hungUp ?? [] {
            if let number = group.members.firstIndex(where: { $0 === member }) { tried.insert(number) }
        }
        var last = Passage.over(.upstreamTimeout)
        while worker.loop.now < deadline,
            let (number, isTrial) = group.next(for: client.value.address, after: tried, now: worker.loop.now)
        {
            // One that does not answer must leave time for others, and have enough of it to answer from far away.
            let share = (deadline - worker.loop.now) / UInt64(min(group.members.count - tried.count, Self.mostShares))
            let trial = isTrial ? worker.loop.now : nil
            tried.insert(number)
            cause = nil
            let before = members.count
            members.append(group.members[number])
            group.members[number].sessions.wrappingAdd(1, ordering: .relaxed)
            last = await pass(through: group.members[number], of: group, to: wanted, until: worker.loop.now + share)
            if parent?.member === group.members[number] {
                // What it answers will tell.
                parent?.trial = trial
            } else if group.members.count > 1 {
                note(last, group.members[number], of: group, trial: trial)
            } else if case .failed(let ending) = last {
                tellOfFailure(ending, group.members[number], of: group)
            }
            if case .passed = last { return last }
            abandonUpstream()
            leave(members[before...])
            members.removeSubrange(before...)
            switch last {
            case .over, .cutOff: return last
            case .passed, .failed, .refused, .silent, .unfit: break
            }
        }
        return last
    }

    /// Goes straight to the destination, the way that the exit says.
    private func leave(through exit: UpstreamGroup, to wanted: Wanted, until deadline: UInt64) async -> Passage {
        guard !wanted.addresses.isEmpty else {
            return .unfit(report(.upstreamUnreachable, "\(exit.settings.name): the next proxy's name was not resolved"))
        }
        let ways = wanted.addresses.compactMap { address in
            exit.options(dialOptions, for: client.value.address, to: address).map {
                (UpstreamAddress(SocketAddress(address, port: wanted.port)), $0)
            }
        }
        guard !ways.isEmpty else {
            // As the kernel puts it where no route leads, so that the client hears the same.
            let cause = FailureCause.call(SocketError(call: "connect \(wanted.addresses[0])", errno: .networkUnreachable))
            return .over(
                report(.upstreamUnreachable, "\(exit.settings.name): it has no source of the destination's family", cause))
        }
        return await connect(to: ways, until: deadline).map { .over($0) } ?? .passed
    }

    /// Connects to one address, or to whichever of several answers first.
    ///
    /// - Returns: nil when connected, else how the session ends.
    func connect(to ways: [(address: UpstreamAddress, options: DialOptions)], until deadline: UInt64) async -> Ending? {
        ways.count == 1 ? await dial(ways[0].address, ways[0].options, until: deadline) : await race(to: ways, until: deadline)
    }

    private func pass(
        through member: UpstreamMember, of group: UpstreamGroup, to wanted: Wanted, until deadline: UInt64
    ) async -> Passage {
        guard wanted.command == .connect || group.carriesDatagrams(member.settings, routes) else {
            return .unfit(
                report(.upstreamRejected, "\(member.settings.label): datagrams need a SOCKS5 proxy that no other is in front of"))
        }
        // What is wanted of an origin is the origin itself.
        if member.settings.kind == nil { return await reach(member, of: group, until: deadline) }
        guard let target = wanted.target(for: member.settings) else {
            return .unfit(report(.upstreamUnreachable, "\(member.settings.label): the next proxy's name was not resolved"))
        }
        let arrived = await reach(member, of: group, until: deadline)
        guard case .passed = arrived else { return arrived }
        var header: [UInt8] = []
        if group.settings.sendsHeader, let destination {
            header = ProxyHeader.version2(source: client.value, destination: destination.value)
        }
        var passage = Passage.passed
        if member.settings.trust != nil {
            // Before TLS, as whoever expects it reads it.
            passage = await secure(member, after: header, until: deadline)
            header = []
        }
        if case .passed = passage, wanted.isPage, member.settings.kind == .http, member.settings.sendsName || wanted.name == nil {
            // With nothing to say before the first request.
            if let failed = send(header) { return failed.isOurs ? .over(failed) : .failed(failed) }
            parent = Parent(member: member, group: group)
        } else if case .passed = passage {
            passage = await shakeHands(with: member, of: group, wanted.command, target, after: header, until: deadline)
        }
        if let ending = passage.ending, ending.isOurs { return .over(ending) }
        return passage
    }

    /// Connects to a proxy, or has the one in front of it connect.
    private func reach(_ member: UpstreamMember, of group: UpstreamGroup, until deadline: UInt64) async -> Passage {
        let addresses = member.addresses
        if let via = group.settings.via {
            switch await pass(through: via, to: Wanted(member), until: deadline) {
            case .passed: return .passed
            case .failed(let ending), .silent(let ending), .cutOff(let ending): return .cutOff(ending)
            case .refused(let ending), .unfit(let ending), .over(let ending):
                return ending.isOurs ? .over(ending) : .failed(ending)
            }
        }
        guard !addresses.isEmpty else {
            return .failed(report(.upstreamUnreachable, "\(member.settings.label): its name was not resolved"))
        }
        guard let failed = await connect(to: addresses.map { ($0, dialOptions) }, until: deadline) else { return .passed }
        // No port is left towards this address; towards another there may be.
        if case .call(let error) = cause, error.errno == .addressNotAvailable { return .unfit(failed) }
        return failed.isOurs ? .over(failed) : .failed(failed)
    }

    /// - Parameter trial: when it was claimed; nil: the session tries it for nobody else.
    func note(_ passage: Passage, _ member: UpstreamMember, of group: UpstreamGroup, trial: UInt64?) {
        let (upstream, label) = (group.settings.name, member.settings.label)
        if passage.wasAnswered {
            if member.worked() { worker.observer.event(.memberRestored(upstream: upstream, member: label)) }
        } else if case .failed(let ending) = passage {
            guard let time = member.failed(now: worker.loop.now, isTrial: trial != nil) else { return }
            worker.observer.event(
                .memberEjected(upstream: upstream, member: label, nanoseconds: time, reason: ending.rawValue))
        } else if let trial {
            member.trialEndedWithoutResult(claimed: trial, now: worker.loop.now)
        }
    }

    /// Of the only member of an upstream.
    func tellOfFailure(_ ending: Ending, _ member: UpstreamMember, of group: UpstreamGroup) {
        let reason: String
        switch cause {
        case .call(let error): reason = "\(error)"
        case nil: reason = ending.rawValue
        // Reported when it was found.
        case .refusal, .ended, .denied, .other: return
        }
        worker.observer.event(
            .memberFailed(upstream: group.settings.name, member: member.settings.label, reason: reason))
    }

    /// These proxies have one session less.
    func leave(_ members: some Sequence<UpstreamMember>) {
        for member in members { member.sessions.wrappingSubtract(1, ordering: .relaxed) }
    }

    // MARK: For the record

    var upstreamName: String? {
        if case .upstream(let index) = decision.action { routes.upstreams[index].settings.name } else { nil }
    }

    var memberName: String? {
        guard case .upstream(let index) = decision.action, routes.upstreams[index].members.count > 1 else { return nil }
        // Of a chain the last one is the upstream's; those in front of it were appended behind it.
        return members.first?.settings.label
    }
}
