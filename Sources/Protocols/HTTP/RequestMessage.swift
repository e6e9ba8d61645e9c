/// What the head of a request comes down to (RFC 9112 §3, §6; RFC 9110 §7.6). Everything else in it is passed on as it is.
///
/// Like the reader's, its places are those of the bytes that the head was read from.
public struct RequestMessage: Sendable {
    public let method: RequestMethod
    public let methodPlace: Range<Int>
    public let targetPlace: Range<Int>
    public let target: RequestTarget
    /// HTTP/1.0. Higher minor versions than 1 are 1.1 to us (RFC 9110 §2.5).
    public let isVersion10: Bool
    /// Whom the request names: the target's authority, or else the Host field. A claim; empty where there is none.
    public let authority: Range<Int>
    public let body: MessageBody
    /// The client means to ask again over this connection.
    public let keepsAlive: Bool
    /// It would rather speak another protocol (RFC 9110 §7.8).
    public let upgrade: Range<Int>?
    /// It waits for a response with 100 before it sends the body.
    public let expectsContinue: Bool
    /// How many proxies more it may pass, where it says so and that counts: with OPTIONS and TRACE.
    public let maxForwards: UInt64?
    let options: ConnectionOptions
    /// It wants so many parts that it gets the whole: a server may see to each (RFC 9110 §14.2, §17.15).
    let wantsTooManyParts: Bool
    /// It has come through so many proxies that it goes in circles, through whomever.
    public let goesInCircles: Bool

    static let mostParts = 16
    /// Members of Via: the longest chains that are meant have a few.
    static let mostInVia = 100

    /// What Connection names: neither fields nor trailers of these names go further (RFC 9110 §7.6.1).
    public func connectionFields(_ bytes: Span<UInt8>) -> FieldNames { options.fieldNames(bytes) }

    public init(_ head: borrowing HeadReader, _ bytes: Span<UInt8>) throws(MessageFault) {
        let (methodPlace, targetPlace, isVersion10) = try Self.startLine(head.startLine, bytes)
        self.methodPlace = methodPlace
        self.targetPlace = targetPlace
        self.isVersion10 = isVersion10
        method = RequestMethod(methodPlace, bytes)
        target = try RequestTarget(targetPlace, of: method, bytes)

        var framing = MessageBody.Framing()
        var options = ConnectionOptions()
        var hosts = 0
        var host = 0..<0
        var upgrade: Range<Int>?
        var expects = false
        var maxForwards: UInt64?
        var (parts, proxies) = (0, 0)
        for field in head.fields where field.known != .other {
            switch field.known {
            case .contentLength, .transferEncoding: framing.take(field, bytes)
            case .connection, .proxyConnection: options.take(field.value, bytes)
            case .host:
                hosts += 1
                host = field.value
            case .upgrade:
                guard upgrade == nil else { throw .badRequest("several Upgrade fields") }
                upgrade = field.value
            case .expect:
                guard bytes.isText(field.value, "100-continue") else { throw MessageFault(417, "an expectation that nobody knows") }
                expects = true
            case .maxForwards where method == .options || method == .trace:
                guard maxForwards == nil, let number = decimal(field.value, bytes) else {
                    throw .badRequest("no Max-Forwards that counts")
                }
                maxForwards = number
            case .range: forEachElement(field.value, bytes) { _ in parts += 1 }
            case .via: forEachElement(field.value, bytes) { _ in proxies += 1 }
            default: break
            }
        }
        guard !options.areTooMany else { throw .badRequest("a Connection field of too many options") }
        guard hosts == 1 || hosts == 0 && isVersion10 else { throw .badRequest("no Host field, or several") }
        guard host.isEmpty || isAuthority(host, bytes) else { throw .badRequest("a Host field that names no host") }
        if target.form == .absolute {
            guard isAuthority(target.authority, bytes) else { throw .badRequest("a request target that names no host") }
        } else if target.form == .authority {
            guard connectTarget(bytes.octets(target.authority)) != nil else {
                throw .badRequest("a CONNECT to something that is not HOST:PORT")
            }
        }
        authority = target.form == .absolute || target.form == .authority ? target.authority : host
        body = try Self.body(framing, isVersion10: isVersion10)
        // With a client of HTTP/1.0 no proxy may (RFC 9112 §9.3): another one in between may not know what it passes on.
        keepsAlive = !isVersion10 && !options.closes
        // HTTP/1.0 knows neither (RFC 9110 §7.8, §10.1.1).
        var changesVersion = false
        if let upgrade { forEachElement(upgrade, bytes) { if bytes.isText($0, "h2c") { changesVersion = true } } }
        // In HTTP/2, requests would follow that nobody judges; nobody needs it (RFC 9113 §3.1), and it may be passed over.
        self.upgrade = options.upgrades && !isVersion10 && !changesVersion ? upgrade : nil
        expectsContinue = expects && !isVersion10 && body != .none
        self.maxForwards = maxForwards
        self.options = options
        wantsTooManyParts = parts > Self.mostParts
        goesInCircles = proxies > Self.mostInVia
    }

