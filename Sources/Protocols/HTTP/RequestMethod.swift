/// The methods of which a proxy must know something (RFC 9110 §9); case counts.
public enum RequestMethod: Hashable, Sendable {
    case connect, delete, get, head, options, post, put, trace
    case other

    init(_ place: Range<Int>, _ bytes: Span<UInt8>) {
        func isExactly(_ text: StaticString) -> Bool {
            guard place.count == text.utf8CodeUnitCount else { return false }
            for offset in 0..<place.count where bytes[place.lowerBound + offset] != text.utf8Start[offset] { return false }
            return true
        }
        switch place.count {
        case 3: self = isExactly("GET") ? .get : isExactly("PUT") ? .put : .other
        case 4: self = isExactly("POST") ? .post : isExactly("HEAD") ? .head : .other
        case 5: self = isExactly("TRACE") ? .trace : .other
        case 6: self = isExactly("DELETE") ? .delete : .other
        case 7: self = isExactly("OPTIONS") ? .options : isExactly("CONNECT") ? .connect : .other
        default: self = .other
        }
    }

    /// Asked twice, it does what it does once (RFC 9110 §9.2.2), as far as we know.
    public var isIdempotent: Bool {
        switch self {
        case .delete, .get, .head, .options, .put, .trace: true
        case .connect, .post, .other: false
        }
    }
}
