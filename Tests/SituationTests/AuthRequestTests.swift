import Foundation
import Testing

extension Situations {
    /// A service outside that is asked whether requests may pass.
    @Suite struct AuthRequest {
        private static let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        private static let granted = "HTTP/1.1 204 No Content\r\n\r\n"

        private static func configuration(_ keys: String, policy: String = "", timeouts: String = "") -> ClearwayConfiguration {
            var configuration = ClearwayConfiguration(Variant(), timeouts: "handshake = \"2s\"\nsniff = \"200ms\"\n\(timeouts)")
            configuration.workers = 1
            configuration.listeners[0].more =
                "http = true\nvia = false\n[listener.auth_request]\nurl = \"http://127.0.0.1:9000/check?x=1\"\n\(keys)"
            configuration.policy = policy
            return configuration
        }

        /// What the service is asked about a request of the client's.
        private static func question(_ method: String, _ url: String, to destination: String?, _ fields: String = "") -> String {
            """
            GET /check?x=1 HTTP/1.1\r
            Host: 127.0.0.1:9000\r
            X-Original-Method: \(method)\r
            X-Original-URL: \(url)\r
            X-Original-Client: 192.0.2.2\r
            \(destination.map { "X-Original-Destination: \($0)\r\n" } ?? "")X-Original-Listener: \
            \(destination == nil ? "served" : "test")\r
            \(fields)\r

            """
        }

