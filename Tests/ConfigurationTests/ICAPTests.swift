import Configuration
import Testing

/// Tables `[[icap]]`, and the listeners that name them: what they come to, and what is refused, word for word.
@Suite struct ICAPTests {
    @Test func values() throws {
        let text = """
            [[icap]]
            name = "scan"
            request = "icap://127.0.0.1/avscan?x=1"
            response = "ICAP://scanner.example:1345/avscan"
            timeout = "5s"
            on_failure = "pass"
            max_connections = 4
            [[icap]]
            name = "other"
            response = "icap://[::1]:11344/echo"
            [[listener]]
            mode = "http"
            icap = "other"
            """
        let configuration = try Configuration(parsing: text, file: "t.toml")
        let scan = configuration.icap[0]
        #expect(scan.request?.icapURL == "icap://127.0.0.1:1344/avscan?x=1")
        #expect(scan.response?.icapURL == "icap://scanner.example:1345/avscan")
        #expect(scan.timeout == .seconds(5) && scan.onFailure == .pass && scan.maxConnections == 4)
        let other = configuration.icap[1]
        #expect(other.request == nil && other.response?.authority == "[::1]:11344")
        #expect(other.timeout == .seconds(10) && other.onFailure == .reject && other.maxConnections == 32)
        #expect(configuration.listeners[0].icap == 1)
    }

    static let refusals: [(text: String, findings: [String])] = [
        (
            "[[icap]]\nrequest = 'icap://127.0.0.1'\n[[listener]]\nmode = 'http'",
            ["1:3: name is missing"]
        ),
        ("[[icap]]\nname = 'a'\n", ["1:3: neither request nor response: nothing would be scanned"]),
        (
            "[[icap]]\nname = 'a'\nresponse = 'http://127.0.0.1/x'\n[[listener]]\nmode = 'http'\nicap = 'a'",
            [#"3:12: response: "http://127.0.0.1/x" is no URL of icap, such as "icap://127.0.0.1:1344/avscan""#]
        ),
        (
            "[[icap]]\nname = 'a'\nresponse = 'icap://127.0.0.1'\n[[icap]]\nname = 'a'\nresponse = 'icap://127.0.0.1'",
            [#"5:8: name: "a" is taken"#]
        ),
        (
            "[[icap]]\nname = 'scan'\nresponse = 'icap://127.0.0.1'\non_failure = 'fail'\nmax_connections = 0\n[[listener]]\nmode = 'http'\nicap = 'scna'",
            [
                #"4:14: on_failure: expected "reject" or "pass", found "fail""#, "5:19: max_connections: 0 is not from 1 to 1024",
                #"8:8: icap: there is no [[icap]] "scna", did you mean "scan"?"#,
            ]
        ),
        (
            "[[icap]]\nname = 'a'\nresponse = 'icap://127.0.0.1'\n[[listener]]\nlocal = true\nicap = 'a'",
            ["6:1: icap: only where HTTP is understood, with http = true"]
        ),
    ]

    @Test(arguments: refusals.indices)
    func whatIsRefused(row: Int) {
        #expect(findings(Self.refusals[row].text) == Self.refusals[row].findings)
    }
}
