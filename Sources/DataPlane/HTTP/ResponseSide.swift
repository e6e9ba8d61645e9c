internal import CSockets
internal import Glibc
internal import Protocols

// The upstream's part of a transaction: responses, of which the last one counts, and its body.

extension HTTPRelay {
    /// More than anybody sends: they could go on without end.
    private static var mostInterim: Int { 16 }

    /// Gathers the heads of responses, and passes them on.
    ///
    /// - Returns: nil: as far as can be for now.
    func readResponse() -> Step? {
        while transaction!.response.isWaiting {
            // One after the other: the client must take the last one first.
            switch flush() {
            case .waiting, .budgetUsed: return .goOn
            case .sinkFailed: return .ended(.clientReset)
            case .sourceFailed, .finished: break
            }
            let buffer = resources.buffer.assumingMemoryBound(to: UInt8.self)
            var reader = responseReader.take() ?? resources.responseReader.take() ?? HeadReader(.response)
            var count = responseStash.count
            responseStash.withUnsafeBufferPointer { if let base = $0.baseAddress { buffer.update(from: base, count: count) } }
            while true {
                do throws(HeadReader.Fault) {
                    if count > 0, try reader.read(Span(_unsafeStart: buffer, count: count)) { break }
                } catch {
                    return failedResponse(MessageFault(ofResponse: error).reason)
                }
                guard down.isReadable else {
                    if count != responseStash.count { responseStash = Array(Span(_unsafeStart: buffer, count: count)) }
                    if count > 0 { responseReader = reader } else { giveBack(reader) }
                    return nil
                }
                let room = min(Resources.bufferSize - count, down.mostRead)
                let (received, isDrained) = receiveDown(buffer + count, room)
                if received > 0 {
                    count += received
                    if isDrained { down.isReadable = down.isHungUp }
                    unanswered = []
                } else if received == -Int(EAGAIN) {
                    down.isReadable = false
                } else if received != -Int(EINTR) {
                    giveBack(reader)
                    return count == 0 ? unansweredStep : failedResponse("it ended in the middle of a header")
                }
            }
            if let step = take(consume reader, Span(_unsafeStart: buffer, count: count)) { return step }
        }
        return nil
    }

    /// Passes on one head, the first thing in the buffer, with what has come of the body.
    private func take(_ reader: consuming HeadReader, _ bytes: Span<UInt8>) -> Step? {
        let message: ResponseMessage
        do throws(MessageFault) {
            message = try ResponseMessage(reader, bytes, to: transaction!.method)
        } catch {
            return failedResponse(error.reason)
        }
        // Its credentials are ours, and no client's.
        guard message.status != 407 || session.parent == nil else { return failedResponse("the proxy wants other credentials") }
        session.parentAnswered()
        let length = reader.length
        resources.output.removeAll(keepingCapacity: true)
        if message.isInterim {
            transaction!.interim += 1
            guard transaction!.interim <= Self.mostInterim else { return failedResponse("interim responses without end") }
            // HTTP/1.0 knows no such thing (RFC 9110 §15.2).
            if !transaction!.isVersion10 {
                responseWriter.write(message, reader, bytes, body: .none, keepsAlive: true, into: &resources.output)
                transaction!.headBytes += resources.output.count
            }
            responseStash = Array(bytes.extracting(length..<bytes.count))
            giveBack(reader)
            return sendDown(resources.output[...]) == 0 ? nil : .ended(.clientReset)
        }
        if message.status == 101 {
            guard transaction!.upgrades, message.upgrade != nil else { return failedResponse("it changes the protocol unasked") }
            return change(message, reader, bytes)
        }
        if transaction!.method == .connect, message.status < 300 { return change(message, reader, bytes) }
        if let page = session.rejection(of: message, reader, bytes, in: self) {
            giveBack(reader)
            return replaceResponse(with: page)
        }
        transaction!.status = message.status
        transaction!.firstByteAt = now
        let isTakenApart = message.body == .chunked && transaction!.isVersion10
        let body = isTakenApart ? .untilClose : message.body
        if body == .untilClose || !transaction!.request.isDone || isEnding { transaction!.keepsAlive = false }
        responseWriter.write(
            message, reader, bytes, body: body, keepsAlive: transaction!.keepsAlive, into: &resources.output, session.value(of:))
        let headBytes = resources.output.count
        var rest = length..<bytes.count
        switch message.body {
        case .none: transaction!.response = .done
        case .length, .untilClose:
            var take = rest.count
            down.left = .max
            if case .length(let length) = message.body {
                take = Int(min(length, UInt64(rest.count)))
                down.left = length - UInt64(take)
            }
            bytes.extracting(rest.lowerBound..<rest.lowerBound + take).withUnsafeBufferPointer {
                resources.output.append(contentsOf: $0)
            }
            rest = rest.lowerBound + take..<rest.upperBound
            let isLong = down.left >= Self.leastSpliced && down.left < .max && resources.mode != .copy
            down.splices = (isLong || resources.mode == .splice) && canSpliceDown
            transaction!.response = down.left == 0 ? .done : .plain
        case .chunked:
            var chunks = ChunkedReader(
                omitting: responseWriter.changes.omitted.adding(message.connectionFields(bytes)))
            do throws(MessageFault) {
                let taken = try decode(
                    &chunks, bytes.extracting(rest), isTakenApart ? .plain : .chunks, &transaction!.response)
                rest = rest.lowerBound + taken..<rest.upperBound
            } catch {
                return failedResponse(error.reason)
            }
        }
        // Behind a whole response there is nothing that anybody has asked for: the connection is not used again.
        responseStash = Array(bytes.extracting(rest))
        let isOver = !message.keepsAlive
        giveBack(consume reader)
        transaction!.headBytes += headBytes
        guard sendDown(resources.output[...]) == 0 else { return .ended(.clientReset) }
        if transaction!.response.isDone, isOver { dropUpstream() }
        isLast = isOver
        return nil
    }

