/// Takes a body in chunks apart (RFC 9112 §7.1), byte by byte and strictly. Extensions are passed over, and go no further.
public struct ChunkedReader: Sendable {
    /// Bytes of extensions of all chunks together.
    static let mostExtensions = 4_096
    /// Bytes of trailers, with the empty line behind them.
    public static let longestTrailers = 16_384
    /// A chunk's size in digits: more are no number that anybody sends.
    private static let mostDigits = 16

    private enum State {
        case size(digits: Int)
        case extensions, sizeEnd
        case data
        case dataEnd, dataLineFeed
        case trailers
        case over
    }

    public enum Step: Hashable, Sendable {
        /// All that is there was taken, but for trailers that are not whole yet.
        case needsMore
        /// Bytes of the body, as their place in what was given.
        case data(Range<Int>)
        /// The end, behind all trailers: those that may be passed on, as lines.
        case end(trailers: [UInt8])
    }

    private var state = State.size(digits: 0)
    private var left: UInt64 = 0
    private var extensions = 0
    private var trailers = HeadReader(.trailers)
    /// Trailers that are not passed on, beside those that never are.
    private let omitted: FieldNames
    /// What a client says of itself, in X-Forwarded fields of whatever name, is not passed on, either.
    private let omitsForwarded: Bool

    public init(omitting names: FieldNames = FieldNames(), omittingForwarded: Bool = false) {
        omitted = names
        omitsForwarded = omittingForwarded
    }

    /// - Returns: bytes that are done with, those of `data` among them; the others must come again, with more behind them.
    public mutating func advance(_ bytes: Span<UInt8>) throws(MessageFault) -> (length: Int, step: Step) {
        var position = 0
        while position < bytes.count {
            let octet = bytes[position]
            switch state {
            case .size(let digits):
                if let value = hexadecimalValue(octet) {
                    guard digits < Self.mostDigits, left < 1 << 59 else { throw Self.fault("a chunk of a size that nobody sends") }
                    left = left << 4 | value
                    state = .size(digits: digits + 1)
                } else {
                    guard digits > 0 else { throw Self.fault("a chunk without a size") }
                    switch octet {
                    case 0x0D: state = .sizeEnd
                    case UInt8(ascii: ";"): state = .extensions
                    default: throw Self.fault("a chunk's size with something in it that is no digit")
                    }
                }
            case .extensions:
                extensions += 1
                guard extensions <= Self.mostExtensions else { throw Self.fault("too many chunk extensions") }
                if octet == 0x0D {
                    state = .sizeEnd
                } else if !isLineOctet(octet) {
                    throw Self.fault("a control character in a chunk extension")
                }
            case .sizeEnd:
                guard octet == 0x0A else { throw Self.fault("a chunk's size without its line end") }
                state = left > 0 ? .data : .trailers
            case .data:
                let count = Int(min(left, UInt64(bytes.count - position)))
                left -= UInt64(count)
                if left == 0 { state = .dataEnd }
                return (position + count, .data(position..<position + count))
            case .dataEnd:
                guard octet == 0x0D else { throw Self.fault("a chunk that is longer than it says") }
                state = .dataLineFeed
            case .dataLineFeed:
                guard octet == 0x0A else { throw Self.fault("a chunk without its line end") }
                state = .size(digits: 0)
            case .trailers: return try readTrailers(bytes, from: position)
            case .over: return (position, .end(trailers: []))
            }
            position += 1
        }
        return (position, .needsMore)
    }

    private mutating func readTrailers(
        _ bytes: Span<UInt8>, from position: Int
    ) throws(MessageFault) -> (length: Int, step: Step) {
        let rest = bytes.extracting(position..<bytes.count)
        do throws(HeadReader.Fault) {
            guard try trailers.read(rest) else {
                guard rest.count < Self.longestTrailers else { throw .tooLarge }
                return (position, .needsMore)
            }
        } catch {
            guard case .malformed(let what) = error else { throw Self.fault("trailers that are too large") }
            throw Self.fault(what)
        }
        state = .over
        var lines: [UInt8] = []
        for field in trailers.fields where !field.known.isForbiddenInTrailers && !omitted.contain(field.name, rest) {
            if KnownField.othersForbiddenInTrailers.contain(field.name, rest) { continue }
            if omitsForwarded, ForwardedFields.isOfFamily(field.name, rest) { continue }
            lines.append(rest, field.name)
            lines.append(": ")
            lines.append(rest, field.value)
            lines.append("\r\n")
        }
        return (position + trailers.length, .end(trailers: lines))
    }

    private static func fault(_ reason: String) -> MessageFault { MessageFault(400, reason) }
}
