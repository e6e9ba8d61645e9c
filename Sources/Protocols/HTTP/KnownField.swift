/// The fields that a proxy must know, for they decide how a message is framed, where it goes, or how far (RFC 9110 §7.6.1).
public enum KnownField: UInt8, Sendable {
    case other
    case authorization, cdnLoop, connection, contentLength, contentType, cookie, expect, forwarded, host, keepAlive, maxForwards,
        proxy
    case proxyAuthenticate, proxyAuthenticationInfo, proxyAuthorization, proxyConnection, range, setCookie, te, trailer
    case transferEncoding, upgrade, via, wwwAuthenticate, xForwardedFor, xForwardedHost, xForwardedProto

    /// Ends at the next hop, whether `Connection` names it or not.
    var isOfConnection: Bool {
        switch self {
        case .connection, .keepAlive, .proxyConnection, .te, .transferEncoding, .upgrade: true
        default: false
        }
    }

    /// `Connection` cannot have it removed: framing and routing are written anew, and without the others a message would mean something
    /// else to whoever gets it.
    var isFixed: Bool {
        switch self {
        case .authorization, .cdnLoop, .contentLength, .contentType, .cookie, .forwarded, .host, .setCookie, .via,
            .xForwardedFor, .xForwardedHost, .xForwardedProto:
            true
        default: false
        }
    }

    /// Has no business behind a body (RFC 9110 §6.5.1): framing, routing, authentication, and what a body is.
    var isForbiddenInTrailers: Bool { self != .other }

    /// Others that have none: what changes a request or a response, or says how its content is to be understood.
    static let othersForbiddenInTrailers = FieldNames([
        "Age", "Cache-Control", "Content-Encoding", "Content-Language", "Content-Location", "Content-Range", "Date", "Expires",
        "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Location", "Pragma", "Retry-After",
        "Vary", "Warning",
    ])

    /// Nobody can have it changed: where a message goes, how it is framed, who may pass it on, and what lasts for one hop only.
    public var isOurs: Bool {
        switch self {
        case .cdnLoop, .connection, .contentLength, .expect, .host, .keepAlive, .maxForwards, .proxy, .proxyAuthenticate,
            .proxyAuthenticationInfo, .proxyAuthorization, .proxyConnection, .te, .trailer, .transferEncoding, .upgrade, .via:
            true
        default: false
        }
    }

    /// - Parameter name: with any sign for `-` as well, since some read it so.
    public init(name: String) {
        let bytes = name.utf8.map(foldedNameOctet)
        self.init(bytes.span, 0..<bytes.count)
    }

    init(_ bytes: Span<UInt8>, _ place: Range<Int>) {
        // By their length first: most fields are none of these.
        let candidates: (StaticString, KnownField, StaticString?, KnownField)
        switch place.count {
        case 2: candidates = ("te", .te, nil, .other)
        case 3: candidates = ("via", .via, nil, .other)
        case 4: candidates = ("host", .host, nil, .other)
        case 5: candidates = ("proxy", .proxy, "range", .range)
        case 6: candidates = ("cookie", .cookie, "expect", .expect)
        case 7: candidates = ("upgrade", .upgrade, "trailer", .trailer)
        case 8: candidates = ("cdn-loop", .cdnLoop, nil, .other)
        case 9: candidates = ("forwarded", .forwarded, nil, .other)
        case 10:
            candidates =
                bytes[place.lowerBound] | 0x20 == 0x6B
                ? ("keep-alive", .keepAlive, nil, .other) : ("connection", .connection, "set-cookie", .setCookie)
        case 12: candidates = ("content-type", .contentType, "max-forwards", .maxForwards)
        case 13: candidates = ("authorization", .authorization, nil, .other)
        case 14: candidates = ("content-length", .contentLength, nil, .other)
        case 15: candidates = ("x-forwarded-for", .xForwardedFor, nil, .other)
        case 16:
            candidates =
                bytes[place.lowerBound] | 0x20 == 0x78
                ? ("x-forwarded-host", .xForwardedHost, nil, .other)
                : ("proxy-connection", .proxyConnection, "www-authenticate", .wwwAuthenticate)
        case 17: candidates = ("transfer-encoding", .transferEncoding, "x-forwarded-proto", .xForwardedProto)
        case 18: candidates = ("proxy-authenticate", .proxyAuthenticate, nil, .other)
        case 19: candidates = ("proxy-authorization", .proxyAuthorization, nil, .other)
        case 25: candidates = ("proxy-authentication-info", .proxyAuthenticationInfo, nil, .other)
        default:
            self = .other
            return
        }
        if bytes.isText(place, candidates.0) {
            self = candidates.1
        } else if let second = candidates.2, bytes.isText(place, second) {
            self = candidates.3
        } else {
            self = .other
        }
    }
}
