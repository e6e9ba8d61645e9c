internal import ArgumentParser
internal import ClearwayServer

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say which rule decides for a destination, and where a session to it would go.",
        discussion: """
            Reads the configuration and touches nothing else. Of a listener that serves clients it says first whether the client is \
            admitted, and whether the port and the destination can be reached.
            """)

    @OptionGroup var options: ConfigurationOption

    @Argument(help: "ADDRESS:PORT, as in 203.0.113.5:443 or [2001:db8::5]:443.")
    var destination: String

    @Option(help: "The client's address; without it, rules that ask for one do not match.")
    var client: String?

    @Option(help: "The name that the client asks for; where clients are served, DESTINATION is what it leads to.")
    var name: String?

    @Option(help: "The listener's name; default: the first one.")
    var listener: String?

    @Option(help: "Who the client has shown that it is, where a listener has users.")
    var user: String?

    @Flag(help: "For a UDP flow; default: a TCP connection.")
    var udp = false

    func run() {
        do throws(Failure) {
            print(
                try explain(
                    configurationAt: options.config, destination: destination, client: client, name: name, listener: listener,
                    user: user, udp: udp))
        } catch {
            end(with: error)
        }
    }
}
