import Foundation
import Testing

/// Who calls `clearway exec`.
enum Caller: String, CaseIterable {
    case ordinaryUser
    case root

    /// What makes a program that user's. In a user namespace that knows root alone, the ordinary user lives in one further in.
    var wrapper: [String] {
        guard self == .ordinaryUser else { return [] }
        return SecureShell.onlyRootExists
            ? ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
            : ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    }
}

/// The hosts of a situation in which commands run on the client host, and what they may need.
final class ExecStage {
    let topology: Topology
    let caller: Caller

    init(_ caller: Caller) throws {
        self.caller = caller
        topology = try Topology()
        chmod(topology.scratch.path, 0o755)
    }

    /// `clearway exec OPTIONS -- COMMAND` as the caller would have it.
    func words(_ options: [String] = [], _ command: [String]) -> [String] {
        caller.wrapper + [clearwayBinary, "exec"] + options + ["--"] + command
    }

    func run(_ options: [String] = [], _ command: [String], environment: [String: String] = [:]) throws -> Finished {
        try topology.client.finish(words(options, command), environment: environment)
    }

    /// Pages of both families, at port 8000.
    func startPages(on namespace: Namespace? = nil, address: String = "::", port: Int = 8_000) throws {
        let folder = topology.scratch.file("www")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try topology.scratch.write("the page\n", to: "www/page", mode: 0o644)
        let namespace = namespace ?? topology.server
        _ = try namespace.start([
            "/usr/bin/python3", "-m", "http.server", "\(port)", "--bind", address, "--directory", folder,
        ])
        try namespace.waitUntilListening(on: port)
    }

    /// A new empty directory that everybody may write to.
    func playground(_ name: String) throws -> String {
        let path = topology.scratch.file(name)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        chmod(path, 0o777)
        return path
    }

    /// The network namespace that a process is in, by its number; nil: there is no such process.
    static func networkNamespace(of pid: String) -> String? {
        try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/ns/net")
    }

    /// Whether any process at all is in a network namespace.
    static func isInhabited(_ namespace: String) throws -> Bool {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").contains { networkNamespace(of: $0) == namespace }
    }
}

/// Plays a situation for a caller, and clears the stage whatever happens.
func playExec(_ caller: Caller, _ situation: (ExecStage) throws -> Void) throws {
    let stage = try ExecStage(caller)
    defer { stage.topology.remove() }
    try situation(stage)
}
