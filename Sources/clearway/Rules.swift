public import ArgumentParser
internal import ClearwayServer
public import Firewall

struct Rules: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the kernel rules, routes and sysctls that the configuration needs, applying nothing.",
        discussion: """
            `shell` and `iptables` are the complete set-up as commands for sh, to paste or to run, again if need be, with their \
            undo; `nft` is a file for `nft -f`, with the other commands as comments.
            """)

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
