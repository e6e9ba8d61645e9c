/// The target of a request (RFC 9112 §3.2), as places in its head.
public struct RequestTarget: Hashable, Sendable {
    public enum Form: Hashable, Sendable {
        /// `/path?query`
        case origin
        /// `http://host:port/path?query`
        case absolute
        /// `host:port`, of CONNECT
        case authority
        /// `*`, of OPTIONS
        case asterisk
    }

    public let form: Form
    /// Host and port, as they stand there. Of absolute and authority form; else empty.
    public let authority: Range<Int>
    /// Path and query; empty where there is none.
    public let path: Range<Int>

    init(_ target: Range<Int>, of method: RequestMethod, _ bytes: Span<UInt8>) throws(MessageFault) {
        for offset in target {
            let octet = bytes[offset]
            // A fragment is the client's own affair (RFC 9110 §7.1): whoever sends it may mean another resource than we see.
            guard 0x21...0x7E ~= octet, octet != UInt8(ascii: "#") else {
                throw .badRequest("a request target with characters that it cannot have")
            }
        }
        guard method != .connect else {
            form = .authority
            authority = target
            path = target.upperBound..<target.upperBound
            return
        }
        if bytes[target.lowerBound] == UInt8(ascii: "/") {
            form = .origin
            authority = target.lowerBound..<target.lowerBound
            path = target
        } else if target.count == 1, bytes[target.lowerBound] == UInt8(ascii: "*") {
            guard method == .options else { throw .badRequest("the target * without OPTIONS") }
            form = .asterisk
            authority = target.lowerBound..<target.lowerBound
            path = target
        } else {
            guard target.count > 7, bytes.isText(target.lowerBound..<target.lowerBound + 7, "http://") else {
                throw .badRequest("a request target that is neither a path nor a URL of http")
            }
            let start = target.lowerBound + 7
            var end = start
            while end < target.upperBound, bytes[end] != UInt8(ascii: "/"), bytes[end] != UInt8(ascii: "?") { end += 1 }
            form = .absolute
            authority = start..<end
            path = end..<target.upperBound
        }
    }
}

/// Whether these octets are a host that can be named, with a port or without (RFC 3986 §3.2): a name of letters, digits, `-` and `_` in
/// labels of 1 to 63 octets, 253 in all and perhaps a dot behind, which IPv4 addresses in any spelling are too, or an IPv6 address in
/// brackets. Whatever else a server may take for a name is none to our rules, which would not find it. Without user, and whatever else could mean one thing to us
/// and another to the next reader.
func isAuthority(_ place: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
    var end = place.lowerBound
    if end < place.upperBound, bytes[end] == UInt8(ascii: "[") {
        while end < place.upperBound, bytes[end] != UInt8(ascii: "]") { end += 1 }
        guard end < place.upperBound, ProxyTarget.Host(authority: bytes.octets(place.lowerBound..<end + 1)[...]) != nil else {
            return false
        }
        end += 1
    } else {
        while end < place.upperBound, isHostOctet(bytes[end]) { end += 1 }
        guard isName(place.lowerBound..<end, bytes) else { return false }
    }
    guard end < place.upperBound else { return true }
    guard bytes[end] == UInt8(ascii: ":"), (2...6).contains(place.upperBound - end) else { return false }
    var port = 0
    for offset in (end + 1)..<place.upperBound {
        guard isDigitOctet(bytes[offset]) else { return false }
        port = port * 10 + Int(bytes[offset] &- 0x30)
    }
    return 1...65_535 ~= port
}

/// Whether the labels of such octets are as long as those of names, and so are all of them together (RFC 1035 §2.3.4).
private func isName(_ place: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
    var end = place.upperBound
    if end > place.lowerBound, bytes[end - 1] == UInt8(ascii: ".") { end -= 1 }
    guard 1...253 ~= end - place.lowerBound else { return false }
    var label = 0
    for offset in place.lowerBound..<end {
        if bytes[offset] == UInt8(ascii: ".") {
            guard label > 0 else { return false }
            label = 0
        } else {
            label += 1
            guard label <= 63 else { return false }
        }
    }
    return label > 0
}

@inline(__always)
private func isHostOctet(_ octet: UInt8) -> Bool {
    foldedOctet(octet) &- 0x61 < 26 || isDigitOctet(octet) || octet == UInt8(ascii: "-") || octet == UInt8(ascii: ".")
        || octet == UInt8(ascii: "_")
}
