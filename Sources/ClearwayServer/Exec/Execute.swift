internal import CSockets
internal import Configuration
internal import DataPlane
internal import Firewall
internal import Glibc
internal import Logging
internal import TransparentSockets

/// Runs a command in a network namespace of its own, carries its connections from outside, and ends when it does.
///
/// - Returns: the command's exit status; 128 and the number of the signal that ended it.
public func execute(_ request: ExecRequest) throws(Failure) -> Int32 {
    let configuration = try request.configuration()
    try checkExits(configuration)
    let ipv6 = hasIPv6()
    // Before anything that starts a thread or changes what the command would inherit.
    let namespace = try CommandNamespace(
        request.command, ipv6: ipv6, addresses: commandAddresses(ipv6: ipv6), listeners: configuration.workers,
        asksByTCP: configuration.upstreams.contains { $0.exit == nil })
    let server = try ExecServer(configuration, namespace, ipv6: ipv6)
    try server.start()
    try namespace.execute(request.command.name)
    return ExecLoop(server, child: namespace.pid).run()
}

/// IPv4 always, and IPv6 where this host has it beyond its links: otherwise programs would be led to try what cannot work, for a
/// connection to us always comes about.
private func commandAddresses(ipv6: Bool) -> [IPAddress] {
    let own = (try? hostAddresses()) ?? []
    let hasV6 = ipv6 && own.contains { $0.isIPv6 && !$0.isLoopback && !$0.isLinkLocal }
    return hasV6 ? [PrivateNamespace.ownV4, PrivateNamespace.ownV6] : [PrivateNamespace.ownV4]
}

/// Exits may ask for what only root can give. Better said now than at each session.
private func checkExits(_ configuration: Configuration) throws(Failure) {
    var capabilities: UInt64 = 0
    guard cs_effective_capabilities(&capabilities) < 0 || capabilities >> 12 & 1 == 0 else { return }
    guard let marked = configuration.upstreams.first(where: { $0.exit?.mark ?? 0 != 0 }) else { return }
    throw Failure(.notPermitted, "upstream \"\(marked.name)\": its mark needs CAP_NET_ADMIN in this host's own network namespace")
}

/// What serves the command: as `run` has it, without anything that the kernel would have to be told.
final class ExecServer {
    let configuration: Configuration
    let signals: Signals
    let drainSignal: DrainSignal
    let logs: Logs
    let workers: [Worker]
    private let upstreams: Upstreams

    init(_ configuration: Configuration, _ namespace: CommandNamespace, ipv6: Bool) throws(Failure) {
        self.configuration = configuration
        signals = try Signals(Signals.ofCommand)
        drainSignal = try DrainSignal()
        logs = try Logs(configuration.log, LogLine(host: hostName(), topic: "clearway"))
        let count = configuration.workers
        let descriptors = Limits.raiseDescriptors()
        guard
            let limits = Limits(
                descriptors: descriptors, workers: count, listeners: ipv6 ? 8 : 4, others: configuration.otherDescriptors,
                wanted: configuration.maxSessions, wantedFlows: configuration.maxFlows)
        else { throw Failure(.systemError, "\(descriptors) descriptors are too few: raise the limit (ulimit -n)") }
        var listener = ListenerSettings(name: ExecRequest.listenerName)
        listener.isElsewhere = true
        var workers: [Worker] = []
        do throws(SocketError) {
            upstreams = try Upstreams(configuration, mark: 0, logs.logger)
        } catch {
            throw Failure(.systemError, "\(error)")
        }
        try upstreams.routes.prepareOrFail()
        let settings = Settings(configuration, upstreams.routes, limits, workers: count, mark: 0)
        let sharedResult = Result { () throws(SocketError) in try Worker.Shared() }
        guard case .success(let shared) = sharedResult else { throw Failure(.systemError, "too few descriptors: raise the limit") }
        let told = ExecAccessLog.Told()
        for index in 0..<count {
            let observer = ExecAccessLog(configuration.log, logs.sink, logs.line, drainSignal, told)
            let sockets = try namespace.takeListeners(of: index, listener, sharesPort: count > 1)
            let datagrams = try namespace.takeDatagramListeners(
                of: index, listener, sharesPort: count > 1, takesBursts: configuration.batch > 1)
            do throws(SocketError) {
                let worker = try Worker(settings, shared, observer: observer)
                worker.configure(settings, adding: sockets, keeping: [:], addingDatagrams: datagrams, allAddresses: [])
                workers.append(worker)
            } catch {
                throw Failure(.systemError, "\(error)")
            }
        }
        self.workers = workers
    }

    func start() throws(Failure) {
        for warning in warnings(of: configuration) { logs.logger.warning("\(warning)") }
        do throws(SocketError) {
            try upstreams.start()
            for (index, worker) in workers.enumerated() { try worker.start(name: "worker-\(index)") }
        } catch {
            throw Failure(.systemError, "\(error)")
        }
    }
}
