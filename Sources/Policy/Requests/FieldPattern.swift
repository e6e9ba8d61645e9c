/// What a rule asks of one field of a request. Whoever sends a request writes it, so it tells who says what, and not who is who.
public struct FieldPattern: Hashable, Sendable {
    /// In lower case.
    public let name: String
    /// One of them must match one of the lines.
    public let values: [Wildcard]

    public init(name: String, values: [Wildcard]) {
        self.name = name.lowercased()
        self.values = values
    }

    func matches(_ fields: [RequestFacts.Field]) -> Bool {
        fields.contains { field in field.name == name && values.contains { $0.matches(field.value) } }
    }

    /// Whether it matches wherever `other` does.
    func covers(_ other: FieldPattern) -> Bool {
        name == other.name && other.values.allSatisfy { value in values.contains { $0.covers(value) } }
    }
}
