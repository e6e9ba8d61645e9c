import Testing

extension Situations {
    /// Rules decide sessions of explicit clients as they decide intercepted ones, by what the clients ask for.
    @Suite struct ServingRules {
        private static let server = Family.v4.server
        private static let names: [String: [String]] = [
            "open.test": [server], "shut.test": [server], "a.shut.test": [server], "far.test": ["203.0.113.9"],
            "near.test": [server],
        ]

        private static func asks(_ name: String, _ port: Int = 443) -> Exchange {
            Exchange(name, Says.greeting, Says.socks5(name: Array(name.utf8), port), then: .fin)
        }

        /// The reply of SOCKS5, by its code.
        private static func replies(_ heard: [Heard]) -> [String] { heard.map { String($0.hex.dropFirst(6).prefix(2)) } }

        @Test func eachCriterionDecides() throws {
            let policy = """
                [[rule]]
                listener = "second"
                port = 8080
                action = "reject"
                [[rule]]
                domain = ["shut.test", "*.shut.test"]
                action = "reject"
                [[rule]]
                destination = "203.0.113.0/24"
                action = "reject"
                [[rule]]
                port = 25
                action = "reject"
                [[rule]]
                client = "2001:db8:1::/64"
                action = "reject"
                """
            let second = ClearwayConfiguration.servedListener("socks", name: "second", port: 1081)
            try play(Variant(), start: false) { stage in
                for port in [25, 443, 8080] { try stage.echo(on: port) }
                let (clearway, asked) = try stage.startClearway(.serving(policy: second + policy), names: Self.names)
                let first = try stage.exchange([
                    Self.asks("open.test"), Self.asks("shut.test"), Self.asks("A.Shut.TEST."), Self.asks("far.test"),
                    Self.asks("203.0.113.9"),
                    Self.asks("open.test", 25), Self.asks("open.test", 8080), Self.asks("0xcb007109"),
                ])
                #expect(Self.replies(first) == ["00", "02", "02", "02", "02", "02", "00", "02"])
                #expect(
                    try Self.replies(stage.exchange([Self.asks("open.test", 8080), Self.asks("open.test")], port: 1081)) == [
                        "02", "00",
                    ])
                #expect(try Self.replies(stage.exchange([Self.asks("open.test")], host: Family.v6.routerTowardsClient)) == ["02"])
                let connects = try stage.exchange(
                    ["open.test", "shut.test", "203.0.113.9"].map { Exchange($0, Says.connect("\($0):443"), then: .fin) })
                #expect(connects.map { $0.text.prefix(12) } == ["HTTP/1.1 200", "HTTP/1.1 403", "HTTP/1.1 403"])

                // What a name decides nobody is asked for.
                #expect(try Set(asked.asked().map { $0.prefix { $0 != " " } }) == ["open.test", "far.test"])
                let records = try clearway.waitForSessions(14)
                let rules = records.filter { $0.ending == "proxy-rejected" }.map { "\($0.string("upstream")) \($0.int("rule"))" }
                let expected = [
                    "reject 1", "reject 2", "reject 2", "reject 2", "reject 3", "reject 3", "reject 3", "reject 3", "reject 4",
                    "reject 5",
                ]
                #expect(rules.sorted() == expected)
                #expect(records.filter { $0.int("rule") == 2 }.allSatisfy { $0.string("name").hasSuffix("shut.test") })
                #expect(Set(records.map { $0.string("listener") }) == ["served", "second"])
            }
        }

        /// A destination that only an earlier rule asks for is looked up; a later one's is not.
        @Test func anAddressIsAskedForWhereItCounts() throws {
            let policy = """
                [[rule]]
                domain = "open.test"
                action = "direct"
                [[rule]]
                destination = "203.0.113.0/24"
                action = "direct"
                [[rule]]
                action = "reject"
                """
            try play(Variant(), start: false) { stage in
                try stage.echo(on: 443)
                let (clearway, asked) = try stage.startClearway(
                    .serving(timeouts: "connect = \"3s\"", policy: policy), names: Self.names)
                let heard = try stage.exchange([
                    Self.asks("open.test"), Self.asks("near.test"), Self.asks("far.test"), Self.asks("198.51.100.2"),
                ])
                #expect(Self.replies(heard) == ["00", "02", "04", "02"])
                #expect(try Set(asked.asked().map { $0.prefix { $0 != " " } }) == ["open.test", "near.test", "far.test"])
                let rules = try clearway.waitForSessions(4).map { $0.int("rule") }
                #expect(rules.sorted() == [1, 2, 3, 3])
            }
        }

