import Configuration
import Foundation
import Protocols
import SystemPackage
import Testing
import TransparentSockets

@testable import ClearwayServer
@testable import DataPlane

/// The command line of transocks and usocksd, in Go's syntax.
@Suite struct DropInArgumentsTests {
    private func parse(_ line: String) -> DropInArguments.Command {
        DropInArguments.parse(line.split(separator: " ").map(String.init), file: "/etc/transocks.toml")
    }

    private func arguments(_ change: (inout DropInArguments) -> Void) -> DropInArguments {
        var arguments = DropInArguments(file: "/etc/transocks.toml")
        change(&arguments)
        return arguments
    }

    @Test func withoutAnyItIsTheDefaultFile() {
        #expect(parse("") == .run(DropInArguments(file: "/etc/transocks.toml")))
    }

    @Test(arguments: [
        "-f x -logfile l -loglevel warn -logformat json", "--f x --logfile l --loglevel warn --logformat json",
        "-f=x -logfile=l -loglevel=warn -logformat=json", "--f=x --logfile=l --loglevel=warn --logformat=json",
        "-f y -f x -logfile l -loglevel warn -logformat json",
    ])
    func everyFormOfEveryFlag(_ line: String) {
        let expected = arguments {
            $0.file = "x"
            $0.logFile = "l"
            $0.logLevel = "warn"
            $0.logFormat = "json"
        }
        #expect(parse(line) == .run(expected))
    }

    @Test(arguments: ["-f x", "-f x stop -nonsense", "-f x -- -nonsense", "-f x - -nonsense"])
    func readingStopsAtTheFirstWordThatIsNoFlag(_ line: String) {
        #expect(parse(line) == .run(arguments { $0.file = "x" }))
    }

    @Test func aValueMayLookLikeAFlag() {
        #expect(parse("-f -loglevel") == .run(arguments { $0.file = "-loglevel" }))
        #expect(parse("-f=a=b") == .run(arguments { $0.file = "a=b" }))
        #expect(parse("-f=") == .run(arguments { $0.file = "" }))
    }

