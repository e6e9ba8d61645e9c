internal import Protocols

// When a relay of HTTP has waited long enough, and for whom.

extension HTTPRelay {
    /// When there is something to see to though nothing moves, in monotonic nanoseconds.
    var deadline: UInt64 { session.worker.settings.minBodyRate > 0 ? min(timeout, pace.dueAt) : timeout }

    /// When the session ends unless something moves.
    private var timeout: UInt64 {
        // Field by field: a copy of them all would count every reference in them.
        let worker = session.worker
        func after(_ time: UInt64, _ timeout: UInt64) -> UInt64 { timeout == 0 ? .max : time &+ timeout }
        switch phase {
        // The next head cannot be expected before the client has the last answer.
        case .head where owed > 0: return after(lastActivity, worker.settings.idleTimeout)
        case .head where headBegunAt == 0:
            return min(after(lastActivity, worker.settings.httpIdleTimeout), after(lastActivity, worker.settings.idleTimeout))
        case .head:
            let end = after(headBegunAt, worker.settings.handshakeTimeout)
            return stash.isEmpty ? min(end, session.unusedUntil) : end
        case .opening: return .max
        // What the client sends is thrown away meanwhile: not for as long as it likes.
        case .closing: return min(after(lastActivity, worker.settings.idleTimeout), lastActivity &+ Leave.Limit.long.nanoseconds)
        case .exchanging:
            let idle = after(lastActivity, worker.settings.idleTimeout)
            // Who has sent its end may still want the answer, or be gone.
            guard up.isHungUp else { return idle }
            return min(idle, after(lastActivity, worker.settings.halfCloseTimeout))
        }
    }

    private var halfClosed: Ending? { up.isHungUp && session.worker.settings.halfCloseTimeout > 0 ? .proxyHalfClose : nil }

    /// What becomes of it then, and how the client is told.
    ///
    /// - Returns: nil: it is not so late yet.
    func tooLate() -> Step? {
        if let step = checkPace() { return step }
        guard timeout <= now else { return nil }
        switch phase {
        case .head where owed > 0: return .ended(.proxyIdle)
        case .head where headBegunAt == 0: return .dismiss(.clientFIN)
        case .head where stash.isEmpty: return .dismiss(session.unusedUntil <= now ? .clientFIN : .clientSlow)
        case .head: return say(ErrorPage(408, "The request took too long to come."), .clientSlow)
        case .opening: return .goOn
        // It has not even taken what the server has said so far: it would not take more.
        case .exchanging where transaction?.response.isWaiting == true && untaken > 0: return .ended(.clientSlow)
        case .exchanging where transaction?.response.isWaiting == true && transaction?.request.isDone == true:
            return say(ErrorPage(504, "The server does not answer."), halfClosed ?? .proxyIdle)
        case .exchanging where halfClosed != nil: return .ended(.proxyHalfClose)
        case .exchanging, .closing: return .ended(.proxyIdle)
        }
    }
}
