internal import Protocols

/// The head of a request, byte for byte and as we understand it.
struct RequestHead {
    let bytes: [UInt8]
    let reader: HeadReader
    let message: RequestMessage

    /// - Parameter bytes: the head and nothing else.
    init(_ bytes: [UInt8]) throws(MessageFault) {
        var reader = HeadReader(.request)
        do throws(HeadReader.Fault) {
            guard try reader.read(bytes.span), reader.length == bytes.count else { throw .malformed("a head of another length") }
        } catch {
            throw MessageFault(ofRequest: error)
        }
        self.reader = reader
        self.bytes = bytes
        message = try RequestMessage(reader, bytes.span)
    }
}

/// The same of a response.
struct ResponseHead {
    let bytes: [UInt8]
    let reader: HeadReader
    let message: ResponseMessage

    init(_ bytes: [UInt8], to method: RequestMethod) throws(MessageFault) {
        var reader = HeadReader(.response)
        do throws(HeadReader.Fault) {
            guard try reader.read(bytes.span), reader.length == bytes.count else { throw .malformed("a head of another length") }
        } catch {
            throw MessageFault(ofResponse: error)
        }
        self.reader = reader
        self.bytes = bytes
        message = try ResponseMessage(reader, bytes.span, to: method)
    }
}

extension AdaptedExchange {
    /// - Returns: nil: the relay, or the server, has ended before one began.
    func nextRequest() async throws(AdaptationFault) -> RequestHead? {
        let end = relay.input.isEmpty ? server : nil
        guard let bytes = try await head(.request, from: relay, unlessEnded: end) else { return nil }
        do throws(MessageFault) {
            return try RequestHead(bytes)
        } catch {
            throw relay.fault(error.reason)
        }
    }

    func nextResponse(to method: RequestMethod) async throws(AdaptationFault) -> ResponseHead {
        guard let bytes = try await head(.response, from: server, unlessEnded: nil) else {
            throw server.fault("it ended without an answer")
        }
        do throws(MessageFault) {
            return try ResponseHead(bytes, to: method)
        } catch {
            throw server.fault(error.reason)
        }
    }

    /// The next head that comes over a wire.
    ///
    /// - Parameter other: nothing is waited for once that one has ended, or says something unasked.
    /// - Returns: nil: none, and the wire has ended in order.
    func head(_ kind: HeadReader.Kind, from wire: Wire, unlessEnded other: Wire?) async throws(AdaptationFault) -> [UInt8]? {
        var reader = HeadReader(kind)
        while true {
            do throws(HeadReader.Fault) {
                if try reader.read(wire.input.span) { break }
            } catch {
                throw wire.fault((kind == .request ? MessageFault(ofRequest: error) : MessageFault(ofResponse: error)).reason)
            }
            // Of a head, a part is nothing yet.
            if try wire.fill(counts: false) {
                await share()
                continue
            }
            if wire.hasEnded {
                guard wire.input.isEmpty else { throw wire.fault("it ended in the middle of a header") }
                return nil
            }
            if let other, try other.fill() { return nil }
            try await turn()
        }
        let bytes = Array(wire.input.prefix(reader.length))
        wire.consume(reader.length)
        return bytes
    }
}
