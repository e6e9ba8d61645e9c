/// The server's side of HTTP CONNECT (RFC 9110 §9.3.6), read as strictly as RFC 9112 allows: whatever two readers could take for two
/// things is refused, and every refusal ends the connection (RFC 9931), with what may be smuggled behind it.
///
/// Where credentials are wanted, they come before the answer to any request that is well formed. Then:
///
/// - CONNECT is a request.
/// - Any other method for an `http://` target is ``ServingFault/plainRequest``, 501: nothing but tunnels is served.
/// - A URL of another scheme, and `OPTIONS *`: 501.
/// - A target that begins with `/` takes us for a web server: 400, as for every other that is no URL.
public struct ConnectServer: ServingHandshake {
    /// Bytes of a request that are read, request line, fields and the empty line together.
    public static let longestHead = HeadReader.longestHead
    /// Bytes of the request line; RFC 9112 §3 asks for 8,000 at least.
    public static let longestRequestLine = HeadReader.longestStartLine
    /// Bytes of one field.
    public static let longestField = HeadReader.longestField
    public static let mostFields = HeadReader.mostFields

    /// The longest field with its line end: lines are taken one by one.
    public static let longestPart = longestField + 2

    private enum State {
        case requestLine
        case fields(RequestHead)
        /// - Parameter end: what follows once the credentials are accepted.
        case verdict(end: ServingStep)
        case over
    }

    private let realm: String?
    private let proxy: String?
    private var lines = HTTPLines()
    private var state = State.requestLine
    /// What it asks for has no body (RFC 9110 §9.3.2), and neither has an answer that it does not get it.
    private var isHead = false

    /// - Parameters:
    ///   - realm: what credentials are wanted for; nil: none are, and if they are shown they are ignored.
    ///   - proxy: our name for Proxy-Status (RFC 9209) in every answer; nil: without it.
    public init(realm: String?, proxy: String? = nil) {
        self.realm = realm
        self.proxy = proxy
    }

    public mutating func advance(_ bytes: Span<UInt8>) -> (length: Int, step: ServingStep) {
        let start = lines.taken
        do throws(HTTPFault) {
            while let step = try step(bytes.extracting((lines.taken - start)..<bytes.count)) {
                guard step == .needsMore else { return (lines.taken - start, step) }
            }
            return (lines.taken - start, .needsMore)
        } catch {
            return (lines.taken - start, reject(error))
        }
    }

    public mutating func judge(accepted: Bool) -> ServingStep {
        guard case .verdict(let end) = state, accepted else { return reject(unauthorized("user name or password refused")) }
        state = .over
        return end
    }

    public func answer(_ outcome: ServingOutcome) -> [UInt8] {
        HTTPAnswer(outcome)?.bytes(proxy: proxy) ?? HTTPAnswer.granted(proxy: proxy)
    }

    public var lateAnswer: [UInt8] { HTTPAnswer.requestTimeout.bytes(proxy: proxy, isHead: isHead) }

    /// Takes one line.
    ///
    /// - Returns: nil when none is there, or a verdict is due; `needsMore` when there may be another.
    private mutating func step(_ bytes: Span<UInt8>) throws(HTTPFault) -> ServingStep? {
        switch state {
        case .requestLine:
            guard bytes.count > 0 else { return nil }
            if lines.taken == 0 { try checkFirst(bytes[0]) }
            let isFirst = lines.taken == 0
            guard let line = try lines.next(bytes, longest: Self.longestRequestLine, tooLong: .targetTooLong) else { return nil }
            // One empty line may come before the request (RFC 9112 §2.2).
            guard !(isFirst && line.isEmpty) else { return .needsMore }
            let head = try RequestHead(requestLine: line.map { bytes[$0] })
            isHead = head.method.elementsEqual("HEAD".utf8)
            state = .fields(head)
            return .needsMore
        case .fields(var head):
            guard let line = try lines.next(bytes, longest: Self.longestField, tooLong: .fieldsTooLarge) else { return nil }
            guard line.isEmpty else {
                try head.take(field: line.map { bytes[$0] })
                state = .fields(head)
                return .needsMore
            }
            return try authorized(head, try end(head))
        case .verdict: return nil
        case .over: throw HTTPFault(silently: .invalid("the handshake is over"))
        }
    }

