import Policy
import Testing
import TransparentSockets

@testable import Configuration

/// usocksd.toml: its keys, its refusals, and what Clearway makes of them. The sets U1 to U9 also run in SituationTests.
@Suite struct UsocksdTests {
    private func file(_ text: String) throws -> UsocksdFile { try UsocksdFile(parsing: text, path: "usocksd.toml") }
    private func configuration(_ text: String) throws -> Configuration { try Configuration(try file(text)) }

    /// What the text is refused with; empty when it is good.
    private func refusal(_ text: String) -> String {
        do {
            _ = try configuration(text)
            return ""
        } catch {
            return (error as? DropInError)?.description ?? "\(error)"
        }
    }

    // MARK: The file

    @Test func u1TheProjectsOwnFile() throws {
        let file = try file(
            """
            [incoming]
            port = 1080
            metrics_port = 8081
            addresses = ['127.0.0.1']
            allow_from = ['10.0.0.0/8', '192.168.1.1']
            [outgoing]
            allow_sites = [ "www.amazon.com", ".google.com", ]
            deny_sites = [ ".2ch.net", "bad.google.com", ]
            deny_ports = [22, 25]
            addresses = ['12.34.56.78']
            dnsbl_domain = 'zen.spamhaus.org'
            """)
        #expect(file.port == 1080 && file.metricsPort == 8081)
        #expect(file.addresses == ["127.0.0.1"] && file.allowFrom == ["10.0.0.0/8", "192.168.1.1"])
        #expect(file.denyPorts == [22, 25] && file.sources == ["12.34.56.78"] && file.blockList == "zen.spamhaus.org")
        let configuration = try Configuration(file)
        #expect(configuration.listeners.map(\.name) == ["127.0.0.1:1080"])
        #expect(configuration.listeners[0].clients.map(\.description) == ["10.0.0.0/8", "192.168.1.1"])
        #expect(configuration.metrics.map(\.description) == ["[::]:8081"])
        #expect(configuration.upstreams.first?.exit?.sources.map(\.description) == ["12.34.56.78"])
        #expect(configuration.upstreams.first?.exit?.blockList?.description == "zen.spamhaus.org")
    }

    @Test func u2AllKeys() throws {
        let configuration = try configuration(
            """
            [log]
            filename = "/path/to/file"
            level = "info"
            format = "plain"
            [incoming]
            port = 1080
            metrics_port = 1081
            addresses = ["127.0.0.1"]
            allow_from = ["10.0.0.0/8"]
            [outgoing]
            allow_sites = ["www.amazon.com", ".google.com"]
            deny_sites = [".2ch.net", "bad.google.com", ""]
            deny_ports = [22, 25]
            iface = "tun0"
            addresses = ["12.34.56.78"]
            dnsbl_domain = "some.dnsbl.org"
            """)
        #expect(configuration.log.file == "/path/to/file" && configuration.log.level == .info)
        #expect(configuration.upstreams.first?.exit?.device == "tun0")
    }

    @Test func u3TheSampleThatWasNoTOML() {
        #expect(refusal("[outgoing]\niface = tun0\n").hasPrefix("toml: line 2: "))
    }

    @Test(arguments: [
        ("hoge = 'fuga'\n", "hoge"), ("[log]\nfile = \"/x\"\n", "log.file"),
        ("[incoming]\nPort = 1\nhosts = []\n", "incoming.hosts"),
        ("[outgoing]\nallow = 1\n[more]\nx = 2\n", "outgoing.allow more more.x"),
    ])
    func u4AndU8UnknownKeysAreNamed(_ text: String, _ names: String) {
        #expect(refusal(text) == "Unknown config keys in usocksd.toml: \(names)")
    }

