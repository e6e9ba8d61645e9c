internal import Configuration
internal import DataPlane
internal import Logging
internal import Policy
internal import Protocols
internal import TLS
internal import TransparentSockets

/// The policy and the upstreams in force, and what looks after them: the resolver of their names, the checker of their health.
final class Upstreams {
    /// Milliseconds that a start waits for proxies' names. Sessions that come before an answer fail.
    private static let longestStart: Int32 = 5_000

    private(set) var routes: Routes
    private let resolver: Resolver
    private let checker: HealthChecker
    private let blockLists: BlockListChecker
    /// Of the questions to block lists, since the start.
    var blockListCounters: BlockListChecker.Counters { blockLists.counters }
    /// The addresses that sessions leave from.
    var sources: [SourcePool] { routes.upstreams.compactMap(\.sources) }

    init(_ configuration: Configuration, mark: UInt32, _ logger: Logger) throws(SocketError) {
        routes = Routes(configuration, inheriting: nil)
        resolver = try Resolver { member, failure in
            if let failure {
                logger.error("upstream name not resolved", metadata: ["member": "\(member)", "reason": "\(failure)"])
            } else {
                logger.notice("upstream name resolved", metadata: ["member": "\(member)"])
            }
        }
        blockLists = try BlockListChecker { upstream, address, list, event in
            Self.tell(event, of: address, upstream, list, logger)
        }
        checker = try HealthChecker(mark: mark) { upstream, member, failure in
            if let failure {
                logger.warning(
                    "upstream check failed", metadata: ["upstream": "\(upstream)", "member": "\(member)", "reason": "\(failure)"])
            } else {
                logger.notice("upstream works again", metadata: ["upstream": "\(upstream)", "member": "\(member)"])
            }
        }
    }

    private static func tell(
        _ event: BlockListEvent, of address: IPAddress, _ upstream: String, _ list: DomainName, _ logger: Logger
    ) {
        let metadata: Logger.Metadata = ["upstream": "\(upstream)", "source": "\(address)", "block_list": "\(list)"]
        switch event {
        case .listed(let codes):
            let answer = codes.map(\.description).joined(separator: " ")
            logger.warning("source listed", metadata: metadata.merging(["answer": "\(answer)"]) { $1 })
        case .recovered: logger.notice("source no longer listed", metadata: metadata)
        case .cannotBeAsked(let reason):
            logger.warning("block list cannot be asked", metadata: metadata.merging(["reason": "\(reason)"]) { $1 })
        case .canBeAsked: logger.notice("block list can be asked again", metadata: metadata)
        }
    }

    /// Begins to look after them. Before the rules go live: the names of proxies are resolved while traffic still goes its way.
    func start() throws(SocketError) {
        try lookAfter(routes)
        resolver.waitForFirstRound(atMost: Self.longestStart)
    }

    /// What a changed configuration makes of them. Takes effect with ``replace(with:)``.
    func planned(_ configuration: Configuration) throws(Failure) -> Routes {
        let planned = Routes(configuration, inheriting: routes)
        try planned.prepareOrFail()
        return planned
    }

    func replace(with new: Routes) throws(SocketError) {
        try lookAfter(new)
        routes = new
        // Names that are new: sessions must not be the first to ask.
        resolver.waitForFirstRound(atMost: Self.longestStart)
    }

    private func lookAfter(_ routes: Routes) throws(SocketError) {
        try resolver.keep(routes.upstreams)
        try checker.watch(routes.upstreams)
        try blockLists.watch(routes.upstreams.compactMap(\.sources))
    }
}

extension Routes {
    func prepareOrFail() throws(Failure) {
        do throws(TLSError) {
            try prepare()
        } catch {
            throw Failure(.systemError, "\(error)")
        }
    }

    fileprivate convenience init(_ configuration: Configuration, inheriting old: Routes?) {
        let origins = configuration.listeners.filter { !$0.origins.isEmpty }
        self.init(
            Policy(configuration.rules),
            configuration.upstreams.map { UpstreamSettings($0) } + origins.map { UpstreamSettings(originsOf: $0) }
                + configuration.listeners.compactMap { UpstreamSettings(deciderOf: $0) }
                + configuration.icap.flatMap { UpstreamSettings.scanners($0) }, inheriting: old)
    }
}

extension Configuration {
    /// Which of the routes' upstreams are a listener's origins: they stand behind those that have names.
    func originIndex(ofListener number: Int) -> Int? {
        guard !listeners[number].origins.isEmpty else { return nil }
        return upstreams.count + listeners[..<number].count { !$0.origins.isEmpty }
    }

