/// Reads the head of an HTTP/1 message, its start line and its fields, byte by byte and strictly (RFC 9112 §2.2, §5): each line ends in
/// CR LF, neither of which stands anywhere else; of the other control characters it has tabs alone; no field is folded over two
/// lines, and a request's has no blanks in front of its colon.
///
/// It keeps no bytes: what it has found are places in the bytes it was given, which must come again, with more behind them, until the
/// head is whole. No byte is looked at twice.
public struct HeadReader: Sendable {
    public struct Field: Sendable {
        public let name: Range<Int>
        /// Without the blanks around it; may be empty.
        public let value: Range<Int>
        public let known: KnownField
    }

    /// Bytes of a head, start line, fields and the empty line together.
    public static let longestHead = 65_536
    /// Bytes of a request line; RFC 9112 §3 asks for 8,000 at least.
    public static let longestStartLine = 8_192
    /// Bytes of one field.
    public static let longestField = 16_384
    public static let mostFields = 100
    /// Empty lines in front of a request are passed over (RFC 9112 §2.2), but not without end.
    public static let mostEmptyLines = 4

    public enum Fault: Error, Equatable, Sendable {
        case startLineTooLong, tooLarge
        /// What stands there, in words of ours.
        case malformed(String)
    }

    /// Where the start line is; empty before it is whole, and where there is none.
    public private(set) var startLine = 0..<0
    public private(set) var fields: [Field] = []
    /// Bytes of the head, the empty line included, once it is whole.
    public private(set) var length = 0

    private let hasStartLine: Bool
    private let isRequest: Bool
    private let isResponse: Bool
    private let passesFolds: Bool
    private var emptyLines = 0
    private var lineStart = 0
    /// Bytes that have been looked at.
    private var seen = 0

    public enum Kind: Sendable {
        case request, response, trailers
        /// A response of ICAP. Services fold what they tell of several findings; what is folded is passed over, and the field's first line
        /// counts.
        case service
    }

    public init(_ kind: Kind) {
        hasStartLine = kind != .trailers
        isRequest = kind == .request
        isResponse = kind == .response || kind == .service
        passesFolds = kind == .service
    }

    /// Whether it asks for no body with HEAD, also where the rest makes no sense or has not come.
    public func isOfHEAD(_ bytes: Span<UInt8>) -> Bool {
        bytes.octets(startLine.lowerBound..<min(startLine.lowerBound + 5, startLine.upperBound)).elementsEqual("HEAD ".utf8)
    }

    /// For another message, with the memory of this one.
    public mutating func reset() {
        startLine = 0..<0
        fields.removeAll(keepingCapacity: true)
        length = 0
        emptyLines = 0
        lineStart = 0
        seen = 0
    }

    /// - Returns: whether the head is whole.
    public mutating func read(_ bytes: Span<UInt8>) throws(Fault) -> Bool {
        guard length == 0 else { return true }
        while seen < bytes.count {
            let octet = bytes[seen]
            if isLineOctet(octet) {
                seen += 1
                continue
            }
            guard octet == 0x0D else {
                throw .malformed(octet == 0x0A ? "a line feed without a carriage return" : "a control character")
            }
            guard seen + 1 < bytes.count else { break }
            guard bytes[seen + 1] == 0x0A else { throw .malformed("a carriage return without a line feed") }
            let line = lineStart..<seen
            try checkLength(line.count)
            seen += 2
            lineStart = seen
            if try end(line, bytes) {
                length = seen
                return true
            }
        }
        try checkLength(seen - lineStart)
        return false
    }

    private func checkLength(_ line: Int) throws(Fault) {
        if hasStartLine, startLine.isEmpty {
            guard line <= Self.longestStartLine else { throw .startLineTooLong }
        } else if line > Self.longestField {
            throw .tooLarge
        }
        guard seen + 2 <= Self.longestHead else { throw .tooLarge }
    }

    /// - Returns: whether that was the last one.
    @inline(__always)
    private mutating func end(_ line: Range<Int>, _ bytes: Span<UInt8>) throws(Fault) -> Bool {
        if hasStartLine, startLine.isEmpty {
            guard line.isEmpty else {
                startLine = line
                return false
            }
            emptyLines += 1
            guard isRequest, emptyLines <= Self.mostEmptyLines else { throw .malformed("an empty line in place of the first one") }
            return false
        }
        guard !line.isEmpty else { return true }
        guard fields.count < Self.mostFields else { throw .tooLarge }
        var colon = line.lowerBound
        while colon < line.upperBound, isTokenOctet(bytes[colon]) { colon += 1 }
        let name = line.lowerBound..<colon
        // Of a server's they are taken away (RFC 9112 §5.1); a client that sends them wants to be understood in two ways.
        if isResponse, !name.isEmpty { while colon < line.upperBound, isBlankOctet(bytes[colon]) { colon += 1 } }
        if passesFolds, isBlankOctet(bytes[line.lowerBound]), !fields.isEmpty { return false }
        guard !name.isEmpty, colon < line.upperBound, bytes[colon] == UInt8(ascii: ":") else {
            throw .malformed(
                isBlankOctet(bytes[line.lowerBound]) ? "a line that begins with a blank" : "a line that is no header field")
        }
        fields.append(Field(name: name, value: bytes.trimmed(colon + 1..<line.upperBound), known: KnownField(bytes, name)))
        return false
    }
}
