internal import ArgumentParser
internal import ClearwayServer

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Validate the configuration without touching the system.",
        discussion: "Prints FILE:LINE:COLUMN: error: … for all that is wrong and exits 78, or one line when all is good.")

    @OptionGroup var options: ConfigurationOption

    func run() {
        do throws(Failure) {
            print(try check(configurationAt: options.config))
        } catch {
            end(with: error)
        }
    }
}
