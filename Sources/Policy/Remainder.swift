/// What is left to ask of a rule that an index has found: of most rules nothing.
///
/// An octet says so without touching the rule and its criteria, which costs as much as all the rest of a decision.
struct Remainder: OptionSet {
    let rawValue: UInt8

    /// Criteria beside the one by which the rule stands in its index.
    static let criteria = Remainder(rawValue: 1)
    /// Whether the name is verified: by anybody's claim nothing is allowed.
    static let verification = Remainder(rawValue: 2)
    /// Among the criteria, the destination.
    static let destination = Remainder(rawValue: 4)
}

extension Remainder {
    init(_ rule: Rule) {
        self = []
        if rule.domains != nil, rule.action != .reject { insert(.verification) }
        var rest = rule
        if rest.domains != nil {
            rest.domains = nil
            // Whoever was found by a name has one; a rule for those that have none says so itself (``Criteria``).
            if rest.isNamed == true { rest.isNamed = nil }
        } else if rest.urls == nil, rest.destinations != nil {
            rest.destinations = nil
        } else if rest.urls == nil, rest.clients != nil {
            rest.clients = nil
        }
        var asksNothing = Rule(action: rule.action)
        asksNothing.rejection = rule.rejection
        if rest != asksNothing { insert(.criteria) }
        if rest.destinations != nil { insert(.destination) }
    }
}
