public import ArgumentParser
internal import ClearwayServer
public import Firewall

struct Rules: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the kernel rules, routes and sysctls that the configuration needs, applying nothing.",
        discussion: "`shell` is the complete set-up as commands to paste, with its undo.")

    @OptionGroup var options: ConfigurationOption

    @Option(help: "nft, iptables or shell.")
    var format: Plan.Format = .nft

    func run() {
        do throws(Failure) {
            print(try rules(configurationAt: options.config, format), terminator: "")
        } catch {
            end(with: error)
        }
    }
}

extension Plan.Format: ExpressibleByArgument {}
