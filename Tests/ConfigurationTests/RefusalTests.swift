import Configuration
import Testing

/// The messages people read, word for word, with their places.
@Suite struct RefusalTests {
    private static let unknownKeysAndWrongTypesCases: [(text: String, findings: [String])] = [
        ("wrokers = 1", [#"1:1: unknown key "wrokers", did you mean "workers"?"#]),
        ("max-sessions = 1", [#"1:1: unknown key "max-sessions", did you mean "max_sessions"?"#]),
        ("workers = -1", ["1:11: workers: -1 is not from 0 to 1024"]),
        ("workers = '2'", [#"1:11: workers: expected an integer from 0 to 1024, found the string "2""#]),
        ("workers = 1.5", ["1:11: workers: expected an integer from 0 to 1024, found a fraction"]),
        ("workers = 1979-05-27", ["1:11: workers: expected an integer from 0 to 1024, found a date"]),
        ("connect = '1s'", [#"1:1: unknown key "connect": it belongs to [timeouts]"#]),
        ("listener = []", ["1:12: listener: the list is empty, so nothing would be carried"]),
        ("relay = 'slice'", [#"1:9: relay: expected "adaptive", "copy" or "splice", found "slice", did you mean "splice"?"#]),
        ("relay = 3", [#"1:9: relay: expected "adaptive", "copy" or "splice", found the integer 3"#]),
    ]

    @Test(arguments: unknownKeysAndWrongTypesCases)
    func unknownKeysAndWrongTypes(text: String, expected: [String]) { #expect(findings(text) == expected) }

    private static let sectionsCases: [(text: String, findings: [String])] = [
        (
            "[log]\nlevel = 'trace'\nformat = 'jsn'\nfile = 3\naccess = 'yes'",
            [
                #"2:9: level: expected "critical", "error", "warning", "notice", "info" or "debug", found "trace""#,
                #"3:10: format: expected "plain", "logfmt", "json" or "combined", found "jsn", did you mean "json"?"#,
                "4:8: file: expected a string, found the integer 3",
                #"5:10: access: expected true or false, found the string "yes""#,
            ]
        ),
        ("log = 3", ["1:7: expected a table, [log], found the integer 3"]),
        ("[[log]]\nlevel = 'info'", ["1:3: expected a table, [log], found an array"]),
        (
            "[timeouts]\nconnect = '0s'\nidle = 10\nhalf_close = '1.5s'\ndrain = '9000h'\nsniff = '1s'\nhandshake = '0ms'",
            [
                "2:11: connect: must be longer than 0",
                #"3:8: idle: expected a duration such as "10s", found the integer 10, did you mean "10s"?"#,
                #"4:14: half_close: "1.5s" is not a duration: write a whole number and ms, s, m or h, such as "10s""#,
                #"5:9: drain: "9000h" is longer than 365 days"#,
                "7:13: handshake: must be longer than 0",
            ]
        ),
        (
            "[timeouts]\nconnect = '99999999999999999999h'\nidle=''\ndrain='-1s'",
            [
                #"2:11: connect: "99999999999999999999h" is longer than 365 days"#,
                #"3:6: idle: "" is not a duration: write a whole number and ms, s, m or h, such as "10s""#,
                #"4:7: drain: "-1s" is not a duration: write a whole number and ms, s, m or h, such as "10s""#,
            ]
        ),
        (
            "[timeouts]\nconnect = '9223372036854775807h'\nidle='10 s'",
            [
                #"2:11: connect: "9223372036854775807h" is longer than 365 days"#,
                #"3:6: idle: "10 s" is not a duration: write a whole number and ms, s, m or h, such as "10s""#,
            ]
        ),
        (
            "[firewall]\nmanage = 1\non_down = 'drop'\ntable = '9a'\npriority = 'mangel'\nmark = 3\nroute_table = 254",
            [
                "2:10: manage: expected true or false, found the integer 1",
                #"3:11: on_down: expected "direct" or "reject", found "drop""#,
                #"4:9: table: "9a" is not a table name: 1 to 60 letters, digits and _, no digit first"#,
                #"5:12: priority: "mangel" is not a priority: an integer, or raw, mangle, dstnat, filter, security or srcnat with + or - a number, did you mean "mangle"?"#,
                "6:8: mark: 0x3 is not a single bit: give the lower bit of the two, such as 0x1000000",
                "7:15: route_table: 254 belongs to the system (253 default, 254 main, 255 local)",
            ]
        ),
        (
            "[firewall]\npriority = 301\nmark = 0x80000000\nroute_table = 4294967296\ntable = ''",
            [
                "2:12: priority: 301 is not from -400 to 300",
                "3:8: mark: 2147483648 is not from 0 to 1073741824",
                "4:15: route_table: 4294967296 is not from 0 to 4294967295",
                #"5:9: table: "" is not a table name: 1 to 60 letters, digits and _, no digit first"#,
            ]
        ),
    ]

    @Test(arguments: sectionsCases)
    func sections(text: String, expected: [String]) { #expect(findings(text) == expected) }

    private static let choicesCases: [(text: String, findings: [String])] = [
        (
            "[[rule]]\naction = 'direct'\nprotocol = 'upd'",
            [#"3:12: protocol: expected "tcp" or "udp", found "upd", did you mean "udp"?"#]
        ),
        (
            listener("mode = 'tproxi'\nprotocols = 'tpc'"),
            [
                #"3:8: mode: expected "tproxy", "redirect", "socks", "http" or "socks+http", found "tproxi", did you mean "tproxy"?"#,
                #"4:13: protocols: expected "tcp" or "udp", found "tpc", did you mean "tcp"?"#,
            ]
        ),
    ]

    @Test(arguments: choicesCases)
    func choices(text: String, expected: [String]) { #expect(findings(text) == expected) }

    private static let namesAndPlacesCases: [(text: String, findings: [String])] = [
        ("[listner]\nlocal=true", [#"1:2: unknown key "listner", did you mean "listener"?"#]),
        (listener("interface = 'a'"), [#"3:1: unknown key "interface" in [[listener]], did you mean "interfaces"?"#]),
        (
            listener("idle = '1s'\nurl = 'x'"),
            [
                #"3:1: unknown key "idle": it belongs to [timeouts]"#,
                #"4:1: unknown key "url": it belongs to [[upstream]]"#,
            ]
        ),
        (listener("name = 'a b'"), [#"3:8: name: "a b" is not a name: 1 to 64 letters, digits, ".", "_" and "-""#]),
        (
            "firewall.manage = 3\nfirewall.tabel = 'x'",
            [
                "1:19: manage: expected true or false, found the integer 3",
                #"2:10: unknown key "tabel" in [firewall], did you mean "table"?"#,
            ]
        ),
        ("[[listener]]\nlocal=true\nports=[1,\n # c\n 0]", ["5:2: ports: 0 is not a port: ports are 1 to 65535"]),
    ]

    @Test(arguments: namesAndPlacesCases)
    func namesAndPlaces(text: String, expected: [String]) { #expect(findings(text) == expected) }

    @Test func twentyErrorsAreShownAndTheRestCounted() {
        let text = (0..<2000).map { "key\($0) = 1" }.joined(separator: "\n")
        do {
            _ = try Configuration(parsing: text, file: "t.toml")
            Issue.record("accepted")
        } catch {
            #expect(error.diagnostics.map(\.line) == Array(1...20))
            #expect(error.omitted == 1980)
            let lines = error.description.split(separator: "\n")
            #expect(lines.count == 21)
            #expect(lines[0] == "t.toml:1:1: error: unknown key \"key0\"")
            #expect(lines[20] == "t.toml: error: 1980 more errors")
        }
    }
}
