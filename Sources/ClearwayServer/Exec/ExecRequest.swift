internal import Configuration
internal import Policy

/// What `clearway exec` was asked for.
public struct ExecRequest: Sendable {
    /// Of a configuration file; nil: none, also where there is one at the usual place.
    public var config: String?
    /// A proxy's URL, as `url` in clearway.toml.
    public var upstream: String?
    /// Tell of each session.
    public var isVerbose = false
    public var command: CommandWords

    public init(command: CommandWords) { self.command = command }
}

extension ExecRequest {
    /// Threads that serve one command at most: more would only take longer to start.
    private static let mostWorkers = 2
    /// What rules, logs and people call the command's listener.
    static let listenerName = "exec"

    /// The file's rules, upstreams and timeouts; behind its rules the proxy that was named. Nothing of the file's that is the host's: no
    /// listener, no firewall, no log file.
    func configuration() throws(Failure) -> Configuration {
        var configuration = Configuration.embeddedDefault
        do throws(ConfigurationErrors) {
            if let config { configuration = try Configuration.load(config) }
            if let upstream { try configuration.append(proxy: upstream) }
        } catch {
            throw Failure(.configuration, error.description)
        }
        configuration.listeners = []
        configuration.log.file = nil
        configuration.log.level = isVerbose ? .info : .warning
        configuration.log.access = isVerbose
        configuration.workers = min(
            configuration.workers == 0 ? configuration.workerCount : configuration.workers, Self.mostWorkers)
        return configuration
    }
}

extension Configuration {
    /// Sends what no rule decides through a proxy. Its URL is read as the file's are.
    fileprivate mutating func append(proxy url: String) throws(ConfigurationErrors) {
        let named: Configuration
        do throws(ConfigurationErrors) {
            named = try Configuration(parsing: "[[upstream]]\nname = \"proxy\"\nurl = \(quoted(url))\n", file: "--upstream")
        } catch {
            // Lines and columns are those of a text that nobody has written.
            let bare = error.diagnostics.map { Diagnostic(file: $0.file, line: 0, column: 0, message: $0.message) }
            throw ConfigurationErrors(bare, omitted: error.omitted)
        }
        guard var proxy = named.upstreams.first else { return }
        var number = 1
        while upstreams.contains(where: { $0.name == proxy.name }) {
            number += 1
            proxy.name = "proxy-\(number)"
        }
        rules.append(Rule(action: .upstream(upstreams.count)))
        upstreams.append(proxy)
    }

    /// A basic string of TOML.
    private func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\u{0}"..<" ", "\u{7F}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
