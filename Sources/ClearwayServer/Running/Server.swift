internal import CSockets
internal import Configuration
internal import DataPlane
internal import Firewall
internal import Glibc
internal import Logging
internal import Policy
internal import Protocols
internal import Synchronization
internal import TransparentSockets

/// Intercepts and carries connections until a signal ends it. The calling thread becomes the admin thread.
public func serve(configurationAt path: String?) throws(Failure) {
    let program = ClearwayProgram(path: path)
    let server = try Server(try program.configuration(), as: program)
    try server.run()
}

/// The composition root: configuration → listeners → workers → rules → ready, and all of it back at the end.
///
/// Everything here happens on the admin thread.
final class Server {
    private(set) var configuration: Configuration
    let program: any ServerProgram
    let logs: Logs
    let signals: Signals
    private let manager = ServiceManager()
    private let ipv6: Bool
    private let limits: Limits
    private var listeners: ListenerPlan
    let rules: Rules
    private let upstreams: Upstreams
    /// nil: nobody can ask for metrics.
    private var metrics: MetricsEndpoint?
    /// nil: no listener has users, so far.
    private var authenticator: Authenticator?
    let workers: [Worker]
    private let observers: [AccessLog]
    let drainSignal: DrainSignal

    /// Takes what can be refused: log file, permission, descriptors, addresses. Nothing is visible to anybody yet.
    init(_ configuration: Configuration, as program: any ServerProgram) throws(Failure) {
        self.configuration = configuration
        self.program = program
        signals = try Signals()
        drainSignal = try DrainSignal()
        logs = try Logs(configuration.log, program.line)
        ipv6 = hasIPv6()
        let count = configuration.workerCount
        authenticator = try newAuthenticator(for: configuration, logs.logger)
        let plan = ListenerPlan(configuration, ipv6: ipv6, authenticator)
        let descriptors = Limits.raiseDescriptors()
        guard let limits = Limits(configuration, descriptors: descriptors, ipv6: ipv6) else {
            throw Failure(
                .systemError,
                "\(descriptors) descriptors are too few for \(count) workers: raise the limit (ulimit -n, LimitNOFILE)")
        }
        self.limits = limits
        try Rules.checkPermission(configuration)
        rules = try Rules(configuration)
        do throws(SocketError) {
            upstreams = try Upstreams(configuration, mark: rules.mark, logs.logger)
        } catch {
            throw Failure(.systemError, "\(error)")
        }
        program.leaves(from: upstreams.sources, upstreams.blockListCounters)
        try upstreams.routes.prepareOrFail()
        let settings = Settings(configuration, upstreams.routes, limits, workers: count, mark: rules.mark)
        let bound = try bind(plan, except: nil, workers: count, mark: rules.mark)
        let datagrams = try bindDatagrams(plan, except: nil, workers: count, mark: rules.mark, batch: configuration.batch)
        listeners = plan
        metrics = try MetricsEndpoint(configuration, ipv6: ipv6, of: program, logs.logger)

        var workers: [Worker] = []
        var observers: [AccessLog] = []
        do throws(SocketError) {
            let shared = try Worker.Shared()
            for index in 0..<count {
                let observer = program.accessLog(configuration.log, logs.sink, logs.line, drainSignal)
                let worker = try Worker(settings, shared, observer: observer)
                worker.configure(
                    settings, adding: bound[index], keeping: [:], addingDatagrams: datagrams[index], allAddresses: plan.addresses)
                workers.append(worker)
                observers.append(observer)
            }
        } catch {
            throw Failure(.systemError, "\(error)")
        }
        self.workers = workers
        self.observers = observers
    }

    func run() throws(Failure) {
        try metrics?.start()
        do throws(SocketError) {
            try upstreams.start()
            for (index, worker) in workers.enumerated() { try worker.start(name: "worker-\(index)") }
        } catch {
            throw Failure(.systemError, "\(error)")
        }
        do throws(Failure) {
            try rules.apply(logs.logger)
        } catch {
            logs.flush()
            throw error
        }
        releaseStartupPages()
        announce()
        releaseFreedMemory()
        AdminLoop(self).run()
        rules.remove()
        logs.logger.notice("stopped", metadata: totals)
        logs.flush()
    }