        /// One connection of the client's, one to the server, and one to the service, whatever is asked over them.
        @Test func theServiceDecides() throws {
            let keys = "key = [\"authorization\", \"Cookie\"]\npass = [\"X-User\"]"
            let policy = "[[rule]]\ndomain = \"blocked.example\"\naction = \"reject\""
            try play(Variant(), configuration: Self.configuration(keys, policy: policy)) { stage in
                let router = try stage.peer(in: stage.topology.router)
                let service = try router.listen("127.0.0.1", port: 9_000)
                let exchange = try MessageExchange(stage)
                let destination = "\(Family.v4.server):\(exchange.listener.int("port"))"
                func asked(_ request: String, _ question: String, _ verdict: String, over known: Int? = nil) throws -> Int {
                    try stage.client.send(exchange.client, request)
                    let socket = try known ?? router.accept(service).socket
                    #expect(try router.receive(socket, question.utf8.count) == question)
                    try router.send(socket, verdict)
                    return socket
                }

                // What a client says in the service's name, or under another spelling of it, goes nowhere.
                let first = try asked(
                    """
                    POST /a?b HTTP/1.1\r\nHost: a.example\r\nX-User: forged\r\nx_user: forged\r\nX-Original-URL: forged\r
                    Authorization: Bearer 1\r\nCookie: a=1\r\nConnection: X-User\r\nContent-Length: 3\r\n\r\nabc
                    """,
                    Self.question("POST", "http://a.example/a?b", to: destination, "Authorization: Bearer 1\r\nCookie: a=1\r\n"),
                    "HTTP/1.1 200 OK\r\nX-User: alice\r\nX-Else: 1\r\nContent-Length: 4\r\n\r\nyes!")
                let seen =
                    """
                    POST /a?b HTTP/1.1\r\nHost: a.example\r\nX-Original-URL: forged\r\nAuthorization: Bearer 1\r
                    Cookie: a=1\r\nX-User: alice\r\nContent-Length: 3\r\n\r\nabc
                    """
                try exchange.accept()
                #expect(try stage.server.receive(exchange.server, seen.utf8.count) == seen)
                try exchange.answer(Self.response, seen: Self.response)

                // Without the field, the server has none.
                _ = try asked(
                    "GET / HTTP/1.1\r\nHost: a.example\r\nX-User: forged\r\n\r\n",
                    Self.question("GET", "http://a.example/", to: destination), Self.granted, over: first)
                let plain = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
                #expect(try stage.server.receive(exchange.server, plain.utf8.count) == plain)
                try exchange.answer(Self.response, seen: Self.response)

                _ = try asked(
                    "GET /no HTTP/1.1\r\nHost: a.example\r\n\r\n",
                    Self.question("GET", "http://a.example/no", to: destination),
                    "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Other\r\nContent-Length: 0\r\n\r\n",
                    over: first)
                let unauthorized = try stage.client.receiveUntil(exchange.client, "needs a user.\n")
                #expect(unauthorized.hasPrefix("HTTP/1.1 401 Unauthorized\r\n"))
                #expect(unauthorized.contains("\r\nWWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Other\r\n"))

                _ = try asked(
                    "GET /never HTTP/1.1\r\nHost: a.example\r\n\r\n",
                    Self.question("GET", "http://a.example/never", to: destination),
                    "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", over: first)
                #expect(try stage.client.receiveUntil(exchange.client, "not allowed.\n").hasPrefix("HTTP/1.1 403 Forbidden\r\n"))

                // A rule comes first, and the service hears nothing of it.
                try stage.client.send(exchange.client, "GET / HTTP/1.1\r\nHost: blocked.example\r\n\r\n")
                #expect(try stage.client.receiveUntil(exchange.client, "this request.\n").hasPrefix("HTTP/1.1 403 Forbidden\r\n"))

                // What is asked of us alone is asked about, too.
                for (verdict, heard, status) in [
                    ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "not allowed.\n", 403),
                    (Self.granted, "traces nothing.\n", 501),
                ] {
                    _ = try asked(
                        "TRACE /t HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\n\r\n",
                        Self.question("TRACE", "http://a.example/t", to: destination), verdict, over: first)
                    #expect(try stage.client.receiveUntil(exchange.client, heard).hasPrefix("HTTP/1.1 \(status) "))
                }

                // Anything else is no verdict.
                _ = try asked(
                    "GET /odd HTTP/1.1\r\nHost: a.example\r\n\r\n",
                    Self.question("GET", "http://a.example/odd", to: destination),
                    "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", over: first)
                #expect(
                    try stage.client.receiveUntil(exchange.client, "is allowed.\n").hasPrefix(
                        "HTTP/1.1 503 Service Unavailable\r\n"))
                #expect(try stage.client.drain(exchange.client).end == "fin")
                let records = try stage.clearway.waitForRequests(8)
                #expect(records.map { $0.int("status") } == [200, 200, 401, 403, 403, 403, 501, 503])
                #expect(records[2].string("reason") == "auth_request: 401" && records[2].ending == "proxy-rejected")
                #expect(records[4].int("rule") == 1)
                #expect(records[7].ending == "proxy-service")
                #expect(try stage.clearway.log.contains("auth_request: http://127.0.0.1:9000/check?x=1: status 302"))
            }
        }

        private static let noVerdicts: [(name: String, answer: String?, ends: Bool)] = [
            ("silent", nil, false), ("gone", nil, true), ("half a head", "HTTP/1.1 200 OK\r\nX: y\r\n", true),
            ("half a head, and silent", "HTTP/1.1 200 OK\r\n", false), ("no HTTP", "hello\r\n\r\n", true),
            ("bare line feeds", "HTTP/1.1 200 OK\n\n", true),
            ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", true),
            ("length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("another protocol", "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", true),
            ("only interim", String(repeating: "HTTP/1.1 102 Processing\r\n\r\n", count: 9), false),
            ("endless", "HTTP/1.1 200 OK\r\nX: " + String(repeating: "y", count: 20_000), false),
        ]

        /// Nothing passes without a verdict.
        @Test func failsClosed() throws {
            try play(Variant(), configuration: Self.configuration("timeout = \"400ms\"")) { stage in
                let port = try stage.server.listen(Family.v4.server)
                func refused(_ name: String, _ meanwhile: () throws -> Void = {}) throws {
                    let client = try stage.client.connect(Family.v4.server, port.int("port")).socket
                    let start = now()
                    try stage.client.send(client, "GET /\(name.count) HTTP/1.1\r\nHost: a\r\n\r\n")
                    try meanwhile()
                    let text = try stage.client.receiveUntil(client, "is allowed.\n")
                    #expect(text.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"), "\(name)")
                    #expect(now() - start < 3, "\(name)")
                    #expect(try stage.client.drain(client).end == "fin", "\(name)")
                }
                try refused("nobody listens")
                let router = try stage.peer(in: stage.topology.router)
                let service = try router.listen("127.0.0.1", port: 9_000)
                for row in Self.noVerdicts {
                    try refused(row.name) {
                        let socket = try router.accept(service).socket
                        _ = try router.receiveUntil(socket, "\r\n\r\n")
                        if let answer = row.answer { try router.send(socket, answer) }
                        if row.ends { try router.close(socket) }
                    }
                }
                let records = try stage.clearway.waitForRequests(Self.noVerdicts.count + 1)
                #expect(records.allSatisfy { $0.ending == "proxy-service" && $0.int("status") == 503 })
                #expect(throws: PeerFailure.self) {
                    try stage.server.perform("accept", ["socket": port.socket, "timeout": 0.2])
                }
            }
        }

        /// A verdict holds for the same question alone, and for its time.
        @Test func verdictsAreKept() throws {
            let configuration = Self.configuration("cache = \"1s\"\nkey = \"Cookie\"")
            try play(Variant(), configuration: configuration) { stage in
                let router = try stage.peer(in: stage.topology.router)
                let service = try router.listen("127.0.0.1", port: 9_000)
                let exchange = try MessageExchange(stage)
                let destination = "\(Family.v4.server):\(exchange.listener.int("port"))"
                var socket = -1
                func passes(_ target: String, _ fields: String = "", asked: Bool) throws {
                    let request = "GET \(target) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n"
                    try stage.client.send(exchange.client, request)
                    if asked {
                        if socket < 0 { socket = try router.accept(service).socket }
                        let question = Self.question("GET", "http://a\(target)", to: destination, fields)
                        #expect(try router.receive(socket, question.utf8.count) == question)
                        try router.send(socket, Self.granted)
                    }
                    if exchange.server < 0 { try exchange.accept() }
                    #expect(try stage.server.receive(exchange.server, request.utf8.count) == request)
                    try exchange.answer(Self.response, seen: Self.response)
                }
                try passes("/", asked: true)
                try passes("/", asked: false)
                try passes("/?", asked: true)
                try passes("/", "Cookie: a\r\n", asked: true)
                try passes("/", "Cookie: a\r\n", asked: false)
                try passes("/", asked: false)
                // Its time is over when the service hears the question again, and the server the request no more.
                try waitUntil("another question") {
                    try stage.client.send(exchange.client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    return try waitFor("somebody who hears it") {
                        func hears(_ peer: Peer, _ socket: Int) throws -> Bool {
                            try !peer.perform("receive", ["socket": socket, "bytes": 1, "timeout": 0.05]).string("text").isEmpty
                        }
                        if try hears(router, socket) { return true }
                        guard try hears(stage.server, exchange.server) else { return nil }
                        _ = try stage.server.receiveUntil(exchange.server, "\r\n\r\n")
                        try exchange.answer(Self.response, seen: Self.response)
                        return false
                    }
                }
            }
        }

        /// A service may close a connection whenever it likes between two questions.
        @Test func connectionsThatHaveEndedAreReplaced() throws {
            try play(Variant(), configuration: Self.configuration("")) { stage in
                let router = try stage.peer(in: stage.topology.router)
                let service = try router.listen("127.0.0.1", port: 9_000)
                let exchange = try MessageExchange(stage)
                let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                for round in 0..<4 {
                    try stage.client.send(exchange.client, request)
                    let socket = try router.accept(service).socket
                    _ = try router.receiveUntil(socket, "\r\n\r\n")
                    if round == 2 {
                        // It is asked again over the next one.
                        try router.send(socket, Self.granted)
                        try exchange.ask("", seen: request)
                        try exchange.answer(Self.response, seen: Self.response)
                        try stage.client.send(exchange.client, request)
                        _ = try router.receiveUntil(socket, "\r\n\r\n")
                        try router.reset(socket)
                        let next = try router.accept(service).socket
                        _ = try router.receiveUntil(next, "\r\n\r\n")
                        try router.send(next, Self.granted)
                        try router.close(next)
                    } else {
                        try router.send(socket, Self.granted)
                        if round % 2 == 0 { try router.close(socket) } else { try router.reset(socket) }
                    }
                    try exchange.ask("", seen: request)
                    try exchange.answer(Self.response, seen: Self.response)
                }
                #expect(try stage.clearway.waitForRequests(5).allSatisfy { $0.int("status") == 200 })
            }
        }

        /// Of clients that know of us, tunnels are asked about like pages, and neither before our rules.
        @Test func explicitClients() throws {
            let policy = "[[rule]]\ndestination = \"198.51.100.3\"\naction = \"reject\"\n"
            let configuration = ClearwayConfiguration.serving(
                "http", more: "via = false\nports = [80, 443]\n[listener.auth_request]\nurl = \"http://auth.test:9000/check?x=1\"",
                policy: policy)
            try play(Variant(), start: false) { stage in
                let names = ["auth.test": ["127.0.0.1"], "four.test": [Family.v4.server]]
                let (clearway, _) = try stage.startClearway(configuration, names: names)
                let router = try stage.peer(in: stage.topology.router)
                let service = try router.listen("127.0.0.1", port: 9_000)
                let web = try stage.server.listen(Family.v4.server, port: 80)
                let tunnelled = try stage.server.listen(Family.v4.server, port: 443)
                var asking = -1
                func asked(_ method: String, _ url: String, _ verdict: String) throws {
                    // Each worker has its own connections.
                    let socket = try router.accept(service).socket
                    let question = Self.question(method, url, to: nil).replacing("127.0.0.1:9000", with: "auth.test:9000")
                    #expect(try router.receive(socket, question.utf8.count) == question)
                    try router.send(socket, verdict)
                    try router.close(socket)
                    asking = socket
                }
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                try stage.client.send(client, "GET http://four.test/a HTTP/1.1\r\nHost: x\r\n\r\n")
                try asked("GET", "http://four.test/a", Self.granted)
                let server = try stage.server.accept(web).socket
                let seen = "GET /a HTTP/1.1\r\nHost: four.test\r\n\r\n"
                #expect(try stage.server.receive(server, seen.utf8.count) == seen)
                try stage.server.send(server, Self.response)
                #expect(try stage.client.receive(client, Self.response.utf8.count) == Self.response)

                let tunnel = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                try stage.client.send(tunnel, "CONNECT four.test:443 HTTP/1.1\r\nHost: x\r\n\r\n")
                try asked("CONNECT", "four.test:443", Self.granted)
                let far = try stage.server.accept(tunnelled).socket
                #expect(try stage.client.receiveUntil(tunnel, "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
                try stage.client.send(tunnel, "hello")
                #expect(try stage.server.receive(far, 5) == "hello")

                let refused = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                try stage.client.send(refused, "CONNECT four.test:443 HTTP/1.1\r\nHost: x\r\n\r\n")
                try asked("CONNECT", "four.test:443", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
                #expect(try stage.client.receiveUntil(refused, "not allowed.\n").hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
                #expect(try stage.client.drain(refused).end == "fin")

                // Rejected by a rule, before anybody is asked.
                let ruled = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                try stage.client.send(ruled, "CONNECT 198.51.100.3:443 HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try stage.client.receiveUntil(ruled, "\r\n\r\n").hasPrefix("HTTP/1.1 403 "))
                let records = try clearway.waitForRequests(4)
                #expect(records.map { $0.int("status") } == [200, 200, 403, 403])
                #expect(records[3].int("rule") == 1 && records[2].string("reason") == "auth_request: 403")
                #expect(asking >= 0)
            }
        }

        /// More at a time than the service has connections: each waits its turn, and none is lost.
        @Test func manyAtOnce() throws {
            try play(Variant(), start: false) { stage in
                let scratch = stage.topology.scratch
                let nginx = try scratch.write(
                    """
                    user root;
                    daemon off;
                    master_process off;
                    pid \(scratch.file("auth.pid"));
                    error_log stderr;
                    events { worker_connections 512; }
                    http {
                        access_log off;
                        client_body_temp_path \(scratch.file("auth-body"));
                        proxy_temp_path \(scratch.file("auth-proxy"));
                        fastcgi_temp_path \(scratch.file("auth-fastcgi"));
                        uwsgi_temp_path \(scratch.file("auth-uwsgi"));
                        scgi_temp_path \(scratch.file("auth-scgi"));
                        server {
                            listen 127.0.0.1:9000;
                            location / {
                                if ($http_authorization != "Bearer good") { return 403; }
                                add_header X-User alice;
                                return 204;
                            }
                        }
                    }
                    """, to: "auth.conf")
                let service = try stage.topology.router.start(["nginx", "-c", nginx, "-e", "stderr"])
                try waitUntil("the service") {
                    if let status = service.poll() { throw SituationError("nginx ended: \(status)\n\(service.standardError)") }
                    return try stage.topology.router.listeningPorts().contains(9_000)
                }
                let clearway = try stage.startClearway(Self.configuration("key = \"Authorization\""))
                let port = try stage.server.listen(Family.v4.server, port: 80)
                try stage.server.perform("serve", ["socket": port.socket, "manner": "echo"])
                func rows(_ credentials: String) -> [Exchange] {
                    (0..<150).map { number in
                        Exchange(
                            "", Array("GET /\(number) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(credentials)\r\n\r\n".utf8),
                            then: .fin)
                    }
                }
                let refused = try stage.exchange(rows("bad"), host: Family.v4.server, port: 80)
                #expect(refused.count == 150 && refused.allSatisfy { $0.text.hasPrefix("HTTP/1.1 403 Forbidden\r\n") })
                // The server says again what it was asked, which is no response.
                let passed = try stage.exchange(rows("good"), host: Family.v4.server, port: 80)
                #expect(passed.count == 150 && passed.allSatisfy { $0.text.hasPrefix("HTTP/1.1 502 Bad Gateway\r\n") })
                let records = try clearway.waitForRequests(300)
                #expect(records.count { $0.ending == "proxy-rejected" } == 150)
                #expect(records.count { $0.ending == "upstream-protocol" } == 150)
            }
        }
    }
}
