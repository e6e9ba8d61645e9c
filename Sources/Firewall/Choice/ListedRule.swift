/// One line of `ip -N rule show`, of either family: what matters of it here. Words it does not know are passed over, so that a rule of a
/// newer kernel is still seen.
public struct ListedRule: Hashable, Sendable {
    public var isIPv6: Bool
    public var preference: Int
    /// `nil`: the rule does not look at the mark.
    public var mark: UInt32?
    /// All bits when the rule gives none.
    public var mask: UInt32
    public var table: UInt32?
    public var goto: Int?
    public var incoming: String?
    /// The routing protocol that made the rule; ours is ``ownProtocol``.
    public var madeBy: Int?

    /// `nil` for a line that is no rule.
    public init?(line: some StringProtocol, isIPv6: Bool = false) {
        guard let colon = line.firstIndex(of: ":"), let preference = Int(line[..<colon]), preference >= 0 else { return nil }
        self.isIPv6 = isIPv6
        self.preference = preference
        mask = .max
        let words = line[line.index(after: colon)...].split(whereSeparator: { $0 == " " || $0 == "\t" })
        for (word, value) in zip(words, words.dropFirst()) {
            switch word {
            case "fwmark":
                let parts = value.split(separator: "/", maxSplits: 1)
                mark = parts.first.flatMap(number)
                if parts.count == 2, let mask = number(parts[1]) { self.mask = mask }
            case "lookup", "table": table = number(value)
            case "goto": goto = Int(value)
            case "iif": incoming = String(value)
            case "proto", "protocol": madeBy = Int(value)
            default: break
            }
        }
    }

    /// Every rule in the output of `ip -N rule show`, or of `ip -6 -N rule show`.
    public static func parse(_ text: String, isIPv6: Bool = false) -> [ListedRule] {
        text.split(separator: "\n").compactMap { ListedRule(line: $0, isIPv6: isIPv6) }
    }

    /// A rule we made, now or in an earlier life.
    public var isOurs: Bool { madeBy == ownProtocol }

    /// The mark bits this rule gives a meaning to.
    public var occupiedBits: UInt32 {
        guard let mark else { return 0 }
        return mask == .max ? mark : mask
    }

    /// Whether it does what `rule` does, whoever made it and wherever it stands.
    func serves(_ rule: RouteRule) -> Bool {
        guard mark == rule.mark, mask == rule.mask, incoming == nil || incoming == rule.incoming else { return false }
        return switch rule.action {
        case .lookup(let table): self.table == table
        case .goto: goto != nil
        }
    }

    func isSame(as rule: RouteRule) -> Bool {
        guard isOurs, preference == rule.preference, mark == rule.mark, mask == rule.mask,
            incoming == rule.incoming
        else { return false }
        return switch rule.action {
        case .lookup(let table): self.table == table && goto == nil
        case .goto(let target): goto == target
        }
    }
}

/// Decimal, or hexadecimal after `0x`.
private func number(_ text: some StringProtocol) -> UInt32? {
    text.hasPrefix("0x") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
}
