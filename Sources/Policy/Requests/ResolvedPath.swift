/// What a server may make of the path of a request: percent-encoding taken away once, `\` for `/`, without parameters (`;…`), empty
/// segments, and `.` and `..`.
struct ResolvedPath {
    let text: String
    /// Servers disagree about a segment up to a `..`: whether it is one, none or two, or a step up itself. As each of them leaves another
    /// path behind, `text` is then one of many. Such are empty segments and those of parameters alone, dots with parameters or encoded,
    /// and what is split at `\` or an encoded slash.
    let isAmbiguous: Bool

    /// - Parameter path: as the client wrote it.
    init(_ path: some Sequence<UInt8>) {
        var reader = Reader()
        var rest = Array(path)[...]
        if rest.first == UInt8(ascii: "/") { rest.removeFirst() }
        while let octet = rest.popFirst() {
            if octet == UInt8(ascii: "%"), let value = encodedOctet(&rest) {
                if isSlash(value) { reader.end(isDisputed: true) } else { reader.append(value, isEncoded: true) }
            } else if isSlash(octet) {
                reader.end(isDisputed: octet == UInt8(ascii: "\\"))
            } else {
                reader.append(octet, isEncoded: false)
            }
        }
        reader.end(isDisputed: false, isLast: true)
        var result: [UInt8] = []
        for segment in reader.segments {
            result.append(UInt8(ascii: "/"))
            result += segment
        }
        if reader.endsWithSlash || result.isEmpty { result.append(UInt8(ascii: "/")) }
        text = String(decoding: result, as: UTF8.self)
        isAmbiguous = reader.isAmbiguous
    }

    private struct Reader {
        var segments: [[UInt8]] = []
        var endsWithSlash = false
        var isAmbiguous = false
        /// Of all segments so far.
        private var isDisputed = false
        private var segment: [UInt8] = []
        private var hasParameters = false
        private var isEncoded = false

        mutating func append(_ octet: UInt8, isEncoded: Bool) {
            if octet == UInt8(ascii: ";") { hasParameters = true }
            if isEncoded { self.isEncoded = true }
            if !hasParameters { segment.append(octet) }
        }

        /// - Parameter isDisputed: not all take for a slash what the segment ends at.
        mutating func end(isDisputed isSplit: Bool, isLast: Bool = false) {
            let isStep = segment.elementsEqual("..".utf8)
            let isNothing = segment.isEmpty || segment.elementsEqual(".".utf8)
            // Behind the last slash there is no segment.
            let isMissing = segment.isEmpty && isLast && !hasParameters
            if isSplit || (isStep || isNothing) && (hasParameters || isEncoded) || segment.isEmpty && !isMissing {
                isDisputed = true
            }
            if isStep {
                if isDisputed { isAmbiguous = true }
                _ = segments.popLast()
            } else if !isNothing {
                segments.append(segment)
            }
            endsWithSlash = isStep || isNothing
            segment = []
            hasParameters = false
            isEncoded = false
        }
    }
}

private func isSlash(_ octet: UInt8) -> Bool { octet == UInt8(ascii: "/") || octet == UInt8(ascii: "\\") }

/// Percent-encoding taken away once; what is none stays.
func percentDecoded(_ octets: [UInt8]) -> [UInt8] {
    var decoded: [UInt8] = []
    decoded.reserveCapacity(octets.count)
    var rest = octets[...]
    while let octet = rest.popFirst() { decoded.append(octet == UInt8(ascii: "%") ? encodedOctet(&rest) ?? octet : octet) }
    return decoded
}

/// The octet of two hexadecimal digits behind a `%`, which are taken away; nil: there are none.
private func encodedOctet(_ rest: inout ArraySlice<UInt8>) -> UInt8? {
    guard rest.count >= 2, let high = digit(rest[rest.startIndex]), let low = digit(rest[rest.startIndex + 1]) else { return nil }
    rest.removeFirst(2)
    return high << 4 | low
}

private func digit(_ octet: UInt8) -> UInt8? {
    switch octet {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): octet - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): octet - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): octet - UInt8(ascii: "A") + 10
    default: nil
    }
}
