internal import Policy
internal import Protocols
internal import TransparentSockets

/// Asks a listener's service whether requests may pass. Each worker has its own.
///
/// 1. `ask` answers at once what is still known, or that too many wait.
/// 2. Else a task takes the question to a connection of its own; there are ``AuthorizationSettings/mostConnections``, and the other
///    questions wait.
/// 3. The one who asked hears the verdict, and the task takes the next question.
final class Authorizer {
    enum Verdict: Equatable {
        case answered(PermissionAnswer)
        /// There is none, for that reason: nothing passes.
        case missing(String)
    }

    /// A question on its way.
    final class Asked {
        fileprivate let question: PermissionQuestion
        fileprivate let source: IPAddress
        /// Monotonic nanoseconds.
        fileprivate let deadline: UInt64
        private let whenKnown: () -> Void
        private(set) var verdict: Verdict?
        /// Nobody waits for it any more.
        var isAbandoned = false

        fileprivate init(
            _ question: PermissionQuestion, of source: IPAddress, until deadline: UInt64, _ whenKnown: @escaping () -> Void
        ) {
            self.question = question
            self.source = source
            self.deadline = deadline
            self.whenKnown = whenKnown
        }

        fileprivate func tell(_ verdict: Verdict) {
            guard !isAbandoned, self.verdict == nil else { return }
            self.verdict = verdict
            whenKnown()
        }
    }

    enum Asking {
        case known(Verdict)
        case waits(Asked)
    }

    private let settings: AuthorizationSettings
    private let connections: ServiceConnections
    private unowned(unsafe) let worker: Worker
    private var cache: VerdictCache
    /// Tasks, each with a connection.
    private var busy = 0
    /// The oldest first, from `firstWaiting` on.
    private var waiting: [Asked] = []
    private var firstWaiting = 0
    /// Questions that wait or are asked, by their clients' sources.
    private var shares: [IPAddress: Int] = [:]

    init(_ settings: AuthorizationSettings, _ member: UpstreamMember, _ worker: Worker) {
        self.settings = settings
        self.worker = worker
        connections = ServiceConnections(member, worker, most: AuthorizationSettings.mostConnections)
        cache = VerdictCache(lifetime: settings.lifetime)
    }

    /// - Parameters:
    ///   - source: of the client (``BackOff/source(of:)``), which has half of what waits and is asked.
    ///   - whenKnown: called, once, when there is a verdict, unless it was abandoned.
    func ask(
        _ question: PermissionQuestion, of source: IPAddress, until deadline: UInt64, _ whenKnown: @escaping () -> Void
    ) -> Asking {
        if let known = cache.verdict(on: question.bytes, now: worker.loop.now) { return .known(.answered(known)) }
        guard shares[source, default: 0] < AuthorizationSettings.mostOfOne else {
            return .known(.missing("too many requests of this client wait for a verdict"))
        }
        shares[source, default: 0] += 1
        let asked = Asked(question, of: source, until: deadline, whenKnown)
        if busy < AuthorizationSettings.mostConnections {
            busy += 1
            let bound = LoopBound((self, asked))
            Task(executorPreference: worker.loop) { await bound.value.0.serve(bound.value.1) }
        } else {
            // Those that are served already stand in front, until they are worth moving the others.
            if waiting.count - firstWaiting >= AuthorizationSettings.mostWaiting
                || firstWaiting >= AuthorizationSettings.mostWaiting
            {
                dropAbandoned()
            }
            guard waiting.count - firstWaiting < AuthorizationSettings.mostWaiting else {
                leave(asked)
                return .known(.missing("too many requests wait for a verdict"))
            }
            waiting.append(asked)
        }
        return .waits(asked)
    }

    private func dropAbandoned() {
        waiting.removeFirst(firstWaiting)
        firstWaiting = 0
        waiting.removeAll { asked in
            guard asked.isAbandoned || asked.deadline <= worker.loop.now else { return false }
            leave(asked)
            return true
        }
    }

    private func leave(_ asked: Asked) {
        let left = shares[asked.source, default: 0] - 1
        shares[asked.source] = left > 0 ? left : nil
    }

    private func nextWaiting() -> Asked? {
        while firstWaiting < waiting.count {
            let next = waiting[firstWaiting]
            firstWaiting += 1
            if !next.isAbandoned, next.deadline > worker.loop.now { return next }
            leave(next)
        }
        waiting.removeAll(keepingCapacity: true)
        firstWaiting = 0
        return nil
    }

    private func serve(_ first: Asked) async {
        let bell = Bell(worker.loop)
        var socket = connections.take(bell)
        var next = Optional(first)
        while let asked = next {
            // What it says unasked would be taken for the next answer.
            if socket?.isSilent == false { socket = nil }
            do throws(LoopSocket.Failure) {
                try await exchange(asked, &socket, bell)
            } catch {
                socket = nil
                asked.tell(.missing("\(connections.label): \(error.reason)"))
            }
            leave(asked)
            next = nextWaiting()
        }
        busy -= 1
        if let socket { connections.giveBack(socket) }
    }

    /// Asks one question, and leaves the connection as it may be used again, if it may.
    private func exchange(_ asked: Asked, _ socket: inout LoopSocket?, _ bell: Bell) async throws(LoopSocket.Failure) {
        var exchange: ServiceExchange?
        // One that was used before may have been about to end: nothing was answered, so it may be asked again (RFC 9112 §9.3.1).
        if let used = socket {
            do throws(LoopSocket.Failure) {
                exchange = try await ServiceExchange.begin(asked.question.bytes, over: used, until: asked.deadline)
            } catch {
                socket = nil
                guard error != .timedOut else { throw error }
            }
        }
        if exchange == nil {
            let fresh = try await connections.open(bell, until: asked.deadline)
            socket = fresh
            exchange = try await ServiceExchange.begin(asked.question.bytes, over: fresh, until: asked.deadline)
        }
        guard var exchange else { throw .ended }
        let answer: PermissionAnswer
        do throws(MessageFault) {
            guard let found = try await exchange.answer(pass: settings.pass, until: asked.deadline) else { throw .noAnswer }
            answer = found
        } catch {
            socket = nil
            return asked.tell(.missing("\(connections.label): \(error.reason)"))
        }
        if case .other(let status) = answer {
            asked.tell(.missing("\(connections.label): status \(status), which says neither yes nor no"))
        } else {
            cache.keep(answer, on: asked.question.bytes, now: worker.loop.now)
            asked.tell(.answered(answer))
        }
        if !(await exchange.finish(until: asked.deadline)) { socket = nil }
    }
}

extension MessageFault {
    fileprivate static let noAnswer = MessageFault(502, "the connection ended in the middle of a header, or no answer in time")
}
