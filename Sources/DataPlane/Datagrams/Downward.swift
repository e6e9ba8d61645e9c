internal import Glibc
internal import TransparentSockets

// Answers, on their way down.

extension Datagrams {
    /// Takes what waits at an outside socket, and sends it to the client.
    func receive(_ mapping: Mapping) {
        for _ in 0..<Self.batchesPerTurn {
            guard let count = try? downward.receive(from: mapping.raw), count > 0 else { return }
            var index = 0
            while index < count {
                let source = downward[index].sender
                let next = endOfRun(from: index, count)
                if let flow = receiver(of: source, mapping) {
                    sendDown(index..<next, from: source, to: flow)
                } else {
                    drop(.unwanted, (index..<next).reduce(0) { $0 + downward[$1].count })
                }
                index = next
            }
            guard count == downward.capacity else { return }
        }
    }

    func endOfRun(from index: Int, _ count: Int) -> Int {
        var end = index + 1
        while end < count, downward.haveOneSender(index, end) { end += 1 }
        return end
    }

    /// The flow that a datagram from `source` belongs to, if the client may have it.
    func receiver(of source: SocketAddress, _ mapping: Mapping) -> Flow? {
        receiver(of: source, mapping.endpoint, mapping.peers, mapping.latest) {
            if case .direct(let own) = $0 { own === mapping } else { false }
        }
    }

    func receiver(of source: SocketAddress, _ association: Association) -> Flow? {
        receiver(of: source, association.endpoint, association.peers, association.latest) {
            if case .association(let own) = $0 { own === association } else { false }
        }
    }

    func receiver(
        of source: SocketAddress, _ endpoint: Endpoint, _ peers: Peers, _ latest: Flow?, goesHere: (Flow.Way) -> Bool
    ) -> Flow? {
        if let flow = table[FlowKey(endpoint.key, to: source)] {
            if goesHere(flow.way) { return flow }
            // Where a rule lets nothing go, nothing comes from.
            if case .nowhere = flow.way { return nil }
        }
        guard endpoint.side.settings.filtering == .endpointIndependent || peers.contains(source.address) else { return nil }
        // It may have ended before others.
        return latest ?? endpoint.flows.all.first { goesHere($0.way) }
    }

    private func sendDown(_ indexes: Range<Int>, from source: SocketAddress, to flow: Flow) {
        deliver(to: flow, from: source) { header, send, outcome in
            for index in indexes {
                let datagram = downward[index]
                guard !datagram.isTruncated else {
                    drop(.malformed, datagram.count)
                    continue
                }
                writer.add(datagram.bytes, segment: datagram.segment, header: header, send, &outcome)
            }
        }
    }

    /// Takes what waits at a relay's socket, and sends it to the client.
    func receive(_ association: Association) {
        for _ in 0..<Self.batchesPerTurn {
            guard let count = try? downward.receive(from: association.raw), count > 0 else { return }
            for index in 0..<count {
                let datagram = downward[index]
                guard !datagram.isTruncated else {
                    drop(.malformed, datagram.count)
                    continue
                }
                eachDatagram(datagram.bytes, datagram.segment) { sendDown($0, through: association) }
            }
            guard count == downward.capacity else { return }
        }
    }

    private func sendDown(_ bytes: UnsafeMutableRawBufferPointer, through association: Association) {
        guard let (source, length) = association.source(of: bytes) else { return drop(.malformed, 1) }
        guard let flow = receiver(of: source, association) else { return drop(.unwanted, 1) }
        let data = UnsafeMutableRawBufferPointer(rebasing: bytes.dropFirst(length))
        deliver(to: flow, from: source) { header, send, outcome in
            writer.add(data, segment: 0, header: header, send, &outcome)
        }
    }

    /// Sends the client what `add` gives to the writer.
    private func deliver(
        to flow: Flow, from source: SocketAddress,
        _ add: (_ header: UnsafeRawBufferPointer, _ send: BurstWriter.Send, _ outcome: inout BurstWriter.Outcome) -> Void
    ) {
        var outcome = BurstWriter.Outcome()
        let (side, client) = (flow.endpoint.side, flow.endpoint.client)
        let send: BurstWriter.Send = { side.send($0, $1, segment: $2, from: source, to: client) }
        side.header(from: source).withUnsafeBytes { header in
            add(header, send, &outcome)
            writer.flush(send, &outcome)
        }
        flow.down &+= outcome.bytes
        flow.datagramsDown &+= outcome.datagrams
        if outcome.dropped > 0 {
            drop(.unsent, Int(outcome.dropped))
            if let failure = senders.failure.take() {
                report(.proxyLimit, flow.endpoint.side, "no answers from port \(source.port): \(failure)")
            }
        }
        table.touch(flow, flow.stageWhenAnswered, now: worker.loop.now)
        endThoseDone()
    }

    /// ICMP has said something of a datagram.
    func told(_ error: Int32, of destination: SocketAddress, through mapping: Mapping) {
        guard let flow = table[FlowKey(mapping.endpoint.key, to: destination)], case .direct(let own) = flow.way, own === mapping
        else { return }
        switch error {
        case ECONNREFUSED: doesNotArrive(flow, .upstreamRefused, .port)
        case EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, EACCES, ENOPROTOOPT, EPROTO:
            doesNotArrive(flow, .upstreamUnreachable, .host)
        // Too large for some way: the kernel has taken note, and the next one goes in fragments.
        default: break
        }
    }

    /// Has the client know that what it sends does not arrive.
    ///
    /// The flow stays for its time, and so does the client's outside endpoint: a message that anybody may have sent ends nothing, and a
    /// server that is started again hears the client as before (RFC 4787, REQ-10). Unless somebody answers, it is why the flow ends then.
    func doesNotArrive(_ flow: Flow, _ ending: Ending, _ reason: UnreachableSender.Reason) {
        tell(flow, reason)
        flow.refusal = ending
        // For a question that is an answer: the next resolver is asked, from another port.
        if flow.isQuestion, flow.stage == .unanswered { table.touch(flow, .done, now: worker.loop.now) }
    }

    func tell(_ flow: Flow, _ reason: UnreachableSender.Reason) {
        guard let share = flow.share, share.mayTell(now: worker.loop.now) else { return }
        flow.endpoint.side.tell(flow.endpoint.client, reason, of: flow.lastLength, to: flow.destination)
    }
}
