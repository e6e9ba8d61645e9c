import Foundation
import Testing

extension Situations {
    /// Programs that people point at a proxy: they find what they want through ours.
    @Suite struct ServingClients {
        struct Client: Sendable {
            var name: String
            var command: @Sendable (Stage) throws -> [String]
            /// A file that becomes its standard input.
            var input: String?
            var environment: [String: String] = [:]

            init(
                _ name: String, input: String? = nil, environment: [String: String] = [:],
                _ command: @escaping @Sendable (Stage) throws -> [String]
            ) {
                self.name = name
                self.command = command
                self.input = input
                self.environment = environment
            }
        }

        private static let page = "the page\n"

        private static let curls: [Client] = {
            let v4 = "http://198.51.100.2/page"
            let v6 = "http://[2001:db8:2::2]/page"
            let names = ["http://four.test/page", "http://six.test/page", "http://both.test/page"]
            var clients: [(arguments: [String], url: String)] = []
            for family in Family.allCases {
                let proxy = family.servedURL
                clients += [(["--socks4", proxy], v4), (["--socks4a", proxy], v4)] + names.map { (["--socks4a", proxy], $0) }
                clients += [(["--socks5", proxy], v4), (["--socks5", proxy], v6)]
                clients += ([v4, v6] + names).map { (["--socks5-hostname", proxy], $0) }
                clients += ([v4, v6] + names).map { (["-p", "--proxy", "http://\(proxy)"], $0) }
                clients += [(["-p", "--proxy1.0", proxy], names[0])]
            }
            return clients.map { arguments, url in
                Client("curl \(arguments.joined(separator: " ")) \(url)") { _ in
                    ["curl", "-sSf", "--noproxy", "", "--max-time", "10"] + arguments + [url]
                }
            }
        }()

        private static let others: [Client] = {
            let request = "GET /page HTTP/1.0\r\n\r\n"
            var clients: [Client] = []
            for (type, target) in [
                ("socks4", "198.51.100.2"), ("socks5", "198.51.100.2"), ("socks5", "2001:db8:2::2"), ("http", "198.51.100.2"),
                ("http", "four.test"), ("http", "2001:db8:2::2"),
            ] {
                clients.append(
                    Client("ncat \(type) \(target)", input: request) { _ in
                        ["ncat", "--proxy", "192.0.2.1:1080", "--proxy-type", type, "--proxy-dns", "remote", target, "80"]
                    })
            }
            for (type, target) in [("4", "198.51.100.2"), ("5", "four.test"), ("5", "2001:db8:2::2"), ("connect", "four.test")] {
                clients.append(
                    Client("nc -X \(type) \(target)", input: request) { _ in
                        ["nc", "-X", type, "-x", "192.0.2.1:1080", target, "80"]
                    })
            }
            for type in ["socks4", "socks5", "http"] {
                clients.append(
                    Client("proxychains4 \(type)") { stage in
                        let text = "strict_chain\nproxy_dns\n[ProxyList]\n\(type) 192.0.2.1 1080\n"
                        let file = try stage.topology.scratch.write(text, to: "proxychains-\(type).conf", mode: 0o644)
                        return ["proxychains4", "-q", "-f", file, "curl", "-sSf", "--noproxy", "*", "http://four.test/page"]
                    })
            }
            for version in ["socks_v5", "http_v1.0"] {
                clients.append(
                    Client("socksify \(version)") { stage in
                        let file = try stage.topology.scratch.write(
                            """
                            resolveprotocol: fake
                            route {
                                from: 0.0.0.0/0 to: . via: 192.0.2.1 port = 1080
                                protocol: tcp
                                command: connect
                                proxyprotocol: \(version)
                                method: none
                            }

                            """, to: "socks-\(version).conf", mode: 0o644)
                        return ["env", "SOCKS_CONF=\(file)", "socksify", "curl", "-sSf", "--noproxy", "*", "http://four.test/page"]
                    })
            }
            return clients
        }()

        private static let pythons: [Client] = [
            "import httpx; print(httpx.get('http://four.test/page', proxies='socks5://192.0.2.1:1080').text, end='')",
            """
            import asyncio, aiohttp, aiohttp_socks
            async def main():
                for kind in ("socks4", "socks5", "http"):
                    connector = aiohttp_socks.ProxyConnector.from_url(kind + "://192.0.2.1:1080", rdns=True)
                    async with aiohttp.ClientSession(connector=connector) as session:
                        async with session.get("http://four.test/page") as response:
                            text = await response.text()
                print(text, end="")
            asyncio.run(main())
            """,
            """
            import socks
            for kind in (socks.SOCKS4, socks.SOCKS5, socks.HTTP):
                socket = socks.socksocket()
                socket.set_proxy(kind, "192.0.2.1", 1080, rdns=True)
                socket.connect(("four.test", 80))
                socket.sendall(b"GET /page HTTP/1.0\\r\\n\\r\\n")
                text = b"".join(iter(lambda: socket.recv(4096), b"")).decode()
                assert text.endswith("the page\\n"), text
            print("the page")
            """,
        ].enumerated().map { number, script in Client("Python \(number)") { _ in ["/usr/bin/python3", "-c", script] } }

