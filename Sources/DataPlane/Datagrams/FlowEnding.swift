internal import TransparentSockets

// How a flow ends.

extension Datagrams {
    func expire() {
        let now = worker.loop.now
        while let (flow, ending) = table.overdue(worker.settings, now: now) { finish(flow, ending) }
        sockets.close(keptBefore: now - min(now, OutsideSockets.lifetime))
        worker.loop.alarmAt = table.count == 0 && sockets.count == 0 ? .max : now + Self.expiryInterval
    }

    /// Ends answered questions, if there are too many.
    ///
    /// Wherever some may have become so, as soon as nothing is under way: by the next turn, their sockets can be used again.
    func endThoseDone() {
        while let flow = table.doneForLongest {
            // One that is asked again is not done any more.
            if flow.firstEntry >= 0 { sendUp() } else { finish(flow, .flowIdle) }
        }
    }

    /// Ends all flows of a listener.
    func end(of listener: DatagramListener, _ ending: Ending) {
        for flow in table.all where flow.endpoint.side === listener { finish(flow, ending) }
    }

    /// Ends all flows of a client's association with us.
    func end(of association: ServedAssociation, by client: SocketAddress, _ ending: Ending) {
        guard let endpoint = endpoints[EndpointKey(client, of: association.number)] else { return }
        for flow in endpoint.flows.all { finish(flow, ending) }
    }

    /// There is no relay for these flows, or none any more.
    func end(through association: Association, _ ending: Ending) {
        for flow in association.endpoint.flows.all {
            guard case .association(let own) = flow.way, own === association else { continue }
            // Where there was one, the next datagram asks for another.
            if association.wasOpen { finish(flow, ending) } else { fail(flow, ending, through: association) }
        }
    }

    func fail(_ flow: Flow, _ ending: Ending, through association: Association) {
        flow.way = .nowhere(ending)
        flow.failedAt = worker.loop.now
        flow.toldAt = worker.loop.now
        tell(flow, .host)
        worker.observer.sessionEnded(record(of: flow, ending, nil))
        association.remove(flow)
    }

    /// The one place where a flow ends.
    func finish(_ flow: Flow, _ ending: Ending) {
        guard flow.isOpen else { return }
        table.remove(flow)
        let endpoint = flow.endpoint
        if endpoint.flows.count == 0 { endpoints[endpoint.key] = nil }
        worker.flowEnded()
        let local: LocalAddress?
        switch flow.way {
        case .direct(let mapping):
            local = mapping.local.map { locals.complete($0, towards: flow.destination, now: worker.loop.now) }
            mapping.remove(flow)
        case .association(let association):
            local = association.local
            association.remove(flow)
        case .nowhere: return
        }
        worker.flowCarried(up: flow.up, down: flow.down)
        // A question that was asked again after its answer waited for another one.
        let silence: Ending = ending == .flowUnanswered && flow.datagramsDown > 0 ? .flowIdle : ending
        let refusal = flow.datagramsDown == 0 ? flow.refusal : nil
        worker.observer.sessionEnded(record(of: flow, refusal ?? silence, local))
    }
}
