/// What the head of a response comes down to (RFC 9112 §4, §6). Everything else in it is passed on as it is.
public struct ResponseMessage: Sendable {
    /// 100…599.
    public let status: Int
    /// Behind the status; may be empty.
    public let reason: Range<Int>
    public let isVersion10: Bool
    public let body: MessageBody
    /// What a body would be long, where there is none by its nature: the answer to HEAD, and 304.
    let statedLength: UInt64?
    /// The upstream will answer further requests over this connection.
    public let keepsAlive: Bool
    /// The protocol that it changes to, of a response with 101.
    public let upgrade: Range<Int>?
    let options: ConnectionOptions

    /// What Connection names: neither fields nor trailers of these names go further (RFC 9110 §7.6.1).
    public func connectionFields(_ bytes: Span<UInt8>) -> FieldNames { options.fieldNames(bytes) }

    /// Others follow it (RFC 9110 §15.2).
    public var isInterim: Bool { 100..<200 ~= status && status != 101 }

    /// - Parameter method: what it answers.
    public init(_ head: borrowing HeadReader, _ bytes: Span<UInt8>, to method: RequestMethod) throws(MessageFault) {
        let (status, reason, isVersion10) = try Self.startLine(head.startLine, bytes)
        var framing = MessageBody.Framing()
        var options = ConnectionOptions()
        var upgrade: Range<Int>?
        for field in head.fields where field.known != .other {
            switch field.known {
            case .contentLength, .transferEncoding: framing.take(field, bytes)
            case .connection, .proxyConnection: options.take(field.value, bytes)
            case .upgrade: upgrade = upgrade ?? field.value
            default: break
            }
        }
        guard !options.areTooMany else { throw .badResponse("a Connection field of too many options") }
        guard !framing.isInvalid else { throw .badResponse("a Content-Length that is not one number") }
        guard !framing.hasTransferEncoding || framing.length == nil else {
            throw .badResponse("both Transfer-Encoding and Content-Length")
        }
        self.status = status
        self.reason = reason
        self.isVersion10 = isVersion10
        body = try Self.body(framing, status, isVersion10: isVersion10, to: method)
        // Behind an answer that opens a tunnel there is no body, whatever it states (RFC 9110 §9.3.6).
        let mayState = status >= 200 && status != 204 && (method != .connect || status >= 300)
        statedLength = body == .none && mayState ? framing.length : nil
        keepsAlive = body != .untilClose && !options.closes && (!isVersion10 || options.keepsAlive)
        self.upgrade = status == 101 && options.upgrades ? upgrade : nil
        self.options = options
    }

    /// Reads `HTTP/1.x STATUS REASON`. The space before an empty reason is often missing.
    private static func startLine(
        _ line: Range<Int>, _ bytes: Span<UInt8>
    ) throws(MessageFault) -> (status: Int, reason: Range<Int>, isVersion10: Bool) {
        let start = line.lowerBound
        guard line.count >= 12, let minor = try? httpVersion(start..<start + 8, bytes), bytes[start + 8] == 0x20 else {
            throw .badResponse("no status line of HTTP")
        }
        var status = 0
        for offset in start + 9..<start + 12 {
            guard isDigitOctet(bytes[offset]) else { throw .badResponse("no status line of HTTP") }
            status = status * 10 + Int(bytes[offset] &- 0x30)
        }
        guard 100..<600 ~= status else { throw .badResponse("a status that does not exist") }
        guard line.count > 12 else { return (status, line.upperBound..<line.upperBound, minor == 0) }
        guard bytes[start + 12] == 0x20 else { throw .badResponse("no status line of HTTP") }
        return (status, start + 13..<line.upperBound, minor == 0)
    }

    private static func body(
        _ framing: MessageBody.Framing, _ status: Int, isVersion10: Bool, to method: RequestMethod
    ) throws(MessageFault) -> MessageBody {
        if status < 200 || status == 204 {
            // Whoever believes the length waits for a body; whoever knows the status takes that body for the next response.
            // That it is 0 bytes long, both believe; servers say so, though they must not (RFC 9110 §8.6).
            guard framing.length ?? 0 == 0, !framing.hasTransferEncoding else {
                throw .badResponse("a response that has no body, and a length of one")
            }
            return .none
        }
        if status == 304 || method == .head || method == .connect && status < 300 { return .none }
        guard framing.hasTransferEncoding else { return framing.length.map { $0 == 0 ? .none : .length($0) } ?? .untilClose }
        guard !isVersion10 else { throw .badResponse("a Transfer-Encoding in HTTP/1.0") }
        guard framing.isChunked else { throw .badResponse("a Transfer-Encoding beside chunked") }
        return .chunked
    }
}
