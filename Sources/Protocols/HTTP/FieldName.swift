/// The name of a field that somebody configured.
public struct FieldName: Sendable, Hashable {
    /// As it is written.
    public let text: [UInt8]
    /// As programs get it that are run as CGI: ``foldedNameOctet(_:)``.
    private let folded: [UInt8]

    /// - Parameter text: a token (RFC 9110 §5.6.2).
    public init(_ text: String) {
        self.text = Array(text.utf8)
        folded = self.text.map(foldedNameOctet)
    }

    /// Whether some server takes that field for this one.
    public func isTaken(for name: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
        guard name.count == folded.count, name.lowerBound >= 0, name.upperBound <= bytes.count else { return false }
        for offset in 0..<name.count where foldedNameOctet(bytes[name.lowerBound + offset]) != folded[offset] { return false }
        return true
    }
}

/// Fields that a request gets in place of the client's own of these names.
public struct FieldReplacement: Sendable {
    public var names: [FieldName]
    /// What stands in their place, each a whole line.
    public var lines: [UInt8]

    public init(_ names: [FieldName], lines: [UInt8]) {
        self.names = names
        self.lines = lines
    }

    func replaces(_ field: HeadReader.Field, _ bytes: Span<UInt8>) -> Bool {
        names.contains { $0.isTaken(for: field.name, bytes) }
    }
}
