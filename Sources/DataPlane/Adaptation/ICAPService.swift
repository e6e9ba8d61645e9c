internal import Protocols

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
    private var waiting: [Bell] = []
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
    }

    /// Another tag than before: what it says of itself may have changed, too.
    func note(tag: [UInt8]?) {
        if let tag, let old = known?.tag, tag != old { known = nil }
    }

    /// Connections that it may have now.
    private var limit: Int { min(settings.mostConnections, known?.options.mostConnections ?? .max) }

    /// Waits for the right to a connection. ``leave()`` must follow.
    ///
    /// - Returns: false: there was none.
    func enter(_ bell: Bell, until deadline: UInt64) async -> Bool {
        while busy >= limit {
            if !waiting.contains(where: { $0 === bell }) {
                guard waiting.count < Self.mostWaiting else { return false }
                waiting.append(bell)
            }
            guard await bell.wait(until: deadline) else {
                waiting.removeAll { $0 === bell }
                // Whoever has made room may have told nobody else.
                if busy < limit { ringNext() }
                return false
            }
        }
        waiting.removeAll { $0 === bell }
        busy += 1
        return true
    }

    func leave() {
        busy -= 1
        ringNext()
    }

    /// The one that has waited longest. It is told once: two that leave at a time make room for two.
    private func ringNext() {
        if !waiting.isEmpty { waiting.removeFirst().ring() }
    }
}
