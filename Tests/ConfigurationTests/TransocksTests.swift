import Configuration
import Policy
import Testing
import TransparentSockets

/// transocks.toml: its keys, its refusals, and what Clearway makes of them. The sets T1 to T7 also run in SituationTests.
@Suite struct TransocksTests {
    private static let address = [ListenAddress(SocketAddress("127.0.0.1:1081")!)]

    private func configuration(_ text: String) throws -> Configuration {
        try Configuration(try TransocksFile(parsing: text), listening: Self.address)
    }

    /// What the text is refused with; empty when it is good.
    private func refusal(_ text: String) -> String {
        do {
            _ = try configuration(text)
            return ""
        } catch {
            return (error as? DropInError)?.description ?? "\(error)"
        }
    }

    private func proxy(_ url: String) throws -> Upstream.Member { try Upstream.Member(transocks: url) }

    private func urlRefusal(_ url: String) -> String {
        do {
            _ = try proxy(url)
            return ""
        } catch {
            return (error as? DropInError)?.description ?? "\(error)"
        }
    }

    // MARK: The file

    @Test func defaults() throws {
        let file = try TransocksFile(parsing: "proxy_url = \"socks5://10.20.30.40:1080\"\n")
        #expect(file.listen == "localhost:1081")
        #expect(file.log.filename == "" && file.log.level == "" && file.log.format == "")
    }

    @Test func everyKeyIsRead() throws {
        let file = try TransocksFile(
            parsing: """
                listen = "localhost:1082"
                proxy_url = "socks5://10.20.30.40:1080"
                [log]
                filename = "/path/to/file"
                level = "warn"
                format = "json"
                """)
        #expect(file.listen == "localhost:1082")
        let configuration = try Configuration(file, listening: Self.address)
        #expect(configuration.log.file == "/path/to/file")
        #expect(configuration.log.level == .warning)
        #expect(configuration.log.format == .json)
        #expect(configuration.log.access)
    }

    @Test func keysMatchInAnyCase() throws {
        let file = try TransocksFile(
            parsing: "Listen = \"127.0.0.1:1\"\nPROXY_URL = \"socks5://10.20.30.40:1080\"\n[LOG]\nLevel = \"debug\"\n")
        #expect(file.listen == "127.0.0.1:1")
        #expect(file.proxyURL == "socks5://10.20.30.40:1080")
        #expect(file.log.level == "debug")
    }

    /// The exact form goes first; the other one is nobody's then.
    @Test func theSameKeyTwiceInTwoCases() {
        #expect(refusal("LISTEN = \"a:1\"\nlisten = \"b:1\"\n") == "undecoded key in TOML: [LISTEN]")
        #expect(refusal("LISTEN = \"a:1\"\nListen = \"b:1\"\n") == "undecoded key in TOML: [Listen]")
    }

    @Test(arguments: [
        ("log_level = \"info\"\nlog_file = \"/x\"\n", "log_level log_file"), ("mode = \"tproxy\"\n", "mode"),
        ("[log]\nfile = \"/x\"\n", "log.file"), ("[Log]\nfile = \"/x\"\nlevel = \"info\"\n", "log.file"),
        ("[a]\nb = 1\n[a.c]\nd = 2\n", "a a.b a.c a.c.d"), ("[[upstream]]\nname = \"x\"\n", "upstream"),
    ])
    func unknownKeysAreNamed(_ text: String, _ names: String) {
        #expect(refusal(text) == "undecoded key in TOML: [\(names)]")
    }

    @Test(arguments: [
        ("listen = 1081\n", "int64", "listen"), ("proxy_url = true\n", "bool", "proxy_url"),
        ("listen = 1.5\n", "float64", "listen"),
        ("listen = [\"a:1\"]\n", "[]interface {}", "listen"), ("listen = 1979-05-27\n", "time.Time", "listen"),
        ("[log]\nlevel = 3\n", "int64", "log.level"), ("[listen]\n", "map[string]interface {}", "listen"),
    ])
    func wrongTypes(_ text: String, _ type: String, _ key: String) {
        #expect(refusal(text) == "cannot load TOML value of type \(type) into a Go string (key \(key))")
    }

    @Test func aLogThatIsNoTable() {
        #expect(refusal("log = \"x\"\n") == "type mismatch for log: expected table but found string")
    }

