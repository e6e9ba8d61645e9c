internal import Protocols

/// A body as it was, on its way to a service: what was taken of it is kept, as long as it can be.
final class OriginalBody {
    /// Bytes of a body that are kept until the service has said what it thinks of them. A longer one goes on as the service gives it back.
    static let mostKept = 1 << 16

    let wire: Wire
    fileprivate(set) var source: BodySource
    fileprivate(set) var kept: [UInt8] = []
    /// Some of it is with the service alone.
    fileprivate(set) var isLost = false

    init(_ source: BodySource, from wire: Wire) {
        self.source = source
        self.wire = wire
    }
}

/// What has become of a message.
enum Adapted {
    /// What the original kept goes on, and what is still to come of it.
    case unchanged
    case changedRequest(RequestHead, BodySource, Wire)
    /// In place of the response, or of an answer that nobody asked the server for.
    /// - Parameter beginning: of its body.
    case changedResponse(ResponseHead, beginning: [UInt8], BodySource, Wire)
    /// - Parameter threat: what was found, in the service's words.
    case refused(threat: String?)
    /// Nothing was said of it, and it must not go on.
    case failed(String)
}

extension AdaptedExchange {
    /// Shows one message to a service.
    ///
    /// - Parameters:
    ///   - path: of the request.
    ///   - isExpected: the client sends the body only when it is told to.
    func adapt(
        _ kind: ICAPRequest.Kind, by service: ICAPService, requestHead: [UInt8], responseHead: [UInt8] = [], path: String,
        original: OriginalBody, isExpected: Bool = false
    ) async throws(AdaptationFault) -> Adapted {
        foundThreat = nil
        do throws(AdaptationFault) {
            let options = try await options(of: service)
            guard kind == .request ? options.modifiesRequests : options.modifiesResponses else {
                throw AdaptationFault(side: .service, reason: "it has no such method")
            }
            let transfer = options.transfer(ofPath: path)
            guard transfer != .ignore else { return .unchanged }
            let hasBody = !original.source.isOver
            let preview = hasBody && transfer == .preview ? options.preview : nil
            if isExpected, hasBody {
                relay.output += Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
                hasSaidContinue = true
            }
            // Whoever is slow in sending it must not keep others from the service.
            try await gather(original, preview ?? 0)
            try await enter(service)
            let head = service.request.modification(
                of: kind, requestHead: requestHead, responseHead: responseHead, hasBody: hasBody, client: client, preview: preview,
                allows204: original.source.isOver)
            return try await overAnyConnection(to: service, with: original) { wire throws(AdaptationFault) in
                try await show(head, kind, service, wire, original, hasBody: hasBody, preview: preview)
            }
        } catch {
            guard error.side == .service else { throw error }
            dropService()
            // What it has found, it has scanned, whatever it failed to say afterwards.
            if let foundThreat { return .refused(threat: foundThreat) }
            // Else whoever keeps it busy could have everything pass.
            guard settings.passesOnFailure, !original.isLost, !error.isBusy else { return .failed(error.reason) }
            warn(error.reason + ", passed on")
            return .unchanged
        }
    }

    private func enter(_ service: ICAPService) async throws(AdaptationFault) {
        let isAdmitted = await service.enter(bell, of: source, until: worker.loop.now &+ settings.timeout) { [relay] in
            relay.socket.isHungUp
        }
        guard isAdmitted else {
            guard !relay.socket.isHungUp else { throw relay.fault("the relay is gone") }
            throw AdaptationFault(side: .service, reason: "all its connections are busy", isBusy: true)
        }
        entered = service
    }

    /// Asks over a connection that rests, if there is one: it may have been about to end, and then another one is opened.
    ///
    /// - Parameter original: what is shown; when it is lost, it cannot be shown again.
    private func overAnyConnection<Answer>(
        to service: ICAPService, with original: OriginalBody?, _ ask: (Wire) async throws(AdaptationFault) -> Answer
    ) async throws(AdaptationFault) -> Answer {
        if let used = service.connections.take(bell) {
            let wire = Wire(used, .service, worker.loop)
            do throws(AdaptationFault) {
                return try await ask(wire)
            } catch {
                guard error.side == .service, !wire.hasSpoken, original?.isLost != true, !error.isLate else { throw error }
                pumps.removeAll { $0 === upload }
                upload = nil
            }
        }
        return try await ask(try await connect(service, until: worker.loop.now &+ settings.timeout))
    }

