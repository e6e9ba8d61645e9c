import Configuration
import Policy
import Testing

/// The keys that UDP brings: what is understood, and what is refused, word for word.
@Suite struct DatagramKeysTests {
    private func parse(_ text: String) throws -> Configuration { try Configuration(parsing: text, file: "t.toml") }

    @Test func withoutAWordThereIsNone() {
        let configuration = Configuration.embeddedDefault
        #expect(configuration.listeners[0].protocols == [.tcp] && configuration.listeners[0].filtering == .addressDependent)
        #expect(configuration.timeouts.flow == .seconds(180) && configuration.timeouts.flowUnanswered == .seconds(30))
        #expect(configuration.maxFlows == 0 && configuration.batch == 256)
    }

    @Test func everyKeyIsRead() throws {
        let configuration = try parse(
            """
            max_flows = 5000
            batch = 1
            [timeouts]
            flow = "5m"
            flow_unanswered = "1500ms"
            [[listener]]
            local = true
            protocols = "udp"
            filtering = "endpoint-independent"
            [[listener]]
            listen = "[::]:1082"
            local = true
            protocols = ["udp", "tcp"]
            filtering = "address-dependent"
            [[listener]]
            mode = "socks"
            protocols = ["tcp", "udp"]
            [[rule]]
            protocol = "udp"
            action = "reject"
            """)
        #expect(configuration.maxFlows == 5000 && configuration.batch == 1)
        #expect(configuration.timeouts.flow == .seconds(300) && configuration.timeouts.flowUnanswered == .milliseconds(1500))
        #expect(configuration.listeners.map(\.protocols) == [[.udp], [.tcp, .udp], [.tcp, .udp]])
        #expect(configuration.listeners.map(\.filtering) == [.endpointIndependent, .addressDependent, .addressDependent])
        #expect(configuration.rules[0].transport == .udp)
    }

    private static func listener(_ mode: String, _ lines: String) -> String { "[[listener]]\nmode = '\(mode)'\n\(lines)" }

    private static let refusals: [(text: String, findings: [String])] = [
        (
            listener("redirect", "local = true\nprotocols = ['tcp', 'udp']"),
            [#"4:21: protocols: "udp" needs mode = "tproxy": a redirected datagram does not tell where it was going"#]
        ),
        (
            listener("http", "protocols = ['tcp', 'udp']"),
            [#"3:21: protocols: "udp" needs SOCKS: HTTP CONNECT carries only TCP"#]
        ),
        (
            listener("socks", "protocols = 'udp'"),
            [#"3:13: protocols: "udp" needs "tcp" beside it: SOCKS clients ask for it over TCP"#]
        ),
        (
            listener("socks+http", "protocols = ['udp']"),
            [#"3:14: protocols: "udp" needs "tcp" beside it: SOCKS clients ask for it over TCP"#]
        ),
        (listener("socks+http", "protocols = ['udp', 'tcp']"), []),
        (listener("http", "protocols = 'tcp'"), []),
        (listener("socks", "protocols = []"), ["3:13: protocols: the list is empty, so nothing would be served"]),
        (
            listener("tproxy", "local = true\nprotocols = ['udp', 'udp']"),
            [#"4:21: protocols: "udp" is listed twice"#]
        ),
        (
            listener("tproxy", "local = true\nprotocols = ['tcp', 'udp', 'tcp']"),
            ["4:13: protocols: 3 entries; at most 2 are possible"]
        ),
        (
            listener("tproxy", "local = true\nprotocols = ['sctp', 3]"),
            [
                #"4:14: protocols: expected "tcp" or "udp", found "sctp""#,
                #"4:22: protocols: expected "tcp" or "udp", found the integer 3"#,
            ]
        ),
        (
            listener("tproxy", "local = true\nfiltering = 'endpoint-independent'"),
            [#"4:1: filtering: only with "udp" in protocols"#]
        ),
        (
            listener("tproxy", "local = true\nprotocols = 'udp'\nfiltering = 'endpoint'"),
            [#"5:13: filtering: expected "address-dependent" or "endpoint-independent", found "endpoint""#]
        ),
        (
            listener("tproxy", "local = true\nprotocols = 'udp'\nfilter = 'endpoint'"),
            [#"5:1: unknown key "filter" in [[listener]]"#]
        ),
        (
            listener("tproxy", "local = true\nmax_flows = 3\nflow = '3s'\nprotocol = 'udp'"),
            [
                #"4:1: unknown key "max_flows": it belongs to the top of the file"#,
                #"5:1: unknown key "flow": it belongs to [timeouts]"#,
                #"6:1: unknown key "protocol" in [[listener]], did you mean "protocols"?"#,
            ]
        ),
        ("[[rule]]\nfiltering = 'x'\naction = 'direct'", [#"2:1: unknown key "filtering": it belongs to [[listener]]"#]),
        (
            "max_flow = 1\nbatches = 1",
            [
                #"1:1: unknown key "max_flow", did you mean "max_flows"?"#,
                #"2:1: unknown key "batches", did you mean "batch"?"#,
            ]
        ),
        ("max_flows = 10_000_001", ["1:13: max_flows: 10000001 is not from 0 to 10000000"]),
        ("max_flows = -1", ["1:13: max_flows: -1 is not from 0 to 10000000"]),
        ("batch = 0", ["1:9: batch: 0 is not from 1 to 256"]),
        ("batch = 257", ["1:9: batch: 257 is not from 1 to 256"]),
        ("batch = '1'", [#"1:9: batch: expected an integer from 1 to 256, found the string "1""#]),
        (
            "[timeouts]\nflow = '999ms'\nflow_unanswered = '0s'\nflow_unaswered = '1s'",
            [
                #"2:8: flow: must be "1s" or longer"#, #"3:19: flow_unanswered: must be "1s" or longer"#,
                #"4:1: unknown key "flow_unaswered" in [timeouts], did you mean "flow_unanswered"?"#,
            ]
        ),
        ("[timeouts]\nflow = '8761h'", [#"2:8: flow: "8761h" is longer than 365 days"#]),
    ]

    @Test(arguments: refusals)
    func whatIsRefused(text: String, expected: [String]) { #expect(findings(text) == expected) }

    /// A port is taken for each protocol by itself.
    @Test func protocolsDoNotGetInEachOthersWay() {
        func two(_ first: String, _ second: String) -> [String] {
            findings(
                "[[listener]]\nlocal = true\nprotocols = \(first)\n[[listener]]\nname = 'b'\nlocal = true\nprotocols = \(second)")
        }
        #expect(two("'tcp'", "'udp'") == [])
        #expect(
            two("'udp'", "['tcp', 'udp']") == [
                #"4:3: listen: "[::]:1081" is taken: the first is at line 1; give this one a port of its own, such as listen = "[::]:1082""#
            ])
    }
}
