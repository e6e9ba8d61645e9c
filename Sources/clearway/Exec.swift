internal import ArgumentParser
internal import ClearwayServer
internal import Glibc

struct Exec: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a command with all its connections intercepted, without root.",
        discussion: """
            The command runs in a network namespace of its own and notices nothing; static programs neither. Everything goes \
            direct, or through a proxy, or where the rules of a configuration file say. Exits as the command does; 126 or 127 \
            when it cannot be started, 77 where user namespaces are forbidden.
            """)

    @Option(
        name: .shortAndLong, help: "Configuration file, for its rules, upstreams and timeouts; its listeners are not used.",
        completion: .file(extensions: ["toml"]))
    var config: String?

    @Option(help: ArgumentHelp("The proxy for what no rule decides, as in socks5h://127.0.0.1:1080.", valueName: "url"))
    var upstream: String?

    @Flag(name: .shortAndLong, help: "One line on standard error for each session.")
    var verbose = false

    @Argument(
        parsing: .captureForPassthrough, help: ArgumentHelp("The command and its arguments, after --.", valueName: "command"),
        completion: .shellCommand("compgen -c"))
    var words: [String] = []

    func validate() throws {
        // Where the command begins, the parser no longer looks for options: what it does not know is given to us as the command.
        if let option = words.first, option.hasPrefix("-"), option != "--" {
            switch option {
            case "-h", "--help": throw CleanExit.helpRequest(self)
            case "--version": throw CleanExit.message(Clearway.configuration.version)
            default: throw ValidationError("Unknown option '\(option)'")
            }
        }
        if command.isEmpty { throw ValidationError("no command: clearway exec [options] -- COMMAND [ARGUMENT …]") }
    }

    private var command: [String] { words.first == "--" ? Array(words.dropFirst()) : words }

    func run() {
        do throws(Failure) {
            // The parser has seen no more than its first word, or all words at the end.
            let beginning = CommandWords.beginning(in: CommandLine.arguments) ?? Int(CommandLine.argc) - command.count
            var request = ExecRequest(command: CommandWords(UnsafePointer(CommandLine.unsafeArgv + beginning)))
            request.config = config
            request.upstream = upstream
            request.isVerbose = verbose
            Glibc.exit(try execute(request))
        } catch {
            printToStandardError("clearway exec: \(error.description)")
            leave(error.code)
        }
    }
}
