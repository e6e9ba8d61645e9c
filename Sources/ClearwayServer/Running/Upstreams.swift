internal import Configuration
internal import DataPlane
internal import Logging
internal import Policy
internal import Protocols
internal import TransparentSockets

/// The policy and the upstreams in force, and what looks after them: the resolver of their names, the checker of their health.
final class Upstreams {
    /// Milliseconds that a start waits for proxies' names. Sessions that come before an answer fail.
    private static let longestStart: Int32 = 5_000

    private(set) var routes: Routes
    private let resolver: Resolver
    private let checker: HealthChecker

    init(_ configuration: Configuration, mark: UInt32, _ logger: Logger) throws(SocketError) {
        routes = Routes(configuration, inheriting: nil)
        resolver = try Resolver { member, failure in
            if let failure {
                logger.error("upstream name not resolved", metadata: ["member": "\(member)", "reason": "\(failure)"])
            } else {
                logger.notice("upstream name resolved", metadata: ["member": "\(member)"])
            }
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

    /// Begins to look after them. Before the rules go live: the names of proxies are resolved while traffic still goes its way.
    func start() throws(SocketError) {
        try lookAfter(routes)
        resolver.waitForFirstRound(atMost: Self.longestStart)
    }

    /// What a changed configuration makes of them. Takes effect with ``replace(with:)``.
    func planned(_ configuration: Configuration) -> Routes { Routes(configuration, inheriting: routes) }

    func replace(with new: Routes) throws(SocketError) {
        try lookAfter(new)
        routes = new
        // Names that are new: sessions must not be the first to ask.
        resolver.waitForFirstRound(atMost: Self.longestStart)
    }

    private func lookAfter(_ routes: Routes) throws(SocketError) {
        try resolver.keep(routes.upstreams)
        try checker.watch(routes.upstreams)
    }
}

extension Routes {
    fileprivate convenience init(_ configuration: Configuration, inheriting old: Routes?) {
        self.init(Policy(configuration.rules), configuration.upstreams.map { UpstreamSettings($0) }, inheriting: old)
    }
}

extension UpstreamSettings {
    fileprivate init(_ upstream: Upstream) {
        let balancing: Balancing =
            switch upstream.balancing {
            case .failover: .failover
            case .roundRobin: .roundRobin
            case .leastSessions: .leastSessions
            case .clientHash: .clientHash
            }
        self.init(
            name: upstream.name, members: upstream.members.map { Member($0, sendsName: upstream.sendName) }, balancing: balancing,
            checkInterval: upstream.check.nanoseconds, via: upstream.via, sendsHeader: upstream.sendProxy)
    }
}

extension UpstreamSettings.Member {
    fileprivate init(_ member: Upstream.Member, sendsName: Bool) {
        let kind: ProxyHandshake.Kind =
            switch member.scheme {
            case .socks5, .socks5h: .socks5
            case .socks4a: .socks4a
            case .http: .http
            }
        let host: Host =
            switch member.host {
            case .address(let address): .address(address)
            case .name(let name): .name(name)
            }
        let credentials = member.user.map { ProxyCredentials(user: $0, password: member.password ?? "") }
        self.init(
            kind: kind, host: host, port: member.port, credentials: credentials,
            sendsName: sendsName && member.scheme != .socks5, label: member.description,
            agent: member.agent)
    }
}
