internal import Glibc
internal import Policy
internal import SystemPackage
internal import TransparentSockets

// Datagrams of clients, on their way up.

extension Datagrams {
    /// Takes what waits at a listener, and sends it on.
    func receive(from listener: DatagramListener) {
        for _ in 0..<Self.batchesPerTurn {
            let count = receiveUpward(from: listener.raw)
            // Of one flow, datagrams mostly come in a row.
            var last: Flow?
            for index in 0..<count {
                let datagram = upward[index]
                guard !datagram.isTruncated, let destination = datagram.originalDestination?.value else {
                    drop(.malformed, datagram.count)
                    continue
                }
                guard let flow = flow(of: datagram.sender, to: destination, listener, after: last) else {
                    drop(.refused, datagram.count)
                    continue
                }
                last = flow
                add(datagram.bytes, segment: datagram.segment, to: flow)
            }
            sendUp()
            guard count == upward.capacity else { return }
        }
    }

    /// - Returns: how many were received.
    func receiveUpward(from raw: Int32) -> Int {
        // An error says something of an answer that was sent by this socket; what waits is still there.
        for _ in 0..<2 {
            if let count = try? upward.receive(from: raw) { return count }
        }
        return 0
    }

    /// - Precondition: `index` is below what was received.
    func received(_ index: Int) -> Datagram { upward[index] }

    /// The flow of a client's datagram, which begins with it if it is the first.
    ///
    /// - Returns: nil: it goes nowhere, and an event has said why if that was an operator's to mend.
    func flow(
        of client: SocketAddress, to destination: SocketAddress, _ listener: DatagramListener, after last: Flow?
    ) -> Flow? {
        let endpointKey = EndpointKey(client, of: listener.number)
        let key = FlowKey(endpointKey, to: destination)
        // Unless it made room for another one.
        if let last, last.key == key, last.isOpen { return last }
        if let flow = find(key) { return flow }
        guard destination.port > 0, client.port > 0 else { return nil }
        let isElsewhere = listener.settings.isElsewhere
        if isElsewhere, destination.address.isLoopback {
            // What no rule judges: a program's own host, which no proxy can reach for it.
            return open(key, endpointKey, client, to: destination, name: nil, Decision(.direct, rule: nil), listener)
        }
        guard isElsewhere || !worker.isOurselves(OriginalDestination(destination)) else {
            return report(.proxySelf, listener, "\(client) sent to \(destination), which is this listener")
        }
        if !isElsewhere, worker.datagramPorts.contains(client), worker.ownAddresses.contains(client.address) {
            return report(.proxyLoop, listener, "our own datagram to \(destination) came back: a rule does not skip our mark")
        }
        var query = Query(
            listener: listener.settings.name, client: client.address, destination: destination.address, port: destination.port,
            transport: .udp)
        let policy = worker.settings.routes.policy
        query.minute = worker.minute(for: policy)
        return open(key, endpointKey, client, to: destination, name: nil, policy.decide(query), listener)
    }

    /// Puts a datagram behind those that its flow has already among those received together.
    func add(_ data: UnsafeMutableRawBufferPointer, segment: Int, to flow: Flow) {
        let index = entries.count
        flow.lastLength = segment == 0 ? data.count : segment
        entries.append(Entry(data: data, segment: segment))
        if flow.firstEntry < 0 {
            flow.firstEntry = index
            touched.append(flow)
        } else {
            entries[flow.lastEntry].next = index
        }
        flow.lastEntry = index
    }

    /// Sends all that was added.
    func sendUp() {
        for flow in touched {
            sendUp(flow)
            (flow.firstEntry, flow.lastEntry) = (-1, -1)
        }
        touched.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
        // Of some, ICMP may have said that nobody hears them.
        endThoseDone()
    }

    func sendUp(_ flow: Flow) {
        // What made room for another one meanwhile.
        guard flow.isOpen else { return drop(.unsent, waiting(of: flow).reduce(0) { $0 + $1.count }) }
        var outcome = BurstWriter.Outcome()
        switch flow.way {
        case .direct(let mapping):
            mapping.note(flow)
            write(flow, &outcome) { mapping.send($0, $1, segment: $2, to: flow.destination) }
        case .association(let association):
            association.note(flow)
            guard association.isOpen else {
                association.keep(flow, waiting(of: flow))
                return table.touch(flow, flow.stage, now: worker.loop.now)
            }
            write(flow, &outcome) { association.send($0, $1, segment: $2) }
        case .nowhere(let why):
            if flow.toldAt == 0 || worker.loop.now - flow.toldAt >= Self.tellingInterval {
                flow.toldAt = worker.loop.now
                tell(flow, why == .proxyRejected ? .port : .host)
            }
            drop(.refused, waiting(of: flow).reduce(0) { $0 + $1.count })
            table.touch(flow, .unanswered, now: worker.loop.now)
            return
        }
        settle(flow, outcome)
    }

    func write(_ flow: Flow, _ outcome: inout BurstWriter.Outcome, _ send: BurstWriter.Send) {
        flow.header.withUnsafeBytes { header in
            var index = flow.firstEntry
            while index >= 0 {
                let entry = entries[index]
                writer.add(entry.data, segment: entry.segment, header: header, send, &outcome)
                index = entry.next
            }
            writer.flush(send, &outcome)
        }
    }

    /// A flow's entries.
    func waiting(of flow: Flow) -> [Entry] {
        var waiting: [Entry] = []
        var index = flow.firstEntry
        while index >= 0 {
            waiting.append(entries[index])
            index = entries[index].next
        }
        return waiting
    }

    /// Sends what an association has kept for this flow.
    func sendKept(_ kept: [[UInt8]], of flow: Flow, through association: Association) {
        var outcome = BurstWriter.Outcome()
        for var datagram in kept {
            datagram.withUnsafeMutableBytes { data in
                flow.header.withUnsafeBytes { header in
                    let send: BurstWriter.Send = { association.send($0, $1, segment: $2) }
                    writer.add(data, segment: 0, header: header, send, &outcome)
                    writer.flush(send, &outcome)
                }
            }
        }
        settle(flow, outcome)
        endThoseDone()
    }

    func settle(_ flow: Flow, _ outcome: BurstWriter.Outcome) {
        flow.up &+= outcome.bytes
        flow.datagramsUp &+= outcome.datagrams
        if outcome.dropped > 0 { note(outcome, flow) }
        table.touch(flow, flow.stageWhenAsked, now: worker.loop.now)
    }

    func note(_ outcome: BurstWriter.Outcome, _ flow: Flow) {
        drop(.unsent, Int(outcome.dropped))
        switch outcome.error {
        // Nothing takes it now; UDP may lose it.
        case EAGAIN, ENOBUFS, ENOMEM, EMSGSIZE: break
        // No route leads there, or one that says no: a router between the two would tell the client. One may come back.
        case ENETUNREACH, EHOSTUNREACH, EACCES:
            doesNotArrive(flow, .upstreamUnreachable, .host)
            if flow.datagramsUp == 0 { finish(flow, .upstreamUnreachable) }
        default:
            let error = SocketError(call: "sendmsg", errno: Errno(rawValue: outcome.error))
            if outcome.error == EPERM { report(.proxyError, flow.endpoint.side, "\(flow.destination): \(error)") }
        }
    }
}
