internal import ArgumentParser
internal import ClearwayServer
internal import Glibc

struct Usocksd: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run as usocksd, with its command line and its configuration file.",
        discussion: """
            Also what this program does when it is called through a link named usocksd. The options are those of usocksd: \
            -f, -logfile, -loglevel, -logformat, with one dash or two; -h lists them.
            """,
        helpNames: [])

    /// Go's syntax, which is none of the argument parser's.
    @Argument(parsing: .captureForPassthrough, help: "Options of usocksd.")
    var words: [String] = []

    func run() { Glibc.exit(usocksd(words)) }
}
