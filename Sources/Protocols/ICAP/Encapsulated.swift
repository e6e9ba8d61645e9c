/// What an ICAP message carries, and where (RFC 3507 §4.4.1): heads one behind the other, from 0 on, and a body in chunks behind them.
public struct Encapsulated: Sendable, Hashable {
    public enum Body: Sendable, Hashable {
        case request, response, options
        case none
    }

    /// Bytes of the head of a request, and of a response; nil: there is none.
    public let requestHead: Int?
    public let responseHead: Int?
    public let body: Body

    /// Of both heads.
    public var headLength: Int { (requestHead ?? 0) + (responseHead ?? 0) }

    /// Reads the value of an Encapsulated field, strictly: each part once, in order, none empty, and of a length that a head can have.
    public init?(_ value: Range<Int>, _ bytes: Span<UInt8>) {
        var parts: [(name: Range<Int>, offset: Int)] = []
        var isValid = true
        forEachElement(value, bytes) { element in
            guard isValid, parts.count < 3, let part = Self.part(element, bytes) else {
                isValid = false
                return
            }
            parts.append(part)
        }
        guard isValid, let last = parts.last, parts.first?.offset == 0 else { return nil }
        if bytes.isText(last.name, "req-body") {
            body = .request
        } else if bytes.isText(last.name, "res-body") {
            body = .response
        } else if bytes.isText(last.name, "opt-body") {
            body = .options
        } else if bytes.isText(last.name, "null-body") {
            body = .none
        } else {
            return nil
        }
        var request: Int?
        var response: Int?
        for index in parts.indices.dropLast() {
            let length = parts[index + 1].offset - parts[index].offset
            guard 1...HeadReader.longestHead ~= length else { return nil }
            if bytes.isText(parts[index].name, "req-hdr"), request == nil, response == nil {
                request = length
            } else if bytes.isText(parts[index].name, "res-hdr"), response == nil {
                response = length
            } else {
                return nil
            }
        }
        requestHead = request
        responseHead = response
    }

    /// `NAME=OFFSET`
    private static func part(_ element: Range<Int>, _ bytes: Span<UInt8>) -> (name: Range<Int>, offset: Int)? {
        var equals = element.lowerBound
        while equals < element.upperBound, bytes[equals] != UInt8(ascii: "=") { equals += 1 }
        guard equals < element.upperBound, let offset = icapNumber(equals + 1..<element.upperBound, bytes) else { return nil }
        return (element.lowerBound..<equals, offset)
    }
}

/// Up to nine digits.
func icapNumber(_ place: Range<Int>, _ bytes: Span<UInt8>) -> Int? {
    guard 1...9 ~= place.count else { return nil }
    var number = 0
    for offset in place {
        guard isDigitOctet(bytes[offset]) else { return nil }
        number = number * 10 + Int(bytes[offset] &- 0x30)
    }
    return number
}
