import Foundation
import Testing

extension Situations {
    /// Header fields that are changed on their way, wherever we stand, in front of servers that say what they got.
    @Suite struct HTTPFields {
        typealias Place = HTTPPrograms.Place

        private enum Server: CaseIterable {
            case nginx
            /// A script, by CGI.
            case apache
            /// Python's own server of WSGI.
            case python

            var port: Int {
                switch self {
                case .nginx: 80
                case .apache: WebServer.apache.port
                case .python: WebServer.python.port
                }
            }

            var path: String { self == .apache ? "fields.sh" : "fields" }
        }

        private static func configuration(_ place: Place, _ more: String) -> ClearwayConfiguration {
            switch place {
            case .intercepted, .interceptedV6:
                var configuration = ClearwayConfiguration(place.variant)
                configuration.listeners[0].more = "http = true\n\(more)"
                return configuration
            case .forward: return .serving("http", more: "ports = \"1-65535\"\n\(more)")
            case .reverse:
                var configuration = ClearwayConfiguration(place.variant)
                configuration.listeners = []
                configuration.policy = Server.allCases.map { server in
                    ClearwayConfiguration.servedListener(
                        "http", name: "site-\(server.port)", port: server.port, reach: nil,
                        more: "origin = \"http://198.51.100.2:\(server.port)\"\n\(more)")
                }.joined()
                return configuration
            }
        }

        /// Starts them all. What each answers is a line `HTTP_NAME=VALUE` for each field that it got, and two fields of its own.
        private static func startServers(_ stage: Stage) throws {
            // The script is there when it is asked for.
            let site = try stage.startSite(.apache)
            try site.scratch.write(
                """
                #!/bin/sh
                printf 'Content-Type: text/plain\\r\\nX-Gone: server\\r\\nX-Set: server\\r\\nX-More: server\\r\\n\\r\\n'
                env | grep ^HTTP_

                """, to: "www/fields.sh", mode: 0o755)
            let names = ["X_USER", "X_WHERE", "X_NAME", "X_MORE", "X_GONE", "X_KEPT"]
            let lines = names.map { "HTTP_\($0)=$http_\($0.lowercased())\\n" }.joined()
            let nginx = try site.scratch.write(
                """
                user root;
                daemon off;
                master_process off;
                pid \(site.scratch.file("fields-nginx.pid"));
                error_log stderr;
                events {}
                http {
                    access_log off;
                    default_type text/plain;
                    underscores_in_headers on;
                    \(["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map { "\($0)_temp_path \(site.scratch.file("fields-\($0)"));" }.joined(separator: "\n    "))
                    server {
                        listen 80; listen [::]:80;
                        location / {
                            add_header X-Gone server;
                            add_header X-Set server;
                            add_header X-More server;
                            return 200 "\(lines)";
                        }
                    }
                }
                """, to: "fields-nginx.conf")
            _ = try stage.topology.server.start(["nginx", "-c", nginx, "-e", "stderr"])
            let application = """
                import socket
                from wsgiref.simple_server import WSGIServer, make_server
                class Server(WSGIServer):
                    address_family = socket.AF_INET6
                def fields(environment, start):
                    start("200 OK", [("Content-Type", "text/plain"), ("X-Gone", "server"), ("X-Set", "server"), ("X-More", "server")])
                    return ["".join(f"{name}={value}\\n" for name, value in environment.items() if name.startswith("HTTP_")).encode()]
                make_server("::", \(Server.python.port), fields, server_class=Server).serve_forever()

                """
            let script = try site.scratch.write(application, to: "fields.py")
            _ = try stage.topology.server.start(["/usr/bin/python3", script])
            for server in Server.allCases { try stage.topology.server.waitUntilListening(on: server.port) }
        }

        /// The fields that a server has seen or a client has got, by their names.
        private static func fields(_ text: some StringProtocol, separator: String) -> [String: [String]] {
            var fields: [String: [String]] = [:]
            for line in text.split(whereSeparator: \.isNewline) {
                guard let range = line.range(of: separator) else { continue }
                fields[line[..<range.lowerBound].uppercased(), default: []].append(String(line[range.upperBound...]))
            }
            return fields
        }