    /// The service that a listener asks: behind all origins.
    func authorization(ofListener number: Int) -> AuthorizationSettings? {
        guard let request = listeners[number].authRequest else { return nil }
        return AuthorizationSettings(
            upstream: upstreams.count + listeners.count { !$0.origins.isEmpty }
                + listeners[..<number].count { $0.authRequest != nil },
            authority: request.service.authority, path: request.service.path, timeout: request.timeout.nanoseconds,
            lifetime: request.cache.nanoseconds, key: request.key, pass: request.pass, listener: listeners[number].name)
    }
}

extension Configuration {
    /// The services of ICAP: behind everything else, requests' and responses' one after the other.
    var scanners: [ICAPSettings] {
        var next =
            upstreams.count + listeners.count { !$0.origins.isEmpty } + listeners.count { $0.authRequest != nil }
        func service(_ service: Listener.Service?) -> ICAPSettings.Service? {
            guard let service else { return nil }
            defer { next += 1 }
            return ICAPSettings.Service(upstream: next, url: service.icapURL, authority: service.authority)
        }
        return icap.map {
            ICAPSettings(
                name: $0.name, request: service($0.request), response: service($0.response), timeout: $0.timeout.nanoseconds,
                passesOnFailure: $0.onFailure == .pass, mostConnections: $0.maxConnections)
        }
    }
}

extension Balancing {
    fileprivate init(_ balancing: Upstream.Balancing) {
        self =
            switch balancing {
            case .failover: .failover
            case .roundRobin: .roundRobin
            case .leastSessions: .leastSessions
            case .clientHash: .clientHash
            }
    }
}

extension UpstreamSettings {
    fileprivate init(originsOf listener: Listener) {
        self.init(
            name: listener.name,
            members: listener.origins.map { origin in
                Member(
                    kind: nil, host: Member.Host(origin.host), port: origin.port, credentials: nil, sendsName: false,
                    label: "\(origin)")
            }, balancing: Balancing(listener.balancing), checkInterval: listener.check.nanoseconds, via: nil, sendsHeader: false)
    }

    /// nil: none is asked.
    fileprivate init?(deciderOf listener: Listener) {
        guard let service = listener.authRequest?.service else { return nil }
        self.init(
            name: "\(listener.name) auth_request",
            members: [
                Member(
                    kind: nil, host: Member.Host(service.host), port: service.port, credentials: nil, sendsName: false,
                    label: "\(service)")
            ], balancing: .failover, checkInterval: 0, via: nil, sendsHeader: false)
    }

    fileprivate static func scanners(_ icap: ICAPService) -> [UpstreamSettings] {
        [icap.request, icap.response].compactMap { $0 }.map { service in
            UpstreamSettings(
                name: "icap \(icap.name)",
                members: [
                    Member(
                        kind: nil, host: Member.Host(service.host), port: service.port, credentials: nil, sendsName: false,
                        label: service.icapURL)
                ], balancing: .failover, checkInterval: 0, via: nil, sendsHeader: false)
        }
    }

    fileprivate init(_ upstream: Upstream) {
        self.init(
            name: upstream.name, members: upstream.members.map { Member($0, of: upstream) },
            balancing: Balancing(upstream.balancing),
            checkInterval: upstream.check.nanoseconds, via: upstream.via, sendsHeader: upstream.sendProxy,
            exit: upstream.exit.map {
                Exit(sources: $0.sources, blockList: $0.blockList, device: $0.device, mark: $0.mark)
            })
    }
}

extension UpstreamSettings.Member {
    fileprivate init(_ member: Upstream.Member, of upstream: Upstream) {
        let kind: ProxyHandshake.Kind =
            switch member.scheme {
            case .socks5, .socks5h: .socks5
            case .socks4a: .socks4a
            case .http, .https: .http
            }
        let credentials = member.user.map { ProxyCredentials(user: $0, password: member.password ?? "") }
        self.init(
            kind: kind, host: Host(member.host), port: member.port, trust: member.trust, credentials: credentials,
            sendsName: upstream.sendName && member.scheme != .socks5, isPipelined: upstream.pipeline, label: member.description,
            agent: member.agent)
    }
}

extension UpstreamSettings.Member.Host {
    fileprivate init(_ host: Upstream.Member.Host) {
        self =
            switch host {
            case .address(let address): .address(address)
            case .name(let name): .name(name)
            }
    }
}
