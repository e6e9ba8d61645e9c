internal import Protocols

// What a listener changes of header fields: `request_headers` and `response_headers`.

extension Section {
    private static let nameLimit = 64
    private static let valueLimit = 16
    /// Bytes of one table's names and values: servers take no more of header from anybody than a few of these.
    private static let byteLimit = 16_384

    func readFieldChanges(_ listener: inout Listener) {
        listener.requestChanges = fieldChanges("request_headers") ?? listener.requestChanges
        listener.responseChanges = fieldChanges("response_headers") ?? listener.responseChanges
        guard !listener.understandsHTTP else { return }
        for key in ["request_headers", "response_headers"] {
            guard let node = entries[key] else { continue }
            collector.error(at: node.keyOffset, "\(key): only where HTTP is understood, with http = true")
        }
    }

    private func fieldChanges(_ key: String) -> FieldChanges? {
        guard let node = entries[key] else { return nil }
        let section = Section(node, named: key, keys: ["set", "add", "remove"], collector)
        let remove = section.list("remove", atMost: Self.nameLimit) { node -> String? in
            guard case .string(let text) = node.content else {
                mismatch(node, "\(key).remove", expected: "the name of a header field")
                return nil
            }
            return accept("\(key).remove", node.valueOffset) { () throws(Refusal) in try ValueSyntax.fieldName(text) }
        }
        let set = section.fieldLines("set", of: key)
        let add = section.fieldLines("add", of: key)
        let bytes = (set + add).reduce(0) { $0 + $1.name.utf8.count + $1.length }
        if bytes > Self.byteLimit {
            collector.error(
                at: node.valueOffset, "\(key): \(bytes) bytes of names and values; at most \(Self.byteLimit) are possible")
        }
        return FieldChanges(
            remove: (remove ?? []).map(\.value), set: set.map { ($0.name, $0.value) }, add: add.map { ($0.name, $0.value) })
    }

    /// The names in one of these tables, as far as they can be read; what cannot is reported as the table is.
    func namesChanged(_ key: String) -> FieldNames {
        guard case .table(let table) = entries[key]?.content else { return FieldNames() }
        let names = table.flatMap { _, node -> [String] in
            switch node.content {
            case .table(let lines): Array(lines.keys)
            case .array(let nodes): nodes.compactMap { if case .string(let name) = $0.content { name } else { nil } }
            case .string(let name): [name]
            case .integer, .boolean, .other: []
            }
        }
        return FieldNames(names)
    }

    private typealias FieldLine = (name: String, value: FieldTemplate, length: Int)

    /// A table of names and values, in the order of the file; a list of values is a line for each.
    private func fieldLines(_ key: String, of table: String) -> [FieldLine] {
        let place = "\(table).\(key)"
        guard let node = entries[key] else { return [] }
        guard case .table(let fields) = node.content else {
            mismatch(node, place, expected: "a table of names and values, such as { \"X-Real-IP\" = \"{client}\" }")
            return []
        }
        guard fields.count <= Self.nameLimit else {
            collector.error(at: node.valueOffset, "\(place): \(fields.count) names; at most \(Self.nameLimit) are possible")
            return []
        }
        var lines: [FieldLine] = []
        var names = FieldNames()
        for (name, node) in fields.sorted(by: { $0.value.keyOffset < $1.value.keyOffset }) {
            guard let name = accept(place, node.keyOffset, { () throws(Refusal) in try ValueSyntax.fieldName(name) }) else {
                continue
            }
            if names.contain(name) {
                collector.error(at: node.keyOffset, "\(place): \(name) is there already: neither case nor signs make a difference")
            }
            names = FieldNames(lines.map(\.name) + [name])
            var nodes = [node]
            if case .array(let array) = node.content { nodes = array }
            guard (1...Self.valueLimit).contains(nodes.count) else {
                collector.error(
                    at: node.valueOffset, "\(place): \(name): \(nodes.count) values; 1 to \(Self.valueLimit) are possible")
                continue
            }
            for node in nodes {
                guard case .string(let text) = node.content else {
                    mismatch(node, "\(place): \(name)", expected: "a string")
                    continue
                }
                let value = accept("\(place): \(name)", node.valueOffset) { () throws(Refusal) in try ValueSyntax.fieldValue(text) }
                if let value { lines.append((name, value, text.utf8.count)) }
            }
        }
        return lines
    }
}

extension ValueSyntax {
    /// Of a header field that may be changed.
    static func fieldName(_ text: String) throws(Refusal) -> String {
        guard (1...256).contains(text.utf8.count), text.utf8.allSatisfy(isTokenOctet) else {
            throw Refusal("\(quoted(text)) is no name of a header field, such as \"X-Real-IP\"")
        }
        guard !KnownField(name: text).isOurs else {
            throw Refusal("\(text) cannot be changed: where a message goes, or how it gets there, depends on it")
        }
        return text
    }

    static func fieldValue(_ text: String) throws(Refusal) -> FieldTemplate {
        do throws(FieldTemplate.Fault) {
            return try FieldTemplate(text)
        } catch {
            switch error {
            case .tooLong: throw Refusal("the value has more than \(FieldTemplate.longest) bytes")
            case .control: throw Refusal("there is a control character in the value")
            case .blank: throw Refusal("a value neither begins nor ends with a blank")
            case .unclosed: throw Refusal("a { without its }: for the brace itself write {{")
            case .unknown(let word):
                let known = FieldTemplate.Placeholder.allCases.map { "{\($0.rawValue)}" }
                let written = "{\(word)}"
                throw Refusal(
                    "\(quoted(written)) stands for nothing\(suggestion(for: written, among: known)): "
                        + "write \(enumeration(known)), or {{ for the brace itself")
            }
        }
    }

    /// What passwords are for, as browsers show it (RFC 9110 §11.5).
    static func realm(_ text: String) throws(Refusal) -> String {
        guard (1...128).contains(text.utf8.count), text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            throw Refusal("\(quoted(text)) is no realm: 1 to 128 printable characters of ASCII")
        }
        return text
    }
}