        /// What a client says of itself is replaced in every spelling, and `Connection` takes nothing of ours away.
        @Test(arguments: Place.allCases)
        func fieldsAreChanged(place: Place) throws {
            let changes = """
                via = false
                request_headers.remove = ["X-Gone"]
                request_headers.set = { X-User = "{client}", X-Where = "{destination} {destination_port} {listener}", X-Name = "{name}" }
                request_headers.add = { X-More = "ours" }
                response_headers.remove = ["X-Gone", "Server"]
                response_headers.set = { X-Set = "{listener} for {client}" }
                response_headers.add = { X-More = ["ours", "again"] }
                """
            try play(place.variant, configuration: Self.configuration(place, changes)) { stage in
                try Self.startServers(stage)
                let family = place.variant.family
                for server in Server.allCases {
                    let finished = try stage.topology.client.finish(
                        place.curl + [
                            "-i", "-H", "X-User: forged", "-H", "x_user: forged", "-H", "X-Gone: 1", "-H", "X-Kept: 1", "-H",
                            "Connection: X-User, X-Where, X-More", "-H", "X-Name: forged", "-H", "Host: site.example",
                            place.url(server.port, server.path),
                        ])
                    let parts = finished.output.components(separatedBy: "\r\n\r\n")
                    try #require(finished.succeeded && parts.count == 2, "\(server): \(finished)")
                    let listener = place == .reverse ? "site-\(server.port)" : place == .forward ? "served" : "test"
                    let destination = place == .reverse ? family.routerTowardsClient : family.server

                    var seen = Self.fields(parts[1], separator: "=")
                    // nginx has a line for each, whether there is one or not.
                    seen = seen.filter { $0.value != [""] }
                    #expect(seen["HTTP_X_USER"] == [family.client], "\(server)")
                    #expect(seen["HTTP_X_WHERE"] == ["\(destination) \(server.port) \(listener)"], "\(server)")
                    // What a proxy is asked for has an address in place of a name, and that counts.
                    #expect(seen["HTTP_X_NAME"] == (place == .forward ? nil : ["site.example"]), "\(server)")
                    #expect(seen["HTTP_X_MORE"] == ["ours"] && seen["HTTP_X_GONE"] == nil, "\(server)")
                    #expect(seen["HTTP_X_KEPT"] == ["1"], "\(server)")

                    let got = Self.fields(parts[0], separator: ": ")
                    #expect(got["X-SET"] == ["\(listener) for \(family.client)"], "\(server)")
                    #expect(got["X-MORE"] == ["server", "ours", "again"], "\(server)")
                    #expect(got["X-GONE"] == nil && got["SERVER"] == nil && got["CONTENT-TYPE"] != nil, "\(server)")
                }
                #expect(try stage.clearway.waitForRequests(3).allSatisfy { $0.int("status") == 200 })
            }
        }

        private static let changes = """
            request_headers = { set = { X-User = "ours" }, remove = ["X-Gone"] }
            response_headers = { set = { X-User = "server's" }, remove = ["X-Gone"] }
            """

        /// A field does not come back behind the body; interim responses say nothing of themselves.
        @Test(arguments: [false, true])
        func trailersAndInterimResponses(inPieces: Bool) throws {
            let variant = Variant()
            try play(variant, configuration: InterceptedHTTP.configuration(variant, more: Self.changes)) { stage in
                let exchange = try MessageExchange(stage)
                let trailers = "0\r\nX-User: forged\r\nx_gone: 1\r\nX-Hop: 1\r\nX-T: 1\r\n\r\n"
                let head = "Transfer-Encoding: chunked\r\n\r\n"
                let hop = "Connection: X-Hop\r\n"
                let request = "PUT /x HTTP/1.1\r\nHost: a\r\n\(hop)X-User: forged\r\n\(head)"
                let seenRequest = "PUT /x HTTP/1.1\r\nHost: a\r\nX-User: ours\r\n\(head)"
                let response = "HTTP/1.1 200 OK\r\n\(hop)X-Gone: 1\r\n\(head)"
                let seenResponse = "HTTP/1.1 200 OK\r\nX-User: server's\r\n\(head)"
                let seenTrailers = "0\r\nX-T: 1\r\n\r\n"
                let interim = "HTTP/1.1 103 Early Hints\r\nX-Gone: 1\r\n\r\n"
                if inPieces {
                    try exchange.ask(request, seen: seenRequest)
                    try exchange.ask(trailers, seen: seenTrailers)
                    try exchange.answer(interim, seen: interim)
                    try exchange.answer(response, seen: seenResponse)
                    try exchange.answer(trailers, seen: seenTrailers)
                } else {
                    try exchange.ask(request + trailers, seen: seenRequest + seenTrailers)
                    try exchange.answer(interim + response + trailers, seen: interim + seenResponse + seenTrailers)
                }
                // The next one of this connection is like the first.
                try exchange.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", seen: "GET / HTTP/1.1\r\nHost: a\r\nX-User: ours\r\n\r\n")
            }
        }

        /// A request that is asked again is changed like the first time, and once.
        @Test func aRequestThatIsAskedAgain() throws {
            let variant = Variant()
            try play(variant, configuration: InterceptedHTTP.configuration(variant, more: Self.changes)) { stage in
                let exchange = try MessageExchange(stage)
                let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Gone: 1\r\n\r\n"
                let seen = "GET / HTTP/1.1\r\nHost: a\r\nX-User: ours\r\n\r\n"
                let response = "HTTP/1.1 204 No Content\r\n\r\n"
                let answered = "HTTP/1.1 204 No Content\r\nX-User: server's\r\n\r\n"
                try exchange.ask(request, seen: seen)
                try exchange.answer(response, seen: answered)
                try exchange.ask(request, seen: seen)
                try stage.server.close(exchange.server)
                try exchange.accept()
                #expect(try stage.server.receive(exchange.server, seen.utf8.count) == seen)
                try exchange.answer(response, seen: answered)
            }
        }

