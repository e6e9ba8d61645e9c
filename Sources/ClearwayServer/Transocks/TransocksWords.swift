internal import DataPlane
internal import Protocols
internal import SystemPackage
internal import TransparentSockets

// Failures in the words that transocks had for them, by which people search its logs.

extension SessionRecord {
    /// The field `error` of a session that did not reach its destination.
    var transocksFailure: String {
        // The upstream bears its URL as a name.
        let parts = (upstream ?? "").split(separator: "://", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return goText(cause, "") ?? ending.rawValue }
        let text = goText(cause, parts[1]) ?? goText(ending)
        if parts[0] == "socks5" { return "socks connect tcp \(parts[1])->\(destination.map(\.description) ?? ""): \(text)" }
        switch cause {
        case .refusal: return text
        case .call(let error) where error.call.hasPrefix("connect"): return text
        default: return "reset proxy connection: \(text)"
        }
    }
}

private func goText(_ ending: Ending) -> String {
    switch ending {
    case .upstreamTimeout: "i/o timeout"
    case .clientGone: "the client left"
    case .proxyDrain: "shutting down"
    default: ending.rawValue
    }
}

private func goText(_ cause: FailureCause?, _ proxy: String) -> String? {
    switch cause {
    case .call(let error): error.call.hasPrefix("connect") ? "dial tcp \(proxy): \(goText(error))" : goText(error)
    case .refusal(let refusal): goText(refusal)
    case .ended: "EOF"
    case .other(let text), .denied(let text): text
    case nil: nil
    }
}

private func goText(_ refusal: ProxyRefusal) -> String {
    switch refusal {
    case .socks5(let code): "unknown error \(replies[code] ?? "unknown code: \(code)")"
    case .socks4(let code): "unknown error unknown code: \(code)"
    case .http(let status): "proxy returns \(status)\(reasons[status].map { " \($0)" } ?? "")"
    case .noAcceptableMethod: "no acceptable authentication methods"
    case .credentials: "username/password authentication failed"
    }
}

private let replies: [UInt8: String] = [
    1: "general SOCKS server failure", 2: "connection not allowed by ruleset", 3: "network unreachable", 4: "host unreachable",
    5: "connection refused", 6: "TTL expired", 7: "command not supported", 8: "address type not supported",
]

/// The phrases of RFC 9110, whatever the proxy itself writes.
private let reasons: [Int: String] = [
    301: "Moved Permanently", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 407: "Proxy Authentication Required", 408: "Request Timeout", 429: "Too Many Requests",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
]
