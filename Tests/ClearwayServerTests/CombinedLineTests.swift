import Configuration
import Foundation
import Testing
import TransparentSockets

@testable import ClearwayServer
@testable import DataPlane

/// Requests in the combined log format of web servers, and what is left out of every format.
@Suite struct CombinedLineTests {
    private static func record(user: String? = nil, _ change: (inout TransactionRecord) -> Void = { _ in }) -> SessionRecord {
        var record = SessionRecord(
            number: 1, listener: "web", client: ClientAddress(SocketAddress("192.0.2.7:40000")!),
            destination: OriginalDestination(SocketAddress("198.51.100.2:80")!), user: user, up: 90, down: 2_500,
            duration: 3_000_000_000, ending: .upstreamFIN)
        var transaction = TransactionRecord(
            method: "GET", target: "/apache_pb.gif?a=1", isVersion10: true, status: 200, firstByte: 1_000_000, body: 2_326,
            referer: Array("http://me:secret@www.example.com/start.html?t=2".utf8),
            userAgent: Array("Mozilla/4.08 [en] (Win98; I ;Nav)".utf8))
        change(&transaction)
        record.transaction = transaction
        return record
    }

    private static func line(user: String? = nil, _ change: (inout TransactionRecord) -> Void = { _ in }) -> String {
        let record = record(user: user, change)
        var bytes: [UInt8] = []
        // 2000-10-10T13:55:39Z: the request came three seconds before.
        bytes.append(combined: record, record.transaction!, now: 971_186_139_000_000)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func asApacheWritesIt() {
        #expect(
            Self.line(user: "frank") { $0.referer = Array("http://www.example.com/start.html".utf8) }
                == #"192.0.2.7 - frank [10/Oct/2000:13:55:36 +0000] "GET /apache_pb.gif?a=1 HTTP/1.0" 200 2326 "#
                + #""http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)""# + "\n")
    }

    @Test func whatIsNotThereIsAHyphen() {
        let line = Self.line {
            $0 = TransactionRecord(
                method: "", target: "", isVersion10: false, status: 0, firstByte: 0, body: 0, referer: [], userAgent: [])
        }
        #expect(line == #"192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] "-" 499 - "-" "-""# + "\n")
    }

    /// And no hyphen of a client's is taken for that.
    @Test(arguments: [
        ("-", #" - \x2d ["#), ("", #" - "" ["#), ("a b", #" - a\x20b ["#), ("\"", #" - \" ["#), ("é", #" - \xc3\xa9 ["#),
    ])
    func users(_ user: String, _ part: String) {
        #expect(Self.line(user: user).contains(part))
    }

    /// Of one session, as every other record, and with what there is of clients' words.
    private static func log(
        _ format: Configuration.Log.Format, query: Bool = true, _ change: (inout TransactionRecord) -> Void = { _ in }
    ) throws -> String {
        var settings = Configuration.Log()
        settings.format = format
        settings.query = query
        let sink = try LogSink()
        let log = AccessLog(settings, sink, LogLine(host: "gw1", topic: "clearway"), try DrainSignal())
        log.transactionEnded(record(change))
        log.turnEnded()
        let waiting = sink.take().waiting
        return String(decoding: waiting.records + waiting.requests, as: UTF8.self)
    }

    @Test(arguments: Configuration.Log.Format.allCases)
    func passwordsOfReferrersAreLeftOut(format: Configuration.Log.Format) throws {
        let line = try Self.log(format)
        #expect(line.contains("http://www.example.com/start.html?t=2") && line.contains("/apache_pb.gif?a=1"))
        #expect(!line.contains("secret"))
    }

    @Test(arguments: Configuration.Log.Format.allCases)
    func queriesAreLeftOutWhereThatIsWanted(format: Configuration.Log.Format) throws {
        let line = try Self.log(format, query: false)
        #expect(line.contains("http://www.example.com/start.html?\"") && line.contains("/apache_pb.gif?"))
        #expect(!line.contains("?a") && !line.contains("?t"))
    }

    @Test(arguments: [
        ("http://u@h/", "http://h/"), ("http://u:p@h:1?x@y", "http://h:1?x@y"), ("http://h/a@b", "http://h/a@b"),
        ("//user:p@h/p", "//h/p"), ("view-source:http://user:p@h/", "view-source:http://h/"), ("///u:p@h", "///h"),
        ("/go?to=http://u:p@h/&x=ftp://v:q@i", "/go?to=http://h/&x=ftp://i"), ("x:/a//u:p@h#//v@i", "x:/a//h#//i"),
        (#"http:\\user:pass@h\p"#, #"http:\\h\p"#), (#"http:/\u:p@h"#, #"http:/\h"#), (#"x://u:p\q@h"#, "x://h"),
        (#"\\\u:p@h"#, #"\\\h"#),
        ("//u@/v:p@h", "///h"), ("//", "//"), ("a@b//", "a@b//"),
        ("http://a@b@h", "http://h"), ("/a@b", "/a@b"), ("", ""), ("://@", "://"),
    ])
    func withoutUser(_ url: String, _ expected: String) {
        #expect(LoggedURL.withoutUser(Array(url.utf8)) == Array(expected.utf8))
    }

    @Test(arguments: [("/a?b", "/a?"), ("/a?b?c", "/a?"), ("/a", "/a"), ("http://h/#f?x", "http://h/#"), ("?", "?"), ("", "")])
    func withoutQuery(_ url: String, _ expected: String) {
        #expect(LoggedURL.withoutQuery(url) == expected)
    }

    /// JSON's own way for what is no UTF-8; the others have Go's.
    @Test func bytesThatAreNoText() throws {
        let agent: [UInt8] = Array("é".utf8) + [0xE9, 0x22]
        #expect(try Self.log(.json) { $0.userAgent = agent }.contains(#""user_agent_latin1":"Ã©é\""}"#))
        #expect(try Self.log(.logfmt) { $0.userAgent = agent }.contains(#" user_agent="é\xe9\"""#))
    }

    @Test(arguments: ["", "http = true"])
    func aLogWithoutRequestsIsWarnedOf(key: String) throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("combined-\(getpid())-\(key.count).toml")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data("[log]\nformat = \"combined\"\n[[listener]]\nlocal = true\n\(key)\n".utf8).write(to: file)
        let warnings = warnings(of: try loadConfiguration(file.path))
        #expect(warnings.count { $0.contains("no listener understands HTTP") } == (key.isEmpty ? 1 : 0))
    }

    @Test func whatARecordOfARequestHas() throws {
        let line = try Self.log(.logfmt)
        let fields =
            #" cache="none" client="192.0.2.7:40000" destination="198.51.100.2:80" down=2500 duration=3 first_byte=0.001 listener="web" "#
            + #"method="GET" referer="http://www.example.com/start.html?t=2" rule="default" status=200 target="/apache_pb.gif?a=1" up=90 "#
            + #"upstream="direct" user_agent="Mozilla/4.08 [en] (Win98; I ;Nav)""#
        #expect(line.hasSuffix(fields + "\n"), "\(line)")
    }
}
