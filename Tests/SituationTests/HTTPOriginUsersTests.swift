import Foundation
import Testing

extension Situations {
    /// Servers of ours that are not everybody's: users and their passwords, by Basic.
    @Suite struct HTTPOriginUsers {
        private static let server = Family.v4.server
        private static let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

        private static func configuration(_ users: String, port: Int = 8081, policy: String = "") -> ClearwayConfiguration {
            var configuration = ClearwayConfiguration()
            configuration.workers = 1
            configuration.listeners = []
            configuration.policy =
                ClearwayConfiguration.servedListener(
                    "http", name: "site", port: 80, reach: nil, clients: ["192.0.2.0/24", "2001:db8:1::/48"],
                    more: """
                        origin = "http://\(server):\(port)"
                        users = "\(users)"
                        realm = 'the "site"'
                        via = false
                        request_headers = { set = { X-User = "user={user}" }, remove = ["Forwarded"] }
                        """) + policy
            return configuration
        }

        private static func authorization(_ text: String, scheme: String = "Basic") -> String {
            "Authorization: \(scheme) \(Data(text.utf8).base64EncodedString())\r\n"
        }

        private static func get(_ fields: String = "", path: String = "/") -> String {
            "GET \(path) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n"
        }

        private static func seen(by user: String, path: String = "/") -> String { get("X-User: user=\(user)\r\n", path: path) }

        /// One after the other over one connection; what was shown is for us and goes no further.
        @Test func whoeverShowsAPasswordIsServed() throws {
            try play(Variant(), start: false) { stage in
                let policy = "[[rule]]\nuser = \"bob\"\npath = \"/admin\"\naction = \"reject\"\n"
                let clearway = try stage.startClearway(Self.configuration(stage.writeUsers(), policy: policy))
                let listener = try stage.server.listen(Self.server, port: 8081)
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 80).socket
                func refused(_ fields: String) throws {
                    try stage.client.send(client, Self.get(fields))
                    let page = try stage.client.receiveUntil(client, "password.\n")
                    #expect(page.hasPrefix("HTTP/1.1 401 Unauthorized\r\n"))
                    #expect(page.contains("\r\nWWW-Authenticate: Basic realm=\"the \\\"site\\\"\", charset=\"UTF-8\"\r\n"))
                    #expect(!page.contains("Connection: close"))
                }
                func served(_ user: String, _ password: String, _ socket: Int) throws {
                    try stage.client.send(client, Self.get(Self.authorization("\(user):\(password)"), path: "/admin"))
                    let socket = socket < 0 ? try stage.server.accept(listener).socket : socket
                    let seen = Self.seen(by: user, path: "/admin")
                    #expect(try stage.server.receive(socket, seen.utf8.count) == seen)
                    try stage.server.send(socket, Self.response)
                    #expect(try stage.client.receive(client, Self.response.utf8.count) == Self.response)
                }
                try refused("")
                try stage.client.send(client, Self.get(Self.authorization("alice:secret"), path: "/admin"))
                let socket = try stage.server.accept(listener).socket
                let seen = Self.seen(by: "alice", path: "/admin")
                #expect(try stage.server.receive(socket, seen.utf8.count) == seen)
                try stage.server.send(socket, Self.response)
                #expect(try stage.client.receive(client, Self.response.utf8.count) == Self.response)
                try served("alice", "secret", socket)
                // Rules count for the one who asks now.
                try stage.client.send(client, Self.get(Self.authorization("bob:hunter2"), path: "/admin"))
                #expect(try stage.client.receiveUntil(client, "request.\n").hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
                try stage.client.send(client, Self.get(Self.authorization("bob:hunter2")))
                let second = try stage.server.accept(listener).socket
                #expect(try stage.server.receive(second, Self.seen(by: "bob").utf8.count) == Self.seen(by: "bob"))
                try stage.server.send(second, Self.response)
                #expect(try stage.client.receive(client, Self.response.utf8.count) == Self.response)
                // Who it was before counts for nothing.
                try refused("")
                try refused(Self.authorization("alice:wrong"))
                try served("alice", "secret", -1)
                // And who has shown the right one is the same again behind a wrong one.
                try stage.client.send(client, Self.get(Self.authorization("bob:hunter2"), path: "/admin"))
                #expect(try stage.client.receiveUntil(client, "request.\n").hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
                try refused(Self.authorization("bob:wrong"))
                try stage.client.send(client, Self.get(Self.authorization("bob:hunter2"), path: "/admin"))
                #expect(try stage.client.receiveUntil(client, "request.\n").hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
                let records = try clearway.waitForRequests(11)
                #expect(records.map { $0.int("status") } == [401, 200, 200, 403, 200, 401, 401, 200, 403, 401, 403])
                let users = records.map { $0.fields["user"] as? String }
                #expect(users == [nil, "alice", "alice", "bob", "bob", nil, nil, "alice", "bob", nil, "bob"])
                #expect(records.allSatisfy { ($0.int("status") == 401) == ($0.ending == "client-unauthorized") })
                #expect(records[6].string("reason") == "user name or password refused")
                #expect(!clearway.log.contains("c2VjcmV0"))
            }
        }

