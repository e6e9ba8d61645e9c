internal import Protocols
internal import TransparentSockets

/// One service of ICAP, as one worker knows it: its connections, and what it says of itself.
final class ICAPService {
    /// Exchanges that wait for a connection.
    private static let mostWaiting = 256
    /// Seconds that its options hold where it does not say, and at most.
    private static let defaultLifetime = 300
    private static let longestLifetime = 3_600

    let settings: ICAPSettings
    let request: ICAPRequest
    let connections: ServiceConnections
    private unowned(unsafe) let worker: Worker
    private var busy = 0
    private var waiting: [(bell: Bell, source: IPAddress)] = []
    /// Of the busy ones, by the clients' sources.
    private var shares: [IPAddress: Int] = [:]
    private var known: (options: ICAPOptions, tag: [UInt8]?, expiresAt: UInt64)?

    init(_ settings: ICAPSettings, _ service: ICAPSettings.Service, _ member: UpstreamMember, _ worker: Worker) {
        self.settings = settings
        self.worker = worker
        request = service.request
        connections = ServiceConnections(member, worker, most: settings.mostConnections)
    }

    /// nil: they must be asked for.
    var options: ICAPOptions? {
        guard let known, worker.loop.now < known.expiresAt else { return nil }
        return known.options
    }

    func learn(_ options: ICAPOptions, tag: [UInt8]?) {
        let seconds = min(options.lifetime ?? Self.defaultLifetime, Self.longestLifetime)
        known = (options, tag, worker.loop.now &+ UInt64(seconds) * 1_000_000_000)
        connections.most = limit
    }

    /// Another tag than before: what it says of itself may have changed, too.
    func note(tag: [UInt8]?) {
        if let tag, let old = known?.tag, tag != old { known = nil }
    }

    /// Connections that it may have now.
    private var limit: Int { min(settings.mostConnections, known?.options.mostConnections ?? .max) }

    /// Whether one of that source may have another: half of them at most, so that slow ones leave room for others.
    private func mayEnter(_ source: IPAddress) -> Bool {
        busy < limit && shares[source, default: 0] < max(1, (limit + 1) / 2)
    }

    /// Waits for the right to a connection. ``leave(_:)`` must follow.
    ///
    /// - Parameters:
    ///   - source: of the client (``BackOff/source(of:)``).
    ///   - isGone: asked whenever the bell rings: nobody wants it any more.
    /// - Returns: false: there was none.
    func enter(_ bell: Bell, of source: IPAddress, until deadline: UInt64, unless isGone: () -> Bool) async -> Bool {
        while !mayEnter(source) {
            if !waiting.contains(where: { $0.bell === bell }) {
                guard waiting.count < Self.mostWaiting else { return false }
                waiting.append((bell, source))
            }
            let isRung = await bell.wait(until: deadline)
            guard isRung, !isGone() else {
                waiting.removeAll { $0.bell === bell }
                // Whoever has made room may have told nobody else.
                ringNext()
                return false
            }
        }
        waiting.removeAll { $0.bell === bell }
        busy += 1
        shares[source, default: 0] += 1
        return true
    }

    func leave(_ source: IPAddress) {
        busy -= 1
        let left = shares[source, default: 0] - 1
        shares[source] = left > 0 ? left : nil
        ringNext()
    }

    /// The one that has waited longest and may have what is free. It is told once: two that leave at a time make room for two.
    private func ringNext() {
        guard let next = waiting.firstIndex(where: { mayEnter($0.source) }) else { return }
        waiting.remove(at: next).bell.ring()
    }
}
