import Configuration
import Testing
import TransparentSockets

@testable import ClearwayServer

@Suite struct LogLineTests {
    let line = LogLine(host: "gw1", topic: "clearway")

    private func text(_ format: Configuration.Log.Format, _ message: String, _ fields: [(key: String, value: LogValue)]) -> String {
        var bytes: [UInt8] = []
        var clock = LogClock()
        line.append(to: &bytes, format, at: &clock, .info, message, fields)
        let text = String(decoding: bytes, as: UTF8.self)
        // The time is the one thing that differs between runs.
        return text.replacing(/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z/, with: "TIME")
    }

    static let fields: [(key: String, value: LogValue)] = [
        ("client", .address(SocketAddress("192.0.2.1:40000")!)), ("destination", .address(SocketAddress("[2001:db8::1]:443")!)),
        ("down", .count(18_446_744_073_709_551_615)), ("duration", .duration(1_500_000_000)), ("ending", .text("client-fin")),
    ]

    @Test(arguments: [
        (
            Configuration.Log.Format.plain,
            #"TIME gw1 clearway info: "session" client="192.0.2.1:40000" destination="[2001:db8::1]:443" "#
                + #"down=18446744073709551615 duration=1.5 ending="client-fin""#
        ),
        (
            .logfmt,
            #"topic=clearway logged_at=TIME severity=info utsname=gw1 message="session" client="192.0.2.1:40000" "#
                + #"destination="[2001:db8::1]:443" down=18446744073709551615 duration=1.5 ending="client-fin""#
        ),
        (
            .json,
            #"{"topic":"clearway","logged_at":"TIME","severity":"info","utsname":"gw1","message":"session","#
                + #""client":"192.0.2.1:40000","destination":"[2001:db8::1]:443","down":18446744073709551615,"#
                + #""duration":1.5,"ending":"client-fin"}"#
        ),
    ])
    func aSessionInEachFormat(_ format: Configuration.Log.Format, _ expected: String) {
        #expect(text(format, "session", Self.fields) == expected + "\n")
    }

    @Test func hostileTextStaysOneRecord() {
        let hostile: [(key: String, value: LogValue)] = [("reason", .text("a\"b\\c\nd\u{0}e\u{1B}f\u{7F}é"))]
        #expect(
            text(.plain, "m", hostile)
                == "TIME gw1 clearway info: \"m\" reason=\"a\\\"b\\\\c\\nd\\x00e\\x1bf\\x7fé\"\n")
        #expect(
            text(.json, "m", hostile)
                == "{\"topic\":\"clearway\",\"logged_at\":\"TIME\",\"severity\":\"info\",\"utsname\":\"gw1\",\"message\":\"m\","
                + "\"reason\":\"a\\\"b\\\\c\\nd\\u0000e\\u001bf\\u007fé\"}\n")
    }

    /// Beyond ASCII as well there is what terminals obey, and what ends lines or turns them around.
    @Test(arguments: [Configuration.Log.Format.plain, .logfmt, .json])
    func controlCharactersBeyondASCII(format: Configuration.Log.Format) {
        let hostile: [(key: String, value: LogValue)] = [
            ("reason", .text("\u{7F}\u{80}\u{9B}\u{9F}\u{A0}\u{FF}\u{2027}\u{2028}\u{2029}\u{202E}\u{202F}\u{20A8}\u{2028}\u{9B}"))
        ]
        let delete = format == .json ? "\\u007f" : "\\x7f"
        let expected =
            delete + #"\u0080\u009b\u009f"# + "\u{A0}\u{FF}\u{2027}" + #"\u2028\u2029\u202e"# + "\u{202F}\u{20A8}"
            + #"\u2028\u009b"#
        let line = text(format, "m", hostile)
        #expect(line.unicodeScalars.split(separator: "\"").contains { $0.elementsEqual(expected.unicodeScalars) }, "\(line)")
    }

    /// Go has short escapes of its own, which JSON does not know.
    @Test func bellsAndFormFeeds() {
        let hostile: [(key: String, value: LogValue)] = [("reason", .text("\u{7}\u{8}\u{B}\u{C}"))]
        #expect(text(.logfmt, "m", hostile).hasSuffix(#"message="m" reason="\a\b\v\f""# + "\n"))
        #expect(text(.json, "m", hostile).hasSuffix(#""reason":"\u0007\u0008\u000b\u000c"}"# + "\n"))
    }

    @Test(arguments: [
        (UInt64(0), "0"), (999, "0"), (1_000, "0.000001"), (12_000_000, "0.012"), (61_000_000_000, "61"),
        (3_600_500_000_000, "3600.5"),
    ])
    func durationsAreSeconds(_ nanoseconds: UInt64, _ expected: String) {
        var bytes: [UInt8] = []
        bytes.append(.duration(nanoseconds), .go)
        #expect(String(decoding: bytes, as: UTF8.self) == expected)
    }

    @Test(arguments: [
        (UInt64(0), "1970-01-01T00:00:00.000000Z"), (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
        (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"), (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
        (1_709_251_199_000_000, "2024-02-29T23:59:59.000000Z"), (1_735_689_599_000_000, "2024-12-31T23:59:59.000000Z"),
        (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
    ])
    func theCalendar(_ microseconds: UInt64, _ expected: String) {
        var clock = LogClock()
        var bytes: [UInt8] = []
        clock.append(microseconds: microseconds, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == expected)
    }
}
