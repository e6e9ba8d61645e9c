internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols

// The client's part of a transaction: what it asks, and the body that comes with it.

extension HTTPRelay {
    /// Gathers the head of the next request, and sees to it.
    func awaitRequest() -> Step? {
        // What the last answer left comes first.
        if owed > 0 {
            switch flush() {
            case .waiting, .budgetUsed: return .goOn
            case .sinkFailed: return .ended(.clientReset)
            case .sourceFailed, .finished: break
            }
            // Only now is the client done with that one, and its time for the next request begins.
            headBegunAt = stash.isEmpty ? 0 : now
            if deadline < armedAt { session.setHTTPDeadline() }
        }
        if upstream >= 0, !isCleared, isUpstreamOver { dropUpstream() }
        let buffer = resources.buffer.assumingMemoryBound(to: UInt8.self)
        var reader = requestReader.take() ?? resources.requestReader.take() ?? HeadReader(.request)
        var count = stash.count
        stash.withUnsafeBufferPointer { if let base = $0.baseAddress { buffer.update(from: base, count: count) } }
        while true {
            do throws(HeadReader.Fault) {
                if count > 0, try reader.read(Span(_unsafeStart: buffer, count: count)) { break }
            } catch {
                let isHead = reader.isOfHEAD(Span(_unsafeStart: buffer, count: count))
                return fault(MessageFault(ofRequest: error), toHEAD: isHead)
            }
            guard up.isReadable, !up.hasEnded else { return keep(reader, count) }
            // The reader has refused what does not fit.
            let room = min(Resources.bufferSize - count, up.mostRead)
            let received = cs_receive(client, buffer + count, room)
            if received > 0 {
                if headBegunAt == 0 {
                    headBegunAt = now
                    session.setHTTPDeadline()
                }
                count += received
                if received < room { up.isReadable = up.isHungUp }
            } else if received == 0 {
                up.hasEnded = true
            } else if received == -Int(EAGAIN) {
                up.isReadable = false
            } else if received != -Int(EINTR) {
                return .ended(.clientReset)
            }
        }
        return take(consume reader, count)
    }

    /// The head is not whole: its bytes wait for the others.
    private func keep(_ reader: HeadReader, _ count: Int) -> Step {
        if up.hasEnded {
            // A client that leaves between two requests leaves in order.
            return .dismiss(self.count > 0 && count == 0 ? .clientFIN : .clientGone)
        }
        if count != stash.count { stash = Array(Span(_unsafeStart: bufferBytes, count: count)) }
        guard count > 0 else {
            giveBack(reader)
            let isOver = headBegunAt == 0 ? isEnding : session.unusedUntil <= now
            return isOver ? .dismiss(.clientFIN) : .goOn
        }
        requestReader = reader
        // Who says it piece by piece takes part in the handshakes again.
        if heldShare == nil {
            heldShare = session.holdShare()
            guard heldShare != nil else {
                let page = ErrorPage(503, "Too many clients of this address have not said yet what they want.")
                return say(page, session.tooManyOfOne())
            }
        }
        return .goOn
    }

    /// Judges a whole head, the first thing in the buffer, and passes it on.
    private func take(_ reader: consuming HeadReader, _ count: Int) -> Step? {
        giveShareBack()
        let bytes = Span(_unsafeStart: bufferBytes, count: count)
        let message: RequestMessage
        do throws(MessageFault) {
            message = try RequestMessage(reader, bytes)
        } catch {
            return fault(error, toHEAD: reader.isOfHEAD(bytes))
        }
        if !isCleared {
            // One that is not the first is asked again, and by the new rules, when its connection ends before it has been answered.
            if session.isOutdated, self.count > 0 || !renew() { return .dismiss(.clientFIN) }
            let judged = session.judge(message, reader, bytes, in: self)
            switch message.stoppedHere(session.permitted(judged, message, reader, bytes, in: self)) {
            case .forward(let action):
                if upstream >= 0, openedFor == action { break }
                stash = Array(bytes)
                requestReader = reader
                phase = .opening
                return .open
            case .wait:
                stash = Array(bytes)
                requestReader = reader
                phase = .opening
                return .open
            case .respond(let page, let ending):
                begin(message, reader, bytes)
                // Without a body, the next request is where we look for it.
                // A client that is asked for a password often has it ready, and asks again over the same connection.
                guard ending == .proxyRejected || page.status == 401, message.body == .none, message.mayBeFollowed, !isEnding
                else { return say(page, ending) }
                stash = Array(bytes.extracting(reader.length..<count))
                giveBack(reader)
                let isHead = message.method == .head
                let answer = page.bytes(closes: false, isHead: isHead)
                transaction!.status = page.status
                transaction!.headBytes = answer.count - page.bodyLength(isHead: isHead)
                guard sendDown(answer[...]) == 0 else {
                    return .ended(.clientReset)
                }
                record(ending, withRest: true)
                lastActivity = now
                headBegunAt = stash.isEmpty ? 0 : now
                if deadline < armedAt { session.setHTTPDeadline() }
                // Nobody is waited for between this request and the next one: others have their turn first.
                return .comeBack
            }
        }
        isCleared = false
        return forward(message, consume reader, bytes)
    }

