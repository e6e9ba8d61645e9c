import Foundation
import TestSupport
import Testing

extension Situations {
    /// Requests that are understood one by one, and leave through a proxy.
    @Suite struct HTTPThroughProxies {
        struct Way: CustomTestStringConvertible, Sendable {
            var testDescription: String
            /// The upstream's URL, with CA to be filled in.
            var url: String
            var program: ProxyProgram
            var relay = "adaptive"
        }

        /// Nobody gets a tunnel to a server without TLS: the configuration that squid comes with.
        private static let noTunnels = ProxyProgram.squidWith("\nacl tunnel method CONNECT\nhttp_access deny tunnel")

        private static func upstream(_ way: Way, _ papers: HTTPSProxies.Papers) -> String {
            """
            [[upstream]]
            name = "out"
            url = "\(way.url.replacing("CA", with: papers.authority.file))"
            [[rule]]
            action = "out"

            """
        }

        private static func play(_ way: Way, _ policy: String = "", _ situation: (Stage, Clearway) throws -> Void) throws {
            try SituationTests.play(Variant(), start: false) { stage in
                let papers = try HTTPSProxies.papers(stage)
                try stage.startProxy(way.program)
                if way.url.hasPrefix("https") { try stage.startTLS(with: papers.server) }
                var configuration = InterceptedHTTP.configuration(Variant())
                configuration.relay = way.relay
                configuration.policy =
                    ClearwayConfiguration.servedListener("http", more: "ports = \"1-65535\"\nvia = false")
                    + upstream(way, papers) + policy
                try situation(stage, try stage.startClearway(configuration))
            }
        }

        static let tunnels = [
            Way(testDescription: "squid with TLS", url: "https://198.51.100.2:1443?ca=CA", program: .squid),
            Way(testDescription: "squid with TLS, copy", url: "https://198.51.100.2:1443?ca=CA", program: .squid, relay: "copy"),
            Way(
                testDescription: "squid with TLS, splice", url: "https://198.51.100.2:1443?ca=CA", program: .squid, relay: "splice"),
            Way(testDescription: "squid", url: "http://198.51.100.2:1090", program: .squid),
            Way(testDescription: "microsocks", url: "socks5://198.51.100.2:1090", program: .microsocks),
        ]

        /// Whoever is intercepted goes to the very address that it has dialled: bodies of either framing, both ways, one after the other.
        @Test(arguments: tunnels)
        func interceptedRequestsLeaveThroughTunnels(way: Way) throws {
            try Self.play(way) { stage, clearway in
                let exchange = try MessageExchange(stage)
                let size = 3_000_003
                let request = "POST /up HTTP/1.1\r\nHost: 198.51.100.2\r\nContent-Length: \(size)\r\n\r\n"
                try exchange.ask(request, seen: request)
                let taking = try stage.server.begin("drain", ["socket": exchange.server, "limit": size])
                let sent = try stage.client.perform("pour", ["socket": exchange.client, "bytes": size])
                #expect(try stage.server.answer(to: taking).string("digest") == sent.string("digest"))
                let response = "HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n"
                try exchange.answer(response, seen: response)
                let pouring = try stage.server.begin("pour", ["socket": exchange.server, "bytes": size])
                let arrived = try stage.client.drain(exchange.client, limit: size)
                #expect(try stage.server.answer(to: pouring).string("digest") == arrived.string("digest"))

                let chunked =
                    "POST /chunks HTTP/1.1\r\nHost: 198.51.100.2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                try exchange.ask(chunked, seen: chunked)
                let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
                try exchange.answer(answer, seen: answer)

                let get = "GET /last HTTP/1.1\r\nHost: 198.51.100.2\r\n\r\n"
                try exchange.ask(get, seen: get)
                try exchange.answer(
                    "HTTP/1.1 200 OK\r\n\r\nuntil the end", seen: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
                    ends: true)
                let records = try clearway.waitForRequests(3)
                #expect(records.map { $0.int("status") } == [200, 200, 200])
                #expect(records.allSatisfy { $0.string("upstream") == "out" })
                #expect(records[0].int("up") > size && records[0].int("down") > size)
            }
        }

        /// What is spoken behind it is not ours.
        @Test(arguments: [tunnels[0], tunnels[3]])
        func anotherProtocolBehindATunnel(way: Way) throws {
            try Self.play(way) { stage, _ in
                let exchange = try MessageExchange(stage)
                let request = "GET / HTTP/1.1\r\nHost: 198.51.100.2\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
                try exchange.ask(request, seen: request)
                let response = "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
                try exchange.answer(response + "banner", seen: response + "banner")
                try exchange.ask("question", seen: "question")
                try exchange.answer("answer", seen: "answer")
            }
        }

        static let parents = [
            Way(testDescription: "squid", url: "http://198.51.100.2:1090", program: noTunnels),
            Way(testDescription: "squid with TLS", url: "https://198.51.100.2:1443?ca=CA", program: noTunnels),
            Way(
                testDescription: "tinyproxy with a password", url: "http://me:secret@198.51.100.2:1090",
                program: .tinyproxyWith("BasicAuth me secret\nConnectPort 1")),
        ]

