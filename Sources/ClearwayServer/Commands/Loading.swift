internal import CSockets
internal import Configuration
internal import Firewall
internal import Glibc

/// The program's version, as `--version` prints it.
public let version = "0.1.0"

/// Where `run` looks when no file is named.
let defaultPath = "/etc/clearway/clearway.toml"

/// The file that is read; `nil`: the embedded default is taken.
func configurationFile(_ path: String?) -> String? { path ?? (access(defaultPath, F_OK) == 0 ? defaultPath : nil) }

/// Reads the named file, else the default one if it exists, else takes the embedded default.
///
/// - Parameter elsewhere: it is asked about a configuration that may be another machine's, whose interfaces are not here.
/// - Throws: `Failure` with `configuration` and every error found, one line each.
func loadConfiguration(_ path: String?, elsewhere: Bool = false) throws(Failure) -> Configuration {
    guard let path = configurationFile(path) else { return .embeddedDefault }
    let configuration: Configuration
    do throws(ConfigurationErrors) {
        configuration = try Configuration.load(path)
    } catch {
        throw Failure(.configuration, error.description)
    }
    if !elsewhere { try checkInterfaces(configuration) }
    if configuration.makesRules { try checkRules(configuration) }
    return configuration
}

/// The one thing about a configuration that only the system knows: whether its interfaces exist.
private func checkInterfaces(_ configuration: Configuration) throws(Failure) {
    var lines: [String] = []
    for (index, listener) in configuration.listeners.enumerated() {
        for (place, name) in listener.interfaces.enumerated() where !name.hasSuffix("*") && if_nametoindex(name) == 0 {
            let position = configuration.positions.interface(index, place)
            lines.append(Diagnostic(position, "there is no interface \"\(name)\"").description)
        }
    }
    guard lines.isEmpty else { throw Failure(.configuration, lines.joined(separator: "\n")) }
}

/// Whether there are rules that do what the configuration says.
private func checkRules(_ configuration: Configuration) throws(Failure) {
    let choice = Choice.fixed(mark: configuration.firewall.mark, routeTable: configuration.firewall.routeTable)
    do throws(PlanError) {
        _ = try Plan(FirewallSpec(configuration, choice))
    } catch {
        throw Failure(.configuration, Diagnostic(position(of: error, in: configuration), error.description).description)
    }
}

private func position(of error: PlanError, in configuration: Configuration) -> SourcePosition {
    let positions = configuration.positions
    switch error {
    case .priority: return positions.firewall("priority")
    case .exitMark: return positions.firewall("mark")
    case .name(configuration.firewall.table): return positions.firewall("table")
    case .name(let interface):
        for (index, listener) in configuration.listeners.enumerated() {
            if let place = listener.interfaces.firstIndex(of: interface) { return positions.interface(index, place) }
        }
        return positions.listener(0)
    case .loopbackRedirect(let name, _), .loopbackInterface(let name), .redirectedDatagrams(let name):
        return positions.listener(configuration.listeners.firstIndex { $0.name == name } ?? 0)
    case .nothingIntercepted: return positions.listener(0)
    }
}

/// Leaves the program with `code`.
public func leave(_ code: ExitCode) -> Never { exit(code.rawValue) }

public func printToStandardError(_ text: String) {
    var line = text + "\n"
    line.withUTF8 { bytes in
        var written = 0
        while written < bytes.count {
            let result = cs_write(2, bytes.baseAddress! + written, bytes.count - written)
            guard result > 0 || result == -Int(EINTR) else { return }
            written += max(result, 0)
        }
    }
}
