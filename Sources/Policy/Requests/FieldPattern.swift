/// What a rule asks of one field of a request. Whoever sends a request writes it, so it tells who says what, and not who is who.
public struct FieldPattern: Hashable, Sendable {
    /// In lower case.
    public let name: String
    /// ``RequestFacts/Field/folded(_:)``
    public let foldedName: String
    /// One of them must match one of the lines.
    public let values: [Wildcard]

    public init(name: String, values: [Wildcard]) {
        self.name = name.lowercased()
        foldedName = RequestFacts.Field.folded(name)
        self.values = values
    }

    /// What a line costs beside what it says, in octets; the first is for nothing.
    private static let octetsOfLine = 32

    /// - Parameters:
    ///   - fields: of a request, by their folded names.
    ///   - isReject: what some server takes for that field counts as well, and so do lines that are too long to be looked at: for any
    ///     other rule they have none of the values.
    ///   - mostOctets: of all lines together that are looked at (``ComparisonBudget``).
    ///   - left: of what the request may take in all; at nothing, what is left to compare is too long.
    func matches(_ fields: [String: [RequestFacts.Field]], isReject: Bool, mostOctets: Int, _ left: inout Int) -> Bool {
        guard let all = fields[foldedName] else { return false }
        let lines = all.lazy.filter { isReject || $0.name == name }
        let octets = lines.reduce(-Self.octetsOfLine) { $0 + $1.value.count + Self.octetsOfLine }
        guard octets <= mostOctets else { return isReject }
        for line in lines {
            for value in values {
                guard left > 0 else { return isReject }
                if value.matches(line.value, folded: line.foldedValue, &left) { return true }
            }
        }
        return false
    }

    /// Whether it matches wherever `other` does.
    func covers(_ other: FieldPattern) -> Bool {
        name == other.name && other.values.allSatisfy { value in values.contains { $0.covers(value) } }
    }
}