    @Test(arguments: ["-h", "--h", "-help", "--help", "-f x -h"])
    func help(_ line: String) { #expect(parse(line) == .help) }

    @Test(arguments: [
        ("-x", "flag provided but not defined: -x"), ("--verbose=1", "flag provided but not defined: -verbose"),
        ("-F x", "flag provided but not defined: -F"), ("-f", "flag needs an argument: -f"), ("---f x", "bad flag syntax: ---f"),
        ("-=x", "bad flag syntax: -=x"), ("--=", "bad flag syntax: --="), ("-h=1", "flag takes no argument: -h"),
    ])
    func whatIsWrong(_ line: String, _ complaint: String) { #expect(parse(line) == .usage(complaint)) }

    @Test func whatTransocksLacked() {
        #expect(parse("-f x -check") == .check(arguments { $0.file = "x" }))
        #expect(parse("--version") == .version)
    }

    @Test func everyFlagIsInTheUsage() {
        for flag in ["check", "f", "logfile", "logformat", "loglevel", "version"] {
            #expect(DropInArguments.usage(of: "transocks", file: "").contains("\n  -\(flag)"))
        }
    }
}

/// `listen`, as Go reads it.
@Suite struct TransocksListenTests {
    private func listen(_ text: String) -> [String] {
        do {
            return try listenAddresses(text).map(\.description)
        } catch {
            return [error.description]
        }
    }

    @Test(arguments: [
        ("127.0.0.1:1081", "127.0.0.1:1081"), ("[2001:db8::1]:1081", "[2001:db8::1]:1081"), ("0.0.0.0:12345", "[::]:12345"),
        ("[::]:1081", "[::]:1081"), (":1081", "[::]:1081"), ("[::ffff:192.0.2.1]:1", "192.0.2.1:1"),
        ("10.0.0.1:ssh", "10.0.0.1:22"),
        ("[fe80::1%1]:1081", "[fe80::1%1]:1081"),
    ])
    func addresses(_ text: String, _ expected: String) { #expect(listen(text) == [expected]) }

    @Test(arguments: [
        ("1.2.3.4", "listen tcp: address 1.2.3.4: missing port in address"), ("", "listen tcp: address : missing port in address"),
        ("[::1]", "listen tcp: address [::1]: missing port in address"),
        ("::1:1081", "listen tcp: address ::1:1081: too many colons in address"),
        ("[::1:1081", "listen tcp: address [::1:1081: missing ']' in address"),
        ("127.0.0.1:65536", "listen tcp: address 65536: invalid port"), ("127.0.0.1:0", "listen tcp: address 0: invalid port"),
        ("127.0.0.1:no-such-service", "listen tcp: unknown port tcp/no-such-service"),
        ("127.0.0.1:", "listen tcp: unknown port tcp/"),
    ])
    func refusals(_ text: String, _ expected: String) { #expect(listen(text) == [expected]) }

    /// transocks took the first, so that IPv6 redirected to the host itself was refused.
    @Test func localhostIsBothOfItsAddresses() throws {
        let found = listen("localhost:1081")
        let hasIPv6 = try hostAddresses().contains(.v6(IPv6Address(high: 0, low: 1)))
        #expect(found == (hasIPv6 ? ["127.0.0.1:1081", "[::1]:1081"] : ["127.0.0.1:1081"]))
    }
}

/// The records of sessions.
@Suite struct TransocksLogTests {
    private static let client = ClientAddress(SocketAddress("114.245.228.53:34304")!)
    private static let destination = OriginalDestination(SocketAddress("96.45.191.222:21368")!)

    private static func opening(_ number: UInt64) -> SessionOpening {
        SessionOpening(number: number, client: client, destination: destination)
    }

    private static func record(
        _ ending: Ending, _ cause: FailureCause? = nil, upstream: String? = "socks5://127.0.0.1:1080", opened: Bool = false
    ) -> SessionRecord {
        SessionRecord(
            number: 7, listener: "127.0.0.1:1081", client: client, destination: destination, upstream: upstream,
            local: opened ? LocalAddress(SocketAddress("127.0.0.1:40000")!) : nil, up: 12, down: 34, duration: 1_250_000_000,
            ending: ending, cause: cause)
    }

    /// What `say` has logged, with the time, the process and the session's number made the same everywhere.
    private func log(
        _ format: Configuration.Log.Format = .plain, level: Configuration.Log.Level = .info, _ say: (TransocksLog) -> Void
    ) throws -> String {
        var log = Configuration.Log()
        log.format = format
        log.level = level
        let sink = try LogSink()
        let observer = TransocksLog(
            log, sink, LogLine(host: "gw1", topic: "transocks", lacksNotice: true), try DrainSignal())
        say(observer)
        observer.turnEnded()
        return String(decoding: sink.take().waiting.records, as: UTF8.self)
            .replacing(/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z/, with: "TIME")
            .replacing("\(getpid())", with: "PID")
            .replacing(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/, with: "ID")
    }

    /// A line of the contract's, from an issue of transocks, but for `elapsed`.
    @Test func aProxyThatHangsUp() throws {
        let line = try log { $0.sessionEnded(Self.record(.upstreamProtocol, .ended)) }
        #expect(
            line == #"TIME gw1 transocks error: "failed to connect to proxy server" client_addr="114.245.228.53:34304" "#
                + #"dest_addr="96.45.191.222:21368" elapsed=1.25 error="socks connect tcp 127.0.0.1:1080->96.45.191.222:21368: EOF" "#
                + #"pid=PID request_id="ID" type="access""# + "\n")
    }

    @Test(arguments: [
        (
            Configuration.Log.Format.plain,
            #"TIME gw1 transocks info: "proxy starts" client_addr="114.245.228.53:34304" dest_addr="96.45.191.222:21368" "#
                + #"pid=PID request_id="ID" type="access""#
        ),
        (
            .logfmt,
            #"topic=transocks logged_at=TIME severity=info utsname=gw1 message="proxy starts" client_addr="114.245.228.53:34304" "#
                + #"dest_addr="96.45.191.222:21368" pid=PID request_id="ID" type="access""#
        ),
        (
            .json,
            #"{"topic":"transocks","logged_at":"TIME","severity":"info","utsname":"gw1","message":"proxy starts","#
                + #""client_addr":"114.245.228.53:34304","dest_addr":"96.45.191.222:21368","pid":PID,"request_id":"ID","type":"access"}"#
        ),
    ])
    func aSessionOpensInEachFormat(_ format: Configuration.Log.Format, _ expected: String) throws {
        #expect(try log(format) { $0.sessionOpened(Self.opening(7)) } == expected + "\n")
    }

    @Test func aSessionEndsInOrder() throws {
        #expect(
            try log { $0.sessionEnded(Self.record(.clientFIN, opened: true)) }
                == #"TIME gw1 transocks info: "proxy ends" client_addr="114.245.228.53:34304" dest_addr="96.45.191.222:21368" "#
                + #"down=34 elapsed=1.25 ending="client-fin" pid=PID request_id="ID" type="access" up=12"# + "\n")
    }

    /// A client that resets is no error of anybody's here; an upstream that does is worth one.
    @Test(arguments: [
        (Ending.clientReset, "info", "client: connection reset by peer"),
        (.upstreamReset, "error", "upstream: connection reset by peer"),
        (.proxyIdle, "info", "i/o timeout"), (.proxyDrain, "info", "timeout waiting for shutdown"),
    ])
    func otherEndings(_ ending: Ending, _ level: String, _ error: String) throws {
        let line = try log { $0.sessionEnded(Self.record(ending, opened: true)) }
        #expect(line.hasPrefix("TIME gw1 transocks \(level): \"proxy ends with an error\" "))
        #expect(line.contains(" error=\"\(error)\" "))
    }

    static let failures: [(SessionRecord, String)] = [
        (
            record(.upstreamRefused, .call(SocketError(call: "connect 127.0.0.1:1080", errno: .connectionRefused))),
            "socks connect tcp A->B: dial tcp A: connect: connection refused"
        ), (record(.upstreamTimeout), "socks connect tcp A->B: i/o timeout"),
        (
            record(.upstreamReset, .call(SocketError(call: "recv", errno: .connectionReset))),
            "socks connect tcp A->B: read: connection reset by peer"
        ),
        (record(.upstreamRejected, .refusal(.socks5(1))), "socks connect tcp A->B: unknown error general SOCKS server failure"),
        (
            record(.upstreamRejected, .refusal(.socks5(2))),
            "socks connect tcp A->B: unknown error connection not allowed by ruleset"
        ),
        (record(.upstreamUnreachable, .refusal(.socks5(3))), "socks connect tcp A->B: unknown error network unreachable"),
        (record(.upstreamUnreachable, .refusal(.socks5(4))), "socks connect tcp A->B: unknown error host unreachable"),
        (record(.upstreamRefused, .refusal(.socks5(5))), "socks connect tcp A->B: unknown error connection refused"),
        (record(.upstreamTimeout, .refusal(.socks5(6))), "socks connect tcp A->B: unknown error TTL expired"),
        (record(.upstreamRejected, .refusal(.socks5(7))), "socks connect tcp A->B: unknown error command not supported"),
        (record(.upstreamRejected, .refusal(.socks5(8))), "socks connect tcp A->B: unknown error address type not supported"),
        (record(.upstreamRejected, .refusal(.socks5(99))), "socks connect tcp A->B: unknown error unknown code: 99"),
        (record(.upstreamRejected, .refusal(.noAcceptableMethod)), "socks connect tcp A->B: no acceptable authentication methods"),
        (record(.upstreamRejected, .refusal(.credentials)), "socks connect tcp A->B: username/password authentication failed"),
        (record(.upstreamRefused, .refusal(.http(502)), upstream: "http://127.0.0.1:1080"), "proxy returns 502 Bad Gateway"),
        (record(.upstreamRejected, .refusal(.http(599)), upstream: "http://127.0.0.1:1080"), "proxy returns 599"),
        (record(.upstreamTimeout, upstream: "http://127.0.0.1:1080"), "reset proxy connection: i/o timeout"),
        (record(.upstreamProtocol, .ended, upstream: "http://127.0.0.1:1080"), "reset proxy connection: EOF"),
        (
            record(
                .upstreamRefused, .call(SocketError(call: "connect 127.0.0.1:1080", errno: .connectionRefused)),
                upstream: "http://127.0.0.1:1080"), "dial tcp A: connect: connection refused"
        ),
    ]

    @Test(arguments: failures)
    func whyAProxyWasNotReached(_ record: SessionRecord, _ expected: String) {
        let text = expected.replacing("A->B", with: "127.0.0.1:1080->96.45.191.222:21368").replacing("A:", with: "127.0.0.1:1080:")
        #expect(record.transocksFailure == text)
    }

    @Test(arguments: [
        (Ending.proxyNoDestination, "GetOriginalDST failed"), (.proxySelf, "connection loop"), (.proxyLoop, "connection loop"),
    ])
    func whatWasNotEvenTried(_ ending: Ending, _ message: String) throws {
        let error = FailureCause.call(SocketError(call: "getsockopt(SO_ORIGINAL_DST)", errno: .noSuchFileOrDirectory))
        let line = try log { $0.sessionEnded(Self.record(ending, error, upstream: nil)) }
        #expect(line.hasPrefix("TIME gw1 transocks error: \"\(message)\" "))
        #expect(line.contains(#" error="getsockopt: no such file or directory" "#))
    }

    @Test func theThresholdHolds() throws {
        let said = try log(level: .error) { log in
            log.sessionOpened(Self.opening(7))
            log.sessionEnded(Self.record(.clientFIN, opened: true))
            log.sessionEnded(Self.record(.clientReset, opened: true))
            log.sessionEnded(Self.record(.upstreamTimeout))
        }
        #expect(said.split(separator: "\n").count == 1)
        #expect(said.contains("failed to connect to proxy server"))
    }

    @Test func anAcceptThatFailsIsAnError() throws {
        let line = try log { $0.event(.acceptPaused(listener: "127.0.0.1:1081", reason: "accept: Too many open files")) }
        #expect(
            line == #"TIME gw1 transocks error: "well: Listener.Accept error" addr="127.0.0.1:1081" "#
                + #"error="accept: Too many open files" pid=PID"# + "\n")
    }

    /// transocks knows no level "notice".
    @Test func aNoticeIsInfo() throws {
        #expect(try log { $0.event(.acceptResumed(listener: "x")) }.hasPrefix("TIME gw1 transocks info: "))
        #expect(try log(level: .warning) { $0.event(.acceptResumed(listener: "x")) } == "")
    }

    /// transocks' were counted up, and so could be guessed from one another.
    @Test func requestsHaveIdentifiersOfTheirOwn() throws {
        let sink = try LogSink()
        let observer = TransocksLog(Configuration.Log(), sink, LogLine(host: "h", topic: "t"), try DrainSignal())
        for number in 0..<1_000 { observer.sessionOpened(Self.opening(UInt64(number))) }
        observer.sessionOpened(Self.opening(0))
        observer.turnEnded()
        let text = String(decoding: sink.take().waiting.records, as: UTF8.self)
        let ids = text.matches(of: /request_id="([^"]*)"/).map { String($0.output.1) }
        #expect(ids.count == 1_001)
        #expect(Set(ids).count == 1_000)
        #expect(ids.first == ids.last)
        #expect(ids.allSatisfy { $0.wholeMatch(of: /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/) != nil })
        // The first eight digits of numbers that follow each other share nothing.
        #expect(Set(ids.map { $0.prefix(4) }).count > 900)
    }
}