        /// A proxy of HTTP is asked for pages, and not for tunnels, which it may refuse. What the client has for us it does not get.
        @Test(arguments: parents)
        func pagesAreAskedOfTheProxyItself(way: Way) throws {
            try Self.play(way) { stage, clearway in
                let listener = try stage.server.listen(Family.v4.server)
                let (host, port) = (Family.v4.server, listener.int("port"))
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                for number in 1...2 {
                    try stage.client.send(
                        client,
                        "GET http://\(host):\(port)/\(number)?q HTTP/1.1\r\nHost: ignored\r\n\(Says.authorization("a:b"))\r\n\r\n")
                    let server = try stage.server.accept(listener).socket
                    let seen = try stage.server.receiveUntil(server, "\r\n\r\n")
                    #expect(seen.hasPrefix("GET /\(number)?q HTTP/1.") && seen.contains("\r\nHost: \(host):\(port)\r\n"))
                    #expect(!seen.contains("roxy-Authorization"))
                    try stage.server.send(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                    try stage.server.close(server)
                    #expect(try stage.client.receiveUntil(client, "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
                    #expect(try stage.client.receive(client, 2) == "ok")
                }
                let records = try clearway.waitForRequests(2)
                #expect(records.allSatisfy { $0.string("upstream") == "out" && $0.int("status") == 200 })
            }
        }

        /// The page of a proxy that wants a password of ours would have the client show its own.
        @Test func theProxyDoesNotKnowUs() throws {
            let way = Way(
                testDescription: "", url: "http://198.51.100.2:1090", program: .tinyproxyWith("BasicAuth me secret"))
            try Self.play(way) { stage, clearway in
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                try stage.client.send(client, "GET http://\(Family.v4.server)/ HTTP/1.1\r\nHost: a\r\n\r\n")
                let page = try stage.client.receiveUntil(client, "\r\n\r\n")
                #expect(page.hasPrefix("HTTP/1.1 502 ") && !page.contains("Authenticate"), "\(page)")
                #expect(try clearway.waitForRequests(1)[0].ending == "upstream-protocol")
            }
        }

        private static let scripted = Way(testDescription: "", url: "http://198.51.100.2:1091", program: .microsocks)

        /// What others might read in another way, or would speak another protocol through a proxy, goes through a tunnel to what was judged.
        @Test(arguments: [
            ("GET http://0xc6336402/ HTTP/1.1\r\nHost: a\r\n\r\n", "198.51.100.2:80"),
            ("GET http://0306.51.0144.2:81/ HTTP/1.1\r\nHost: a\r\n\r\n", "198.51.100.2:81"),
            ("GET http://198.51.100.2./ HTTP/1.1\r\nHost: a\r\n\r\n", "198.51.100.2:80"),
            ("GET http://[::ffff:198.51.100.2]/ HTTP/1.1\r\nHost: a\r\n\r\n", "198.51.100.2:80"),
            ("GET http://198.51.100.2/ HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "198.51.100.2:80"),
        ])
        func whatNeedsATunnel(request: String, asked: String) throws {
            try Self.play(Self.scripted) { stage, _ in
                let parent = try stage.server.listen(Family.v4.server, port: 1091)
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                try stage.client.send(client, request)
                let server = try stage.server.accept(parent).socket
                #expect(try stage.server.receiveUntil(server, "\r\n\r\n").hasPrefix("CONNECT \(asked) HTTP/1.1\r\n"))
            }
        }

        /// One takes connections and ends them, as a proxy does that has no workers left. A page that nobody has answered yet is asked of the
        /// next one, and the first is left out once it has done so three times: once may be the request's doing.
        @Test func aBrokenParentIsLeftOut() throws {
            try SituationTests.play(Variant(), start: false) { stage in
                try stage.startProxy(.squid)
                let broken = try stage.server.listen(Family.v4.server, port: 1091)
                var configuration = ClearwayConfiguration.serving(
                    "http", more: "ports = \"1-65535\"",
                    policy: """
                        [[upstream]]
                        name = "out"
                        urls = ["http://198.51.100.2:1091", "http://198.51.100.2:1090"]
                        check = "0s"
                        [[rule]]
                        action = "out"

                        """)
                configuration.workers = 1
                let clearway = try stage.startClearway(configuration)
                let listener = try stage.server.listen(Family.v4.server)
                func fetch(meets: Bool) throws {
                    let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                    try stage.client.send(
                        client, "GET http://\(Family.v4.server):\(listener.int("port"))/ HTTP/1.1\r\nHost: a\r\n\r\n")
                    if meets {
                        let server = try stage.server.accept(broken).socket
                        #expect(try stage.server.receiveUntil(server, "\r\n\r\n").hasPrefix("GET http://"))
                        try stage.server.close(server)
                    }
                    let server = try stage.server.accept(listener).socket
                    _ = try stage.server.receiveUntil(server, "\r\n\r\n")
                    try stage.server.send(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                    try stage.server.close(server)
                    #expect(try stage.client.receiveUntil(client, "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
                    try stage.client.close(client)
                }
                for _ in 0..<3 { try fetch(meets: true) }
                try fetch(meets: false)
                let records = try clearway.waitForRequests(4)
                #expect(records.allSatisfy { $0.int("status") == 200 && $0.string("member").hasSuffix("1090") })
                #expect(clearway.log.contains("upstream member left out") && !clearway.log.contains("works again"))
            }
        }
    }
}
