internal import CSockets
internal import DataPlane
internal import Glibc
internal import Protocols
internal import SystemPackage
internal import TransparentSockets

/// Tells metrics to whoever asks for them over HTTP, at whatever path: one request for a connection, on a thread of its own, so that
/// neither sessions nor signals wait for those who ask. All that it holds belongs to that thread once it has started.
final class MetricsEndpoint: @unchecked Sendable {
    /// Connections at a time. Who comes then takes the place of the one that has been here longest: those who ask and do not go on
    /// keep nobody else from asking.
    static let mostVisitors = 16
    /// Nanoseconds for a request to come, be answered, and be over.
    static let patience: UInt64 = 10_000_000_000
    /// Nanoseconds without accepting after descriptors have run out.
    private static let pause: UInt64 = 100_000_000
    /// Descriptors that it needs at most, beside its listeners.
    static let descriptors = mostVisitors + 1

    /// A request and its answer, for a log.
    struct Exchange: Sendable {
        var client: IPAddress
        var method = "-"
        var target = "-"
        var host = ""
        var userAgent = ""
        var status = 0
        /// Bytes of the request's head, and of the answer.
        var received = 0
        var sent = 0
        /// Nanoseconds from accept to answer.
        var duration: UInt64 = 0
    }

    private let listeners: [Bound]
    private let wakeup: Int32
    private let page: @Sendable (Exposition.Format) -> [UInt8]
    private let answered: @Sendable (Exchange) -> Void
    private var visitors: [Visitor] = []
    private var pausedUntil: UInt64 = 0

    /// Binds, and serves nothing yet.
    ///
    /// - Parameters:
    ///   - page: what is told.
    ///   - answered: told of each answer.
    init(
        _ addresses: [ListenAddress], page: @escaping @Sendable (Exposition.Format) -> [UInt8],
        answered: @escaping @Sendable (Exchange) -> Void
    ) throws(Failure) {
        var listeners: [Bound] = []
        for address in addresses {
            var options = ListenerOptions(mode: .redirect)
            options.ipv6Only = true
            options.backlog = Int32(Self.mostVisitors)
            do throws(SocketError) {
                listeners.append(Bound(try TransparentListener(address, options)))
            } catch {
                throw Failure(.systemError, "metrics: \(error)")
            }
        }
        self.listeners = listeners
        self.page = page
        self.answered = answered
        wakeup = try newWakeup()
    }

    deinit { _ = cs_close(wakeup) }

    func start() throws(Failure) {
        do throws(SocketError) {
            try startThread("metrics") { [self] in run() }
        } catch {
            throw Failure(.systemError, "\(error)")
        }
    }

    /// Ends the thread, and closes what it holds. From any thread, once.
    func stop() {
        var one: UInt64 = 1
        _ = cs_write(wakeup, &one, 8)
    }

    private final class Bound {
        let socket: TransparentListener
        init(_ socket: consuming TransparentListener) { self.socket = consume socket }
    }

    private func run() {
        while true {
            let now = cs_monotonic_nanoseconds()
            let accepts = pausedUntil <= now
            var entries = [pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0)]
            entries += listeners.map { pollfd(fd: accepts ? $0.socket.descriptor.raw : -1, events: Int16(POLLIN), revents: 0) }
            entries += visitors.map { pollfd(fd: $0.raw, events: Int16($0.isWriting ? POLLOUT : POLLIN), revents: 0) }
            _ = poll(&entries, nfds_t(entries.count), timeout(now))
            guard entries[0].revents == 0 else { return }
            for (visitor, entry) in zip(visitors, entries[(1 + listeners.count)...]) where entry.revents != 0 {
                visitor.goOn(page, answered)
            }
            let later = cs_monotonic_nanoseconds()
            visitors.removeAll { $0.isOver || $0.deadline <= later }
            for (listener, entry) in zip(listeners, entries[1...]) where entry.revents != 0 { accept(listener, later) }
        }
    }

    private func accept(_ listener: Bound, _ now: UInt64) {
        do throws(SocketError) {
            // One a turn and listener, so that those who are here are heard in between.
            guard let connection = try listener.socket.accept() else { return }
            if visitors.count == Self.mostVisitors { visitors.removeFirst() }
            visitors.append(Visitor(connection, now))
        } catch {
            // Whatever it was, it may go on at once, and poll with it.
            pausedUntil = now + Self.pause
        }
    }

    /// Milliseconds until somebody's patience ends.
    private func timeout(_ now: UInt64) -> Int32 {
        let ends = visitors.map(\.deadline) + (pausedUntil > now ? [pausedUntil] : [])
        guard let first = ends.min() else { return -1 }
        return first <= now ? 0 : Int32(clamping: (first - now) / 1_000_000 + 1)
    }
}

