import Foundation
import Testing

/// A running program that Clearway stands in for: Clearway through a link of its name.
class DropIn {
    let name: String
    let program: Program
    let configurationFile: String
    private let logFile: String?

    /// Starts it and waits for nothing.
    ///
    /// - Parameters:
    ///   - flags: after `-f FILE`.
    ///   - logFile: what the configuration or the flags say of it.
    ///   - wrapper: a program with its arguments that starts it.
    init(
        _ name: String, in namespace: Namespace, _ configuration: String, flags: [String] = [], logFile: String? = nil,
        wrapper: [String] = [],
        environment: [String: String] = [:]
    ) throws {
        self.name = name
        self.logFile = logFile
        configurationFile = try namespace.scratch.write(configuration, to: "\(name).toml")
        program = try namespace.start(
            wrapper + [try Self.link(name, in: namespace.scratch), "-f", configurationFile] + flags, environment: environment)
    }

    static func link(_ name: String, in scratch: ScratchDirectory) throws -> String {
        let link = scratch.file(name)
        if !FileManager.default.fileExists(atPath: link) {
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: clearwayBinary)
        }
        return link
    }

    /// Everything it has logged.
    var log: String {
        logFile.flatMap { try? String(contentsOfFile: $0, encoding: .utf8) } ?? program.standardError
    }

    /// Waits until it serves, for the first time or after so many reloads.
    func waitUntilServing(times: Int = 1) throws {
        try waitUntil("\(name) serves") {
            if let status = program.poll() { throw SituationError("\(name) ended before it served: \(status)\n\(log)") }
            return log.components(separatedBy: "\"well: new child\"").count > times
        }
    }

    /// The records with that message so far (`log.format = "json"`).
    func records(_ message: String) throws -> [AccessRecord] {
        // The last line may be half written.
        try log.split(separator: "\n", omittingEmptySubsequences: false).dropLast().compactMap { line in
            guard let fields = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else {
                throw SituationError("not a JSON object: \(line)")
            }
            return fields["message"] as? String == message ? AccessRecord(fields: fields) : nil
        }
    }

    @discardableResult
    func waitForRecords(_ message: String, _ count: Int = 1) throws -> [AccessRecord] {
        do {
            return try waitFor("\(count) times \"\(message)\"") {
                let found = try records(message)
                return found.count >= count ? found : nil
            }
        } catch {
            throw SituationError("\(error); the log:\n\(log)")
        }
    }

    func stop() throws -> ExitStatus {
        program.signal(SIGTERM)
        return try program.waitForExit()
    }

    /// Resident memory that is no file's, bytes.
    var anonymousMemory: Int {
        let status = (try? String(contentsOfFile: "/proc/\(program.pid)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("RssAnon:") } ?? ""
        return (Int(line.filter(\.isNumber)) ?? 0) * 1024
    }

    /// Open descriptors that are of that kind: `socket`, `pipe`.
    func descriptors(_ kind: String) -> Int {
        let folder = "/proc/\(program.pid)/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)") }
            .count { $0.hasPrefix("\(kind):") }
    }
}
