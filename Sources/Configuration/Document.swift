internal import TOMLKit

/// A value of a TOML document with its place in the text.
struct Node {
    enum Content {
        case string(String)
        case integer(Int)
        case boolean(Bool)
        case array([Node])
        case table([String: Node])
        /// Fractions, dates and times: no key of ours takes one. Carries the name of the type, with its article.
        case other(String)
    }

    var content: Content
    /// Offset of the key, or of the element itself in an array.
    var keyOffset: Int
    var valueOffset: Int

    /// What an error message calls this value.
    var kind: String {
        switch content {
        case .string(let text): "the string \(quoted(text))"
        case .integer(let number): "the integer \(number)"
        case .boolean(let flag): "\(flag)"
        case .array: "an array"
        case .table: "a table"
        case .other(let name): name
        }
    }
}

/// Reads TOML. The only place that knows the parser.
enum Document {
    static let byteLimit = 4 << 20

    static func parse(_ collector: DiagnosticCollector) throws(ConfigurationErrors) -> Node {
        let source = collector.source
        func fail(_ offset: Int, _ message: String) -> ConfigurationErrors {
            ConfigurationErrors([Diagnostic(collector.position(offset), message)])
        }
        guard source.bytes.count <= byteLimit else { throw fail(0, "the file is larger than \(byteLimit >> 20) MiB") }
        if let nul = source.bytes.firstIndex(of: 0) { throw fail(nul, "the file contains a NUL byte") }

        let locator = Locator(source)
        if let stop = locator.stop { throw fail(stop.offset, stop.reason) }
        do {
            let table = try TOMLTable(string: String(decoding: source.bytes, as: UTF8.self))
            return node(table, tree: locator.tree, entry: 0, keyOffset: 0, valueOffset: 0)
        } catch let error as TOMLParseError {
            let begin = error.source.begin
            throw fail(source.offset(line: begin.line, column: begin.column), sentence(error.description))
        } catch {
            throw fail(0, "the syntax is not TOML")
        }
    }

    /// The parser begins its messages with "Error while parsing …: "; the reason comes after.
    private static func sentence(_ description: String) -> String {
        guard description.hasPrefix("Error while parsing "), let colon = description.firstIndex(of: ":") else { return description }
        let subject = description[..<colon].dropFirst("Error while parsing ".count)
        return "in this \(subject): \(description[description.index(after: colon)...].drop { $0 == " " })"
    }

    private static func node(_ value: any TOMLValueConvertible, tree: SourceTree, entry: Int?, keyOffset: Int, valueOffset: Int)
        -> Node
    {
        let keyOffset = entry.map { tree.entries[$0].key } ?? keyOffset
        let valueOffset = entry.map { tree.entries[$0].value } ?? valueOffset
        func child(_ value: any TOMLValueConvertible, _ entry: Int?) -> Node {
            node(value, tree: tree, entry: entry, keyOffset: keyOffset, valueOffset: valueOffset)
        }
        let content: Node.Content
        switch value.type {
        case .string: content = .string(value.string ?? "")
        case .int: content = .integer(value.int ?? 0)
        case .bool: content = .boolean(value.bool ?? false)
        case .double: content = .other("a fraction")
        case .date: content = .other("a date")
        case .time: content = .other("a time")
        case .dateTime: content = .other("a date and time")
        case .array:
            let array = value.array ?? []
            content = .array((0..<array.count).map { child(array[$0], tree.element($0, of: entry)) })
        case .table:
            let table = value.table ?? [:]
            var children: [String: Node] = [:]
            for key in table.keys {
                if let value = table[key] { children[key] = child(value, tree.child(key, of: entry)) }
            }
            content = .table(children)
        }
        return Node(content: content, keyOffset: keyOffset, valueOffset: valueOffset)
    }
}