        /// What a rule rejects by its name, or by its address, is not reached by another spelling.
        @Test func noSpellingPassesBy() throws {
            let policy = """
                [[rule]]
                destination = "64:ff9b::c633:6402"
                port = 444
                action = "direct"
                [[rule]]
                domain = ["shut.test", "*.shut.test"]
                action = "reject"
                [[rule]]
                destination = "198.51.100.2"
                action = "reject"
                """
            let translated = ["64:ff9b::c633:6402", "2002:c633:6402::1"]
            try play(Variant(), start: false) { stage in
                for address in translated {
                    try stage.topology.server.require(["ip", "address", "add", "\(address)/128", "dev", "lo"])
                    try stage.topology.router.require(["ip", "route", "add", "\(address)/128", "via", "2001:db8:2::2"])
                    for port in [443, 444] {
                        let listener = try stage.server.listen(address, port: port)
                        try stage.server.perform("serve", ["socket": listener.socket, "manner": "echo"])
                    }
                }
                try stage.echo(on: 443)
                let (clearway, asked) = try stage.startClearway(
                    .serving(policy: policy),
                    names: ["shut.test": [Family.v6.server], "a.shut.test": [Family.v6.server], "open.test": [Family.v6.server]],
                    search: "test")
                let heard = try stage.exchange(
                    ["open.test", "shut.test", "a.shut.test", "shut", "a.shut", "open"].map { Self.asks($0) })
                #expect(Self.replies(heard) == ["00", "02", "02", "04", "04", "04"])
                #expect(try Set(asked.asked().map { $0.prefix { $0 != " " } }) == ["open.test", "shut", "a.shut", "open"])

                let spelled = try stage.exchange((["198.51.100.2"] + translated).map { Self.asks($0) })
                #expect(Self.replies(spelled) == ["02", "02", "02"])
                // An earlier rule that lets it pass is the one that counts; and somebody is there.
                #expect(try Self.replies(stage.exchange([Self.asks(translated[0], 444)])) == ["00"])
                let rules = try clearway.waitForSessions(10).suffix(4).map { $0.int("rule") }
                #expect(rules.sorted() == [1, 3, 3, 3])
            }
        }

        /// Where the rules ask for the address of a name, that is what the proxy gets: looked up again, the name might lead elsewhere.
        @Test func aProxyGetsWhatWasJudged() throws {
            let schemes = ["socks5h", "http", "socks4a"]
            let policy =
                """
                [[rule]]
                destination = "203.0.113.0/24"
                action = "reject"

                """
                + schemes.enumerated().map { number, scheme in
                    """
                    [[upstream]]
                    name = "\(scheme)"
                    url = "\(scheme)://198.51.100.2:\(1090 + number)"
                    [[rule]]
                    port = \(443 + number)
                    action = "\(scheme)"

                    """
                }.joined()
            let requests = [
                Says.socks5(Self.server, 443), Array("CONNECT 198.51.100.2:444 HTTP/1.1\r\n".utf8),
                bytes("0401 01bd") + Says.octets(Self.server),
            ]
            try play(Variant(), start: false) { stage in
                let listeners = try schemes.indices.map { try stage.server.listen(Self.server, port: 1090 + $0) }
                // For SOCKS4 the address of the other family is none.
                let (_, asked) = try stage.startClearway(
                    .serving(policy: policy),
                    names: ["near.test": [Self.server], "both.test": [Family.v6.server, Self.server]])
                func latin(_ bytes: [UInt8]) -> String { String(String.UnicodeScalarView(bytes.map { UnicodeScalar($0) })) }
                for (number, scheme) in schemes.enumerated() {
                    let name = scheme == "socks4a" ? "both.test" : "near.test"
                    let client = try stage.client.connect("192.0.2.1", 1080).socket
                    try stage.client.send(client, latin(Says.greeting + Says.socks5(name: Array(name.utf8), 443 + number)))
                    let proxy = try stage.server.accept(listeners[number]).socket
                    if number == 0 {
                        #expect(try stage.server.receive(proxy, 3) == latin(Says.greeting))
                        try stage.server.send(proxy, latin([5, 0]))
                    }
                    #expect(try stage.server.receive(proxy, requests[number].count) == latin(requests[number]), "\(scheme)")
                    try stage.client.close(client)
                    try stage.server.close(proxy)
                }
                #expect(try Set(asked.asked().map { $0.prefix { $0 != " " } }) == ["near.test", "both.test"])
            }
        }