    @Test(arguments: [
        ("[incoming]\nallow_from = '12.34.56.78'\n", "incoming.allow_from", "string", "slice"),
        ("[incoming]\nport = \"1080\"\n", "incoming.port", "string", "integer"),
        ("[incoming]\naddresses = [1]\n", "incoming.addresses", "int64", "string"),
        ("[outgoing]\ndeny_ports = [\"22\"]\n", "outgoing.deny_ports", "string", "integer"),
        ("[outgoing]\niface = 3\n", "outgoing.iface", "int64", "string"),
        ("[log]\nlevel = true\n", "log.level", "bool", "string"), ("incoming = 5\n", "incoming", "int64", "struct"),
        ("log = []\n", "log", "[]interface {}", "struct"),
    ])
    func u5WrongTypes(_ text: String, _ key: String, _ found: String, _ wanted: String) {
        #expect(refusal(text) == "toml: incompatible types: TOML key \"\(key)\" has type \(found); destination has type \(wanted)")
    }

    @Test func u6WithoutAFile() throws {
        let configuration = try Configuration(UsocksdFile())
        #expect(configuration.listeners.map(\.name) == ["[::]:1080"])
        #expect(configuration.metrics.map(\.description) == ["[::]:1081"])
        #expect(configuration.rules == [] && configuration.upstreams == [])
        #expect(configuration.log == Configuration.Log())
        #expect(try self.configuration("") == configuration)
    }

    @Test(arguments: [
        ("300.1.1.1", "300.1.1.1/32"), ("10.0.0.0/33", "10.0.0.0/33"), ("", "/32"), ("example.com", "example.com/32"),
        ("2001:db8::g", "2001:db8::g/128"), ("10.0.0/8", "10.0.0/8"),
    ])
    func u7BadNetworks(_ text: String, _ said: String) {
        #expect(refusal("[incoming]\nallow_from = [\"\(text)\"]\n") == "Invalid network or IP address: \(said)")
    }

    @Test func u9ATypicalInstallation() throws {
        let configuration = try configuration(
            """
            [log]
            filename = "/var/log/usocksd.log"
            level = "info"
            format = "plain"
            [incoming]
            port = 1080
            addresses = ["127.0.0.1"]
            """)
        #expect(configuration.listeners.map(\.name) == ["127.0.0.1:1080"])
        #expect(configuration.log.file == "/var/log/usocksd.log")
    }

    @Test func keysMatchInAnyCase() throws {
        let file = try file(
            "[INCOMING]\nPort = 1\nALLOW_FROM = [\"::1\"]\n[Outgoing]\nDeny_Ports = [1]\n[Log]\nLEVEL = \"debug\"\n")
        #expect(file.port == 1 && file.allowFrom == ["::1"] && file.denyPorts == [1] && file.log.level == "debug")
    }

    // MARK: Listening and clients

    @Test(arguments: [
        ("addresses = []", ["[::]:1080"]), ("addresses = [\"0.0.0.0\"]", ["[::]:1080"]),
        ("addresses = [\"127.0.0.1\", \"::1\"]\nport = 1090", ["127.0.0.1:1090", "[::1]:1090"]),
        ("addresses = [\"::ffff:192.0.2.1\"]", ["192.0.2.1:1080"]),
    ])
    func whereItListens(_ text: String, _ expected: [String]) throws {
        #expect(try configuration("[incoming]\n\(text)\n").listeners.flatMap(\.listen).map(\.description) == expected)
    }