    /// A method begins with an octet of a token, an empty line before it with a carriage return. Other text is answered at once; what
    /// begins with a control character is another protocol's, and understands no answer.
    private func checkFirst(_ byte: UInt8) throws(HTTPFault) {
        guard !isTokenOctet(byte), byte != 0x0D, byte != 0x0A else { return }
        let foreign = ServingFault.foreign(ServedProtocol.guess(byte))
        guard isLineOctet(byte) else { throw HTTPFault(silently: foreign) }
        throw HTTPFault(.badRequest("no request line of HTTP"), foreign)
    }

    /// What a whole head asks for, by whomever.
    private func end(_ head: RequestHead) throws(HTTPFault) -> ServingStep {
        try head.checkHost()
        guard head.method.elementsEqual("CONNECT".utf8) else { return rejection(Self.fault(method: head)) }
        // A body has no meaning here, and whoever sees one where we see a tunnel can be made to see a request in it.
        guard !head.hasTransferEncoding, head.contentLengths.isEmpty || head.contentLengths == [[UInt8(ascii: "0")]] else {
            throw HTTPFault(badRequest: "a CONNECT request with a body")
        }
        guard let target = connectTarget(head.target) else {
            throw HTTPFault(badRequest: "a CONNECT to something that is not HOST:PORT")
        }
        return .request(ServedRequest(.connect, target))
    }

    private static func fault(method head: RequestHead) -> HTTPFault {
        if lowercased(head.target.prefix(7)).elementsEqual("http://".utf8), head.target.count > 7 {
            let what: StaticString = "This proxy makes tunnels (CONNECT), and does not forward plain HTTP requests."
            return HTTPFault(.notImplemented(what), .plainRequest)
        }
        if head.target.first == UInt8(ascii: "/") { return HTTPFault(badRequest: "a request for a web server, which this is not") }
        let isOfServer = head.method.elementsEqual("OPTIONS".utf8) && head.target.elementsEqual("*".utf8)
        guard isOfServer || isOfOtherScheme(head.target) else {
            return HTTPFault(badRequest: "a request target that is no whole URL")
        }
        return HTTPFault(.notImplemented("This proxy makes tunnels (CONNECT), and nothing else."))
    }

    /// `scheme://something`, and not of http.
    private static func isOfOtherScheme(_ target: [UInt8]) -> Bool {
        guard let colon = target.firstIndex(of: UInt8(ascii: ":")), foldedOctet(target[0]) &- 0x61 < 26 else { return false }
        let scheme = lowercased(target[..<colon])
        return !scheme.elementsEqual("http".utf8) && target.count > colon + 3 && target[(colon + 1)...].starts(with: "//".utf8)
            && scheme.allSatisfy { $0 &- 0x61 < 26 || isDigitOctet($0) || "+-.".utf8.contains($0) }
    }

    private mutating func authorized(_ head: RequestHead, _ end: ServingStep) throws(HTTPFault) -> ServingStep {
        guard realm != nil else {
            state = .over
            return end
        }
        guard let value = head.authorizations.first else { throw unauthorized("no Proxy-Authorization") }
        guard head.authorizations.count == 1, let credentials = ServedCredentials(authorization: value[...]) else {
            throw unauthorized("a Proxy-Authorization that is not Basic")
        }
        state = .verdict(end: end)
        return .authenticate(credentials)
    }

    private func unauthorized(_ why: String) -> HTTPFault {
        HTTPFault(.authenticationRequired(realm: realm ?? ""), .credentials(why))
    }

    private mutating func reject(_ fault: HTTPFault) -> ServingStep {
        state = .over
        return rejection(fault)
    }

    private func rejection(_ fault: HTTPFault) -> ServingStep {
        .reject(answer: fault.answer?.bytes(proxy: proxy, isHead: isHead) ?? [], fault.fault)
    }
}
