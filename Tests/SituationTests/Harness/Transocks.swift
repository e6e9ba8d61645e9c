import Foundation
import Testing

/// A running transocks: Clearway through a link of that name.
final class Transocks {
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
        in namespace: Namespace, _ configuration: String, flags: [String] = [], logFile: String? = nil, wrapper: [String] = [],
        environment: [String: String] = [:]
    ) throws {
        self.logFile = logFile
        configurationFile = try namespace.scratch.write(configuration, to: "transocks.toml")
        program = try namespace.start(
            wrapper + [try Self.link(in: namespace.scratch), "-f", configurationFile] + flags, environment: environment)
    }

    static func link(in scratch: ScratchDirectory) throws -> String {
        let link = scratch.file("transocks")
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
        try waitUntil("transocks serves") {
            if let status = program.poll() { throw SituationError("transocks ended before it served: \(status)\n\(log)") }
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

/// What the tests' transocks is told, unless they say something else.
struct TransocksConfiguration {
    static let proxyPort = 1090

    var listen = "0.0.0.0:1081"
    var proxy = "socks5://198.51.100.2:\(proxyPort)"
    var format = "json"
    var level = "info"
    var file = ""

    var toml: String {
        """
        listen = "\(listen)"
        proxy_url = "\(proxy)"
        [log]
        filename = "\(file)"
        level = "\(level)"
        format = "\(format)"

        """
    }
}

extension Stage {
    /// Redirects as administrators of transocks do: what arrives from the client, or what the router itself sends.
    ///
    /// - Parameter sparesProxy: false: the rule that administrators forget.
    func redirectToTransocks(sparesProxy: Bool = true) throws {
        try topology.router.nft(
            """
            table inet transocks {
                chain prerouting {
                    type nat hook prerouting priority -100
                    iifname "lan" meta l4proto tcp redirect to :1081
                }
                chain output {
                    type nat hook output priority -100
                    ip daddr 127.0.0.0/8 return
                    ip6 daddr ::1 return
                    \(sparesProxy ? "tcp dport \(TransocksConfiguration.proxyPort)-\(TransocksConfiguration.proxyPort + 1) return" : "")
                    meta l4proto tcp redirect to :1081
                }
            }
            """)
    }

    /// The usual SOCKS5 server, on the server.
    func startMicrosocks(_ more: String...) throws {
        _ = try topology.server.start(["microsocks", "-i", "::", "-p", "\(TransocksConfiguration.proxyPort)"] + more)
        try topology.server.waitUntilListening(on: TransocksConfiguration.proxyPort)
    }

    func startTransocks(
        _ configuration: TransocksConfiguration = TransocksConfiguration(), flags: [String] = [], wrapper: [String] = [],
        environment: [String: String] = [:]
    ) throws -> Transocks {
        let transocks = try Transocks(
            in: topology.router, configuration.toml, flags: flags, logFile: configuration.file.isEmpty ? nil : configuration.file,
            wrapper: wrapper, environment: environment)
        try transocks.waitUntilServing()
        return transocks
    }
}

/// A stage on which transocks runs, behind the rules of its administrator.
func playTransocks(
    _ configuration: TransocksConfiguration = TransocksConfiguration(), variant: Variant = Variant(mode: .redirect),
    wrapper: [String] = [], environment: [String: String] = [:], _ situation: (Stage, Transocks) throws -> Void
) throws {
    try play(variant, start: false) { stage in
        try stage.redirectToTransocks()
        let transocks = try stage.startTransocks(configuration, wrapper: wrapper, environment: environment)
        do {
            try situation(stage, transocks)
        } catch {
            FileHandle.standardError.write(Data("transocks' log:\n\(transocks.log.suffix(4000))\n".utf8))
            throw error
        }
    }
}