        /// A proxy that takes names gets them as they are; one that does not gets the address that was judged.
        @Test(arguments: ["socks5h", "socks5", "socks4a", "http"])
        func upstreamsGetWhatTheyTake(scheme: String) throws {
            let policy = "[[upstream]]\nname = \"out\"\nurl = \"\(scheme)://198.51.100.2:1090\"\n[[rule]]\naction = \"out\"\n"
            let takesNames = ["socks5h", "socks4a", "http"].contains(scheme)
            let requests: [(name: [UInt8], address: [UInt8], answer: [UInt8])] = [
                (
                    Says.socks5(name: Array("open.test".utf8), 443), Says.socks5("198.51.100.2", 443),
                    bytes("05000001 0a000001 1234")
                ),
                (Says.socks4a(name: Array("open.test".utf8), 443, user: ""), [], bytes("005a 1234 0a000001")),
                (
                    Array("CONNECT open.test:443 HTTP/1.1\r\nHost: open.test:443\r\n\r\n".utf8), [],
                    Array("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".utf8)
                ),
            ]
            let kind = scheme.hasPrefix("socks5") ? 0 : scheme.hasPrefix("socks4") ? 1 : 2
            try play(Variant(), start: false) { stage in
                let listener = try stage.server.listen(Self.server, port: 1090)
                let (clearway, asked) = try stage.startClearway(.serving(policy: policy), names: Self.names)
                func latin(_ bytes: [UInt8]) -> String { String(String.UnicodeScalarView(bytes.map { UnicodeScalar($0) })) }

                let client = try stage.client.connect("192.0.2.1", 1080).socket
                try stage.client.send(
                    client, latin(Says.greeting + Says.socks5(name: Array("open.test".utf8), 443) + Array("early".utf8)))
                let proxy = try stage.server.accept(listener).socket
                if kind == 0 {
                    #expect(try stage.server.receive(proxy, 3) == latin(Says.greeting))
                    try stage.server.send(proxy, latin([5, 0]))
                }
                let expected = latin(takesNames ? requests[kind].name : requests[kind].address)
                #expect(try stage.server.receive(proxy, expected.unicodeScalars.count) == expected)
                try stage.server.send(proxy, latin(requests[kind].answer) + "220 first")
                #expect(try stage.server.receive(proxy, 5) == "early")
                let reply = try stage.client.receive(client, 12 + 9)
                // Ours towards the proxy, for nobody knows what the proxy's is worth.
                #expect(reply.hasPrefix(latin(bytes("0500 05000001 c6336401"))) && reply.hasSuffix("220 first"))
                try stage.client.close(client)
                try stage.server.close(proxy)
                #expect(try asked.asked().isEmpty == takesNames)
                let record = try clearway.waitForSessions(1)[0]
                #expect(record.string("upstream") == "out" && record.string("name") == "open.test")
            }
        }

