internal import ArgumentParser
internal import ClearwayServer

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say which rule decides for a destination, and where a session to it would go.",
        discussion: "Reads the configuration and touches nothing else.")

    @OptionGroup var options: ConfigurationOption

    @Argument(help: "ADDRESS:PORT, as in 203.0.113.5:443 or [2001:db8::5]:443.")
    var destination: String

    @Option(help: "The client's address; without it, rules that ask for one do not match.")
    var client: String?

    @Option(help: "The name that the client asks for.")
    var name: String?

    @Option(help: "The listener's name; default: the first one.")
    var listener: String?

    func run() {
        do throws(Failure) {
            print(
                try explain(
                    configurationAt: options.config, destination: destination, client: client, name: name, listener: listener))
        } catch {
            end(with: error)
        }
    }
}