    @Test(arguments: [
        ("addresses = [\"\"]", "invalid IP address: "), ("addresses = [\"localhost\"]", "invalid IP address: localhost"),
        ("addresses = [\"fe80::1%eth0\"]", "invalid IP address: fe80::1%eth0"),
        ("addresses = [\"127.0.0.1\", \"127.0.0.1\"]", "incoming.addresses: 127.0.0.1 is listed twice"),
        ("port = 0", "listen tcp: address 0: invalid port"), ("port = 65536", "listen tcp: address 65536: invalid port"),
        ("port = -1", "listen tcp: address -1: invalid port"), ("metrics_port = 70000", "listen tcp: address 70000: invalid port"),
    ])
    func whereItCannotListen(_ text: String, _ message: String) { #expect(refusal("[incoming]\n\(text)\n") == message) }

    @Test func metricsCanBeLeftOut() throws { #expect(try configuration("[incoming]\nmetrics_port = 0\n").metrics == []) }

    /// An address is one host. In usocksd, `2001:db8::1` let in 2001:db8::/32, and `::1` the sixteenth part of a millionth of all.
    @Test(arguments: [
        ("2001:db8::1", "2001:db8::1"), ("::1", "::1"), ("10.1.2.3", "10.1.2.3"), ("10.1.2.3/8", "10.0.0.0/8"),
        ("2001:db8::1/32", "2001:db8::/32"), ("0.0.0.0/0", "0.0.0.0/0"),
    ])
    func anAddressIsOneClient(_ text: String, _ network: String) throws {
        #expect(try configuration("[incoming]\nallow_from = [\"\(text)\"]\n").listeners[0].clients.map(\.description) == [network])
    }

    /// A proxy that is open to the world is used by the world.
    @Test(arguments: ["", "[incoming]\nallow_from = []\n"])
    func withoutAWordAboutClientsOnlyNeighboursAreServed(_ text: String) throws {
        let listener = try configuration(text).listeners[0]
        let served = { (address: String) in listener.clients.contains { $0.contains(IPAddress(address)!) } }
        for address in ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.1.1", "::1", "fe80::1", "fd00::1"] {
            #expect(served(address), "\(address)")
        }
        for address in ["8.8.8.8", "100.64.0.1", "172.32.0.1", "192.0.2.1", "2001:db8::1", "2a00::1", "::"] {
            #expect(!served(address), "\(address)")
        }
    }

    /// Who says whom to serve means hosts of their own, too; nobody means this host itself, or a cloud's metadata.
    @Test func whereClientsMayGo() throws {
        let open = try configuration("").listeners[0].reach
        let own = try configuration("[incoming]\nallow_from = [\"10.0.0.0/8\"]\n").listeners[0].reach
        let may = { (reach: Reach, address: String) in
            reach.refusal(of: IPAddress(address)!, ourselves: [IPAddress("10.0.0.9")!]) == nil
        }
        #expect(may(open, "8.8.8.8") && !may(open, "10.0.0.1"))
        #expect(may(own, "8.8.8.8") && may(own, "10.0.0.1") && may(own, "fd00::1"))
        for address in ["127.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1", "10.0.0.9", "224.0.0.1"] {
            #expect(!may(own, address), "\(address)")
        }
    }

    // MARK: Sites and ports

    private static let both = """
        [outgoing]
        allow_sites = ["www.amazon.com", ".google.com"]
        deny_sites = [".2ch.net", "bad.google.com"]

        """

    struct Row: Sendable, CustomTestStringConvertible {
        var toml: String
        var request: String
        var port: UInt16 = 443
        var isAllowed: Bool
        var testDescription: String { "\(request):\(port) \(isAllowed ? "goes" : "stays")" }
    }

    /// The truth table of the contract, and what usocksd got wrong.
    static let table = [
        Row(toml: both, request: "www.amazon.com", isAllowed: true), Row(toml: both, request: "WWW.AMAZON.COM", isAllowed: true),
        Row(toml: both, request: "amazon.com", isAllowed: false), Row(toml: both, request: "google.com", isAllowed: false),
        Row(toml: both, request: "www.google.com", isAllowed: true), Row(toml: both, request: "a.b.google.com", isAllowed: true),
        Row(toml: both, request: "bad.google.com", isAllowed: false), Row(toml: both, request: "x.2ch.net", isAllowed: false),
        Row(toml: both, request: "1.2.3.4", isAllowed: false),
        Row(toml: "[outgoing]\ndeny_sites = [\"\"]\n", request: "1.2.3.4", isAllowed: false),
        Row(toml: "[outgoing]\ndeny_sites = [\"\"]\n", request: "any.example", isAllowed: true),
        Row(toml: "[outgoing]\nallow_sites = [\"\"]\n", request: "1.2.3.4", isAllowed: true),
        Row(toml: "[outgoing]\nallow_sites = [\"\"]\n", request: "any.example", isAllowed: false),
        Row(toml: "[outgoing]\ndeny_sites = [\"bad.example\"]\n", request: "bad.example.", isAllowed: false),
        Row(toml: "[outgoing]\ndeny_sites = [\"bad.example.\"]\n", request: "bad.example", isAllowed: false),
        Row(toml: "[outgoing]\ndeny_sites = [\"Bad.Example\"]\n", request: "bad.example", isAllowed: false),
        Row(toml: "[outgoing]\ndeny_sites = [\"BÜCHER.example\"]\n", request: "xn--bcher-kva.example", isAllowed: false),
        Row(toml: "[outgoing]\ndeny_sites = [\"1.2.3.4\"]\n", request: "1.2.3.4", isAllowed: false),
        Row(toml: "[outgoing]\nallow_sites = [\"1.2.3.4\"]\n", request: "1.2.3.4", isAllowed: true),
        Row(toml: "[outgoing]\nallow_sites = [\"1.2.3.4\"]\n", request: "1.2.3.5", isAllowed: false),
        Row(toml: "[outgoing]\nallow_sites = [\"1.2.3.4\"]\n", request: "any.example", isAllowed: false),
        Row(toml: "[outgoing]\ndeny_ports = [22, 25]\n", request: "any.example", port: 25, isAllowed: false),
        Row(toml: "[outgoing]\ndeny_ports = [22, 25]\n", request: "1.2.3.4", port: 22, isAllowed: false),
        Row(toml: "[outgoing]\ndeny_ports = [22, 25]\n", request: "any.example", isAllowed: true),
        Row(toml: both + "deny_ports = [443]\n", request: "www.amazon.com", isAllowed: false),
    ]

    @Test(arguments: table)
    func theTruthTable(_ row: Row) throws {
        let configuration = try configuration(row.toml)
        let address = IPAddress(row.request)
        // As the serving session asks, first by the name alone, then with what it resolves to.
        let name = address == nil ? DomainName(row.request)! : nil
        let policy = Policy(configuration.rules)
        for destination in [address, IPAddress("203.0.113.7")!] where address == nil || destination == address {
            let query = Query(
                listener: "[::]:1080", client: IPAddress("10.0.0.1")!, destination: destination, port: row.port, name: name)
            #expect((policy.decide(query).action == .direct) == row.isAllowed)
        }
    }

    /// A name that resolves to an address that is denied leads nowhere.
    @Test func aDeniedAddressIsDeniedByWhateverName() throws {
        let policy = Policy(try configuration("[outgoing]\ndeny_sites = [\"1.2.3.4\"]\n").rules)
        let query = Query(
            listener: "", client: nil, destination: IPAddress("1.2.3.4")!, port: 80, name: DomainName("any.example")!)
        #expect(policy.decide(query).action == .reject)
    }

    @Test(arguments: [
        ("deny_sites = [\"a b\"]", "outgoing.deny_sites: \"a b\" is no host name"),
        ("allow_sites = [\"*.example.com\"]", "outgoing.allow_sites: \"*.example.com\" is no host name"),
        ("deny_sites = [\".\"]", "outgoing.deny_sites: \".\" is no host name"),
        ("deny_ports = [65536]", "outgoing.deny_ports: 65536 is no port"),
        ("deny_ports = [-1]", "outgoing.deny_ports: -1 is no port"),
        ("addresses = [\"\"]", "invalid IP address: "), ("addresses = [\"0.0.0.0\"]", "invalid IP address: 0.0.0.0"),
        ("addresses = [\"1.2.3.4\", \"1.2.3.4\"]", "outgoing.addresses: 1.2.3.4 is listed twice"),
        ("iface = \"tun*\"", "outgoing.iface: tun* is no single interface"),
        ("dnsbl_domain = \"no domain\"", "outgoing.dnsbl_domain: no domain is no domain"),
    ])
    func whatCannotBeMeant(_ text: String, _ message: String) { #expect(refusal("[outgoing]\n\(text)\n") == message) }

    // MARK: What becomes of it

    @Test func whatClearwayMakesOfIt() throws {
        let configuration = try configuration("")
        let listener = configuration.listeners[0]
        #expect(listener.mode == .socks && !listener.local && !listener.servesBind && listener.servedPorts == nil)
        #expect(!configuration.firewall.manage && configuration.upstreams.isEmpty)
        #expect(configuration.timeouts.handshake == .seconds(10) && configuration.timeouts.connect == .seconds(10))
        #expect(configuration.timeouts.drain == .seconds(60) && configuration.timeouts.idle == .seconds(86_400))
        #expect(configuration.timeouts.halfClose == .seconds(3_600))
    }
}
