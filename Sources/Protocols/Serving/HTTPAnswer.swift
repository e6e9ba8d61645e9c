/// What a proxy says to an HTTP client on its own behalf: status, and a page of plain text for whoever reads it. No octet of the
/// request comes back in it.
public struct HTTPAnswer: Hashable, Sendable {
    /// Code and phrase: `400 Bad Request`.
    public let status: String
    /// ... without the words.
    public var code: Int { Int(status.prefix(3)) ?? 500 }
    private let page: String
    /// The field that belongs to this status, without its line end.
    private var field: String?
    /// The error type of RFC 9209 §2.3, where one fits.
    private var error: String?

    private init(_ status: String, _ page: String, field: String? = nil, error: String? = nil) {
        self.status = status
        self.page = page
        self.field = field
        self.error = error
    }

    /// The answer whole, after which the connection is to be closed.
    ///
    /// - Parameters:
    ///   - proxy: our name, for a Proxy-Status field (RFC 9209); nil: without one.
    ///   - isHead: only its head is wanted (RFC 9110 §9.3.2).
    public func bytes(proxy: String? = nil, isHead: Bool = false) -> [UInt8] {
        var lines = [
            "HTTP/1.1 \(status)", "Content-Type: text/plain; charset=utf-8", "Content-Length: \(body.utf8.count)",
            "Connection: close",
        ]
        if let field { lines.append(field) }
        if let proxy { lines.append("Proxy-Status: \(quoted(proxy))\(error.map { "; error=\($0)" } ?? "")") }
        return Array("\(lines.joined(separator: "\r\n"))\r\n\r\n\(isHead ? "" : body)".utf8)
    }

    /// Of what ``bytes(proxy:isHead:)`` gives, unless only the head is wanted.
    public var bodyLength: Int { body.utf8.count }

    private var body: String { "\(status)\n\n\(page)\n" }

    /// A page of ours, after which the connection is to be closed.
    ///
    /// - Parameter isHead: only its head is wanted (RFC 9110 §9.3.2).
    public static func page(_ body: [UInt8], type: String, isHead: Bool) -> [UInt8] {
        let head = [
            "HTTP/1.1 200 OK", "Content-Type: \(type)", "Content-Length: \(body.count)", "Connection: close",
        ]
        return Array("\(head.joined(separator: "\r\n"))\r\n\r\n".utf8) + (isHead ? [] : body)
    }

    /// What grants a CONNECT. It has no length and no coding (RFC 9110 §9.3.6): what follows is the tunnel's.
    public static func granted(proxy: String? = nil) -> [UInt8] {
        Array("HTTP/1.1 200 Connection established\r\n\(proxy.map { "Proxy-Status: \(quoted($0))\r\n" } ?? "")\r\n".utf8)
    }

    /// - Parameter why: what it is that stands there: `a control character`.
    public static func badRequest(_ why: StaticString) -> HTTPAnswer {
        HTTPAnswer("400 Bad Request", "Not a request that this proxy takes: \(why).", error: "http_request_error")
    }

    public static let forbidden = HTTPAnswer(
        "403 Forbidden", "This proxy's rules do not allow a connection to there.", error: "http_request_denied")

    public static let methodNotAllowed = HTTPAnswer("405 Method Not Allowed", "This page can be read.", field: "Allow: GET, HEAD")

    /// - Parameter realm: what the client is told that its credentials are for (RFC 7617 §2).
    public static func authenticationRequired(realm: String) -> HTTPAnswer {
        HTTPAnswer(
            "407 Proxy Authentication Required", "This proxy wants a user name and a password.",
            field: "Proxy-Authenticate: Basic realm=\(quoted(realm))", error: "http_request_error")
    }

    public static let requestTimeout = HTTPAnswer(
        "408 Request Timeout", "The request took too long to come.", error: "http_request_error")

    public static let targetTooLong = HTTPAnswer(
        "414 URI Too Long", "The request line is longer than \(ConnectServer.longestRequestLine) bytes.",
        error: "http_request_error")

    public static let fieldsTooLarge = HTTPAnswer(
        "431 Request Header Fields Too Large",
        """
        More than \(ConnectServer.longestHead) bytes in all, \(ConnectServer.longestField) in one line, or \
        \(ConnectServer.mostFields) fields.
        """, error: "http_request_error")

    /// - Parameter what: a sentence.
    public static func notImplemented(_ what: StaticString) -> HTTPAnswer { HTTPAnswer("501 Not Implemented", "\(what)") }

    public static let versionNotSupported = HTTPAnswer("505 HTTP Version Not Supported", "This proxy speaks HTTP/1.1.")

    /// How a CONNECT fared; nil: it succeeded, which ``granted(proxy:)`` says.
    public init?(_ outcome: ServingOutcome) {
        switch outcome {
        case .succeeded: return nil
        case .refused: self.init("502 Bad Gateway", "The destination refused the connection.", error: "connection_refused")
        case .networkUnreachable, .hostUnreachable, .ttlExpired:
            self.init("502 Bad Gateway", "The destination cannot be reached.", error: "destination_ip_unroutable")
        case .nameUnresolved: self.init("502 Bad Gateway", "The destination's name has no address.", error: "dns_error")
        case .generalFailure:
            self.init("502 Bad Gateway", "The connection to the destination failed.", error: "destination_unavailable")
        case .timedOut: self.init("504 Gateway Timeout", "The destination does not answer.", error: "connection_timeout")
        case .forbidden: self = .forbidden
        case .overloaded(let seconds):
            self.init(
                "503 Service Unavailable", "This proxy has no room for another connection now.",
                field: "Retry-After: \(max(seconds, 0))",
                error: "connection_limit_reached")
        case .commandNotSupported, .addressTypeNotSupported: self = .notImplemented("The upstream does not know such a request.")
        }
    }
}

/// A quoted string, of what may stand in those of RFC 9110 §5.6.4 and of RFC 8941 §3.3.3: other characters are left out.
private func quoted(_ text: String) -> String {
    let octets = text.utf8.filter { (0x20...0x7E).contains($0) }.flatMap { octet in
        octet == UInt8(ascii: "\"") || octet == UInt8(ascii: "\\") ? [UInt8(ascii: "\\"), octet] : [octet]
    }
    return "\"\(String(decoding: octets, as: UTF8.self))\""
}