    /// Has the first request judged by the rules that are in force now: what the former ones have found out counts no more.
    ///
    /// - Returns: false: there are none for it.
    private func renew() -> Bool {
        dropUpstream()
        guard session.renew() else { return false }
        (requestWriter, responseWriter) = (session.requestWriter, session.responseWriter)
        session.user = nil
        acceptedCredentials = []
        refusedCredentials = nil
        permission = nil
        return true
    }

    /// Writes the head anew, for the upstream, with what has come of the body.
    private func forward(_ message: RequestMessage, _ reader: consuming HeadReader, _ bytes: Span<UInt8>) -> Step? {
        begin(message, reader, bytes)
        phase = .exchanging
        headBegunAt = 0
        lastActivity = now
        if deadline < armedAt { session.setHTTPDeadline() }
        resources.output.removeAll(keepingCapacity: true)
        requestWriter.write(
            message, reader, bytes, as: form, replacing: replacement, into: &resources.output, session.value(of:))
        var rest = reader.length..<bytes.count
        if message.method == .connect {
            guard message.body == .none else { return fault(MessageFault(400, "a CONNECT request with a body")) }
            if session.settings.service != nil {
                stash = Array(bytes.extracting(rest))
                giveBack(reader)
                // To us: the upstream is the other end of the tunnel.
                transaction!.status = 200
                let granted = HTTPAnswer.granted(proxy: nil)
                transaction!.headBytes = granted.count
                return sendDown(granted[...]) == 0 ? .switched : .ended(.clientReset)
            }
            // It is between the client and another proxy: what they speak behind it is their own affair, once that one has agreed.
        }
        switch message.body {
        case .none, .untilClose: break
        case .length(let length):
            let take = Int(min(length, UInt64(rest.count)))
            bytes.extracting(rest.lowerBound..<rest.lowerBound + take).withUnsafeBufferPointer {
                resources.output.append(contentsOf: $0)
            }
            rest = rest.lowerBound + take..<rest.upperBound
            up.left = length - UInt64(take)
            up.splices =
                (up.left >= Self.leastSpliced && resources.mode != .copy || resources.mode == .splice) && canSpliceUp
            transaction!.request = up.left == 0 ? .done : .plain
        case .chunked:
            var chunks = ChunkedReader(
                omitting: requestWriter.changes.omitted.adding(session.routes.askedFields)
                    .adding(message.connectionFields(bytes)),
                omittingForwarded: requestWriter.forwarded != nil)
            do throws(MessageFault) {
                let length = try decode(
                    &chunks, bytes.extracting(rest), replacement == nil ? .chunks : .chunksAlone,
                    &transaction!.request)
                rest = rest.lowerBound + length..<rest.upperBound
            } catch {
                return fault(error)
            }
        }
        let others = session.parent.map { min($0.group.members.count, Self.mostAttempts) - hungUp.count - 1 } ?? 0
        let mayBeAskedElsewhere = answered > 0 || others > 0
        let isRepeatable = mayBeAskedElsewhere && message.body == .none && message.method.isIdempotent
        unanswered = isRepeatable ? Array(bytes.extracting(0..<reader.length)) : []
        stash = Array(bytes.extracting(rest))
        giveBack(consume reader)
        let error = sendUp(resources.output[...])
        transaction!.headEnd = up.moved
        // Whatever it may have answered is looked at first.
        if error != 0 { down.isReadable = true }
        return nil
    }