    /// From now on both sides speak another protocol.
    private func change(_ message: ResponseMessage, _ reader: HeadReader, _ bytes: Span<UInt8>) -> Step {
        // What is left of the request would be lost between the two protocols.
        guard transaction!.request.isDone, up.rest == nil, up.inPipe == 0 else {
            return failedResponse("it changes the protocol before it has the request")
        }
        transaction!.status = message.status
        transaction!.firstByteAt = now
        responseWriter.write(message, reader, bytes, body: .none, keepsAlive: true, into: &resources.output, session.value(of:))
        transaction!.headBytes += resources.output.count
        bytes.extracting(reader.length..<bytes.count).withUnsafeBufferPointer { resources.output.append(contentsOf: $0) }
        giveBack(reader)
        guard sendDown(resources.output[...]) == 0 else { return .ended(.clientReset) }
        return .switched
    }

    /// Moves what has come of the body.
    func moveResponseBody() -> Moved {
        var moved: Moved
        switch transaction!.response {
        case .waits, .done: return .finished
        case .plain:
            moved = moveDown()
            guard moved == .finished else { return moved }
            guard down.left == 0 || down.left > 1 << 62 else { return .sourceFailed(-EPROTO) }
            transaction!.response = .done
        case .chunks:
            moved = moveChunksDown()
            guard moved == .finished else { return moved }
        }
        if isLast { dropUpstream() }
        return .finished
    }

    /// The upstream has ended without an answer.
    private var unansweredStep: Step {
        let request = unanswered
        guard !request.isEmpty else { return failedResponse("it ended without an answer") }
        if answered == 0, let parent = session.parent {
            session.parentFailed(.upstreamProtocol)
            hungUp.append(parent.member)
        }
        dropUpstream()
        // It had ended before the request came, or meant to: whoever keeps connections open must expect that (RFC 9112 §9.3.1).
        stash = request + stash
        unanswered = []
        transaction = nil
        requestReader = nil
        phase = .opening
        return .open
    }

    /// What the upstream says is no response: the client hears so, if it has heard nothing else.
    private func failedResponse(_ reason: String) -> Step {
        let ending = session.report(.upstreamProtocol, reason)
        session.parentFailed(ending)
        return say(ErrorPage(502, "The server's answer makes no sense."), ending)
    }

    /// It keeps its memory, unless somebody else has a copy.
    private func giveBack(_ reader: consuming HeadReader) {
        reader.reset()
        resources.responseReader = reader
    }

    /// No request follows: sessions end as soon as they can, or the rules are others now.
    var isEnding: Bool { session.worker.isEnding || session.worker.isDraining || session.isOutdated }
}
