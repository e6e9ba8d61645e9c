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

    @Option(help: "What is asked for, as http://HOST/PATH, where HTTP is understood; its host is the name.")
    var url: String?

    @Option(help: "With --url: the request's method; default: GET.")
    var method: String?

    @Option(help: "With --url: a field of the request, as in 'User-Agent: curl'; may be given again.")
    var header: [String] = []

    @Option(help: "With --url: the type of the response, or none; default: there is no response yet.")
    var contentType: String?

    @Option(help: "When, by the wall clock, as in 'Wed 14:30'; default: now.")
    var time: String?

    func run() {
        do throws(Failure) {
            print(
                try explain(
                    configurationAt: options.config, destination: destination, client: client, name: name, listener: listener,
                    user: user, udp: udp,
                    request: RequestWords(url: url, method: method, fields: header, contentType: contentType), time: time))
        } catch {
            end(with: error)
        }
    }
}
