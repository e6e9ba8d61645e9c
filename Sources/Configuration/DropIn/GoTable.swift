/// The words of Go's TOML library, which changed between the version that transocks was built with and the one of usocksd.
enum GoDialect {
    case transocks, usocksd

    func syntax(_ line: Int, _ message: String) -> DropInError {
        switch self {
        case .transocks: DropInError("Near line \(line): \(message)")
        case .usocksd: DropInError("toml: line \(line): \(message)")
        }
    }

    /// - Parameter wanted: as Go calls it: `string`, `integer`, `slice`.
    func type(_ key: String, is found: String, not wanted: String) -> DropInError {
        switch self {
        case .transocks: DropInError("cannot load TOML value of type \(found) into a Go \(wanted) (key \(key))")
        case .usocksd:
            DropInError("toml: incompatible types: TOML key \"\(key)\" has type \(found); destination has type \(wanted)")
        }
    }

    func noTable(_ key: String, but found: String) -> DropInError {
        switch self {
        case .transocks: DropInError("type mismatch for \(key): expected table but found \(found)")
        case .usocksd: type(key, is: found, not: "struct")
        }
    }
}

/// A table whose keys match in any case, as with Go's TOML library; a key in its exact form goes first.
struct GoTable {
    private let dialect: GoDialect
    private let prefix: String
    private(set) var found: [String: Node] = [:]
    /// Keys that nobody knows, and those below them, dotted, with their places.
    private(set) var undecoded: [(name: String, offset: Int)] = []

    init(_ node: Node, named name: String = "", keys: [String], _ dialect: GoDialect) throws(DropInError) {
        guard case .table(let entries) = node.content else { throw dialect.noTable(name, but: node.goType) }
        self.dialect = dialect
        prefix = name.isEmpty ? "" : name + "."
        let inOrder = entries.sorted { $0.value.keyOffset < $1.value.keyOffset }
        for (key, node) in inOrder where keys.contains(key) { found[key] = node }
        for (key, node) in inOrder where !keys.contains(key) {
            if let known = keys.first(where: { $0 == key.lowercased() }), found[known] == nil {
                found[known] = node
            } else {
                undecoded += Self.names(of: node, prefix + key)
            }
        }
    }

    /// Reads a whole file.
    static func root(_ text: String, keys: [String], _ dialect: GoDialect) throws(DropInError) -> GoTable {
        let root: Node
        do throws(ConfigurationErrors) {
            root = try Document.parse(DiagnosticCollector(source: SourceText(text), file: ""))
        } catch {
            let first = error.diagnostics.first
            throw dialect.syntax(first?.line ?? 1, first?.message ?? "the syntax is not TOML")
        }
        return try GoTable(root, keys: keys, dialect)
    }

    /// A table in this one, which must not be the table of a table; nil: it is not there.
    mutating func table(_ key: String, keys: [String]) throws(DropInError) -> GoTable? {
        guard let node = found[key] else { return nil }
        let table = try GoTable(node, named: key, keys: keys, dialect)
        undecoded += table.undecoded
        return table
    }

    /// The names of ``undecoded``, as they stand in the file.
    var undecodedNames: String { undecoded.sorted { $0.offset < $1.offset }.map(\.name).joined(separator: " ") }

    func string(_ key: String) throws(DropInError) -> String? {
        guard let node = found[key] else { return nil }
        return try string(node, key)
    }

    func integer(_ key: String) throws(DropInError) -> Int? {
        guard let node = found[key] else { return nil }
        return try integer(node, key)
    }

    func strings(_ key: String) throws(DropInError) -> [String]? {
        guard let elements = try elements(key) else { return nil }
        var strings: [String] = []
        for node in elements { strings.append(try string(node, key)) }
        return strings
    }

    func integers(_ key: String) throws(DropInError) -> [Int]? {
        guard let elements = try elements(key) else { return nil }
        var integers: [Int] = []
        for node in elements { integers.append(try integer(node, key)) }
        return integers
    }

    private func elements(_ key: String) throws(DropInError) -> [Node]? {
        guard let node = found[key] else { return nil }
        guard case .array(let elements) = node.content else { throw dialect.type(prefix + key, is: node.goType, not: "slice") }
        return elements
    }

    private func string(_ node: Node, _ key: String) throws(DropInError) -> String {
        guard case .string(let text) = node.content else { throw dialect.type(prefix + key, is: node.goType, not: "string") }
        return text
    }

    private func integer(_ node: Node, _ key: String) throws(DropInError) -> Int {
        guard case .integer(let number) = node.content else { throw dialect.type(prefix + key, is: node.goType, not: "integer") }
        return number
    }

    private static func names(of node: Node, _ name: String) -> [(name: String, offset: Int)] {
        guard case .table(let entries) = node.content else { return [(name, node.keyOffset)] }
        return [(name, node.keyOffset)] + entries.flatMap { names(of: $0.value, "\(name).\($0.key)") }
    }
}

extension Node {
    /// As Go's TOML library calls it.
    fileprivate var goType: String {
        switch content {
        case .string: "string"
        case .integer: "int64"
        case .boolean: "bool"
        case .array: "[]interface {}"
        case .table: "map[string]interface {}"
        case .other(let name): name == "a fraction" ? "float64" : "time.Time"
        }
    }
}
