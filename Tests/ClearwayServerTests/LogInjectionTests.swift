import Configuration
import Foundation
import TestSupport
import Testing
import TransparentSockets

@testable import ClearwayServer
@testable import DataPlane

/// Whatever strangers write into their requests: one request is one record, from which a strict reader that knows nothing of us gets every
/// field back, byte by byte.
@Suite struct LogInjectionTests {
    /// Records of each format; more with CLEARWAY_LOG_RECORDS.
    private static let count = ProcessInfo.processInfo.environment["CLEARWAY_LOG_RECORDS"].flatMap { Int($0) } ?? 10_000

    @Test(arguments: Configuration.Log.Format.allCases)
    func everyFieldComesBack(format: Configuration.Log.Format) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("clearway-log-\(format)-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var settings = Configuration.Log()
        settings.format = format
        let sink = try LogSink()
        let log = AccessLog(settings, sink, LogLine(host: "gw1", topic: "clearway"), try DrainSignal())
        var hostile = HostileRequests()
        var lines: [UInt8] = []
        var expected: [UInt8] = []
        for number in 1...Self.count {
            log.transactionEnded(hostile.record(number, &expected))
            guard number % 1_000 == 0 || number == Self.count else { continue }
            log.turnEnded()
            let taken = sink.take()
            #expect(taken.dropped == 0 && (format == .combined ? taken.waiting.records : taken.waiting.requests).isEmpty)
            lines += format == .combined ? taken.waiting.requests : taken.waiting.records
        }
        let (logFile, expectedFile) = (folder.appendingPathComponent("log"), folder.appendingPathComponent("expected"))
        try Data(lines).write(to: logFile)
        try Data(expected).write(to: expectedFile)

        let reader = Process()
        reader.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Readers/read_log.py")
        reader.arguments = [script.path, format.rawValue, logFile.path, expectedFile.path]
        let (output, errors) = (Pipe(), Pipe())
        reader.standardOutput = output
        reader.standardError = errors
        try reader.run()
        let said = output.fileHandleForReading.readDataToEndOfFile()
        let complaint = errors.fileHandleForReading.readDataToEndOfFile()
        reader.waitUntilExit()
        #expect(reader.terminationStatus == 0, "\(String(decoding: complaint, as: UTF8.self))")
        #expect(String(decoding: said, as: UTF8.self) == "\(Self.count)\n")
    }
}

/// Requests of which every field holds what would break out of it.
private struct HostileRequests {
    private var chance = SplitMix(14)

    private static let pieces: [[UInt8]] =
        [
            "\"", "\\", "\n", "\r\n", "\t", "\0", "\u{1B}[2J", "\u{7F}", " ", "-", "=", "] ",
            "\" 200 5 \"-\" \"-\"\n192.0.2.9 - - [", "\\x41",
            "\\u0041", "\",\"status\":200,\"a\":\"", "{", "}", " status=200 ", "'", "%22", "é", "日本", "😀", "\u{80}", "\u{9B}",
            "\u{A0}",
            "\u{2027}", "\u{2028}", "\u{202E}", "\u{2066}", "\u{2069}", "\u{FEFF}", "\u{10FFFF}", "GET / HTTP/1.1", "a", "z",
        ].map { Array($0.utf8) } + [
            [0xFF], [0xC2], [0xE2, 0x80], [0xED, 0xA0, 0x80], [0xC0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x9B],
        ]

    private mutating func bytes() -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<chance.below(7) {
            if chance.below(3) == 0 {
                bytes.append(UInt8(truncatingIfNeeded: chance.next()))
            } else {
                bytes += Self.pieces[chance.below(Self.pieces.count)]
            }
        }
        return bytes
    }

    private mutating func text() -> String { String(decoding: bytes(), as: UTF8.self) }

    /// - Parameter expected: gets a line for it, as `Readers/read_log.py` wants it.
    mutating func record(_ number: Int, _ expected: inout [UInt8]) -> SessionRecord {
        let isRead = chance.below(10) > 0
        let host = chance.below(4) == 0 ? "2001:db8::\(1 + number % 9_000)" : "192.0.2.\(number % 256)"
        let client = host.contains(":") ? "[\(host)]:\(1 + number % 65_535)" : "\(host):\(1 + number % 65_535)"
        var record = SessionRecord(
            number: UInt64(number), listener: text(), client: ClientAddress(SocketAddress(client)!),
            destination: OriginalDestination(SocketAddress("198.51.100.2:80")!), user: chance.below(2) == 0 ? text() : nil,
            name: text(), upstream: text(), member: text(), up: chance.next() >> 8, down: chance.next() >> 8,
            duration: chance.next() >> 30, ending: .proxyRejected, cause: .denied(text()))
        let transaction = TransactionRecord(
            method: isRead ? "M" + text() : "", target: isRead ? "/" + text() : "", isVersion10: chance.below(2) == 0,
            status: chance.below(8) == 0 ? 0 : 100 + chance.below(399), firstByte: 0,
            body: chance.below(3) == 0 ? 0 : chance.next() >> 8,
            referer: bytes(), userAgent: bytes())
        record.transaction = transaction
        var reason = ""
        if case .denied(let text) = record.cause { reason = text }
        var fields: [(String, [UInt8])] = [
            ("host", Array(host.utf8)), ("client", Array(client.utf8)), ("listener", Array(record.listener.utf8)),
            ("name", Array(record.name!.utf8)), ("upstream", Array(record.upstream!.utf8)), ("member", Array(record.member!.utf8)),
            ("reason", Array(reason.utf8)), ("up", Array("\(record.up)".utf8)), ("down", Array("\(record.down)".utf8)),
            ("status", Array("\(transaction.status)".utf8)), ("body", Array("\(transaction.body)".utf8)),
        ]
        if let user = record.user { fields.append(("user", Array(user.utf8))) }
        if isRead {
            fields += [("method", Array(transaction.method.utf8)), ("target", Array(transaction.target.utf8))]
            fields.append(("version", Array((transaction.isVersion10 ? "1.0" : "1.1").utf8)))
        }
        if !transaction.referer.isEmpty { fields.append(("referer", transaction.referer)) }
        if !transaction.userAgent.isEmpty { fields.append(("user_agent", transaction.userAgent)) }
        for (key, value) in fields {
            expected.append(contentsOf: key.utf8)
            expected.append(UInt8(ascii: ":"))
            for byte in value {
                for digit in [byte >> 4, byte & 15] { expected.append(digit < 10 ? 0x30 + digit : 0x57 + digit) }
            }
            expected.append(UInt8(ascii: " "))
        }
        expected.append(UInt8(ascii: "\n"))
        return record
    }
}
