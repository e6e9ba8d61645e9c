/// What a server may make of the path of a request: percent-encoding taken away once, `\` for `/`, without parameters (`;…`), empty
/// segments, and `.` and `..`.
struct ResolvedPath {
    let octets: [UInt8]
    /// Servers disagree about a segment up to a `..`: whether it is one, none or two, or a step up itself. As each of them leaves another
    /// path behind, `octets` is then one of many. Such are empty segments and those of parameters alone, dots with parameters or encoded,
    /// and what is split at `\` or an encoded slash.
    let isAmbiguous: Bool

    /// - Parameter path: as the client wrote it.
    init(_ path: [UInt8]) {
        var reader = Reader(capacity: path.count + 2)
        let path = path.span
        var index = path.count > 0 && path[0] == UInt8(ascii: "/") ? 1 : 0
        while index < path.count {
            let octet = path[index]
            index += 1
            if octet == UInt8(ascii: "%"), let value = encodedOctet(path, at: index) {
                index += 2
                if isSlash(value) { reader.end(isDisputed: true) } else { reader.append(value, isEncoded: true) }
            } else if isSlash(octet) {
                reader.end(isDisputed: octet == UInt8(ascii: "\\"))
            } else {
                reader.append(octet, isEncoded: false)
            }
        }
        reader.end(isDisputed: false, isLast: true)
        octets = reader.octets
        isAmbiguous = reader.isAmbiguous
    }

    /// Works in one buffer, whatever the segments are: a client that writes thousands of them makes it take no longer.
    private struct Reader {
        /// What is left of the segments so far, with a slash in front of the first and behind each; behind them, the one that is being read.
        private(set) var octets: [UInt8] = []
        private(set) var isAmbiguous = false
        /// Where the segment that is being read begins.
        private var start = 1
        /// Of all segments so far.
        private var isDisputed = false
        private var hasParameters = false
        private var isEncoded = false

        init(capacity: Int) {
            octets.reserveCapacity(capacity)
            octets.append(UInt8(ascii: "/"))
        }

        mutating func append(_ octet: UInt8, isEncoded: Bool) {
            if octet == UInt8(ascii: ";") { hasParameters = true }
            if isEncoded { self.isEncoded = true }
            if !hasParameters { octets.append(octet) }
        }

        /// - Parameter isDisputed: not all take for a slash what the segment ends at.
        mutating func end(isDisputed isSplit: Bool, isLast: Bool = false) {
            let count = octets.count - start
            let dot = UInt8(ascii: ".")
            let isStep = count == 2 && octets[start] == dot && octets[start + 1] == dot
            let isNothing = count == 0 || count == 1 && octets[start] == dot
            // Behind the last slash there is no segment.
            let isMissing = count == 0 && isLast && !hasParameters
            if isSplit || (isStep || isNothing) && (hasParameters || isEncoded) || count == 0 && !isMissing { isDisputed = true }
            if isStep || isNothing {
                octets.removeLast(count)
                if isStep {
                    if isDisputed { isAmbiguous = true }
                    removeLastSegment()
                }
            } else if !isLast {
                octets.append(UInt8(ascii: "/"))
            }
            start = octets.count
            hasParameters = false
            isEncoded = false
        }

        /// No segment has a slash within.
        private mutating func removeLastSegment() {
            guard octets.count > 1 else { return }
            octets.removeLast()
            while octets.last != UInt8(ascii: "/") { octets.removeLast() }
        }
    }
}

private func isSlash(_ octet: UInt8) -> Bool { octet == UInt8(ascii: "/") || octet == UInt8(ascii: "\\") }

/// Percent-encoding taken away once; what is none stays.
func percentDecoded(_ octets: [UInt8]) -> [UInt8] {
    guard octets.contains(UInt8(ascii: "%")) else { return octets }
    var decoded: [UInt8] = []
    decoded.reserveCapacity(octets.count)
    let octets = octets.span
    var index = 0
    while index < octets.count {
        let octet = octets[index]
        index += 1
        if octet == UInt8(ascii: "%"), let value = encodedOctet(octets, at: index) {
            index += 2
            decoded.append(value)
        } else {
            decoded.append(octet)
        }
    }
    return decoded
}

/// The octet of two hexadecimal digits, behind a `%`; nil: there are none.
private func encodedOctet(_ octets: Span<UInt8>, at index: Int) -> UInt8? {
    guard octets.count - index >= 2, let high = digit(octets[index]), let low = digit(octets[index + 1]) else { return nil }
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
