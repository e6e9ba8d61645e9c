internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols

// What the client is sent, as far as its socket does not take it at once, and answers of ours behind which the connection ends.

extension HTTPRelay {
    /// The client hears this of its present request, and then our end.
    func say(_ page: ErrorPage, _ ending: Ending) -> Step {
        let isHead = isOfHEAD
        let body = page.bodyLength(isHead: isHead)
        answer(page.bytes(closes: true, isHead: isHead), page.status, body: body, ending)
        return close()
    }

    /// The present request is, or begins so.
    private var isOfHEAD: Bool {
        if let transaction { return transaction.method == .head }
        guard let reader = requestReader else { return false }
        let bytes = stash
        return reader.isOfHEAD(bytes.span)
    }

    /// Sends the last thing that the client hears, behind all that is on its way, and tells the log; ``close()`` sees to the rest.
    ///
    /// - Parameters:
    ///   - body: bytes of its body.
    ///   - ending: how the session ends behind it.
    func answer(_ answer: [UInt8], _ status: Int, body: Int, _ ending: Ending) {
        transaction?.status = status
        transaction?.headBytes += answer.count - body
        // A client that cannot be told anything has left, whatever else it did.
        _ = sendDown(answer[...])
        record(ending, withRest: true)
        phase = .closing
        lastEnding = ending
        lastActivity = now
        if deadline < armedAt { session.setHTTPDeadline() }
    }

    /// The last thing that the client hears is on its way out, then the end.
    func close() -> Step {
        switch flush() {
        case .waiting, .budgetUsed: return throwAway() ? .comeBack : .goOn
        case .sinkFailed: return .ended(.clientReset)
        case .sourceFailed, .finished: return .dismiss(lastEnding)
        }
    }

    /// Bytes for the client that its socket has not taken yet.
    var owed: UInt64 { (down.rest == nil ? 0 : UInt64(down.restEnd - down.restStart)) + UInt64(down.inPipe) }

    /// ... and those that its side has not acknowledged.
    var untaken: UInt64 {
        var unacknowledged: Int32 = 0
        _ = cs_unacknowledged(client, &unacknowledged)
        return UInt64(max(unacknowledged, 0)) + owed
    }

    /// Reads what the client sends on and nobody wants: it may be one that looks at its answer only when it has said everything.
    ///
    /// - Returns: whether there may be more, which others do not have to wait for.
    func throwAway() -> Bool {
        var thrownAway = 0
        while up.isReadable, thrownAway < Resources.budget {
            let count = cs_receive(client, resources.buffer, Resources.bufferSize)
            thrownAway += max(count, 0)
            // Also at its end, or when it is broken: sending tells of that.
            if count <= 0, count != -Int(EINTR) { up.isReadable = false }
        }
        return up.isReadable
    }

    /// Hands them on.
    func flush() -> Moved {
        guard owed > 0 else { return .finished }
        let (left, before) = (down.left, down.moved)
        down.left = 0
        defer {
            down.left = left
            if down.moved != before { lastActivity = now }
        }
        return moveDown()
    }
}
