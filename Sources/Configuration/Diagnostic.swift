/// A place in a configuration file. Lines and columns count from 1; columns count Unicode scalars, as editors do.
public struct SourcePosition: Sendable, Hashable {
    public var file: String
    public var line: Int
    public var column: Int

    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }
}

/// One finding about a configuration file, in the form compilers use, so that editors can jump to it.
public struct Diagnostic: Sendable, Hashable, CustomStringConvertible {
    public var file: String
    /// From 1; 0 when the finding is about the file as a whole (it cannot be read).
    public var line: Int
    /// From 1, in Unicode scalars; 0 when `line` is 0.
    public var column: Int
    public var message: String

    public init(file: String, line: Int, column: Int, message: String) {
        self.file = file
        self.line = line
        self.column = column
        self.message = message
    }

    /// For findings made later and elsewhere, such as an interface that does not exist.
    public init(_ position: SourcePosition, _ message: String) {
        self.init(file: position.file, line: position.line, column: position.column, message: message)
    }

    /// `FILE:LINE:COLUMN: error: MESSAGE`, or `FILE: error: MESSAGE` for the file as a whole.
    public var description: String {
        line == 0 ? "\(file): error: \(message)" : "\(file):\(line):\(column): error: \(message)"
    }
}

/// Everything found wrong with a configuration, in the order of the file, and then with its list files.
public struct ConfigurationErrors: Error, Sendable, Equatable, CustomStringConvertible {
    /// More than a screenful helps nobody.
    public static let reportLimit = 20

    /// 1…``reportLimit`` findings.
    public var diagnostics: [Diagnostic]
    /// How many more there were.
    public var omitted: Int

    public init(_ diagnostics: [Diagnostic], omitted: Int = 0) {
        self.diagnostics = diagnostics
        self.omitted = omitted
    }

    /// One line per finding.
    public var description: String {
        guard let file = diagnostics.last?.file else { return "" }
        var lines = diagnostics.map(\.description)
        if omitted > 0 { lines.append("\(file): error: \(omitted) more error\(omitted == 1 ? "" : "s")") }
        return lines.joined(separator: "\n")
    }
}

/// Gathers findings while the rest of the file is still being read.
final class DiagnosticCollector {
    /// A file can hold a hundred thousand mistakes; beyond this they are only counted.
    private static let collectLimit = 1000

    let source: SourceText
    let file: String
    private var found: [(offset: Int, message: String)] = []
    /// In files that this one names.
    private var foundElsewhere: [Diagnostic] = []
    private var uncollected = 0

    init(source: SourceText, file: String) {
        self.source = source
        self.file = file
    }

    func error(at offset: Int, _ message: String) {
        if found.count < Self.collectLimit { found.append((offset, message)) } else { uncollected += 1 }
    }

    /// About another file, such as a list.
    func error(_ diagnostic: Diagnostic) {
        if foundElsewhere.count < ConfigurationErrors.reportLimit { foundElsewhere.append(diagnostic) } else { uncollected += 1 }
    }

    func position(_ offset: Int) -> SourcePosition { source.position(of: offset, in: file) }

    func throwIfAny() throws(ConfigurationErrors) {
        guard !found.isEmpty || !foundElsewhere.isEmpty else { return }
        let sorted = found.enumerated().sorted { ($0.element.offset, $0.offset) < ($1.element.offset, $1.offset) }
        let here = sorted.prefix(ConfigurationErrors.reportLimit).map {
            Diagnostic(position($0.element.offset), $0.element.message)
        }
        let reported = here + foundElsewhere.prefix(ConfigurationErrors.reportLimit - here.count)
        throw ConfigurationErrors(reported, omitted: found.count + foundElsewhere.count - reported.count + uncollected)
    }
}
