import Foundation
import TLS
import TestSupport
import TransparentSockets

struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// What every test of this target uses: certificates, and no SIGPIPE.
final class Fixture: Sendable {
    static let shared = Result { try Fixture() }

    let directory: String
    let authority: Certificates.Certificate
    let other: Certificates.Certificate
    /// For `proxy.test` and 127.0.0.1.
    let server: Certificates.Certificate
    /// For `proxy.test` only.
    let named: Certificates.Certificate

    private init() throws {
        signal(SIGPIPE, SIG_IGN)
        var template = Array((NSTemporaryDirectory() + "/clearway-tls-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure("mkdtemp: errno \(errno)") }
        let path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        directory = path
        atexit { Fixture.remove() }
        let certificates = Certificates(in: path)
        authority = try certificates.authority()
        other = try certificates.authority("other")
        server = try certificates.server(names: "DNS:proxy.test,IP:127.0.0.1", by: authority)
        named = try certificates.server("named", names: "DNS:proxy.test", by: authority)
    }

    private static func remove() {
        if let fixture = try? shared.get() { try? FileManager.default.removeItem(atPath: fixture.directory) }
    }

    func trust(_ certificate: Certificates.Certificate) throws -> Trust {
        .authorities(try Authorities(pem: Array(try Data(contentsOf: URL(fileURLWithPath: certificate.file)))))
    }

    /// For whom `server` speaks, by the authority that made it.
    func context() throws -> TLSContext { try TLSContext(.name("proxy.test"), trust(authority)) }
}

/// A program that serves on a port of 127.0.0.1, and says which. It is ended with this object at the latest.
final class Server {
    let port: UInt16
    private let process = Process()
    private let input = Pipe()
    private let outputFile: String

    /// `openssl s_server`.
    convenience init(_ options: String..., certificate: Certificates.Certificate? = nil) throws {
        let fixture = try Fixture.shared.get()
        let certificate = certificate ?? fixture.server
        try self.init(
            command: ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate.file, "-key", certificate.key] + options
        )
    }

    /// A program whose first line has its port behind the last colon.
    init(command: [String]) throws {
        let fixture = try Fixture.shared.get()
        outputFile = "\(fixture.directory)/\(UUID().uuidString)"
        _ = FileManager.default.createFile(atPath: outputFile, contents: nil)
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.currentDirectoryURL = URL(fileURLWithPath: fixture.directory)
        process.standardInput = input
        process.standardOutput = FileHandle(forWritingAtPath: outputFile)
        process.standardError = FileHandle.nullDevice
        try process.run()
        let (file, process) = (outputFile, process)
        port = try waitFor("\(command[0]) listens") {
            guard process.isRunning else { throw Failure("\(command) ended") }
            let said = String(decoding: try Data(contentsOf: URL(fileURLWithPath: file)), as: UTF8.self)
            let line = said.split(separator: "\n", omittingEmptySubsequences: false).dropLast().first { $0.contains("127.0.0.1:") }
            return line.flatMap { UInt16($0.split(separator: ":").last ?? "") }
        }
    }

    deinit { end() }

    /// What it has said on its standard output.
    var output: Data { (try? Data(contentsOf: URL(fileURLWithPath: outputFile))) ?? Data() }

    /// To its standard input, which an `s_server` sends on.
    func say(_ text: String) throws { try input.fileHandleForWriting.write(contentsOf: Data(text.utf8)) }

    func signal(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Ends it now, whatever it is doing.
    func end() {
        guard process.isRunning else { return }
        signal(SIGKILL)
        process.waitUntilExit()
    }
}

/// A limit for what is stuck, and no measure of speed.
let generousLimit: Int32 = 20_000

func waitFor<Value>(_ what: String, _ condition: () throws -> Value?) throws -> Value {
    let deadline = Date().addingTimeInterval(Double(generousLimit) / 1_000)
    while Date() < deadline {
        if let value = try condition() { return value }
        usleep(2_000)
    }
    throw Failure("waited in vain: \(what)")
}

/// A connection to a port of 127.0.0.1, and the channel through it.
final class Link {
    let raw: Int32
    private(set) var channel: TLSChannel!

    init(_ port: UInt16, _ context: TLSContext) throws {
        raw = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard connected == 0, fcntl(raw, F_SETFL, O_NONBLOCK) == 0 else { throw Failure("connect: errno \(errno)") }
        channel = try TLSChannel(context, socket: raw)
    }

    deinit {
        // It may have something to say yet.
        channel = nil
        close(raw)
    }

    func wait(_ events: Int32 = POLLIN) throws {
        var entry = pollfd(fd: raw, events: Int16(events), revents: 0)
        guard poll(&entry, 1, generousLimit) == 1 else { throw Failure("waited in vain for a socket") }
    }

    func shakeHands(_ channel: TLSChannel? = nil) throws -> TLSChannel.Handshake {
        while true {
            let result = (channel ?? self.channel).shakeHands()
            guard result == .waits else { return result }
            try wait()
        }
    }

    func send(_ bytes: [UInt8], over channel: TLSChannel? = nil) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { (channel ?? self.channel).send($0.baseAddress! + sent, bytes.count - sent) }
            if count == -Int(EAGAIN) {
                try wait(POLLOUT)
            } else {
                guard count > 0 else { throw Failure("send: \(count)") }
                sent += count
            }
        }
    }

    /// Reads until the end, or until there are so many.
    ///
    /// - Parameter piece: bytes asked for at a time.
    /// - Returns: the bytes, and what the last read said.
    func receive(_ count: Int = .max, piece: Int = 65_536, over channel: TLSChannel? = nil) throws -> (bytes: [UInt8], last: Int) {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: piece)
        while true {
            let wanted = min(piece, count - all.count)
            let got = buffer.withUnsafeMutableBytes { (channel ?? self.channel).receive($0.baseAddress!, wanted) }
            if got == -Int(EINTR) { continue }
            if got == -Int(EAGAIN) {
                try wait()
            } else if got <= 0 {
                return (all, got)
            } else {
                all += buffer[..<got]
                if all.count == count { return (all, got) }
            }
        }
    }

    func peek(_ count: Int) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        while true {
            let got = buffer.withUnsafeMutableBytes { channel.peek($0.baseAddress!, count) }
            if got == -Int(EINTR) { continue }
            if got == -Int(EAGAIN) {
                try wait()
            } else {
                guard got > 0 else { throw Failure("peek: \(got)") }
                return Array(buffer[..<got])
            }
        }
    }
}

/// A listening socket of the test's own.
final class Listener {
    private let raw: Int32
    let port: UInt16

    init() throws {
        raw = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (raw, length) = (raw, size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(raw, $0, length) == 0 && listen(raw, 8) == 0 && getsockname(raw, $0, &size) == 0
            }
        }
        guard bound else { throw Failure("listen: errno \(errno)") }
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(raw) }

    /// The next connection: the caller's to close.
    func take() throws -> Int32 {
        let connection = accept(raw, nil, nil)
        guard connection >= 0 else { throw Failure("accept: errno \(errno)") }
        return connection
    }
}