        private static let names: [String: [String]] = [
            "four.test": ["198.51.100.2"], "six.test": ["2001:db8:2::2"], "both.test": ["2001:db8:2::2", "198.51.100.2"],
        ]

        /// Starts a web server, and a Clearway that serves.
        private func serve(_ stage: Stage, _ configuration: ClearwayConfiguration = .serving(more: "ports = \"1-65535\"")) throws {
            // Nobody gets past it.
            try stage.topology.router.require(["sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0"])
            let scratch = stage.topology.scratch
            try FileManager.default.createDirectory(atPath: scratch.file("www"), withIntermediateDirectories: true)
            try scratch.write(Self.page, to: "www/page", mode: 0o644)
            _ = try stage.topology.server.start([
                "/usr/bin/python3", "-m", "http.server", "80", "--bind", "::", "--directory", scratch.file("www"),
            ])
            try stage.startClearway(configuration, names: Self.names)
            try stage.topology.server.waitUntilListening(on: 80)
        }

        @Test func theyFetchAPage() throws {
            try play(Variant(), start: false) { stage in
                try serve(stage)
                let clients = Self.curls + Self.others + Self.pythons
                for client in clients {
                    var input: FileHandle?
                    if let text = client.input {
                        input = FileHandle(forReadingAtPath: try stage.topology.scratch.write(text, to: "input"))
                    }
                    let program = try stage.topology.client.start(
                        try client.command(stage), environment: client.environment, input: input?.fileDescriptor)
                    let status = try program.waitForExit()
                    let said = program.standardOutput
                    #expect(
                        status == .exited(0) && said.hasSuffix(Self.page),
                        "\(client.name): \(status), \(said)\(program.standardError)")
                }
                // The script of aiohttp and that of PySocks connect three times.
                let records = try stage.clearway.waitForSessions(clients.count + 4)
                #expect(records.count == clients.count + 4)
                #expect(records.allSatisfy { ["client-fin", "upstream-fin"].contains($0.ending) }, "\(Set(records.map(\.ending)))")
            }
        }

        @Test(arguments: ["5", "connect"])
        func openSSHLogsIn(type: String) throws {
            try play(Variant(), start: false) { stage in
                let shell = try SecureShell(on: stage.topology.server)
                try stage.startClearway(.serving(more: "ports = 2222"), names: Self.names)
                let session = try shell.open(
                    from: stage.topology.client, to: "four.test",
                    options: ["-o", "ProxyCommand=nc -X \(type) -x 192.0.2.1:1080 %h %p"])
                try session.say("hello")
                try session.say("again")
            }
        }

        @Test func redsocksInFront() throws {
            try play(Variant(), start: false) { stage in
                try serve(stage)
                let file = try stage.topology.scratch.write(
                    """
                    base { log_debug = off; log_info = off; log = stderr; daemon = off; redirector = iptables; }
                    redsocks { local_ip = 127.0.0.1; local_port = 12345; ip = 192.0.2.1; port = 1080; type = socks5; }
                    redsocks { local_ip = 127.0.0.1; local_port = 12346; ip = 192.0.2.1; port = 1080; type = socks4; }
                    redsocks { local_ip = 127.0.0.1; local_port = 12347; ip = 192.0.2.1; port = 1080; type = http-connect; }

                    """, to: "redsocks.conf")
                _ = try stage.topology.client.start(["redsocks", "-c", file])
                for port in [12345, 12346, 12347] {
                    try stage.topology.client.waitUntilListening(on: port)
                    try stage.topology.client.nft(
                        """
                        table ip redsocks
                        delete table ip redsocks
                        table ip redsocks {
                            chain out {
                                type nat hook output priority -100
                                ip daddr 198.51.100.0/24 tcp dport 80 redirect to :\(port)
                            }
                        }
                        """)
                    let finished = try stage.topology.client.finish(["curl", "-sSf", "--noproxy", "*", "http://198.51.100.2/page"])
                    #expect(finished.output == Self.page, "\(port): \(finished.errors)")
                }
                #expect(try stage.clearway.waitForSessions(3).allSatisfy { $0.ending.hasSuffix("-fin") })
            }
        }

        /// One takes what its host sends, and names it to the other.
        @Test(arguments: ["socks5h", "socks5", "socks4a", "http"])
        func clearwayInFront(scheme: String) throws {
            try play(Variant(), start: false) { stage in
                try serve(stage)
                var configuration = ClearwayConfiguration(Variant(mode: .redirect, scope: .local))
                configuration.policy = """
                    [[upstream]]
                    name = "out"
                    url = "\(scheme)://192.0.2.1:1080"
                    [[rule]]
                    domain = "*.test"
                    action = "out"
                    """
                let first = try Clearway(in: stage.topology.client, configuration: configuration, name: "first")
                try first.waitUntilReady()
                let finished = try stage.topology.client.finish([
                    "curl", "-sSf", "--noproxy", "*", "--resolve", "both.test:80:198.51.100.2", "http://both.test/page",
                ])
                #expect(finished.output == Self.page, "\(finished.errors)\(first.log)")
                #expect(try first.waitForSessions(1)[0].string("upstream") == "out")
                let record = try stage.clearway.waitForSessions(1)[0]
                #expect(record.ending.hasSuffix("-fin"))
                if scheme != "socks5" { #expect(record.string("name") == "both.test") }
            }
        }
    }
}
