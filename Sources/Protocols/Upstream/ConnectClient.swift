internal import TransparentSockets

/// The client's side of HTTP CONNECT (RFC 9110 §9.3.6).
public enum ConnectClient {
    /// Bytes of a proxy's answer that are read, status line and fields together.
    public static let longestAnswer = 16_384

    /// - Parameter agent: what the request says we are; nil: nothing.
    public static func request(
        _ target: ProxyTarget, _ credentials: ProxyCredentials? = nil, agent: String? = nil
    ) -> [UInt8] {
        let host =
            switch target.host {
            case .address(.v4(let v4)): v4.description
            case .address(.v6(let v6)): "[\(v6)]"
            case .name(let name): name
            }
        let authority = "\(host):\(target.port)"
        let agent = agent.map { "User-Agent: \($0)\r\n" } ?? ""
        return Array("CONNECT \(authority) HTTP/1.1\r\nHost: \(authority)\r\n\(agent)\(authorization(credentials))\r\n".utf8)
    }

    /// Asks the proxy about itself (RFC 9110 §9.3.7). No host is named (RFC 9112 §3.2): there are proxies that would connect there,
    /// were it themselves, and have to see through that before they answer, or cannot: where TLS is expected, for one.
    static func options(_ credentials: ProxyCredentials?) -> [UInt8] {
        Array("OPTIONS * HTTP/1.1\r\nHost:\r\n\(authorization(credentials))Connection: close\r\n\r\n".utf8)
    }

    /// The line that shows who we are; empty: nobody in particular.
    public static func authorization(_ credentials: ProxyCredentials?) -> String {
        guard let credentials else { return "" }
        return "Proxy-Authorization: Basic \(base64(Array("\(credentials.user):\(credentials.password)".utf8)))\r\n"
    }

    /// Interim answers (1xx) that may come before the answer.
    static let mostInterim = 16

    /// Reads the answer up to the empty line that ends it; any 2xx grants. A refusal is understood from its status line.
    public static func answer(_ bytes: Span<UInt8>) -> ProxyAnswer {
        var start = 0
        for _ in 0...mostInterim {
            switch head(bytes.extracting(start..<bytes.count)) {
            case .interim(let length): start += length
            case .answer(.granted(let length)): return .granted(length: start + length)
            case .answer(.needsMore) where bytes.count >= longestAnswer:
                return .invalid("the HTTP proxy's answer is longer than \(longestAnswer) bytes")
            case .answer(let answer): return answer
            }
        }
        return .invalid("the HTTP proxy sends one interim answer after the other")
    }

    private enum Head {
        case answer(ProxyAnswer)
        case interim(length: Int)
    }

    private static func head(_ bytes: Span<UInt8>) -> Head {
        let expected: StaticString = "HTTP/1."
        for index in 0..<min(bytes.count, 7) where bytes[index] != expected.utf8Start[index] {
            return .answer(.invalid("no HTTP proxy: its answer does not begin with HTTP/1"))
        }
        // HTTP/1.x NNN
        guard bytes.count >= 12 else { return .answer(.needsMore) }
        guard bytes[8] == 0x20, let status = digits(bytes, 9..<12), status >= 100 else {
            return .answer(.invalid("no status in the HTTP proxy's answer"))
        }
        guard status < 300 else { return .answer(.refused(.http(status))) }
        guard let end = endOfHead(bytes, from: 12) else { return .answer(.needsMore) }
        return status < 200 ? .interim(length: end) : .answer(.granted(length: end))
    }

    /// The place behind the first empty line.
    private static func endOfHead(_ bytes: Span<UInt8>, from start: Int) -> Int? {
        var lineStart = start
        for index in start..<bytes.count where bytes[index] == 0x0A {
            let length = index - lineStart
            if lineStart > start, length == 0 || length == 1 && bytes[lineStart] == 0x0D { return index + 1 }
            lineStart = index + 1
        }
        return nil
    }

    private static func digits(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int? {
        var value = 0
        for index in range {
            guard bytes[index] &- 0x30 < 10 else { return nil }
            value = value * 10 + Int(bytes[index] - 0x30)
        }
        return value
    }
}

/// RFC 4648 §4, with padding.
func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
        for place in 0..<4 { text.append(place <= group.count ? alphabet[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "=")) }
    }
    return String(decoding: text, as: UTF8.self)
}