    /// How the upstream wants its requests.
    private var form: MessageWriter.Form {
        session.parent.map { .absolute(authorization: ConnectClient.authorization($0.member.settings.credentials)) } ?? .origin
    }

    /// Begins with the request in `stash`, which no upstream could be opened for.
    func beginUnopened() {
        // Of one that is asked again, nothing but its bytes is kept.
        var reader = requestReader ?? HeadReader(.request)
        let bytes = stash
        guard (try? reader.read(bytes.span)) == true, let message = try? RequestMessage(reader, bytes.span) else { return }
        begin(message, reader, bytes.span)
    }

    private func begin(_ message: RequestMessage, _ reader: HeadReader, _ bytes: Span<UInt8>) {
        session.adapted = nil
        let isTold = session.worker.observer.wantsTransactions
        transaction = Transaction(
            method: message.method, isVersion10: message.isVersion10, keepsAlive: message.mayBeFollowed,
            upgrades: message.upgrade != nil, awaitsContinue: message.expectsContinue, startedAt: now, upBefore: up.moved,
            downBefore: down.moved,
            request: message.body == .none ? .done : .plain, methodText: isTold ? message.method(bytes) : "",
            target: isTold ? message.target(bytes) : "", name: isTold ? session.name?.description : nil)
        guard isTold else { return }
        transaction!.referer = reader.value(of: "referer", bytes)
        transaction!.userAgent = reader.value(of: "user-agent", bytes)
    }

    /// Moves what has come of the body.
    func moveRequestBody() -> Moved {
        switch transaction!.request {
        case .waits, .done: return .finished
        case .plain:
            let moved = moveUp()
            guard moved == .finished else { return moved }
            // The end of the connection is not the end of the body.
            guard up.left == 0 else { return .sourceFailed(-EPROTO) }
            transaction!.request = .done
            return .finished
        case .chunks: return moveChunksUp()
        }
    }

    /// The client has broken off, or its body makes no sense.
    func failedRequest(_ error: Int32) -> Step {
        // The upstream must not take what it has for all.
        guard error == -EPROTO, transaction?.response.isWaiting == true else {
            return .ended(error == -EPROTO ? .clientProtocol : .clientReset)
        }
        if up.hasEnded { return .ended(.clientGone) }
        return fault(bodyFault ?? MessageFault(400, "a body that is not what its header says"))
    }

    /// Says what is wrong, and ends: where the next request would begin, nobody knows.
    func fault(_ fault: MessageFault, toHEAD isHead: Bool = false) -> Step {
        if transaction == nil {
            transaction = Transaction(
                method: isHead ? .head : .other, isVersion10: false, keepsAlive: false, upgrades: false, awaitsContinue: false,
                startedAt: now,
                upBefore: up.moved,
                downBefore: down.moved, request: .done, methodText: "", target: "", name: nil)
        }
        return say(ErrorPage(fault.status, fault.reason), session.refuse(.clientProtocol, fault.reason))
    }

    private var bufferBytes: UnsafeMutablePointer<UInt8> { resources.buffer.assumingMemoryBound(to: UInt8.self) }

    /// It keeps its memory, unless somebody else has a copy.
    private func giveBack(_ reader: consuming HeadReader) {
        reader.reset()
        resources.requestReader = reader
    }

    /// Proxies that one request is asked of.
    private static var mostAttempts: Int { 3 }

    /// Bytes of a body that are worth a pipe from the start.
    static var leastSpliced: UInt64 { 1 << 18 }
}

extension RequestMessage {
    /// What comes behind a CONNECT that is refused was meant for a tunnel (RFC 9931).
    fileprivate var mayBeFollowed: Bool { keepsAlive && method != .connect }

    fileprivate func method(_ bytes: Span<UInt8>) -> String { text(methodPlace, bytes) }
    fileprivate func target(_ bytes: Span<UInt8>) -> String { text(targetPlace, bytes) }

    private func text(_ place: Range<Int>, _ bytes: Span<UInt8>) -> String {
        bytes.extracting(place).withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }
}

extension [UInt8] {
    /// A copy.
    init(_ bytes: Span<UInt8>) {
        self = bytes.withUnsafeBufferPointer { Array($0) }
    }
}
