internal import Configuration

/// The command line that transocks and usocksd have in common, in the syntax of Go's flag package: `-f v`, `--f v`, `-f=v`, `--f=v`. Reading stops at the first
/// word that is no flag; what follows is ignored.
struct DropInArguments: Equatable, Sendable {
    var file: String
    /// Each beats its key of the file, unless it is empty.
    var logFile = ""
    var logLevel = ""
    var logFormat = ""

    enum Command: Equatable {
        case run(DropInArguments)
        /// Reads the configuration, and no more.
        case check(DropInArguments)
        case version
        case help
        /// With the complaint.
        case usage(String)
    }

    private static func key(_ flag: String) -> WritableKeyPath<Self, String>? {
        switch flag {
        case "f": \.file
        case "logfile": \.logFile
        case "loglevel": \.logLevel
        case "logformat": \.logFormat
        default: nil
        }
    }

    /// - Parameter file: what is read without `-f`.
    static func parse(_ words: [String], file: String) -> Command {
        var arguments = DropInArguments(file: file)
        var checks = false
        var rest = words[...]
        while let word = rest.first, word.utf8.count > 1, word.hasPrefix("-"), word != "--" {
            rest = rest.dropFirst()
            let flag = word.dropFirst(word.hasPrefix("--") ? 2 : 1)
            guard let first = flag.first, first != "-", first != "=" else { return .usage("bad flag syntax: \(word)") }
            let parts = flag.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            let value = parts.count > 1 ? String(parts[1]) : nil
            if let key = key(name) {
                guard let value = value ?? rest.popFirst() else { return .usage("flag needs an argument: -\(name)") }
                arguments[keyPath: key] = value
                continue
            }
            guard ["h", "help", "check", "version"].contains(name) else { return .usage("flag provided but not defined: -\(name)") }
            if value != nil { return .usage("flag takes no argument: -\(name)") }
            switch name {
            case "check": checks = true
            case "version": return .version
            default: return .help
            }
        }
        return checks ? .check(arguments) : .run(arguments)
    }

    /// - Parameter file: as Go's flag package shows a default: not at all, if it is empty.
    static func usage(of program: String, file: String) -> String {
        """
        Usage of \(program):
          -check
            \tread the configuration, say whether it is good, and exit
          -f string
            \tconfiguration file\(file.isEmpty ? "" : " (default \"\(file)\")")
          -logfile string
            \tlog file, in place of log.filename
          -logformat string
            \tlog format [plain,logfmt,json], in place of log.format
          -loglevel string
            \tlog level [critical,error,warning,info,debug], in place of log.level
          -version
            \tprint the version and exit
        """
    }
}

extension DropInLog {
    /// Flags beat the file.
    mutating func take(_ arguments: DropInArguments) {
        if !arguments.logFile.isEmpty { filename = arguments.logFile }
        if !arguments.logLevel.isEmpty { level = arguments.logLevel }
        if !arguments.logFormat.isEmpty { format = arguments.logFormat }
    }
}