        /// Who asks us, and nobody behind us, must show who it is as well.
        @Test func whatGoesNoFurther() throws {
            try play(Variant(), start: false) { stage in
                let clearway = try stage.startClearway(Self.configuration(stage.writeUsers()))
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 80).socket
                let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n"
                try stage.client.send(client, request + "\r\n")
                #expect(try stage.client.receiveUntil(client, "password.\n").hasPrefix("HTTP/1.1 401 Unauthorized\r\n"))
                try stage.client.send(client, request + Self.authorization("alice:secret") + "\r\n")
                #expect(try stage.client.receiveUntil(client, "a proxy.\n").hasPrefix("HTTP/1.1 200 OK\r\n"))
                #expect(try clearway.waitForRequests(2).map { $0.int("status") } == [401, 200])
            }
        }

        private static let refused: [(name: String, fields: String)] = [
            ("nothing", ""), ("another password", authorization("alice:hunter2")), ("nobody", authorization("mallory:secret")),
            ("other letters", authorization("Alice:secret")), ("another scheme", authorization("alice:secret", scheme: "Bearer")),
            ("no colon", authorization("alice")), ("no name", authorization(":secret")),
            ("no base64", "Authorization: Basic !!!!\r\n"),
            ("stray bits", "Authorization: Basic YWxpY2U6c2VjcmV0=\r\n"), ("nothing behind", "Authorization: Basic\r\n"),
            ("empty", "Authorization:\r\n"), ("behind a NUL", authorization("alice:secret\0")),
            ("twice", authorization("alice:secret") + authorization("alice:secret")),
            ("for proxies", Says.authorization("alice:secret") + "\r\n"),
        ]

        /// Nothing of it reaches the server.
        @Test func whoeverDoesNotIsNot() throws {
            try play(Variant(), start: false) { stage in
                let rows = Self.refused
                try stage.addStrangers(rows.count + 1)
                let trap = try stage.server.listen(Self.server, port: 8081)
                let caught = try stage.server.perform("count", ["socket": trap.socket])
                let clearway = try stage.startClearway(Self.configuration(stage.writeUsers()))
                let exchanges = rows.enumerated().map { number, row in
                    Exchange(
                        row.name, Array(Self.get(row.fields + "Connection: close\r\n").utf8), source: Family.v4.stranger(number))
                }
                let head = Exchange(
                    "HEAD", Array("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8),
                    source: Family.v4.stranger(rows.count))
                let heard = try stage.exchange(exchanges + [head], port: 80)
                for (name, heard) in zip(rows.map(\.name) + ["HEAD"], heard) {
                    #expect(heard.text.hasPrefix("HTTP/1.1 401 ") && heard.end == "fin", "\(name): \(heard.text)")
                    #expect(heard.text.contains("\r\nWWW-Authenticate: Basic "), "\(name)")
                    #expect(heard.text.hasSuffix("\r\n\r\n") == (name == "HEAD"), "\(name)")
                }
                #expect(
                    try clearway.waitForRequests(heard.count).allSatisfy { $0.int("status") == 401 && $0.fields["user"] == nil })
                #expect(try stage.server.perform("counted", ["socket": caught.socket]).int("count") == 0)
            }
        }

        /// What follows a head that is refused is its body, whatever it looks like.
        @Test func aBodyIsNoRequest() throws {
            try play(Variant(), start: false) { stage in
                let trap = try stage.server.listen(Self.server, port: 8081)
                let caught = try stage.server.perform("count", ["socket": trap.socket])
                let hidden = Self.get(Self.authorization("alice:secret"), path: "/hidden")
                let length = "Content-Length: \(hidden.utf8.count)\r\n"
                let chunk = String(hidden.utf8.count, radix: 16) + "\r\n\(hidden)\r\n0\r\n\r\n"
                let bodies = [
                    (length, hidden), ("Transfer-Encoding: chunked\r\n", chunk), ("Expect: 100-continue\r\n\(length)", hidden),
                ]
                let rows = ["", Self.authorization("alice:wrong"), Self.authorization("alice", scheme: "Bearer")].flatMap { shown in
                    bodies.map { "POST / HTTP/1.1\r\nHost: a\r\n\(shown)\($0.0)\r\n\($0.1)" }
                }
                try stage.addStrangers(rows.count)
                let clearway = try stage.startClearway(Self.configuration(stage.writeUsers()))
                let heard = try stage.exchange(
                    rows.enumerated().map { Exchange("", Array($1.utf8), source: Family.v4.stranger($0)) }, port: 80)
                for (row, heard) in zip(rows, heard) {
                    #expect(heard.text.hasPrefix("HTTP/1.1 401 ") && heard.end == "fin", "\(row): \(heard.text)")
                    #expect(heard.text.components(separatedBy: "HTTP/1.1 ").count == 2, "\(row): \(heard.text)")
                }
                #expect(try clearway.waitForRequests(rows.count).map { $0.string("target") } == rows.map { _ in "/" })
                #expect(try stage.server.perform("counted", ["socket": caught.socket]).int("count") == 0)

                // With the right one it is a body, and arrives as one.
                let body = try stage.client.connect(Family.v4.routerTowardsClient, 80).socket
                try stage.client.send(
                    body, "POST / HTTP/1.1\r\nHost: a\r\n\(Self.authorization("alice:secret"))\(length)\r\n\(hidden)")
                try waitUntil("the server is reached") {
                    try stage.server.perform("counted", ["socket": caught.socket]).int("count") == 1
                }
            }
        }

        /// Three wrong ones, over one connection or several; then the right one does not help either for a while, and others notice nothing.
        @Test func whoGuessesIsNotHeard() throws {
            try play(Variant(), start: false) { stage in
                try stage.addStrangers(5)
                let listener = try stage.server.listen(Self.server, port: 8081)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "echo"])
                let clearway = try stage.startClearway(Self.configuration(stage.writeUsers()))
                func status(_ password: String, from source: String) throws -> String {
                    let request = Self.get(Self.authorization("alice:\(password)") + "Connection: close\r\n")
                    let heard = try stage.exchange([Exchange("", Array(request.utf8), source: source)], port: 80)
                    // An echo is no response.
                    return String(heard[0].text.prefix(12))
                }
                for attempt in 0..<4 {
                    let guesser = Family.v4.stranger(attempt)
                    let client = try stage.client.connect(Family.v4.routerTowardsClient, 80, ["source": guesser]).socket
                    var began = 0.0
                    for number in 0..<3 {
                        began = now()
                        try stage.client.send(client, Self.get(Self.authorization("alice:guess \(number)")))
                        #expect(try stage.client.receiveUntil(client, "password.\n").hasPrefix("HTTP/1.1 401 "))
                    }
                    try stage.client.send(client, Self.get(Self.authorization("alice:secret")))
                    let heard = [
                        String(try stage.client.receiveUntil(client, "password.\n").prefix(12)),
                        try status("secret", from: guesser),
                    ]
                    // The wait is a second. A machine that stalls for so long has missed it, and tries again as somebody else.
                    guard now() - began < 1 else {
                        #expect(attempt < 3, "it never answered within a second")
                        continue
                    }
                    #expect(heard == ["HTTP/1.1 401", "HTTP/1.1 401"])
                    #expect(try status("secret", from: Family.v4.stranger(4)) == "HTTP/1.1 502")
                    try waitUntil("the guesser is heard again") { try status("secret", from: guesser) == "HTTP/1.1 502" }
                    #expect(clearway.log.contains("too many failures from this address: not heard for"))
                    break
                }
            }
        }

        /// Whatever a name holds, to the server it is a part of one value.
        @Test func namesOfAllKinds() throws {
            let names = [
                ("o'd, \"x\"\\;", "o%27d%2C%20%22x%22%5C%3B"), ("björn", "bj%C3%B6rn"), ("a%0d", "a%250d"),
                ("me@x.example", "me@x.example"),
                (Users.longName, Users.longName),
            ]
            try play(Variant(), start: false) { stage in
                let file = names.map { "\($0.0):\(Users.secret)\n" }.joined()
                try stage.startClearway(Self.configuration(stage.writeUsers(file)))
                let listener = try stage.server.listen(Self.server, port: 8081)
                for (name, written) in names {
                    let client = try stage.client.connect(Family.v4.routerTowardsClient, 80).socket
                    try stage.client.send(client, Self.get("X-User: forged\r\n" + Self.authorization("\(name):secret")))
                    let socket = try stage.server.accept(listener).socket
                    let seen = Self.seen(by: written)
                    #expect(try stage.server.receive(socket, seen.utf8.count) == seen)
                    try stage.client.close(client)
                    try stage.server.close(socket)
                }
            }
        }

        /// A proxy's users are told to servers where that is asked for, each in its own requests.
        @Test func usersOfAProxy() throws {
            try play(Variant(), start: false) { stage in
                let users = try stage.writeUsers()
                let more =
                    "users = \"\(users)\"\nvia = false\nrequest_headers.set.X-User = \"{user} {destination}:{destination_port}\""
                var configuration = ClearwayConfiguration.serving("http", more: more)
                configuration.workers = 1
                try stage.startClearway(configuration, names: ["four.test": [Self.server]])
                let listener = try stage.server.listen(Self.server, port: 80)
                let client = try stage.client.connect(Family.v4.routerTowardsClient, 1080).socket
                for (shown, host, told) in [
                    ("alice:secret", Self.server, "alice \(Self.server):80"), ("bob:hunter2", Self.server, "bob \(Self.server):80"),
                    ("bob:hunter2", "four.test", "bob four.test:80"),
                ] {
                    let fields = Says.authorization(shown) + "\r\nX-User: forged\r\nAuthorization: theirs\r\n"
                    try stage.client.send(client, "GET http://\(host)/ HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
                    let socket = try stage.server.accept(listener).socket
                    // What is for the server passes.
                    let seen = "GET / HTTP/1.1\r\nHost: \(host)\r\nAuthorization: theirs\r\nX-User: \(told)\r\n\r\n"
                    #expect(try stage.server.receive(socket, seen.utf8.count) == seen)
                    try stage.server.send(socket, Self.response)
                    #expect(try stage.client.receive(client, Self.response.utf8.count) == Self.response)
                }
            }
        }

        /// As people use it, in front of Apache: asked first, or with the password at once; pages and bodies.
        @Test func programs() throws {
            try play(Variant(), start: false) { stage in
                let site = try stage.startSite(.apache)
                let page = try site.page
                let clearway = try stage.startClearway(Self.configuration(stage.writeUsers(), port: WebServer.apache.port))
                let got = site.scratch.file("got")
                func fetch(_ arguments: [String], _ path: String = "page") throws -> String {
                    try? FileManager.default.removeItem(atPath: got)
                    let url = "http://\(Family.v4.routerTowardsClient)/\(path)"
                    return try stage.topology.client.finish(arguments + [url]).output
                }
                let curl = ["curl", "-sS", "--noproxy", "*", "--max-time", "15", "-o", got, "-w", "%{http_code} %{num_connects}"]
                #expect(try fetch(curl + ["-u", "alice:secret"]) == "200 1")
                #expect(try Data(contentsOf: URL(fileURLWithPath: got)) == page)
                // The one that asks first does it all over one connection.
                #expect(try fetch(curl + ["--anyauth", "-u", "bob:hunter2"]) == "200 1")
                #expect(try Data(contentsOf: URL(fileURLWithPath: got)) == page)
                #expect(try fetch(curl + ["-u", "alice:hunter2"]) == "401 1")
                #expect(try fetch(curl) == "401 1")
                // 5 MB, none of which is read.
                let digest = try site.digest(ofNew: "body", 5_000_000, in: stage.topology.client)
                let upload = ["-T", site.scratch.file("body")]
                #expect(try fetch(curl + upload, "digest.sh") == "401 1")
                #expect(try fetch(curl + ["--anyauth", "-u", "alice:secret"] + upload, "digest.sh") == "200 2")
                #expect(try String(contentsOfFile: got, encoding: .utf8) == "PUT \(digest)")
                let wget = ["wget", "-q", "-O", got, "--tries=1", "--timeout=15"]
                _ = try fetch(wget + ["--user=alice", "--password=secret"])
                #expect(try Data(contentsOf: URL(fileURLWithPath: got)) == page)
                let records = try clearway.waitForRequests(10)
                #expect(records.count { $0.int("status") == 200 } == 4)
                #expect(records.allSatisfy { ($0.int("status") == 401) == ($0.fields["user"] == nil) })
            }
        }
    }
}
