import Testing

@testable import Policy

@Suite struct FieldPatternTests {
    private func matches(_ pattern: FieldPattern, _ name: String, _ value: [UInt8], isReject: Bool) -> Bool {
        matches(pattern, [RequestFacts.Field(name: name, value: value)], isReject: isReject)
    }

    private func matches(_ pattern: FieldPattern, _ lines: [RequestFacts.Field], isReject: Bool) -> Bool {
        var left = ComparisonBudget.all
        return pattern.matches(
            Dictionary(grouping: lines, by: \.foldedName), isReject: isReject, mostOctets: ComparisonBudget.mostOctets, &left)
    }

    /// Programs behind some servers take these for one another.
    @Test func whatRejectsCountsForEverySign() {
        let pattern = FieldPattern(name: "X-User", values: [Wildcard("admin")!])
        for name in ["x-user", "X_User", "X.User", "X~User", "X!user"] {
            #expect(matches(pattern, name, Array("admin".utf8), isReject: true), "\(name)")
            #expect(matches(pattern, name, Array("admin".utf8), isReject: false) == (name == "x-user"), "\(name)")
        }
        #expect(!matches(pattern, "XxUser", Array("admin".utf8), isReject: true))
        var rule = Rule(action: .reject)
        rule.fields = [FieldPattern(name: "X_User", values: [Wildcard("*")!])]
        #expect(Policy([rule]).askedFields == [RequestFacts.Field.folded("x.USER")])
        // So one that allows does not cover one that rejects.
        var open = Rule(action: .direct)
        open.fields = rule.fields
        #expect(Policy([open, rule]).shadowed.isEmpty)
    }

    @Test func whatIsTooLongIsRejected() {
        let pattern = FieldPattern(name: "a", values: [Wildcard("*x*")!])
        let long = [UInt8](repeating: UInt8(ascii: "a"), count: ComparisonBudget.mostOctets)
        #expect(!matches(pattern, "a", long, isReject: true))
        #expect(matches(pattern, "a", long + [0x61], isReject: true) && !matches(pattern, "a", long + [0x78], isReject: false))
        let lines = [long, [0x61]].map { RequestFacts.Field(name: "a", value: $0) }
        #expect(matches(pattern, lines, isReject: true) && !matches(pattern, [lines[1]], isReject: true))
    }
}