    private func announce() {
        warn(of: configuration)
        if !ipv6 { logs.logger.notice("this host has no IPv6: serving IPv4 only") }
        if limits.sessions < configuration.maxSessions {
            logs.logger.warning(
                "max_sessions is more than the descriptor limit allows",
                metadata: ["max_sessions": "\(configuration.maxSessions)", "allowed": "\(limits.sessions)"])
        }
        logs.logger.notice(
            "ready",
            metadata: [
                "listeners": "\(configuration.listeners.flatMap(\.listen).map(\.description).joined(separator: " "))",
                "workers": .stringConvertible(workers.count), "max_sessions": .stringConvertible(limits.sessions),
                "descriptors": .stringConvertible(limits.descriptors), "mark": "0x\(String(rules.mark, radix: 16))",
                "version": "\(version)",
            ])
        program.serves(configuration, logs.logger)
        manager.ready("carrying traffic")
    }

    // MARK: What signals ask for

    /// SIGHUP. A configuration that cannot be taken over as a whole changes nothing.
    func reload() {
        manager.reloading()
        do throws(Failure) {
            let new = try program.configuration()
            LocalClock.readTimeZone()
            try takeOver(new)
            warn(of: new)
            logs.logger.notice("reloaded")
            program.serves(new, logs.logger)
            releaseFreedMemory()
        } catch {
            logs.logger.error("reload refused, the old configuration stays", metadata: ["reason": "\(error)"])
        }
        manager.ready("carrying traffic")
    }

    private func warn(of configuration: Configuration) {
        for warning in warnings(of: configuration) { logs.logger.warning("\(warning)") }
    }

    private func takeOver(_ new: Configuration) throws(Failure) {
        let fixed = changesOnlyAtStart(from: configuration, to: new)
        guard fixed.isEmpty else {
            throw Failure(.configuration, "\(fixed.joined(separator: ", ")) can only change at a start")
        }
        guard
            let limits = Limits(
                descriptors: limits.descriptors, workers: workers.count,
                listeners: ListenerPlan(new, ipv6: ipv6).count, others: new.otherDescriptors, perSession: new.descriptorsOfSession,
                wanted: new.maxSessions, wantedFlows: new.wantedFlows)
        else { throw Failure(.systemError, "too few descriptors for so many listeners") }
        var authenticator = authenticator
        if authenticator == nil { authenticator = try newAuthenticator(for: new, logs.logger) }
        let plan = ListenerPlan(new, ipv6: ipv6, authenticator)
        let routes = try upstreams.planned(new)
        let settings = Settings(new, routes, limits, workers: workers.count, mark: rules.mark)
        let bound = try bind(plan, except: listeners, workers: workers.count, mark: rules.mark)
        let datagrams = try bindDatagrams(
            plan, except: listeners, workers: workers.count, mark: rules.mark, batch: new.batch)
        let isMeasuredElsewhere = new.metrics != configuration.metrics
        let newMetrics = isMeasuredElsewhere ? try MetricsEndpoint(new, ipv6: ipv6, of: program, logs.logger) : nil
        let log = try new.log.hasFiles(of: configuration.log) ? nil : LogFiles(new.log)
        let old = upstreams.routes
        try newMetrics?.start()
        do throws(SocketError) {
            try upstreams.replace(with: routes)
        } catch {
            newMetrics?.stop()
            throw Failure(.systemError, "\(error)")
        }
        do throws(Failure) {
            try rules.replace(with: new, logs.logger)
        } catch {
            newMetrics?.stop()
            try? upstreams.replace(with: old)
            throw error
        }
        // From here on nothing can fail.
        program.leaves(from: upstreams.sources, upstreams.blockListCounters)
        if isMeasuredElsewhere {
            metrics?.stop()
            metrics = newMetrics
        }
        let kept = plan.kept(from: listeners)
        let keptDatagrams = plan.keptDatagrams(from: listeners)
        for (index, worker) in workers.enumerated() {
            worker.configure(
                settings, adding: bound[index], keeping: kept, addingDatagrams: datagrams[index], keepingDatagrams: keptDatagrams,
                allAddresses: plan.addresses)
        }
        logs.configure(new.log, log)
        for observer in observers { observer.configure(new.log) }
        listeners = plan
        self.authenticator = authenticator
        configuration = new
    }

    /// SIGTERM, SIGINT: interception goes first, so that new connections take the direct way while the open ones finish.
    func startDraining() {
        manager.stopping("draining")
        rules.drain(logs.logger)
        logs.logger.notice("draining", metadata: ["sessions": .stringConvertible(openSessions)])
        for worker in workers { worker.drain() }
    }

    var openSessions: Int { workers.reduce(0) { $0 + $1.counters.active.load(ordering: .relaxed) } }

