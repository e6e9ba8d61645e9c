/// Whether a client that says this first speaks HTTP/1, well or badly: what a lenient server might take for a request must be judged as
/// one, and refused as one.
///
/// - Parameter isJudged: somebody asks for requests. Then a line counts, too, whose first word is no method for anybody but a server that takes
///   any word for one.
/// - Returns: nil: these bytes do not say.
public func beginsHTTP(_ bytes: Span<UInt8>, isJudged: Bool = true) -> Bool? {
    var start = 0
    // Some servers pass over what stands in front of the method, however much it is; nobody else begins like that.
    while start < bytes.count, isBlankToSome(bytes[start]) { start += 1 }
    var end = start
    while end < bytes.count, isTokenOctet(bytes[end]) { end += 1 }
    // However long a method is, the blank behind it may come with the next segment.
    guard end < bytes.count else { return start > mostBlanks ? true : nil }
    guard end > start, isBlankToSome(bytes[end]), bytes[end] != 0x0A else {
        return isJudged ? isRequestLine(bytes, from: start) : false
    }
    if bytes[end] == 0x0D {
        guard end + 1 < bytes.count else { return nil }
        guard bytes[end + 1] != 0x0A else { return false }
    }
    if knownMethods.contains(where: { bytes.isText(start..<end, $0) }) { return true }
    // A method of somebody's own: the version behind the target tells it from other protocols of lines; or, where it is missing, the path.
    var target = end
    while target < bytes.count, isBlankToSome(bytes[target]), bytes[target] != 0x0A { target += 1 }
    while end < bytes.count, bytes[end] != 0x0A {
        if foldedOctet(bytes[end]) == UInt8(ascii: "h"), end + 5 <= bytes.count, bytes.isText(end..<end + 5, "http/") {
            return true
        }
        // No line has one; who judges none need not wait for what a lenient server makes of it.
        if !isJudged, bytes[end] == 0 { return false }
        end += 1
    }
    guard end < bytes.count else { return nil }
    return isJudged && (bytes[target] == UInt8(ascii: "/") || target + 5 <= end && bytes.isText(target..<target + 5, "http:"))
}

/// Whether the line is a request by its version alone. Other protocols of lines are told from it by its end; those of octets by one that no
/// line has, unless it is a request all the same.
private func isRequestLine(_ bytes: Span<UInt8>, from start: Int) -> Bool? {
    var isText = true
    for index in start..<bytes.count {
        let octet = bytes[index]
        if octet == 0x0A { return false }
        if index > start, foldedOctet(octet) == UInt8(ascii: "h"), isBlankToSome(bytes[index - 1]), index + 5 <= bytes.count,
            bytes.isText(index..<index + 5, "http/")
        {
            return true
        }
        if octet < 0x20 || octet > 0x7E, octet != 0x09, octet != 0x0D { isText = false }
    }
    return isText ? nil : false
}

/// Whether bytes that do not say what they are begin what most clients of HTTP send: blanks, or a part of a well-known method.
public func mayBeginHTTP(_ bytes: Span<UInt8>) -> Bool {
    var start = 0
    while start < bytes.count, isBlankToSome(bytes[start]) { start += 1 }
    var end = start
    while end < bytes.count, isTokenOctet(bytes[end]) { end += 1 }
    guard end == bytes.count || end + 1 == bytes.count && bytes[end] == 0x0D else { return false }
    return knownMethods.contains { method in
        end - start <= method.utf8CodeUnitCount
            && (start..<end).allSatisfy { foldedOctet(bytes[$0]) == method.utf8Start[$0 - start] }
    }
}

/// Whether a client that says this first speaks HTTP/2, knowing that the server does (RFC 9113 §3.4).
///
/// - Returns: nil: these bytes do not say.
public func beginsHTTP2(_ bytes: Span<UInt8>) -> Bool? {
    let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    let length = min(bytes.count, preface.utf8CodeUnitCount)
    for position in 0..<length where bytes[position] != preface.utf8Start[position] { return false }
    return length == preface.utf8CodeUnitCount ? true : nil
}

/// Python's `split`, which its servers take a request line apart with, parts words there.
func isBlankToSome(_ octet: UInt8) -> Bool {
    switch octet {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0: true
    default: false
    }
}

/// In front of a method; nobody sends more, but whoever means harm.
private let mostBlanks = 64

/// Of a request for a page; longer ones are nobody's.
private let longestMethod = 64

/// As IANA registers them; others need a version to be known by.
private let knownMethods: [StaticString] = [
    "get", "head", "post", "put", "delete", "connect", "options", "trace", "patch", "propfind", "proppatch", "mkcol", "copy",
    "move", "lock",
    "unlock", "report", "search", "checkout", "merge", "query",
]

/// Whether a client that says this first asks a proxy for a page: `GET http://…`, and not for a tunnel.
///
/// - Returns: nil: these bytes do not say.
public func beginsWithPage(_ bytes: Span<UInt8>) -> Bool? {
    var start = 0
    // Empty lines may come before the request (RFC 9112 §2.2).
    while start < bytes.count, bytes[start] == 0x0D || bytes[start] == 0x0A { start += 1 }
    var end = start
    while end < bytes.count, isTokenOctet(bytes[end]) { end += 1 }
    guard end < bytes.count else { return end - start <= longestMethod ? nil : false }
    guard end > start, bytes[end] == 0x20, !bytes.isText(start..<end, "connect") else { return false }
    let scheme: StaticString = "http://"
    for offset in 0..<scheme.utf8CodeUnitCount {
        let position = end + 1 + offset
        guard position < bytes.count else { return nil }
        guard foldedOctet(bytes[position]) == scheme.utf8Start[offset] else { return false }
    }
    return true
}
