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
        let plan = ListenerPlan(configuration, ipv6: ipv6)
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
        let settings = Settings(configuration, upstreams.routes, limits, workers: count, mark: rules.mark)
        let bound = try bind(plan, except: nil, workers: count, mark: rules.mark)
        listeners = plan

        let shared = Worker.Shared()
        var workers: [Worker] = []
        var observers: [AccessLog] = []
        do throws(SocketError) {
            for index in 0..<count {
                let observer = program.accessLog(configuration.log, logs.sink, logs.line, drainSignal)
                let worker = try Worker(settings, shared, observer: observer)
                worker.configure(settings, adding: bound[index], keeping: [:], allAddresses: plan.addresses)
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
        program.serves(logs.logger)
        manager.ready("carrying traffic")
    }

    // MARK: What signals ask for

    /// SIGHUP. A configuration that cannot be taken over as a whole changes nothing.
    func reload() {
        manager.reloading()
        do throws(Failure) {
            let new = try program.configuration()
            try takeOver(new)
            warn(of: new)
            logs.logger.notice("reloaded")
            program.serves(logs.logger)
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
                listeners: ListenerPlan(new, ipv6: ipv6).keys.count, checks: new.checkedMembers,
                wanted: new.maxSessions)
        else { throw Failure(.systemError, "too few descriptors for so many listeners") }
        let plan = ListenerPlan(new, ipv6: ipv6)
        let routes = upstreams.planned(new)
        let settings = Settings(new, routes, limits, workers: workers.count, mark: rules.mark)
        let bound = try bind(plan, except: listeners, workers: workers.count, mark: rules.mark)
        let log = try new.log.file == configuration.log.file ? nil : LogFile(path: new.log.file)
        let old = upstreams.routes
        do throws(SocketError) {
            try upstreams.replace(with: routes)
        } catch {
            throw Failure(.systemError, "\(error)")
        }
        do throws(Failure) {
            try rules.replace(with: new, logs.logger)
        } catch {
            try? upstreams.replace(with: old)
            throw error
        }
        // From here on nothing can fail.
        let kept = plan.kept(from: listeners)
        for (index, worker) in workers.enumerated() {
            worker.configure(settings, adding: bound[index], keeping: kept, allAddresses: plan.addresses)
        }
        logs.configure(new.log, log)
        for observer in observers { observer.configure(new.log) }
        listeners = plan
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
        return [
            "sessions": .stringConvertible(counters.reduce(0) { $0 + $1.ended.load(ordering: .relaxed) }),
            "up": .stringConvertible(counters.reduce(0) { $0 + $1.up.load(ordering: .relaxed) }),
            "down": .stringConvertible(counters.reduce(0) { $0 + $1.down.load(ordering: .relaxed) }),
        ]
    }
}

/// The keys that a reload does not change, in the words of the configuration file.
private func changesOnlyAtStart(from old: Configuration, to new: Configuration) -> [String] {
    var keys: [String] = []
    if old.workers != new.workers { keys.append("workers") }
    if old.firewall.manage != new.firewall.manage { keys.append("firewall.manage") }
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
        sniffTimeout = configuration.timeouts.sniff.nanoseconds
        idleTimeout = configuration.timeouts.idle.nanoseconds
        halfCloseTimeout = configuration.timeouts.halfClose.nanoseconds
        maxSessions = limits.sessions
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
