import Foundation

/// What a peer answered: fields by name.
struct Answer {
    let fields: [String: Any]

    func string(_ name: String) -> String { fields[name] as? String ?? "(no \(name))" }
    func int(_ name: String) -> Int { (fields[name] as? NSNumber)?.intValue ?? -1 }
    func double(_ name: String) -> Double { (fields[name] as? NSNumber)?.doubleValue ?? -1 }
    func strings(_ name: String) -> [String] { fields[name] as? [String] ?? [] }
    func ints(_ name: String) -> [Int] { (fields[name] as? [NSNumber])?.map(\.intValue) ?? [] }
    func doubles(_ name: String) -> [Double] { (fields[name] as? [NSNumber])?.map(\.doubleValue) ?? [] }

    /// The socket that a command opened, for the next commands.
    var socket: Int { int("socket") }
    /// How the peer saw the connection end: "fin", "ECONNRESET" …
    var end: String { string("end") }
    /// `connect` only: "connected" or an errno's name.
    var outcome: String { string("outcome") }
}

/// A script's path in Peers.
func peerScript(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Peers/\(name)")
        .path
}

/// Peers/peer.py in a namespace: sockets that do exactly what the situation tells them.
final class Peer {
    private let program: Program
    private let commands: FileHandle
    private let answers: FileHandle
    private var unread = Data()
    private var arrived: [Int: Answer] = [:]
    private var lastCommand = 0

    init(in namespace: Namespace) throws {
        let toPeer = Pipe()
        let fromPeer = Pipe()
        for handle in [toPeer.fileHandleForWriting, fromPeer.fileHandleForReading] {
            // Another program that inherited our end would keep the peer alive.
            _ = fcntl(handle.fileDescriptor, F_SETFD, FD_CLOEXEC)
        }
        program = try namespace.start(
            ["/usr/bin/python3", "-u", peerScript("peer.py")], input: toPeer.fileHandleForReading.fileDescriptor,
            output: fromPeer.fileHandleForWriting.fileDescriptor)
        commands = toPeer.fileHandleForWriting
        answers = fromPeer.fileHandleForReading
    }

    /// Gives a command without waiting for its answer.
    func begin(_ operation: String, _ arguments: [String: Any] = [:]) throws -> Int {
        lastCommand += 1
        var line = try JSONSerialization.data(
            withJSONObject: arguments.merging(["id": lastCommand, "op": operation]) { _, new in new })
        line.append(0x0a)
        guard line.withUnsafeBytes({ write(commands.fileDescriptor, $0.baseAddress, $0.count) }) == line.count else {
            throw SituationError("the peer is gone: \(program.standardError)")
        }
        return lastCommand
    }

    /// The answer to a command given before.
    func answer(to command: Int, limit: Double = 60) throws -> Answer {
        let deadline = now() + limit
        while arrived[command] == nil {
            var ready = pollfd(fd: answers.fileDescriptor, events: Int16(POLLIN), revents: 0)
            let wait = Int32(max(0, (deadline - now()) * 1000))
            guard Glibc.poll(&ready, 1, wait) > 0 else { throw SituationError("the peer did not answer within \(limit) s") }
            var buffer = [UInt8](repeating: 0, count: 65536)
            let count = read(answers.fileDescriptor, &buffer, buffer.count)
            guard count > 0 else { throw SituationError("the peer is gone: \(program.standardError)") }
            unread.append(contentsOf: buffer[..<count])
            while let newline = unread.firstIndex(of: 0x0a) {
                let line = unread[unread.startIndex..<newline]
                unread = Data(unread[unread.index(after: newline)...])
                guard let fields = try JSONSerialization.jsonObject(with: line) as? [String: Any] else { continue }
                let answer = Answer(fields: fields)
                arrived[answer.int("id")] = answer
            }
        }
        let answer = arrived.removeValue(forKey: command)!
        if let failure = answer.fields["failure"] as? String { throw PeerFailure(name: failure) }
        return answer
    }

    /// Gives a command and waits for its answer.
    @discardableResult
    func perform(_ operation: String, _ arguments: [String: Any] = [:], limit: Double = 60) throws -> Answer {
        try answer(to: begin(operation, arguments), limit: limit)
    }
}

/// A socket call of the peer's that failed: the errno's name.
struct PeerFailure: Error, Equatable {
    let name: String
}

extension Peer {
    /// Listens; the answer has `socket` and `port`.
    func listen(_ host: String, port: Int = 0) throws -> Answer {
        try perform("listen", ["host": host, "port": port])
    }

    func accept(_ listener: Answer) throws -> Answer {
        try perform("accept", ["socket": listener.socket])
    }

    /// Connects, and insists that it comes about.
    func connect(_ host: String, _ port: Int, _ options: [String: Any] = [:]) throws -> Answer {
        let answer = try perform("connect", options.merging(["host": host, "port": port]) { _, new in new })
        guard answer.outcome == "connected" else { throw PeerFailure(name: answer.outcome) }
        return answer
    }

    func send(_ socket: Int, _ text: String) throws {
        try perform("send", ["socket": socket, "text": text])
    }

    func receive(_ socket: Int, _ bytes: Int) throws -> String {
        try perform("receive", ["socket": socket, "bytes": bytes]).string("text")
    }

    /// Up to that text, and no further.
    func receiveUntil(_ socket: Int, _ text: String) throws -> String {
        try perform("receive_until", ["socket": socket, "text": text]).string("text")
    }

    /// Ends this side's direction: a FIN.
    func shut(_ socket: Int) throws {
        try perform("shut", ["socket": socket])
    }

    /// Reads to the end.
    func drain(_ socket: Int, limit: Int? = nil) throws -> Answer {
        try perform("drain", limit.map { ["socket": socket, "limit": $0] } ?? ["socket": socket])
    }

    func close(_ socket: Int) throws {
        try perform("close", ["socket": socket])
    }

    /// Ends both directions with a RST.
    func reset(_ socket: Int) throws {
        try perform("reset", ["socket": socket])
    }
}