    private func connect(_ service: ICAPService, until deadline: UInt64) async throws(AdaptationFault) -> Wire {
        do throws(LoopSocket.Failure) {
            return Wire(try await service.connections.open(bell, until: deadline), .service, worker.loop)
        } catch {
            throw AdaptationFault(side: .service, reason: error.reason)
        }
    }

    /// What the service says of itself; it is asked if that is not known, or not any more.
    private func options(of service: ICAPService) async throws(AdaptationFault) -> ICAPOptions {
        if let known = service.options { return known }
        try await enter(service)
        // Another one may have asked meanwhile.
        if let known = service.options {
            dropService()
            return known
        }
        let (response, reader, bytes, wire) = try await overAnyConnection(to: service, with: nil) { wire throws(AdaptationFault) in
            self.service = wire
            wire.touch()
            awaitsService = true
            wire.output += service.request.options()
            let (response, reader, bytes) = try await answer(wire)
            awaitsService = false
            return (response, reader, bytes, wire)
        }
        guard response.status == 200 else { throw wire.fault("OPTIONS: status \(response.status)") }
        let options: ICAPOptions
        do throws(MessageFault) {
            options = try ICAPOptions(reader, bytes.span)
        } catch {
            throw wire.fault(error.reason)
        }
        service.learn(options, tag: response.tag)
        // What it says in a body, nobody reads.
        mayReuse = response.keepsAlive && response.isBare
        leaveService()
        return options
    }

    /// Takes the beginning of a body, or all of a short one.
    private func gather(_ original: OriginalBody, _ preview: Int) async throws(AdaptationFault) {
        let wanted = original.source.isShort(OriginalBody.mostKept) ? .max : preview
        while !original.source.isOver, original.kept.count < wanted {
            if !(try original.source.take(from: original.wire, into: &original.kept)) { try await turn() }
        }
    }

    /// Sends it, and hears what the service says.
    private func show(
        _ head: [UInt8], _ kind: ICAPRequest.Kind, _ service: ICAPService, _ wire: Wire, _ original: OriginalBody, hasBody: Bool,
        preview: Int?
    ) async throws(AdaptationFault) -> Adapted {
        self.service = wire
        wire.touch()
        wire.output += head
        var isSent = !hasBody
        var begin = 0
        if hasBody, let preview {
            begin = min(preview, original.kept.count)
            var sink = BodySink(.chunked)
            try sink.put(original.kept[..<begin], to: wire, from: .service)
            isSent = original.source.isOver && original.kept.count <= preview
            wire.output += Array((isSent ? "0; ieof\r\n\r\n" : "0\r\n\r\n").utf8)
        } else if hasBody {
            beginUpload(of: original, from: 0, to: wire)
            isSent = true
        }
        var wasContinued = preview == nil
        while true {
            awaitsService = true
            let (response, _, _) = try await answer(wire)
            awaitsService = false
            service.note(tag: response.tag)
            foundThreat = response.threat ?? foundThreat
            switch response.status {
            case 100:
                guard !wasContinued, !isSent else { throw wire.fault("it asks for more than there is") }
                wasContinued = true
                beginUpload(of: original, from: begin, to: wire)
            case 204:
                // That nothing is to be done about what it has found is not for it to say.
                if let foundThreat {
                    dropService()
                    return .refused(threat: foundThreat)
                }
                // Of a preview, and of what was kept, it may say so.
                guard !original.isLost else { throw wire.fault("nothing is changed, of a message that it alone has") }
                mayReuse = response.keepsAlive && response.isBare && (upload?.isDone ?? true)
                leaveService()
                return .unchanged
            case 200:
                let adapted = try await changed(response, kind, wire)
                if response.threat != nil { noteThreat(response.threat) }
                // Who has not asked for the rest of a body leaves it where it was.
                if upload == nil, !original.source.isOver { isSpent = true }
                return adapted
            case 403:
                dropService()
                return .refused(threat: foundThreat)
            default: throw wire.fault("status \(response.status)")
            }
        }
    }

    private func beginUpload(of original: OriginalBody, from begin: Int, to wire: Wire) {
        original.isLost = !original.source.isOver
        let pump = BodyPump(
            Array(original.kept[begin...]), original.source, from: original.wire, to: wire, as: .chunked)
        upload = pump
        pumps.append(pump)
    }

