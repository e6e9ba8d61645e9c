import Configuration
import Policy
import Testing
import TransparentSockets

@Suite struct ValueTests {
    @Test(arguments: ["", "\n", "# nothing\n", "\u{FEFF}", "\r\n\r\n", "[log]\n[timeouts]\n[firewall]\n"])
    func anEmptyFileIsTheEmbeddedDefault(text: String) throws {
        #expect(try Configuration(parsing: text, file: "t.toml") == Configuration.embeddedDefault)
    }

    @Test func thePackagedFileIsTheEmbeddedDefault() throws {
        #expect(try Configuration(parsing: packagedText, file: "t.toml") == Configuration.embeddedDefault)
    }

    @Test func theEmbeddedDefault() throws {
        let configuration = Configuration.embeddedDefault
        #expect(configuration.workers == 0)
        #expect(configuration.maxSessions == 0)
        #expect(configuration.relay == .adaptive)
        #expect(configuration.log == .init())
        #expect(
            configuration.log.level == .info && configuration.log.format == .plain && configuration.log.file == nil
                && configuration.log.access)
        #expect(configuration.timeouts.connect == .seconds(10))
        #expect(configuration.timeouts.idle == .seconds(3600))
        #expect(configuration.timeouts.halfClose == .seconds(60))
        #expect(configuration.timeouts.drain == .seconds(60))
        #expect(configuration.firewall.manage && configuration.firewall.onDown == .direct)
        #expect(configuration.firewall.table == "clearway" && configuration.firewall.priority == -150)
        #expect(configuration.firewall.mark == 0 && configuration.firewall.routeTable == 0)
        #expect(configuration.listeners.count == 1)
        let listener = configuration.listeners[0]
        #expect(listener.name == "tproxy-1081" && listener.mode == .tproxy && listener.local && listener.interfaces.isEmpty)
        #expect(listener.listen.map(\.description) == ["[::]:1081"])
        #expect(listener.protocols == [.tcp] && listener.ports == [1...65535] && listener.preserveSource == .off)
        #expect(listener.destinations.isEmpty && listener.exclude.isEmpty && listener.clients.isEmpty)
    }

    @Test func everyKeyIsRead() throws {
        let configuration = try Configuration(parsing: fullSample, file: "t.toml")
        #expect(configuration.workers == 2 && configuration.maxSessions == 5000 && configuration.relay == .splice)
        #expect(configuration.log.level == .debug && configuration.log.format == .json)
        #expect(configuration.log.file == "/var/log/clearway.log" && !configuration.log.access)
        #expect(configuration.timeouts.connect == .milliseconds(300) && configuration.timeouts.idle == .zero)
        #expect(configuration.timeouts.halfClose == .seconds(300) && configuration.timeouts.drain == .seconds(7200))
        #expect(
            !configuration.firewall.manage && configuration.firewall.onDown == .reject && configuration.firewall.table == "my_table"
        )
        #expect(configuration.firewall.priority == -155)
        #expect(configuration.firewall.mark == 0x0100_0000 && configuration.firewall.routeTable == 7100)
        #expect(configuration.listeners.map(\.name) == ["lan", "guests", "redirect-1083"])
        let lan = configuration.listeners[0]
        #expect(lan.mode == .tproxy && !lan.local && lan.interfaces == ["eth1", "br-*"])
        #expect(lan.listen.map(\.description) == ["192.0.2.1:1081", "[2001:db8::1]:1081"])
        #expect(lan.ports == [80...80, 443...443, 8000...9100])
        #expect(lan.destinations.map(\.description) == ["203.0.113.0/24"])
        #expect(lan.exclude.map(\.description) == ["203.0.113.7", "2001:db8::/32"])
        #expect(lan.clients.map(\.description) == ["10.1.0.0/16"] && lan.preserveSource == .addressAndPort)
        #expect(configuration.listeners[1].preserveSource == .address && configuration.listeners[1].interfaces == ["wlan0"])
        #expect(configuration.listeners[2].mode == .redirect && configuration.listeners[2].ports == [443...443])
    }

    @Test func aSingleValueServesAsAList() throws {
        let one = try Configuration(
            parsing: listener(
                "listen='0.0.0.0:9'\nprotocols='tcp'\ninterfaces='a'\nports=7\ndestinations='::1'\nexclude='::2'\nclients='::3'"),
            file: "t.toml")
        let many = try Configuration(
            parsing: listener(
                "listen=['0.0.0.0:9']\nprotocols=['tcp']\ninterfaces=['a']\nports=[7]\ndestinations=['::1']\nexclude=['::2']\nclients=['::3']"
            ),
            file: "t.toml")
        #expect(one == many)
        #expect(one.listeners[0].ports == [7...7])
        let table = try Configuration(parsing: "[listener]\nlocal = true", file: "t.toml")
        #expect(table == Configuration.embeddedDefault)
    }

    @Test(arguments: [
        ("1ms", 1), ("300ms", 300), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000), ("8760h", 31_536_000_000), ("007s", 7000),
    ])
    func durations(text: String, milliseconds: Int) throws {
        let configuration = try Configuration(parsing: "[timeouts]\nconnect = '\(text)'", file: "t.toml")
        #expect(configuration.timeouts.connect == .milliseconds(milliseconds))
    }

    @Test(arguments: [
        ("'raw'", -300), ("'mangle'", -150), ("'dstnat'", -100), ("'filter'", 0), ("'security'", 50), ("'srcnat'", 100),
        ("'mangle + 5'", -145),
        ("'mangle - 5'", -155), ("'mangle-5'", -155), ("'-155'", -155), ("7", 7), ("-400", -400), ("300", 300),
        ("'raw - 100'", -400),
    ])
    func priorities(text: String, value: Int) throws {
        #expect(try Configuration(parsing: "[firewall]\npriority = \(text)", file: "t.toml").firewall.priority == value)
    }

    @Test(arguments: [
        ("[1, 2, 3]", [UInt16(1)...3]), ("['1-10', '5-20']", [1...20]), ("['1-10', '12-20']", [1...10, 12...20]),
        ("['60000-65535', 1]", [1...1, 60000...65535]), ("['1-65535', 80]", [1...65535]), ("'443'", [443...443]),
        ("65535", [65535...65535]),
        ("['1-10', '2-3', 11]", [1...11]),
    ])
    func portsAreMerged(text: String, ranges: [ClosedRange<UInt16>]) throws {
        #expect(try Configuration(parsing: listener("ports = \(text)"), file: "t.toml").listeners[0].ports == ranges)
    }

    @Test func boundsAreInclusive() throws {
        for text in [
            "workers = 1024", "max_sessions = 10_000_000", "max_flows = 10_000_000", "batch = 1", "batch = 256",
            "[timeouts]\nflow = '1s'\nflow_unanswered = '1s'", "[firewall]\nmark = 0x40000000",
            "[firewall]\nroute_table = 4294967295",
        ] {
            #expect(findings(text) == [])
        }
        #expect(findings("[firewall]\ntable = '\(String(repeating: "a", count: 60))'") == [])
        #expect(findings(listener("name = '\(String(repeating: "a", count: 64))'\ninterfaces = 'abcdefghijklmno'")) == [])
    }

    @Test func positionsPointIntoTheFile() throws {
        let configuration = try Configuration(parsing: fullSample, file: "t.toml")
        func at(_ position: SourcePosition) -> String { "\(position.file):\(position.line):\(position.column)" }
        #expect(at(configuration.positions.listener(0)) == "t.toml:26:3")
        #expect(at(configuration.positions.listen(0, 1)) == "t.toml:31:5")
        #expect(at(configuration.positions.interface(0, 0)) == "t.toml:34:15")
        #expect(at(configuration.positions.interface(0, 1)) == "t.toml:34:23")
        #expect(at(configuration.positions.interface(1, 0)) == "t.toml:45:14")
        #expect(at(configuration.positions.listener(2)) == "t.toml:48:3")
        // Not spelled out in the file: the table that would hold it.
        #expect(at(configuration.positions.listen(2, 7)) == "t.toml:48:3")
        #expect(at(Configuration.embeddedDefault.positions.listener(0)) == "embedded default:1:1")
        #expect(
            Diagnostic(configuration.positions.interface(0, 1), "no such interface").description
                == "t.toml:34:23: error: no such interface")
    }

    @Test func positionsTakeNoPartInEquality() throws {
        let near = try Configuration(parsing: listener(""), file: "a")
        let far = try Configuration(parsing: "\n\n\n" + listener(""), file: "b")
        #expect(near == far)
        #expect(near.positions.listener(0) != far.positions.listener(0))
    }
}
