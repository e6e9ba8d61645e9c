/// Reads a configuration file of a program that Clearway stands in for, and nothing else.
func dropInText(_ path: String, _ dialect: GoDialect) throws(DropInError) -> String {
    let bytes: [UInt8]
    do throws(UnreadableFile) {
        bytes = try Configuration.contents(path, atMost: Document.byteLimit)
    } catch {
        throw DropInError("open \(path): \(error.reason.lowercased())")
    }
    if let offset = firstInvalidUTF8(bytes) {
        let line = bytes[..<offset].count { $0 == UInt8(ascii: "\n") } + 1
        throw dialect.syntax(line, "the file is not UTF-8")
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// The table `log`, which such programs have in common.
public struct DropInLog: Sendable, Equatable {
    public var filename = ""
    public var level = ""
    public var format = ""

    init() {}

    init(in root: inout GoTable) throws(DropInError) {
        guard let table = try root.table("log", keys: ["filename", "level", "format"]) else { return }
        filename = try table.string("filename") ?? filename
        level = try table.string("level") ?? level
        format = try table.string("format") ?? format
    }
}

extension Configuration.Log {
    init(_ log: DropInLog) throws(DropInError) {
        self.init()
        let levels: [String: Level] = [
            "": .info, "critical": .critical, "crit": .critical, "error": .error, "warning": .warning, "warn": .warning,
            "information": .info, "info": .info, "debug": .debug,
        ]
        guard let level = levels[log.level] else { throw DropInError("no such level: \(log.level)") }
        // Theirs are three; `combined` is none of them.
        guard let format = log.format.isEmpty ? .plain : Format(rawValue: log.format), format != .combined else {
            throw DropInError("invalid format: \(log.format)")
        }
        self.level = level
        self.format = format
        file = log.filename.isEmpty ? nil : log.filename
    }
}
