internal import ArgumentParser
internal import ClearwayServer

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Intercept and carry connections, in the foreground.",
        discussion: """
            SIGTERM or SIGINT stops taking connections and lets open sessions finish; a second one stops at once. SIGHUP \
            reads the configuration again, SIGUSR1 opens the log file anew. Rules, routes and sysctls are undone at a \
            clean stop; at any other, the rules die with the process.
            """)

    @OptionGroup var options: ConfigurationOption

    func run() {
        do throws(Failure) {
            try serve(configurationAt: options.config)
        } catch {
            end(with: error)
        }
    }
}
