internal import CSockets
internal import SystemPackage
internal import TransparentSockets

// How `run` waits, and what wakes it.

extension Session {
    /// Waits until the loop has something for this phase.
    ///
    /// What may have come since the last wait is looked at first: a task goes on at the end of the turn that woke it, and the
    /// turn's other events and timers found nobody waiting.
    ///
    /// - Parameter deadline: monotonic nanoseconds.
    /// - Returns: how the session ends, if it does; while sniffing or racing a deadline is no reason to.
    func wait(_ phase: Phase, until deadline: UInt64) async -> Ending? {
        guard !worker.isCut, !worker.isEnding || hasClientLeft || hasClientSpoken else { return .proxyDrain }
        guard clientEvents & cs_epoll_err == 0, association?.flows != 0 else { return .clientGone }
        setUpDeadline = deadline
        guard !isSetUpTimeOver else { return Self.timeout(in: phase) }
        self.phase = phase
        worker.loop.setDeadline(id, at: setUpDeadline)
        let ended = await withUnsafeContinuation { waiter = $0 }
        // What failed before is not why this took too long.
        if ended == .upstreamTimeout { cause = nil }
        return ended
    }

    static func timeout(in phase: Phase) -> Ending? {
        switch phase {
        case .sniffing, .listening, .racing: nil
        case .negotiating, .authenticating: .clientSlow
        default: .upstreamTimeout
        }
    }

    func answered(_ events: UInt32) {
        guard let raw = upstream?.raw else { return }
        if events & (cs_epoll_err | cs_epoll_hup) != 0 {
            let error = connectionError(raw) ?? .connectionReset
            return wake(failure(SocketError(call: "connect", errno: error)))
        }
        wake(nil)
    }

    func wake(_ ending: Ending?) {
        phase = .settingUp
        waiter.take()?.resume(returning: ending)
    }
}
