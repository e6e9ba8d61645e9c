internal import ArgumentParser
internal import ClearwayServer
internal import Glibc

@main
struct Clearway: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clearway",
        abstract: "A transparent proxy: carries other programs' connections without their knowing.",
        discussion: """
            Without a configuration file it intercepts every TCP connection this host makes and carries it on unharmed; \
            with one, also those of the networks behind it. See clearway(8) and clearway.toml(5).
            """,
        version: "clearway \(ClearwayServer.version)",
        subcommands: [Run.self, Check.self, Rules.self, Explain.self, Doctor.self, Exec.self, Transocks.self, Usocksd.self])

    /// A link's name says which program is meant.
    static func main() {
        let name = CommandLine.arguments.first?.split(separator: "/").last
        let words = Array(CommandLine.arguments.dropFirst())
        switch name {
        case "transocks": Glibc.exit(transocks(words))
        case "usocksd": Glibc.exit(usocksd(words))
        default:
            let all = CommandLine.arguments
            main(CommandWords.beginning(in: all).map { Array(all[1...$0]) })
        }
    }
}

struct ConfigurationOption: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: "Configuration file; default /etc/clearway/clearway.toml if it exists, else the built-in one.",
        completion: .file(extensions: ["toml"]))
    var config: String?
}

/// Ends the program as `failure` says: its text to standard error, its code to the caller.
func end(with failure: Failure) -> Never {
    printToStandardError(failure.description)
    leave(failure.code)
}