    @Test func aSyntaxErrorHasItsLine() { #expect(refusal("listen = \"a:1\"\nx = = 2\n").hasPrefix("Near line 2: ")) }

    /// A type comes before a key, a key before a value.
    @Test func theFirstMistakeIsTold() {
        #expect(refusal("foo = 1\nlisten = 1\n").hasPrefix("cannot load"))
        #expect(refusal("foo = 1\nproxy_url = \"ftp://x:1\"\n").hasPrefix("undecoded"))
    }

    @Test(arguments: [
        ("critical", Configuration.Log.Level.critical), ("crit", .critical), ("error", .error), ("warning", .warning),
        ("warn", .warning), ("information", .info), ("info", .info), ("debug", .debug), ("", .info),
    ])
    func levels(_ name: String, _ level: Configuration.Log.Level) throws {
        let text = "proxy_url = \"socks5://10.0.0.1:1\"\n[log]\nlevel = \"\(name)\"\n"
        #expect(try configuration(text).log.level == level)
    }

    @Test(arguments: ["verbose", "INFO", "notice", "info "])
    func unknownLevels(_ name: String) {
        #expect(refusal("proxy_url = \"socks5://10.0.0.1:1\"\n[log]\nlevel = \"\(name)\"\n") == "no such level: \(name)")
    }

    @Test(arguments: ["xml", "JSON", "text"])
    func unknownFormats(_ name: String) {
        #expect(refusal("proxy_url = \"socks5://10.0.0.1:1\"\n[log]\nformat = \"\(name)\"\n") == "invalid format: \(name)")
    }

    // MARK: The proxy

    @Test func schemesAndHosts() throws {
        let socks = try proxy("SOCKS5://10.0.0.1:1080")
        #expect(socks.scheme == .socks5 && socks.port == 1080 && socks.user == nil && socks.agent == nil)
        #expect(socks.description == "socks5://10.0.0.1:1080")
        #expect(try proxy("http://[2001:db8::1]:3128").description == "http://[2001:db8::1]:3128")
        #expect(try proxy("socks5://Proxy_1:1080").description == "socks5://proxy_1:1080")
        #expect(try proxy("http://proxy.example:3128/path?query#fragment").description == "http://proxy.example:3128")
    }

    @Test func credentials() throws {
        let both = try proxy("http://u%40x:p%3Aw@[2001:db8::1]:3128")
        #expect(both.user == "u@x" && both.password == "p:w" && both.agent == "Go-http-client/1.1")
        // As transocks has it, a server that asks for none never learns that the password is empty.
        let alone = try proxy("socks5://me@10.0.0.1:1080")
        #expect(alone.user == "me" && alone.password == "")
        #expect(try proxy("http://me:@10.0.0.1:1").password == "")
        #expect(try proxy("http://a:b@c@10.0.0.1:1").password == "b@c")
    }

    /// These end up in a log.
    @Test(arguments: [
        "socks5://user:se#cret@10.0.0.1:1080", "socks5://user:se/cret@10.0.0.1:1080", "http://user:se?cret@10.0.0.1:1080",
        "user:secret@x://10.0.0.1:1080", "http://user:secret@", "user:secret@10.0.0.1:1080",
    ])
    func nothingOfAPasswordIsSaid(_ url: String) {
        #expect {
            _ = try Upstream.Member(transocks: url)
        } throws: { !"\($0)".contains("cret") }
    }

    @Test(arguments: [
        ("", ""), ("10.0.0.1:1080", ""), ("//10.0.0.1:1080", ""), ("httpx://10.0.0.1:443", "httpx"),
        ("socks5h://10.0.0.1:1080", "socks5h"), ("socks4://10.0.0.1:1080", "socks4"), ("socks4a://10.0.0.1:1", "socks4a"),
        ("localhost:1080", "localhost"), ("socks5:10.0.0.1:1080", "socks5"), ("FTP://x:1", "ftp"),
    ])
    func unknownSchemesAreCaughtAtOnce(_ url: String, _ scheme: String) {
        #expect(urlRefusal(url) == "proxy: unknown scheme: \(scheme)")
    }

    @Test(arguments: [
        ("socks5://10.0.0.1", "proxy_url: address 10.0.0.1: missing port in address"),
        ("http://[::1]", "proxy_url: address [::1]: missing port in address"),
        ("http://proxy.example:/", "proxy_url: address proxy.example:: missing port in address"),
        ("socks5://10.0.0.1:0", "proxy_url: invalid port \"0\""), ("socks5://10.0.0.1:65536", "proxy_url: invalid port \"65536\""),
        ("socks5://10.0.0.1:http", "proxy_url: invalid port \"http\""),
        ("socks5://0.0.0.0:1", "proxy_url: 0.0.0.0 cannot be a proxy's address"),
        ("socks5://a b:1", "proxy_url: \"a b\" is no host"), ("socks5://:1080", "proxy_url: \"\" is no host"),
    ])
    func whatIsNoHostAndPortIsCaughtAtOnce(_ url: String, _ message: String) { #expect(urlRefusal(url) == message) }

    /// Messages end in logs.
    @Test(arguments: ["socks5://me:sec%zzret@10.0.0.1:1", "socks5://me:secret@10.0.0.1", "http://me:secret@:1"])
    func noRefusalTellsThePassword(_ url: String) {
        #expect(urlRefusal(url) != "")
        #expect(!urlRefusal(url).contains("sec"))
    }

    // MARK: What becomes of it

    @Test func whatClearwayMakesOfIt() throws {
        let configuration = try configuration("proxy_url = \"http://me:secret@10.0.0.1:3128\"\n")
        let listener = configuration.listeners[0]
        #expect(listener.mode == .redirect && listener.listen == Self.address && !listener.local && listener.interfaces.isEmpty)
        #expect(!configuration.firewall.manage)
        #expect(configuration.rules.count == 1 && configuration.rules[0].action == .upstream(0))
        #expect(configuration.upstreams.count == 1 && configuration.upstreams[0].members.count == 1)
        // A name that logs show: no secret in it.
        #expect(configuration.upstreams[0].name == "http://10.0.0.1:3128")
        #expect(!configuration.upstreams[0].sendName && configuration.upstreams[0].check == .zero)
    }

    /// transocks had no limit on a proxy's answer over SOCKS5, on silence, on half a connection.
    @Test func nothingWaitsForEver() throws {
        let timeouts = try configuration("proxy_url = \"socks5://10.0.0.1:1\"\n").timeouts
        #expect(timeouts.connect == .seconds(10))
        #expect(timeouts.drain == .seconds(60))
        #expect(timeouts.idle == .seconds(86_400))
        #expect(timeouts.halfClose == .seconds(3_600))
    }
}