        /// A proxy that is given a name would look it up where it is, and this one answers at its own loopback.
        @Test(arguments: [
            (ProxyProgram.microsocks, "socks5h"), (.microsocks, "socks5"), (.dante, "socks5h"), (.tinyproxyWith(""), "http"),
        ])
        func namesOfLoopbackAreRefusedWhateverTheUpstream(proxy: ProxyProgram, scheme: String) throws {
            let policy = "[[upstream]]\nname = \"out\"\nurl = \"\(scheme)://198.51.100.2:1090\"\n[[rule]]\naction = \"out\"\n"
            let names = [
                "localhost", "localhost.", "LocalHost", "a.localhost", "a.b.localhost.", "localhost.localdomain", "ip6-localhost",
                "ip6-loopback", "localhost6", "loopback",
            ]
            try play(Variant(), configuration: .serving(policy: policy)) { stage in
                try stage.startProxy(proxy)
                var counters: [() throws -> Int] = []
                for host in ["127.0.0.1", "::1"] {
                    let listener = try stage.server.listen(host, port: 443)
                    let counter = try stage.server.perform("count", ["socket": listener.socket])
                    counters.append { try stage.server.perform("counted", ["socket": counter.socket]).int("count") }
                }
                let rows = names.flatMap {
                    [Self.asks($0), Exchange($0, Says.socks4a(name: Array($0.utf8), 443)), Exchange($0, Says.connect("\($0):443"))]
                }
                for (row, heard) in zip(rows, try stage.exchange(rows)) {
                    let isRefused =
                        heard.hex == "0500" + "05020001000000000000" || heard.hex == "005b000000000000"
                        || heard.text.hasPrefix("HTTP/1.1 403 ")
                    #expect(isRefused, "\(row.name): \(heard.hex)")
                }
                #expect(try counters.reduce(0) { try $0 + $1() } == 0)
                let records = try stage.clearway.waitForSessions(rows.count)
                #expect(records.allSatisfy { $0.ending == "proxy-rejected" && $0.string("reason").hasSuffix(" means loopback") })

                // Whoever opens loopback means it, here and there: the proxy would have been a way in.
                try stage.clearway.reload(.serving(reach: ["127.0.0.0/8", "::1"], policy: policy))
                #expect(try Self.replies(stage.exchange([Self.asks("localhost")])) == ["00"])
                try waitUntil("one connection") { try counters.reduce(0) { try $0 + $1() } == 1 }
            }
        }

        /// What a proxy says of a destination is said to the client.
        @Test func whatAProxySaysIsHandedOn() throws {
            let policy = "[[upstream]]\nname = \"out\"\nurl = \"socks5h://198.51.100.2:1090\"\n[[rule]]\naction = \"out\"\n"
            try play(Variant(), configuration: .serving(policy: policy)) { stage in
                let listener = try stage.server.listen(Self.server, port: 1090)
                let codes: [(said: UInt8, heard: String)] = [
                    (1, "01"), (2, "0[12]"), (3, "0[34]"), (4, "04"), (5, "05"), (6, "0[46]"), (8, "01"),
                ]
                for (said, heard) in codes {
                    let client = try stage.client.connect("192.0.2.1", 1080).socket
                    let says = Says.greeting + Says.socks5(name: Array("open.test".utf8), 443)
                    try stage.client.send(client, String(String.UnicodeScalarView(says.map { UnicodeScalar($0) })))
                    let proxy = try stage.server.accept(listener).socket
                    #expect(try stage.server.receive(proxy, 3).unicodeScalars.count == 3)
                    try stage.server.send(proxy, "\u{5}\0")
                    #expect(try stage.server.receive(proxy, 16).unicodeScalars.count == 16)
                    try stage.server.send(proxy, "\u{5}\(Character(UnicodeScalar(said)))\0\u{1}\0\0\0\0\0\0")
                    let reply = hexadecimal(try stage.client.receive(client, 12).unicodeScalars.map { UInt8($0.value) })
                    #expect(reply.wholeMatch(of: try Regex("050005\(heard)0001000000000000")) != nil, "\(said): \(reply)")
                    #expect(try stage.client.drain(client).end == "fin")
                    try stage.client.close(client)
                }
                // An address in a spelling of its own is an address, and stays forbidden whoever would be asked.
                let heard = try stage.exchange([
                    Self.asks("127.1"), Self.asks("0x7f000001"), Self.asks("10.0.0.1"), Self.asks("::1"),
                ])
                #expect(Self.replies(heard) == ["02", "02", "02", "02"])
            }
        }
    }
}