    private var totals: Logger.Metadata {
        let counters = workers.map(\.counters)
        var totals: Logger.Metadata = [
            "sessions": .stringConvertible(counters.reduce(0) { $0 + $1.ended.load(ordering: .relaxed) }),
            "up": .stringConvertible(counters.reduce(0) { $0 + $1.up.load(ordering: .relaxed) }),
            "down": .stringConvertible(counters.reduce(0) { $0 + $1.down.load(ordering: .relaxed) }),
        ]
        guard configuration.wantedFlows != nil else { return totals }
        let datagrams = counters.map(\.datagrams)
        totals["flows"] = .stringConvertible(datagrams.reduce(0) { $0 + $1.ended.load(ordering: .relaxed) })
        totals["evicted"] = .stringConvertible(datagrams.reduce(0) { $0 + $1.evicted.load(ordering: .relaxed) })
        for reason in DatagramCounters.Drop.allCases {
            let count = datagrams.reduce(0) { $0 + $1.dropped(reason) }
            if count > 0 { totals["dropped_\(reason.name)"] = .stringConvertible(count) }
        }
        return totals
    }
}

extension MetricsEndpoint {
    /// nil: the configuration wants none.
    fileprivate convenience init?(
        _ configuration: Configuration, ipv6: Bool, of program: any ServerProgram, _ logger: Logger
    ) throws(Failure) {
        guard !configuration.metrics.isEmpty else { return nil }
        try self.init(
            configuration.metrics.flatMap { ListenerPlan.sockets($0, ipv6: ipv6) }, page: { program.metrics($0) },
            answered: { program.answered($0, logger) })
    }
}

/// nil: nobody has to show a password.
private func newAuthenticator(for configuration: Configuration, _ logger: Logger) throws(Failure) -> Authenticator? {
    guard configuration.listeners.contains(where: { $0.users != nil }) else { return nil }
    do throws(SocketError) {
        return try Authenticator { source, seconds in
            logger.warning(
                "passwords refused: the source must wait",
                metadata: ["source": "\(source)", "seconds": .stringConvertible(seconds)])
        }
    } catch {
        throw Failure(.systemError, "\(error)")
    }
}

/// The keys that a reload does not change, in the words of the configuration file.
private func changesOnlyAtStart(from old: Configuration, to new: Configuration) -> [String] {
    var keys: [String] = []
    if old.workers != new.workers { keys.append("workers") }
    if old.batch != new.batch { keys.append("batch") }
    if old.firewall.manage != new.firewall.manage { keys.append("firewall.manage") }
    if old.firewall.manage == new.firewall.manage, old.makesRules != new.makesRules {
        keys.append("whether anything is intercepted")
    }
    if old.firewall.table != new.firewall.table { keys.append("firewall.table") }
    if old.firewall.mark != new.firewall.mark { keys.append("firewall.mark") }
    if old.firewall.routeTable != new.firewall.routeTable { keys.append("firewall.route_table") }
    return keys
}

extension Settings {
    init(_ configuration: Configuration, _ routes: Routes, _ limits: Limits, workers: Int, mark: UInt32) {
        self.init()
        self.routes = routes
        self.mark = mark
        relay =
            switch configuration.relay {
            case .adaptive: .adaptive
            case .copy: .copy
            case .splice: .splice
            }
        connectTimeout = configuration.timeouts.connect.nanoseconds
        handshakeTimeout = configuration.timeouts.handshake.nanoseconds
        bindTimeout = configuration.timeouts.bind.nanoseconds
        sniffTimeout = configuration.timeouts.sniff.nanoseconds
        idleTimeout = configuration.timeouts.idle.nanoseconds
        halfCloseTimeout = configuration.timeouts.halfClose.nanoseconds
        minBodyRate = UInt64(configuration.minBodyRate)
        maxSessions = limits.sessions
        maxFlows = limits.flows / workers
        flowTimeout = configuration.timeouts.flow.nanoseconds
        flowUnansweredTimeout = configuration.timeouts.flowUnanswered.nanoseconds
        batch = configuration.batch
        maxPipes = limits.pipes / workers
        // Making one ready takes the same permission as a mark.
        maxKeptSockets = mark == 0 ? 0 : limits.keptSockets
    }
}

extension Duration {
    /// Whole nanoseconds; the configuration bounds durations far below what fits.
    var nanoseconds: UInt64 {
        UInt64(clamping: components.seconds) * 1_000_000_000 + UInt64(clamping: components.attoseconds / 1_000_000_000)
    }
}
