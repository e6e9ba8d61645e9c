/// A table being read: each key asked for is checked and converted, and what is wrong with it is collected.
///
/// Every reader returns `nil` both for a key that is absent and for one that is wrong, so that reading goes on with the
/// default and all errors of a file come out together.
struct Section {
    let entries: [String: Node]
    let collector: DiagnosticCollector

    /// - Parameters:
    ///   - keys: what may stand in this table.
    ///   - elsewhere: keys that belong to another table, with its header.
    init(
        _ node: Node, named name: String, keys: [String], elsewhere: [String: String] = [:], _ collector: DiagnosticCollector
    ) {
        self.collector = collector
        guard case .table(let entries) = node.content else {
            collector.error(at: node.valueOffset, "expected a table, \(name), found \(node.kind)")
            self.entries = [:]
            return
        }
        self.entries = entries
        for (key, node) in entries.sorted(by: { $0.value.keyOffset < $1.value.keyOffset }) where !keys.contains(key) {
            if let home = elsewhere[key] {
                collector.error(at: node.keyOffset, "unknown key \(quoted(key)): it belongs to \(home)")
            } else {
                let place = name.isEmpty ? "" : " in \(name)"
                collector.error(at: node.keyOffset, "unknown key \(quoted(key))\(place)\(suggestion(for: key, among: keys))")
            }
        }
    }

    func mismatch(_ node: Node, _ key: String, expected: String) {
        collector.error(at: node.valueOffset, "\(key): expected \(expected), found \(node.kind)")
    }

    func boolean(_ key: String) -> Bool? {
        guard let node = entries[key] else { return nil }
        guard case .boolean(let flag) = node.content else {
            mismatch(node, key, expected: "true or false")
            return nil
        }
        return flag
    }

    func integer(_ key: String, in range: ClosedRange<Int>) -> Int? {
        guard let node = entries[key] else { return nil }
        guard case .integer(let number) = node.content else {
            mismatch(node, key, expected: "an integer from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        guard range.contains(number) else {
            collector.error(at: node.valueOffset, "\(key): \(number) is not from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return number
    }

    func string(_ key: String) -> (text: String, offset: Int)? {
        guard let node = entries[key] else { return nil }
        guard case .string(let text) = node.content else {
            mismatch(node, key, expected: "a string")
            return nil
        }
        return (text, node.valueOffset)
    }

    func duration(_ key: String, atLeast least: Duration = .zero) -> Duration? {
        guard let node = entries[key] else { return nil }
        guard case .string(let text) = node.content else {
            var hint = ""
            if case .integer(let seconds) = node.content, seconds >= 0 { hint = ", did you mean \"\(seconds)s\"?" }
            collector.error(at: node.valueOffset, "\(key): expected a duration such as \"10s\", found \(node.kind)\(hint)")
            return nil
        }
        return accept(key, node.valueOffset) { () throws(Refusal) in
            let duration = try ValueSyntax.duration(text)
            guard duration >= least else {
                throw Refusal(least < .seconds(1) ? "must be longer than 0" : "must be \"\(least.components.seconds)s\" or longer")
            }
            return duration
        }
    }

    func choice<Value: RawRepresentable & CaseIterable>(_ key: String, of: Value.Type) -> Value?
    where Value.RawValue == String {
        entries[key].flatMap { choice($0, key, of: Value.self) }
    }

    func choice<Value: RawRepresentable & CaseIterable>(_ node: Node, _ key: String, of: Value.Type) -> Value?
    where Value.RawValue == String {
        let names = Value.allCases.map(\.rawValue)
        let expected = enumeration(names.map { "\"\($0)\"" })
        guard case .string(let text) = node.content else {
            mismatch(node, key, expected: expected)
            return nil
        }
        if let value = Value(rawValue: text) { return value }
        let hint = suggestion(for: text, among: names)
        collector.error(at: node.valueOffset, "\(key): expected \(expected), found \(quoted(text))\(hint)")
        return nil
    }

    /// A list, or a single value in its place.
    func list<Value>(_ key: String, atMost limit: Int, _ convert: (Node) -> Value?) -> [(value: Value, offset: Int)]? {
        guard let node = entries[key] else { return nil }
        var elements = [node]
        if case .array(let array) = node.content { elements = array }
        guard elements.count <= limit else {
            collector.error(at: node.valueOffset, "\(key): \(elements.count) entries; at most \(limit) are possible")
            return nil
        }
        return elements.compactMap { element in convert(element).map { ($0, element.valueOffset) } }
    }

    /// A list of strings, each parsed by `parse`.
    func list<Value>(
        _ key: String, atMost limit: Int, of expected: String, _ parse: (String) throws(Refusal) -> Value
    ) -> [(value: Value, offset: Int)]? {
        list(key, atMost: limit) { node -> Value? in
            guard case .string(let text) = node.content else {
                mismatch(node, key, expected: expected)
                return nil
            }
            return accept(key, node.valueOffset) { () throws(Refusal) in try parse(text) }
        }
    }

    func accept<Value>(_ key: String, _ offset: Int, _ parse: () throws(Refusal) -> Value) -> Value? {
        do throws(Refusal) {
            return try parse()
        } catch {
            collector.error(at: offset, "\(key): \(error.message)")
            return nil
        }
    }
}

/// `a, b or c`.
func enumeration(_ items: [String]) -> String {
    items.count < 2 ? items.joined() : items.dropLast().joined(separator: ", ") + " or " + items[items.count - 1]
}

/// Why a text is not a value of its kind.
struct Refusal: Error, Equatable {
    var message: String
    init(_ message: String) { self.message = message }
}