/// One connection.
private final class Visitor {
    private enum State { case reading, writing, leaving, over }

    private let descriptor: Descriptor
    let deadline: UInt64
    private let startedAt: UInt64
    private var state = State.reading
    private var server = PageServer()
    /// Received and not taken yet; at most one read more than ``PageServer/longestPart``.
    private var pending: [UInt8] = []
    private var answer: [UInt8] = []
    private var sent = 0
    /// Bytes that came behind the request.
    private var thrownAway = 0
    private var exchange: MetricsEndpoint.Exchange

    init(_ connection: consuming AcceptedConnection, _ now: UInt64) {
        exchange = MetricsEndpoint.Exchange(client: connection.client.value.address)
        descriptor = connection.release()
        startedAt = now
        deadline = now + MetricsEndpoint.patience
    }

    var raw: Int32 { descriptor.raw }
    var isWriting: Bool { state == .writing }
    var isOver: Bool { state == .over }

    func goOn(_ page: (Exposition.Format) -> [UInt8], _ answered: (MetricsEndpoint.Exchange) -> Void) {
        if state == .reading { read(page, answered) }
        if state == .writing { write() }
        if state == .leaving { leave() }
    }

    private func read(_ page: (Exposition.Format) -> [UInt8], _ answered: (MetricsEndpoint.Exchange) -> Void) {
        while state == .reading {
            guard let chunk = receive() else { return }
            pending += chunk
            let (length, step) = server.advance(pending.span)
            pending.removeFirst(length)
            exchange.received += length
            switch step {
            case .needsMore: continue
            case .request(let request):
                let format: Exposition.Format =
                    request.types.contains("application/openmetrics-text") ? .openMetrics : .prometheus
                answer = HTTPAnswer.page(page(format), type: format.contentType, isHead: request.method == .head)
                exchange.method = request.method.rawValue
                exchange.target = request.target
                exchange.host = request.host
                exchange.userAgent = request.userAgent
                exchange.status = 200
            case .reject(let status, let refusal):
                answer = refusal
                exchange.status = status
            }
            exchange.sent = answer.count
            exchange.duration = cs_monotonic_nanoseconds() - startedAt
            answered(exchange)
            state = .writing
        }
    }

    private func write() {
        while sent < answer.count {
            let result = answer.withUnsafeBytes { cs_send(raw, $0.baseAddress! + sent, $0.count - sent, 0) }
            if result == -Int(EINTR) { continue }
            if result == -Int(EAGAIN) { return }
            guard result > 0 else {
                state = .over
                return
            }
            sent += result
        }
        _ = cs_shutdown(raw, Int32(SHUT_WR))
        state = .leaving
    }

    /// What still comes is thrown away: closing a socket with unread bytes would reset it, and the answer be lost.
    private func leave() {
        while thrownAway < 1 << 16 {
            guard let chunk = receive() else { return }
            thrownAway += chunk.count
        }
        state = .over
    }

    /// nil: there is nothing now, or never will be, and then it is over.
    private func receive() -> ArraySlice<UInt8>? {
        var chunk = [UInt8](repeating: 0, count: 4_096)
        let count = chunk.withUnsafeMutableBytes { cs_receive(raw, $0.baseAddress!, $0.count) }
        if count > 0 { return chunk[..<count] }
        if count != -Int(EAGAIN), count != -Int(EINTR) { state = .over }
        return nil
    }
}
