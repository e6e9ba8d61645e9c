internal import ArgumentParser
internal import ClearwayServer

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say whether interception will work here, and if not, why and what mends it.",
        discussion: "Exits 0 when nothing stands in the way; 69, 71 or 77 by the gravest finding.")

    @OptionGroup var options: ConfigurationOption

    @Flag(help: "Build a scratch client namespace and send real traffic through this host.")
    var probe = false

    func run() {
        do throws(Failure) {
            let report = try diagnose(configurationAt: options.config, probe: probe)
            print(report.text, terminator: "")
            if report.code != .good { leave(report.code) }
        } catch {
            end(with: error)
        }
    }
}
