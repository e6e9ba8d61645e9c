import Foundation
import TestSupport

/// A QUIC connection from the client to an echo on the server: Peers/quic.py, which lives as long as its stage.
final class QUICConnection {
    static let port = 4_433

    /// What became of a stream.
    struct Exchange: Decodable {
        /// That came back.
        let bytes: Int
        /// Whether they are those that were sent.
        let equal: Bool
        /// Bytes in the client's datagrams since the connection began.
        let sent: Int
        let received: Int
    }

    private struct Move: Decodable { let port: Int }

    private let client: Program
    private let commands = Pipe()
    private var asked = 0

    /// Where `Scripts/deps test` installs what the script needs.
    private static let python = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent(".build/quic/bin/python").path

    /// Starts both ends, and waits until they have shaken hands.
    init(_ stage: Stage) throws {
        let host = stage.variant.family.server
        let certificates = stage.certificates
        let authority = try certificates.authority()
        let certificate = try certificates.server(names: "IP:\(host)", by: authority)
        func start(_ namespace: Namespace, _ arguments: [String], input: Int32? = nil) throws -> Program {
            try namespace.start([Self.python, peerScript("quic.py")] + arguments, input: input)
        }
        let server = try start(
            stage.topology.server, ["serve", host, "\(Self.port)", certificate.file, certificate.key])
        try Self.wait(server, lines: 1)
        client = try start(
            stage.topology.client, ["ask", host, "\(Self.port)", authority.file],
            input: commands.fileHandleForReading.fileDescriptor)
        try Self.wait(client, lines: 1)
    }

    /// Sends that many bytes on a stream, and has them back.
    func exchange(_ bytes: Int) throws -> Exchange { try ask("\(bytes)") }

    /// Goes on from another port, of that address of the client's: the port.
    func move(to address: String) throws -> Int { try (ask("move \(address)") as Move).port }

    /// Ends it as a program does that has finished.
    func close() throws {
        try commands.fileHandleForWriting.close()
        let status = try client.waitForExit()
        guard status == .exited(0) else { throw SituationError("quic.py: \(status): \(client.standardError)") }
    }

    private func ask<Reply: Decodable>(_ command: String) throws -> Reply {
        try commands.fileHandleForWriting.write(contentsOf: Data((command + "\n").utf8))
        asked += 1
        let lines = try Self.wait(client, lines: 1 + asked)
        return try JSONDecoder().decode(Reply.self, from: Data(lines[asked].utf8))
    }

    /// Waits until a program has said that many lines.
    @discardableResult
    private static func wait(_ program: Program, lines count: Int) throws -> [Substring] {
        // A cipher and a congestion control in Python, on a machine that has other things to do.
        try waitFor("\(count) lines of quic.py", limit: 3 * generousLimit) {
            guard program.isRunning else { throw SituationError("quic.py: \(program.standardError)") }
            let lines = program.standardOutput.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            return lines.count >= count ? Array(lines) : nil
        }
    }
}
