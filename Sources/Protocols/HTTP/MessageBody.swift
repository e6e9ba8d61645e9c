/// How long a message's body is: decided once, from its head (RFC 9112 §6.3), and told the next reader anew.
public enum MessageBody: Hashable, Sendable {
    case none
    /// Bytes, one at least.
    case length(UInt64)
    case chunked
    /// Of responses only.
    case untilClose

    /// What Content-Length and Transfer-Encoding say together.
    struct Framing {
        /// Of the one Content-Length, or of several that agree.
        var length: UInt64?
        /// Content-Length stands there more than once, in lines or in a list.
        var isRepeated = false
        /// It is no number, or several that differ.
        var isInvalid = false
        var codings = 0
        /// `chunked` is the last coding and the only one.
        var isChunked = false
        /// ... the last one, behind others.
        var endsChunked = false
        /// `chunked` is not the last one, or stands there twice; or an element is empty, which some pass over.
        var isMisplaced = false

        var hasTransferEncoding: Bool { codings > 0 }

        @inline(__always)
        mutating func take(_ field: HeadReader.Field, _ bytes: Span<UInt8>) {
            switch field.known {
            case .contentLength: takeLength(field.value, bytes)
            case .transferEncoding: takeCodings(field.value, bytes)
            default: break
            }
        }

        private mutating func takeLength(_ value: Range<Int>, _ bytes: Span<UInt8>) {
            var isFirst = true
            forEachElement(value, bytes) { place in
                guard let number = Self.number(place, bytes) else {
                    isInvalid = true
                    return
                }
                if !isFirst || length != nil { isRepeated = true }
                if let length, length != number { isInvalid = true }
                length = number
                isFirst = false
            }
        }

        private mutating func takeCodings(_ value: Range<Int>, _ bytes: Span<UInt8>) {
            forEachElement(value, bytes) { place in
                if isChunked || endsChunked || place.isEmpty { isMisplaced = true }
                let isChunkedCoding = bytes.isText(place, "chunked")
                isChunked = isChunkedCoding && codings == 0
                endsChunked = isChunkedCoding && codings > 0
                codings += 1
            }
        }

        /// Digits alone, of a number that all the world can count to.
        private static func number(_ place: Range<Int>, _ bytes: Span<UInt8>) -> UInt64? {
            guard (1...18).contains(place.count) else { return nil }
            var number: UInt64 = 0
            for offset in place {
                guard isDigitOctet(bytes[offset]) else { return nil }
                number = number * 10 + UInt64(bytes[offset] &- 0x30)
            }
            return number
        }
    }
}

/// The elements of a list, without the blanks around them (RFC 9110 §5.6.1). Empty ones are elements too: where they count, they must not
/// be passed over.
@inline(__always)
func forEachElement(_ value: Range<Int>, _ bytes: Span<UInt8>, _ body: (Range<Int>) -> Void) {
    var start = value.lowerBound
    while true {
        var end = start
        while end < value.upperBound, bytes[end] != UInt8(ascii: ",") { end += 1 }
        body(bytes.trimmed(start..<end))
        guard end < value.upperBound else { return }
        start = end + 1
    }
}
