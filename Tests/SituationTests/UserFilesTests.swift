import Foundation
import Testing

extension Situations {
    /// What the file of users says counts, since the last SIGHUP.
    @Suite struct UserFiles {
        /// Who somebody is decides; who is let in is as the file says since the last SIGHUP; no password is ever written down.
        @Test func usersComeAndGo() throws {
            let policy = """
                [[upstream]]
                name = "hers"
                url = "direct://"
                source = "198.51.100.11"
                [[rule]]
                user = ["bob", "carol"]
                port = 25
                action = "reject"
                [[rule]]
                user = "alice"
                action = "hers"
                """
            try play(Variant(), start: false) { stage in
                try stage.topology.router.ip("address add 198.51.100.11/24 dev wan")
                for port in [25, 443] { try stage.tellSources(on: port) }
                var configuration = ClearwayConfiguration.servingUsers(try stage.writeUsers(), policy: policy)
                configuration.logLevel = "debug"
                let clearway = try stage.startClearway(configuration)
                try stage.addStrangers(3)
                var strangers = 0
                /// The reply, and whom the server saw.
                func ask(_ user: String, _ password: String, _ port: Int = 443) throws -> (socks: String, http: String) {
                    // Two failures at most from each address.
                    let source = Family.v4.stranger(strangers)
                    let socks = Says.greetingWithPassword + Says.login(user, password) + Says.socks5(Family.v4.server, port)
                    let http = Says.connect(
                        "\(Family.v4.server):\(port)", fields: ["Host: x", Says.authorization("\(user):\(password)")])
                    let heard = try stage.exchange([Exchange("", socks, source: source), Exchange("", http, source: source)])
                    let reply = bytes(heard[0].hex)
                    let page = heard[1].text.components(separatedBy: "\r\n\r\n")
                    return (
                        reply.count <= 14 ? hexadecimal(reply) : String(decoding: reply.dropFirst(14), as: UTF8.self),
                        page[0].hasPrefix("HTTP/1.1 200") ? page[1] : String(page[0].prefix(12))
                    )
                }
                #expect(try ask("alice", "secret") == ("198.51.100.11", "198.51.100.11"))
                #expect(try ask("bob", "hunter2") == ("198.51.100.1", "198.51.100.1"))
                #expect(try ask("alice", "secret", 25) == ("198.51.100.11", "198.51.100.11"))
                #expect(try ask("bob", "hunter2", 25).http == "HTTP/1.1 403")
                #expect(try ask("bob", "hunter2", 25).socks == "0502010005020001000000000000")
                let records = try clearway.waitForSessions(10)
                #expect(
                    Set(records.map { "\($0.string("user")) \($0.string("upstream"))" }) == [
                        "alice hers", "bob direct", "bob reject",
                    ])

                // Bob goes, Alice has another password, Carol comes. A session that is open stays so.
                let listener = try stage.server.listen(Family.v4.server, port: 7_000)
                let open = try stage.client.connect("192.0.2.1", 1080).socket
                let says = Says.greetingWithPassword + Says.login("bob", "hunter2") + Says.socks5(Family.v4.server, 7_000)
                try stage.client.send(open, String(String.UnicodeScalarView(says.map { UnicodeScalar($0) })))
                let server = try stage.server.accept(listener).socket
                #expect(try stage.client.receive(open, 14).hasPrefix("\u{5}\u{2}\u{1}\0\u{5}\0"))
                _ = try stage.writeUsers(
                    "alice:\(Users.file.split(separator: "bob:")[1].prefix { $0 != "\n" })\ncarol:\(Users.secret)\n")
                try clearway.reload(configuration)
                strangers = 1
                #expect(try ask("alice", "secret").http == "HTTP/1.1 407")
                strangers = 2
                #expect(try ask("bob", "hunter2").socks.hasPrefix("050201"))
                #expect(try ask("carol", "secret") == ("198.51.100.1", "198.51.100.1"))
                #expect(try ask("alice", "hunter2") == ("198.51.100.11", "198.51.100.11"))
                try stage.server.send(server, "still here")
                #expect(try stage.client.receive(open, 10) == "still here")

                // A file that is none changes nothing.
                _ = try stage.writeUsers("alice\n")
                clearway.program.signal(SIGHUP)
                try waitUntil("the reload is refused") { clearway.log.contains("users:1:") }
                #expect(try ask("carol", "secret") == ("198.51.100.1", "198.51.100.1"))

                _ = try clearway.waitForSessions(20)
                for word in ["secret", "hunter2", "$6$", "$y$", "c2VjcmV0", "Ymxpb"] {
                    #expect(!clearway.log.contains(word), "\(word) in the log")
                }
            }
        }
    }
}
