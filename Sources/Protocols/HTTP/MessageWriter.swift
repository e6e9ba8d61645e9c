/// Writes heads anew: start line, framing and what concerns the connection are ours, all other fields are the sender's, in their order,
/// each written as we have read it. What could be read in two ways does not get this far.
public struct MessageWriter: Sendable {
    /// What is added to Via, behind the protocol's version: a name of ours that nobody else has (RFC 9110 §7.6.3); nil: nothing is.
    public var via: [UInt8]?
    /// A request's CDN-Loop gets the same name: in front of servers, where whoever does not know us may take Via away (RFC 8586).
    public var marksLoops = false
    /// Fields of credentials that go no further: they are for us, or for a proxy in front of us (RFC 9110 §11.6.2, §11.7.2).
    public var takenCredentials: [KnownField] = []
    /// What servers of ours are told of the client; nil: nothing is, and what it says of itself passes.
    public var forwarded: ForwardedFields?
    /// Made last, also of what is told of the client. Not of interim responses, which say nothing of themselves.
    public var changes = FieldChanges()

    public init(via: [UInt8]?) { self.via = via }

    /// How a request's target is written.
    public enum Form: Sendable {
        case origin
        /// For another proxy.
        /// - Parameter authorization: a line that shows it who we are; empty: nobody in particular.
        case absolute(authorization: String)
    }

    /// - Parameters:
    ///   - replacement: what stands in place of the client's own fields.
    ///   - value: what stands for a placeholder of ``changes`` that was not filled before.
    public func write(
        _ request: RequestMessage, _ head: HeadReader, _ bytes: Span<UInt8>, as form: Form = .origin,
        replacing replacement: FieldReplacement? = nil,
        into output: inout [UInt8], _ value: (FieldTemplate.Placeholder) -> String = { _ in "" }
    ) {
        output.append(bytes, request.methodPlace)
        output.append(0x20)
        writeTarget(request, bytes, form, &output)
        output.append(" HTTP/1.1\r\nHost: ")
        output.append(bytes, request.authority)
        output.append("\r\n")
        let leavesOut = forwarded != nil || !changes.omitted.isEmpty || replacement != nil
        for field in head.fields {
            switch field.known {
            case .host, .contentLength: continue
            // Nobody's field: a program that is run as CGI would take it for its environment's HTTP_PROXY (httpoxy).
            case .proxy: continue
            case .range: if request.wantsTooManyParts { continue }
            // In HTTP/1.0 it means nothing (RFC 9110 §10.1.1), and to whoever reads ours it would.
            case .expect: if request.isVersion10 { continue }
            case .maxForwards:
                if let left = request.maxForwards {
                    output.append("Max-Forwards: ")
                    output.append(decimal: left > 0 ? left - 1 : 0)
                    output.append("\r\n")
                    continue
                }
            case .authorization, .proxyAuthorization: if takenCredentials.contains(field.known) { continue }
            default: break
            }
            if leavesOut, leaveOut(field, bytes) || replacement?.replaces(field, bytes) == true { continue }
            write(field, request.options, bytes, &output)
        }
        if case .absolute(let authorization) = form { output.append(contentsOf: authorization.utf8) }
        writeVia(isVersion10: request.isVersion10, &output)
        if marksLoops, let via {
            output.append("CDN-Loop: ")
            output.append(contentsOf: via)
            output.append("\r\n")
        }
        if let replacement { output.append(contentsOf: replacement.lines) }
        if let forwarded { forwarded.write(request, head, bytes, into: &output) }
        if !changes.isEmpty { changes.write(into: &output, value) }
        if let upgrade = request.upgrade {
            output.append("Connection: upgrade\r\nUpgrade: ")
            output.append(bytes, upgrade)
            output.append("\r\n")
        }
        switch request.body {
        case .length(let length): writeLength(length, &output)
        case .chunked: output.append("Transfer-Encoding: chunked\r\n")
        case .none:
            // Without it, a server may think that we have forgotten the body (RFC 9110 §8.6).
            if head.fields.contains(where: { $0.known == .contentLength }) { writeLength(0, &output) }
        case .untilClose: break
        }
        output.append("\r\n")
    }