    /// Reads `METHOD TARGET HTTP/1.x`, with single spaces.
    private static func startLine(
        _ line: Range<Int>, _ bytes: Span<UInt8>
    ) throws(MessageFault) -> (method: Range<Int>, target: Range<Int>, isVersion10: Bool) {
        var end = line.lowerBound
        while end < line.upperBound, isTokenOctet(bytes[end]) { end += 1 }
        guard end > line.lowerBound, end < line.upperBound, bytes[end] == 0x20 else { throw .badRequest("no request line of HTTP") }
        let method = line.lowerBound..<end
        var last = line.upperBound
        while last > end + 1, bytes[last - 1] != 0x20 { last -= 1 }
        guard last - 1 > end + 1 else { throw .badRequest("no request line of HTTP") }
        let target = end + 1..<last - 1
        guard let minor = try httpVersion(last..<line.upperBound, bytes) else {
            throw .badRequest("no HTTP version at the end of the request line")
        }
        return (method, target, minor == 0)
    }

    private static func body(_ framing: MessageBody.Framing, isVersion10: Bool) throws(MessageFault) -> MessageBody {
        guard framing.hasTransferEncoding else {
            guard !framing.isInvalid, !framing.isRepeated else { throw .badRequest("a Content-Length that is not one number") }
            return framing.length.map { $0 == 0 ? .none : .length($0) } ?? .none
        }
        guard framing.length == nil, !framing.isInvalid else { throw .badRequest("both Transfer-Encoding and Content-Length") }
        guard !isVersion10 else { throw .badRequest("a Transfer-Encoding in HTTP/1.0") }
        guard !framing.isMisplaced, framing.isChunked || framing.endsChunked else {
            throw .badRequest("a Transfer-Encoding that does not end with chunked")
        }
        guard framing.isChunked else { throw MessageFault(501, "a Transfer-Encoding beside chunked") }
        return .chunked
    }
}

/// Reads `HTTP/1.x`.
///
/// - Returns: the minor version; nil: it is no version.
func httpVersion(_ place: Range<Int>, _ bytes: Span<UInt8>) throws(MessageFault) -> UInt8? {
    let start = place.lowerBound
    guard place.count == 8, bytes[start] == UInt8(ascii: "H"), bytes[start + 1] == UInt8(ascii: "T"),
        bytes[start + 2] == UInt8(ascii: "T"), bytes[start + 3] == UInt8(ascii: "P"), bytes[start + 4] == UInt8(ascii: "/"),
        isDigitOctet(bytes[start + 5]), bytes[start + 6] == UInt8(ascii: "."), isDigitOctet(bytes[start + 7])
    else { return nil }
    guard bytes[start + 5] == UInt8(ascii: "1") else { throw MessageFault(505, "an HTTP version other than 1.x") }
    return bytes[start + 7] &- 0x30
}

private func decimal(_ place: Range<Int>, _ bytes: Span<UInt8>) -> UInt64? {
    guard (1...9).contains(place.count) else { return nil }
    var number: UInt64 = 0
    for offset in place {
        guard isDigitOctet(bytes[offset]) else { return nil }
        number = number * 10 + UInt64(bytes[offset] &- 0x30)
    }
    return number
}
