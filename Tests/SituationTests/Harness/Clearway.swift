import Foundation

/// One line of the access log.
struct AccessRecord {
    let fields: [String: Any]

    func string(_ name: String) -> String { fields[name] as? String ?? "(no \(name))" }
    func int(_ name: String) -> Int { (fields[name] as? NSNumber)?.intValue ?? -1 }
    func double(_ name: String) -> Double { (fields[name] as? NSNumber)?.doubleValue ?? -1 }
    var ending: String { string("ending") }
}

/// Where the product is: CLEARWAY_BINARY, or beside the tests in the build directory.
let clearwayBinary: String = {
    if let named = ProcessInfo.processInfo.environment["CLEARWAY_BINARY"] { return named }
    for argument in CommandLine.arguments where argument.contains(".xctest") {
        let bundle = URL(fileURLWithPath: argument.components(separatedBy: ".xctest")[0] + ".xctest")
        let beside = bundle.deletingLastPathComponent().appendingPathComponent("clearway").path
        if FileManager.default.isExecutableFile(atPath: beside) { return beside }
    }
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    return package.appendingPathComponent(".build/debug/clearway").path
}()

/// Starts what follows on a host that has no `nft`: in the mounts of its own that `ip netns exec` gives it, the program cannot be executed.
let withoutNft = ["sh", "-c", #"mount --bind /dev/null "$(readlink -f "$(command -v nft)")" && exec "$@""#, "sh"]

/// Starts what follows on a host that has no `ss`: left-over sockets cannot be destroyed there.
let withoutSs = ["sh", "-c", #"mount --bind /dev/null "$(readlink -f "$(command -v ss)")" && exec "$@""#, "sh"]

/// A running Clearway.
final class Clearway {
    let program: Program
    let configurationFile: String
    private let logFile: String?

    /// Starts `clearway run` and waits for nothing.
    ///
    /// - Parameter wrapper: a program with its arguments that starts it, such as `prlimit --nofile=64:64`.
    init(
        in namespace: Namespace, configuration: ClearwayConfiguration, name: String = "clearway", wrapper: [String] = [],
        environment: [String: String] = [:]
    ) throws {
        configurationFile = try namespace.scratch.write(configuration.toml, to: "\(name).toml")
        logFile = configuration.logFile.isEmpty ? nil : configuration.logFile
        program = try namespace.start(wrapper + [clearwayBinary, "run", "-c", configurationFile], environment: environment)
    }

    /// Everything it has logged.
    var log: String {
        logFile.flatMap { try? String(contentsOfFile: $0, encoding: .utf8) } ?? program.standardError
    }

    /// Waits until it carries traffic.
    func waitUntilReady() throws {
        try waitUntil("Clearway ready") {
            if let status = program.poll() { throw SituationError("Clearway ended before it was ready: \(status)\n\(log)") }
            return log.split(separator: "\n").contains { $0.contains("\"ready\"") }
        }
    }

    /// The records of finished sessions so far (`log.format = "json"`).
    func accessRecords() throws -> [AccessRecord] { try records("session") }

    /// All records with that message so far.
    func records(_ message: String) throws -> [AccessRecord] {
        // The last line may be half written.
        try log.split(separator: "\n", omittingEmptySubsequences: false).dropLast().compactMap { line in
            guard line.first == "{" else { return nil }
            guard let fields = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else {
                throw SituationError("not a JSON object: \(line)")
            }
            return fields["message"] as? String == message ? AccessRecord(fields: fields) : nil
        }
    }

    /// Waits for that many finished sessions; the records.
    @discardableResult
    func waitForSessions(_ count: Int) throws -> [AccessRecord] {
        do {
            return try waitFor("\(count) finished sessions") {
                let records = try accessRecords()
                return records.count >= count ? records : nil
            }
        } catch {
            throw SituationError("\(error); the log:\n\(log)")
        }
    }

    /// The same of finished requests of HTTP.
    @discardableResult
    func waitForRequests(_ count: Int) throws -> [AccessRecord] {
        do {
            return try waitFor("\(count) finished requests") {
                let records = try records("request")
                return records.count >= count ? records : nil
            }
        } catch {
            throw SituationError("\(error); the log:\n\(log)")
        }
    }

    /// Rewrites the configuration and waits until it is in force.
    func reload(_ configuration: ClearwayConfiguration) throws {
        try configuration.toml.write(toFile: configurationFile, atomically: true, encoding: .utf8)
        let said = { self.log.split(separator: "\n").count { $0.contains("\"reloaded\"") } }
        let before = said()
        program.signal(SIGHUP)
        try waitUntil("the new configuration in force") { said() > before }
    }

    /// Asks it to stop; its exit status.
    func stop() throws -> ExitStatus {
        program.signal(SIGTERM)
        return try program.waitForExit()
    }

    /// Resident memory, bytes.
    var residentMemory: Int {
        let status = (try? String(contentsOfFile: "/proc/\(program.pid)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
        return (Int(line.filter(\.isNumber)) ?? 0) * 1024
    }

    /// Open sockets, by their inodes.
    var sockets: Set<String> {
        let folder = "/proc/\(program.pid)/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return Set(
            names.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)") }
                .filter { $0.hasPrefix("socket:") })
    }

    /// Open descriptors.
    var descriptors: Int {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(program.pid)/fd")) ?? []).count
    }

    /// How often its threads have gone to sleep so far.
    var waits: Int {
        let folder = "/proc/\(program.pid)/task"
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return threads.reduce(0) { sum, thread in
            let status = (try? String(contentsOfFile: "\(folder)/\(thread)/status", encoding: .utf8)) ?? ""
            let line = status.split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches:") } ?? ""
            return sum + (Int(line.filter(\.isNumber)) ?? 0)
        }
    }

    /// Seconds of processor time used so far.
    var processorTime: Double {
        let stat = (try? String(contentsOfFile: "/proc/\(program.pid)/stat", encoding: .utf8)) ?? ""
        let fields = stat.components(separatedBy: ") ").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}