    /// Whether something of ours stands in a field's place, or nothing.
    private func leaveOut(_ field: HeadReader.Field, _ bytes: Span<UInt8>) -> Bool {
        forwarded?.replace(field, bytes) == true || changes.omitted.contain(field.name, bytes)
    }

    private func writeTarget(_ request: RequestMessage, _ bytes: Span<UInt8>, _ form: Form, _ output: inout [UInt8]) {
        guard request.target.form == .origin || request.target.form == .absolute else {
            return output.append(bytes, request.targetPlace)
        }
        if case .absolute = form {
            output.append("http://")
            output.append(bytes, request.authority)
        }
        let path = request.target.path
        if path.isEmpty {
            // The last proxy asks for the server itself (RFC 9112 §3.2.4).
            if case .origin = form { output.append(request.method == .options ? UInt8(ascii: "*") : UInt8(ascii: "/")) }
        } else {
            if bytes[path.lowerBound] != UInt8(ascii: "/") { output.append(UInt8(ascii: "/")) }
            output.append(bytes, path)
        }
    }

    /// - Parameters:
    ///   - body: how the client gets the body: for one of HTTP/1.0, chunks are taken apart.
    ///   - keepsAlive: the client may go on asking over this connection.
    ///   - value: as for a request.
    public func write(
        _ response: ResponseMessage, _ head: HeadReader, _ bytes: Span<UInt8>, body: MessageBody, keepsAlive: Bool,
        into output: inout [UInt8], _ value: (FieldTemplate.Placeholder) -> String = { _ in "" }
    ) {
        output.append("HTTP/1.1 ")
        output.append(decimal: UInt64(response.status))
        output.append(0x20)
        output.append(bytes, response.reason)
        output.append("\r\n")
        let isChanged = !response.isInterim && !changes.isEmpty
        for field in head.fields where field.known != .contentLength {
            if isChanged, changes.omitted.contain(field.name, bytes) { continue }
            write(field, response.options, bytes, &output)
        }
        writeVia(isVersion10: response.isVersion10, &output)
        if isChanged { changes.write(into: &output, value) }
        if let upgrade = response.upgrade {
            output.append("Connection: upgrade\r\nUpgrade: ")
            output.append(bytes, upgrade)
            output.append("\r\n")
        } else if !keepsAlive, !response.isInterim {
            output.append("Connection: close\r\n")
        }
        switch body {
        case .length(let length): writeLength(length, &output)
        case .chunked: output.append("Transfer-Encoding: chunked\r\n")
        case .none:
            if let length = response.statedLength { writeLength(length, &output) }
        case .untilClose: break
        }
        output.append("\r\n")
    }

    private func write(_ field: HeadReader.Field, _ options: ConnectionOptions, _ bytes: Span<UInt8>, _ output: inout [UInt8]) {
        guard !options.end(field, bytes) else { return }
        let line = field.name.lowerBound..<field.value.upperBound + 2
        // What stands there as we write it is written at once.
        if field.value.lowerBound == field.name.upperBound + 2, line.upperBound <= bytes.count,
            bytes[field.name.upperBound + 1] == 0x20, bytes[field.value.upperBound] == 0x0D,
            bytes[field.value.upperBound + 1] == 0x0A
        {
            return output.append(bytes, line)
        }
        output.append(bytes, field.name)
        output.append(": ")
        output.append(bytes, field.value)
        output.append("\r\n")
    }

    private func writeVia(isVersion10: Bool, _ output: inout [UInt8]) {
        guard let via else { return }
        output.append(isVersion10 ? "Via: 1.0 " : "Via: 1.1 ")
        output.append(contentsOf: via)
        output.append("\r\n")
    }

    private func writeLength(_ length: UInt64, _ output: inout [UInt8]) {
        output.append("Content-Length: ")
        output.append(decimal: length)
        output.append("\r\n")
    }
}
