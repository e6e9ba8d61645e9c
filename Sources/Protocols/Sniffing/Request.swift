/// Looks for the host that an HTTP/1 request names: in an absolute target (RFC 9112 §3.2.2: it overrides), else in Host.
///
/// This is a claim to judge by, and no parser of HTTP: what is doubtful has no name.
func sniffRequest(_ bytes: Span<UInt8>) -> Sniff {
    var lines = Lines(bytes)
    guard let request = lines.next() else {
        // Every method there is fits; what has no space by then is another protocol.
        return looksLikeMethod(bytes) ? .needsMore : .none
    }
    guard looksLikeMethod(bytes), let target = target(bytes, request) else { return .none }
    if let authority = absoluteAuthority(bytes, target) { return host(bytes, authority) }
    var found: Range<Int>?
    while let line = lines.next() {
        if line.isEmpty { return found.map { host(bytes, $0) } ?? .none }
        guard let value = hostValue(bytes, line) else { continue }
        guard found == nil else { return .none }
        found = value
    }
    return .needsMore
}

/// Lines that are complete, without their CRLF or LF.
private struct Lines: ~Escapable {
    private let bytes: Span<UInt8>
    private var start = 0

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>) { self.bytes = bytes }

    mutating func next() -> Range<Int>? {
        var index = start
        while index < bytes.count, bytes[index] != 0x0A { index += 1 }
        guard index < bytes.count else { return nil }
        let end = index > start && bytes[index - 1] == 0x0D ? index - 1 : index
        defer { start = index + 1 }
        return start..<end
    }
}

/// Upper-case letters, at most 20, and a space if there is room for one.
private func looksLikeMethod(_ bytes: Span<UInt8>) -> Bool {
    for index in 0..<min(bytes.count, 21) {
        if bytes[index] == UInt8(ascii: " ") { return index > 0 }
        guard (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(bytes[index]) else { return false }
    }
    return bytes.count <= 20
}

/// Between two spaces, with `HTTP/1.` behind.
private func target(_ bytes: Span<UInt8>, _ line: Range<Int>) -> Range<Int>? {
    guard let first = line.first(where: { bytes[$0] == 0x20 }), let last = line.last(where: { bytes[$0] == 0x20 }),
        first + 1 < last,
        starts(bytes, last + 1..<line.upperBound, with: "http/1.")
    else { return nil }
    return first + 1..<last
}

private func absoluteAuthority(_ bytes: Span<UInt8>, _ target: Range<Int>) -> Range<Int>? {
    guard starts(bytes, target, with: "http://") else { return nil }
    let start = target.lowerBound + 7
    let end = (start..<target.upperBound).first { [UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#")].contains(bytes[$0]) }
    return start..<(end ?? target.upperBound)
}

private func hostValue(_ bytes: Span<UInt8>, _ line: Range<Int>) -> Range<Int>? {
    guard starts(bytes, line, with: "host:") else { return nil }
    var start = line.lowerBound + 5
    var end = line.upperBound
    while start < end, bytes[start] == 0x20 || bytes[start] == 0x09 { start += 1 }
    while end > start, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
    return start..<end
}

/// The host of `HOST[:PORT]`.
private func host(_ bytes: Span<UInt8>, _ authority: Range<Int>) -> Sniff {
    guard !authority.isEmpty, !authority.contains(where: { bytes[$0] == UInt8(ascii: "@") }) else { return .none }
    var end = authority.upperBound
    if bytes[authority.lowerBound] == UInt8(ascii: "[") {
        guard let close = authority.first(where: { bytes[$0] == UInt8(ascii: "]") }) else { return .none }
        end = close + 1
    } else if let colon = authority.first(where: { bytes[$0] == UInt8(ascii: ":") }) {
        end = colon
    }
    let host = (authority.lowerBound..<end).map { bytes[$0] }
    return host.isEmpty ? .none : .name(host)
}

private func starts(_ bytes: Span<UInt8>, _ range: Range<Int>, with text: StaticString) -> Bool {
    guard range.count >= text.utf8CodeUnitCount else { return false }
    return text.withUTF8Buffer { text in
        text.indices.allSatisfy { index in
            let byte = bytes[range.lowerBound + index]
            return ((UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte) == text[index]
        }
    }
}
