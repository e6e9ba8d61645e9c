/// Names of header fields, found again in whatever letters they come, and with any sign for any other: programs behind a server that get
/// fields as variables (CGI, WSGI) see no difference, so that whoever means one of them must have all.
public struct FieldNames: Hashable, Sendable {
    /// ``foldedNameOctet(_:)``
    private var names: [[UInt8]] = []
    /// A bit for each length that there is, the last one for all beyond: most fields are told apart by that.
    private var lengths: UInt64 = 0

    public init(_ names: some Sequence<String> = [String]()) {
        for name in names {
            self.names.append(name.utf8.map(foldedNameOctet))
            lengths |= Self.bit(name.utf8.count)
        }
    }

    /// These, and others.
    public func adding(_ new: FieldNames) -> FieldNames {
        guard !new.isEmpty else { return self }
        var all = self
        all.names += new.names
        all.lengths |= new.lengths
        return all
    }

    public var isEmpty: Bool { names.isEmpty }

    public func contain(_ name: String) -> Bool { contain(0..<name.utf8.count, Array(name.utf8).span) }

    @inline(__always)
    func contain(_ name: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
        lengths & Self.bit(name.count) != 0 && find(name, bytes)
    }

    private func find(_ name: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
        names.contains { candidate in
            guard candidate.count == name.count, name.upperBound <= bytes.count else { return false }
            for offset in 0..<name.count where foldedNameOctet(bytes[name.lowerBound + offset]) != candidate[offset] {
                return false
            }
            return true
        }
    }

    @inline(__always)
    private static func bit(_ length: Int) -> UInt64 { 1 << UInt64(min(length, 63)) }
}
