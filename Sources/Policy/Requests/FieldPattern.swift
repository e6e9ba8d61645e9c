/// What a rule asks of one field of a request. Whoever sends a request writes it, so it tells who says what, and not who is who.
public struct FieldPattern: Hashable, Sendable {
    /// In lower case.
    public let name: String
    /// ``RequestFacts/Field/folded(_:)``
    let foldedName: String
    /// One of them must match one of the lines.
    public let values: [Wildcard]

    public init(name: String, values: [Wildcard]) {
        self.name = name.lowercased()
        foldedName = RequestFacts.Field.folded(name)
        self.values = values
    }

    /// Octets of all lines of one name that are looked at, so that nobody can make many values take long.
    public static let mostOctets = 8_192

    /// - Parameter isReject: what some server takes for that field counts as well, and so do lines that are too long to be looked at
    ///   (``mostOctets``): for any other rule they have none of the values.
    func matches(_ fields: [RequestFacts.Field], isReject: Bool) -> Bool {
        let lines = fields.filter { isReject ? $0.foldedName == foldedName : $0.name == name }
        guard lines.reduce(0, { $0 + $1.value.count }) <= Self.mostOctets else { return isReject }
        return lines.contains { line in values.contains { $0.matches(line.value) } }
    }

    /// Whether it matches wherever `other` does.
    func covers(_ other: FieldPattern) -> Bool {
        name == other.name && other.values.allSatisfy { value in values.contains { $0.covers(value) } }
    }
}