    /// The head of what the service says next.
    private func answer(_ wire: Wire) async throws(AdaptationFault) -> (ICAPResponse, HeadReader, [UInt8]) {
        guard let bytes = try await head(.service, from: wire, unlessEnded: nil) else {
            throw wire.fault("it ended without an answer")
        }
        // What comes behind it has its own time.
        wire.touch()
        var reader = HeadReader(.service)
        do throws(MessageFault) {
            do throws(HeadReader.Fault) {
                _ = try reader.read(bytes.span)
            } catch {
                throw MessageFault(ofResponse: error)
            }
            return (try ICAPResponse(reader, bytes.span), reader, bytes)
        } catch {
            throw wire.fault(error.reason)
        }
    }

    /// Reads the head of what the service gives in place of a message, and the beginning of a response.
    private func changed(
        _ response: ICAPResponse, _ kind: ICAPRequest.Kind, _ wire: Wire
    ) async throws(AdaptationFault) -> Adapted {
        guard let encapsulated = response.encapsulated else { throw wire.fault("a message without Encapsulated") }
        awaitsService = true
        while wire.input.count < encapsulated.headLength {
            if try wire.fill(counts: false) { continue }
            guard !wire.hasEnded else { throw wire.fault("it ended in the middle of a header") }
            try await turn()
        }
        awaitsService = false
        let bytes = Array(wire.input.prefix(encapsulated.headLength))
        wire.consume(encapsulated.headLength)
        mayReuse = response.keepsAlive
        let adapted: Adapted
        do throws(MessageFault) {
            adapted = try message(in: bytes, encapsulated, kind, wire)
        } catch {
            throw wire.fault(error.reason)
        }
        guard case .changedResponse(let head, _, let source, _) = adapted else { return adapted }
        return try await begun(head, source, wire)
    }

    private func message(
        in bytes: [UInt8], _ encapsulated: Encapsulated, _ kind: ICAPRequest.Kind, _ wire: Wire
    ) throws(MessageFault) -> Adapted {
        switch (encapsulated.requestHead, encapsulated.responseHead, encapsulated.body) {
        case (nil, .some, .response), (nil, .some, .none):
            let head = try ResponseHead(bytes, to: method)
            var hasBody = encapsulated.body == .response
            guard hasBody || head.message.body == .none else { throw MessageFault(502, "a body that does not fit its head") }
            if method == .head, hasBody {
                // A page, where nobody wants one.
                hasBody = false
                mayReuse = false
            }
            return .changedResponse(head, beginning: [], BodySource(hasBody ? .chunked : .none), wire)
        case (.some, nil, .request) where kind == .request, (.some, nil, .none) where kind == .request:
            let head = try RequestHead(bytes)
            guard (encapsulated.body == .request) == (head.message.body != .none) else {
                throw MessageFault(502, "a body that does not fit its head")
            }
            return .changedRequest(head, BodySource(encapsulated.body == .request ? .chunked : .none), wire)
        default: throw MessageFault(502, "an Encapsulated field that does not fit what was asked")
        }
    }

    /// Waits for the first bytes of a response's body: what breaks before is no answer yet, and another one can be given.
    private func begun(_ head: ResponseHead, _ body: BodySource, _ wire: Wire) async throws(AdaptationFault) -> Adapted {
        var source = body
        var beginning: [UInt8] = []
        awaitsService = true
        while beginning.isEmpty, !source.isOver {
            if !(try source.take(from: wire, into: &beginning)) { try await turn() }
        }
        awaitsService = false
        let fits =
            switch head.message.body {
            case .none: beginning.isEmpty
            case .length(let length): source.isOver ? beginning.count == length : beginning.count <= length
            case .chunked, .untilClose: true
            }
        guard fits else { throw wire.fault("a body that is not as long as its head says") }
        return .changedResponse(head, beginning: beginning, source, wire)
    }

    // MARK: The service's connection

    /// The exchange with the service is over, and its connection may have another one.
    func leaveService() {
        if let service, let entered, mayReuse, upload?.isDone ?? true, service.unsent == 0, service.input.isEmpty,
            !pumps.contains(where: { $0.isReading(service) })
        {
            entered.connections.giveBack(service.socket)
        }
        dropService()
    }

    /// ... and its connection ends.
    func dropService() {
        if let upload, !upload.isDone { isSpent = true }
        pumps.removeAll { $0 === upload }
        service = nil
        upload = nil
        awaitsService = false
        mayReuse = false
        entered?.leave(source)
        entered = nil
    }
}
