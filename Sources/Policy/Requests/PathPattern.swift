/// A path of a rule: itself, or with `*` at its end whatever begins so.
public struct PathPattern: Hashable, Sendable {
    let start: String
    let isPrefix: Bool

    /// Nil: it does not begin with `/`, or has a query, a fragment, or `*` in its middle.
    public init?(_ text: String) {
        isPrefix = text.hasSuffix("*")
        start = String(isPrefix ? text.dropLast() : text[...])
        guard start.hasPrefix("/"), !start.contains(where: { "?#*".contains($0) }) else { return nil }
    }

    /// Whether it matches wherever `other` does.
    func covers(_ other: PathPattern) -> Bool {
        isPrefix ? other.start.utf8.starts(with: start.utf8) : !other.isPrefix && other.start == start
    }
}

extension PathPattern: CustomStringConvertible {
    public var description: String { start + (isPrefix ? "*" : "") }
}
