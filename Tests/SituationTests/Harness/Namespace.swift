import Foundation

/// What a program said and how it ended.
struct Finished {
    let status: ExitStatus
    let output: String
    let errors: String

    var succeeded: Bool { status == .exited(0) }
}

/// One host of a situation: a network namespace, in which real programs run.
final class Namespace {
    let name: String
    let scratch: ScratchDirectory
    private var started: [Program] = []
    private var count = 0

    /// Of a network namespace that is there, or will be before anything is done in it.
    init(name: String, scratch: ScratchDirectory) {
        self.name = name
        self.scratch = scratch
    }

    /// Starts a program here; it is killed with the namespace at the latest.
    func start(
        _ arguments: [String], environment: [String: String] = [:], input: Int32? = nil, output: Int32? = nil
    ) throws -> Program {
        count += 1
        // `ip netns exec` becomes the program: the process identifier is the program's own.
        let program = try Program(
            ["ip", "netns", "exec", name] + arguments, files: scratch.file("\(name)-\(count)-\(label(arguments[0]))"),
            environment: environment, input: input, output: output)
        started.append(program)
        return program
    }

    /// Runs a program here to its end.
    func finish(_ arguments: [String], environment: [String: String] = [:], limit: Double = generousLimit) throws -> Finished {
        let program = try start(arguments, environment: environment)
        defer { program.end() }
        let status = try program.waitForExit(limit: limit)
        return Finished(status: status, output: program.standardOutput, errors: program.standardError)
    }

    /// Runs a program here whose failure means that the situation cannot be set up; its output.
    @discardableResult
    func require(_ arguments: [String]) throws -> String {
        let finished = try finish(arguments)
        guard finished.succeeded else {
            throw SituationError("\(arguments.joined(separator: " ")): \(finished.status): \(finished.errors)\(finished.output)")
        }
        return finished.output
    }

    /// Runs lines of `ip` in one go.
    func ip(_ lines: String) throws {
        count += 1
        let file = try scratch.write(lines, to: "\(name)-\(count).ip")
        let finished = try Namespace.finish(["ip", "-n", name, "-batch", file], files: scratch.file("\(name)-\(count)-ip"))
        guard finished.succeeded else { throw SituationError("ip \(lines): \(finished.errors)") }
    }

    /// Loads a ruleset.
    func nft(_ rules: String) throws {
        count += 1
        try require(["nft", "-f", scratch.write(rules, to: "\(name)-\(count).nft")])
    }

    /// Ports on which something listens here, of either family.
    func listeningPorts() throws -> Set<Int> {
        let lines = try require(["ss", "-Hltn"]).split(separator: "\n")
        return Set(lines.compactMap { $0.split(separator: " ").dropFirst(3).first?.split(separator: ":").last.flatMap { Int($0) } })
    }

    func waitUntilListening(on port: Int) throws {
        try waitUntil("a listener on port \(port) in \(name)") { try listeningPorts().contains(port) }
    }

    func endPrograms() {
        for program in started { program.end() }
    }

    static func finish(_ arguments: [String], files: String) throws -> Finished {
        let program = try Program(arguments, files: files)
        defer { program.end() }
        let status = try program.waitForExit()
        return Finished(status: status, output: program.standardOutput, errors: program.standardError)
    }

    private func label(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? "program"
    }
}
