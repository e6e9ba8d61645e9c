/// What a configuration file of transocks says, before anything of it is taken at its word.
public struct TransocksFile: Sendable, Equatable {
    /// Go's `host:port`.
    public var listen = "localhost:1081"
    public var proxyURL = ""
    public var logFilename = ""
    public var logLevel = ""
    public var logFormat = ""

    /// Reads a file and nothing else.
    public static func load(_ path: String) throws(TransocksError) -> TransocksFile {
        let bytes: [UInt8]
        do throws(UnreadableFile) {
            bytes = try Configuration.contents(path, atMost: Document.byteLimit)
        } catch {
            throw TransocksError("open \(path): \(error.reason.lowercased())")
        }
        if let offset = firstInvalidUTF8(bytes) {
            let line = bytes[..<offset].count { $0 == UInt8(ascii: "\n") } + 1
            throw TransocksError("Near line \(line): the file is not UTF-8")
        }
        return try TransocksFile(parsing: String(decoding: bytes, as: UTF8.self))
    }

    /// - Throws: what is wrong, in transocks' words: the syntax, else a type, else the keys that it does not know.
    public init(parsing text: String) throws(TransocksError) {
        let root: Node
        do throws(ConfigurationErrors) {
            root = try Document.parse(DiagnosticCollector(source: SourceText(text), file: ""))
        } catch {
            let first = error.diagnostics.first
            throw TransocksError("Near line \(first?.line ?? 1): \(first?.message ?? "the syntax is not TOML")")
        }
        let top = try Table(root, keys: ["listen", "proxy_url", "log"])
        listen = try top.string("listen") ?? listen
        proxyURL = try top.string("proxy_url") ?? proxyURL
        var undecoded = top.undecoded
        if let node = top.found["log"] {
            let log = try Table(node, named: "log", keys: ["filename", "level", "format"])
            logFilename = try log.string("filename") ?? logFilename
            logLevel = try log.string("level") ?? logLevel
            logFormat = try log.string("format") ?? logFormat
            undecoded += log.undecoded
        }
        guard undecoded.isEmpty else {
            let names = undecoded.sorted { $0.offset < $1.offset }.map(\.name)
            throw TransocksError("undecoded key in TOML: [\(names.joined(separator: " "))]")
        }
    }
}

/// Why transocks' configuration cannot be used.
public struct TransocksError: Error, Sendable, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

/// A table whose keys match in any case, as with Go's TOML library; a key in its exact form goes first.
private struct Table {
    private let prefix: String
    private(set) var found: [String: Node] = [:]
    /// Keys that nobody knows, and those below them, dotted.
    private(set) var undecoded: [(name: String, offset: Int)] = []

    init(_ node: Node, named name: String = "", keys: [String]) throws(TransocksError) {
        guard case .table(let entries) = node.content else {
            throw TransocksError("type mismatch for \(name): expected table but found \(node.goType)")
        }
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

    func string(_ key: String) throws(TransocksError) -> String? {
        guard let node = found[key] else { return nil }
        guard case .string(let text) = node.content else {
            throw TransocksError("cannot load TOML value of type \(node.goType) into a Go string (key \(prefix)\(key))")
        }
        return text
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