        /// What a response that changes the protocol says is changed; what follows it is nobody's business.
        @Test func anotherProtocol() throws {
            let variant = Variant()
            try play(variant, configuration: InterceptedHTTP.configuration(variant, more: Self.changes)) { stage in
                let exchange = try MessageExchange(stage)
                let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                try exchange.ask(
                    "GET /chat HTTP/1.1\r\nHost: a\r\n\(upgrade)",
                    seen: "GET /chat HTTP/1.1\r\nHost: a\r\nX-User: ours\r\n\(upgrade)")
                try exchange.answer(
                    "HTTP/1.1 101 Switching Protocols\r\nX-Gone: 1\r\n\(upgrade)X-Gone: 2\r\n",
                    seen: "HTTP/1.1 101 Switching Protocols\r\nX-User: server's\r\n\(upgrade)X-Gone: 2\r\n")
            }
        }

        /// Another name and another user for each request: what was put in for the last one is not there any more.
        @Test func placeholdersThatChange() throws {
            let variant = Variant()
            let more = "request_headers.set = { X-Name = \"{name}\", X-User = \"{user}\", X-Client = \"{client}:{client_port}\" }"
            try play(variant, configuration: InterceptedHTTP.configuration(variant, more: more)) { stage in
                let exchange = try MessageExchange(stage)
                let port = try stage.client.perform("local", ["socket": exchange.client]).int("port")
                let client = "X-Client: \(variant.family.client):\(port)\r\n"
                for (host, line) in [
                    ("one.example", "X-Name: one.example\r\n"), ("192.0.2.9:8080", ""), ("Two.example.", "X-Name: two.example\r\n"),
                ] {
                    try exchange.ask(
                        "GET / HTTP/1.1\r\nHost: \(host)\r\nX-Name: forged\r\nX-User: forged\r\n\r\n",
                        seen: "GET / HTTP/1.1\r\nHost: \(host)\r\n\(line)\(client)\r\n")
                    let response = "HTTP/1.1 204 No Content\r\n\r\n"
                    try exchange.answer(response, seen: response)
                }
            }
        }

        /// Forwarded and its forerunners: of anybody, nothing that it says of itself; of a peer that is trusted, with ours behind it.
        @Test func whoServersAreToldOf() throws {
            var configuration = ClearwayConfiguration()
            configuration.workers = 1
            configuration.listeners = []
            configuration.policy = ClearwayConfiguration.servedListener(
                "http", name: "site", port: 80, reach: nil, clients: ["192.0.2.0/24", "2001:db8:1::/48"],
                more: """
                    origin = "http://198.51.100.2:8081"
                    via = false
                    x_forwarded = true
                    trusted = ["\(Family.v4.stranger(0))", "\(Family.v6.stranger(0))"]
                    """)
            try play(Variant(), configuration: configuration) { stage in
                try stage.addStrangers(2)
                let listener = try stage.server.listen(Family.v4.server, port: 8081)
                let claims =
                    "Forwarded: for=\"[2001:db8::9]:4711\";proto=https\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX_Forwarded_For: 203.0.113.8\r\n"
                for family in Family.allCases {
                    for number in 0...1 {
                        let source = family.stranger(number)
                        let client = try stage.client.connect(family.routerTowardsClient, 80, ["source": source]).socket
                        try stage.client.send(client, "GET / HTTP/1.1\r\nHost: a\r\n\(claims)\r\n")
                        let server = try stage.server.accept(listener).socket
                        func node(_ address: String) -> String { family == .v4 ? address : "\"[\(address)]\"" }
                        let ours = "for=\(node(source));by=\(node(family.routerTowardsClient));host=\"a\";proto=http"
                        let told =
                            number == 0
                            ? "X-Forwarded-Proto: https\r\nForwarded: for=\"[2001:db8::9]:4711\";proto=https, \(ours)\r\nX-Forwarded-For: 203.0.113.9, \(source)\r\n"
                            : "Forwarded: \(ours)\r\nX-Forwarded-For: \(source)\r\nX-Forwarded-Proto: http\r\n"
                        let seen = "GET / HTTP/1.1\r\nHost: a\r\n\(told)X-Forwarded-Host: a\r\n\r\n"
                        #expect(try stage.server.receive(server, seen.utf8.count) == seen)
                        try stage.client.close(client)
                        try stage.server.close(server)
                    }
                }
            }
        }
    }
}
