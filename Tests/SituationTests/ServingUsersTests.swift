import Foundation
import Testing

extension Situations {
    /// Clients that must say who they are, and show it.
    @Suite struct ServingUsers {
        private static let server = Family.v4.server
        private static let request = Says.socks5(server, 443)
        /// What must never come about, behind something that was refused.
        private static let canary = Says.socks5(server, 8_500)
        private static let connect = "CONNECT \(server):443 HTTP/1.1"
        /// The beginning of all answers to a client that is let in.
        private static let served = "0502010005"

        private struct Login {
            var name: String
            var pieces: [[UInt8]]
            /// Hexadecimal, to its end.
            var answer: String
            var ending = "client-unauthorized"
        }

        private static let longHost =
            ["a", "b", "c"].map { String(repeating: $0, count: 63) + "." }.joined()
            + String(repeating: "d", count: 61) + "."

        private static var logins: [Login] {
            let done = #"0502 0100 05000001 c6336401...."#
            let login = Says.greetingWithPassword
            func refused(_ name: String, _ message: [UInt8], ending: String = "client-unauthorized") -> Login {
                Login(name: name, pieces: [login, message + canary], answer: "0502 01(?!00)..", ending: ending)
            }
            return [
                Login(
                    name: "one after the other", pieces: [login, Says.login("alice", "secret"), request], answer: done,
                    ending: "client-fin"),
                Login(
                    name: "all at once", pieces: [login + Says.login("bob", "hunter2") + request], answer: done,
                    ending: "client-fin"),
                Login(
                    name: "no password is offered too",
                    pieces: [bytes("05 02 00 02") + Says.login("alice", "secret") + request], answer: done, ending: "client-fin"),
                Login(
                    name: "255 and 255", pieces: [login + Says.login(Users.longName, Users.longPassword) + request], answer: done,
                    ending: "client-fin"),
                Login(
                    name: "a host of 254",
                    pieces: [login + Says.login("alice", "secret") + Says.socks5(name: Array(longHost.utf8), 443)], answer: done,
                    ending: "client-fin"),
                refused("another's password", Says.login("alice", "hunter2")),
                refused("nobody", Says.login("mallory", "secret")),
                refused("in other letters", Says.login("Alice", "secret")),
                refused("the beginning", Says.login("alice", "secre")),
                refused("no password", Says.login("alice", "")),
                refused("no name", Says.login("", "secret"), ending: "client-(unauthorized|protocol)"),
                refused("behind a NUL", Says.login("alice", "secret\0")),
                refused("one of 255 is another", Says.login(Users.longName, String(Users.longPassword.dropLast()) + "q")),
                refused("one of 254", Says.login(String(Users.longName.dropLast()), Users.longPassword)),
                // RFC 1929 has version 1 of its own.
                refused("version 5", [5] + Says.login("alice", "secret").dropFirst(), ending: "client-protocol"),
                Login(name: "no password is all that is offered", pieces: [Says.greeting + canary], answer: "05ff"),
                Login(name: "GSSAPI", pieces: [bytes("05 01 01") + canary], answer: "05ff"),
                Login(
                    name: "SOCKS4 has no passwords", pieces: [Says.socks4(server, 8_500, user: "alice")],
                    answer: "00 5[b-d] ............", ending: "client-protocol"),
            ]
        }

        /// RFC 1929, byte for byte; whatever stands behind a wrong password is never looked at.
        @Test func passwordsOverSOCKS() throws {
            try play(Variant(), start: false) { stage in
                try stage.addStrangers(Self.logins.count)
                try stage.echo(on: 443)
                let trap = try stage.server.listen(Self.server, port: 8_500)
                let caught = try stage.server.perform("count", ["socket": trap.socket])
                let (clearway, _) = try stage.startClearway(
                    .servingUsers(stage.writeUsers()), names: [String(Self.longHost.dropLast()): [Self.server]])
                let heard = try stage.exchange(
                    Self.logins.enumerated().map { number, row in
                        Exchange(row.name, pieces: row.pieces, then: .fin, source: Family.v4.stranger(number))
                    })
                for (row, heard) in zip(Self.logins, heard) {
                    let expected = try Regex(row.answer.filter { $0 != " " })
                    #expect(heard.hex.wholeMatch(of: expected) != nil, "\(row.name): \(heard.hex)")
                    #expect(heard.end == "fin" && heard.seconds < 1.2, "\(row.name): \(heard.end) after \(heard.seconds) s")
                }
                let records = try clearway.waitForSessions(Self.logins.count)
                for (number, row) in Self.logins.enumerated() {
                    let record = records.first { $0.string("client").hasPrefix("\(Family.v4.stranger(number)):") }
                    let expected = try Regex(row.ending)
                    #expect(record?.ending.wholeMatch(of: expected) != nil, "\(row.name): \(record?.ending ?? "no record")")
                }
                #expect(Set(records.compactMap { $0.fields["user"] as? String }) == ["alice", "bob", Users.longName])
                // Everything has ended, and nobody came.
                #expect(try stage.server.perform("counted", ["socket": caught.socket]).int("count") == 0)
            }
        }

        /// 407 has a challenge in it (RFC 9110 §11.7.1), whatever it was that was shown.
        @Test func passwordsOverHTTP() throws {
            let wrong = [Says.authorization("alice:hunter2"), Says.authorization("mallory:secret"), Says.authorization("alice:")]
            let unread: [[String]] = [
                [], ["Authorization: Basic YWxpY2U6c2VjcmV0"], [Says.authorization("alice")], [Says.authorization(":secret")],
                ["Proxy-Authorization: Basic"], ["Proxy-Authorization: Basic !!!!"], ["Proxy-Authorization: Basic YWxpY2U6c2VjcmV"],
                ["Proxy-Authorization: Basic YWxpY2U6c2VjcmV0=="], ["Proxy-Authorization: YWxpY2U6c2VjcmV0"],
                ["Proxy-Authorization:"],
                [Says.authorization("alice:secret", scheme: "Bearer")], [Says.authorization("alice:secret", scheme: "Negotiate")],
                [#"Proxy-Authorization: Digest username="alice", realm="proxy", response="0""#],
                [Says.authorization("alice:secret"), Says.authorization("alice:secret")],
            ]
            let right = [
                Says.authorization("alice:secret"), Says.authorization("bob:hunter2"),
                Says.authorization("alice:secret", scheme: "bAsIc"), Says.authorization("\(Users.longName):\(Users.longPassword)"),
            ]
            let trapped = Says.connect("\(Self.server):8500", fields: ["Host: x", Says.authorization("alice:secret")])
            try play(Variant(), start: false) { stage in
                try stage.addStrangers(wrong.count)
                try stage.echo(on: 443)
                let trap = try stage.server.listen(Self.server, port: 8_500)
                let caught = try stage.server.perform("count", ["socket": trap.socket])
                let clearway = try stage.startClearway(.servingUsers(stage.writeUsers()))
                let refused = wrong.enumerated().map { number, field in
                    Exchange(field, Says.request(Self.connect, ["Host: x", field]) + trapped, source: Family.v4.stranger(number))
                }
                let unreadable = unread.map { Exchange("\($0)", Says.request(Self.connect, ["Host: x"] + $0) + trapped) }
                for (row, heard) in zip(refused + unreadable, try stage.exchange(refused + unreadable)) {
                    #expect(heard.text.hasPrefix("HTTP/1.1 407 "), "\(row.name): \(heard.text)")
                    #expect(heard.text.contains("\r\nProxy-Authenticate: Basic realm=\"proxy\"\r\n"), "\(row.name)")
                    #expect(heard.text.components(separatedBy: "HTTP/1.1 ").count == 2 && heard.end == "fin", "\(row.name)")
                    #expect(!heard.text.contains("alice") && heard.seconds < 1.2, "\(row.name)")
                }
                let served = right.map {
                    Exchange($0, Says.request(Self.connect, ["Host: x", $0]) + Array("ping".utf8), then: .fin)
                }
                for (row, heard) in zip(served, try stage.exchange(served)) {
                    #expect(
                        heard.text.hasPrefix("HTTP/1.1 200 ") && heard.text.hasSuffix("\r\n\r\nping"), "\(row.name): \(heard.text)")
                }
                let records = try clearway.waitForSessions(refused.count + unreadable.count + served.count)
                #expect(records.count { $0.ending == "client-unauthorized" } == refused.count + unreadable.count)
                #expect(try stage.server.perform("counted", ["socket": caught.socket]).int("count") == 0)
            }
        }

        /// How curl can be told of a proxy and a password.
        private static func forms(_ family: Family, _ login: String) -> [String] {
            let proxy = family.servedURL
            return ["socks5", "socks5h", "http"].map { "-p --proxy \($0)://\(login)@\(proxy)" }
                + ["--socks5 \(proxy)", "--socks5-hostname \(proxy)", "-p --proxy \(proxy)", "-p --proxy-anyauth --proxy \(proxy)"]
                .map { "\($0) --proxy-user \(login)" }
        }

        /// All of them, over both families; with a password that is right, one that is wrong, and without any.
        @Test func curlIsServedOrToldWhy() throws {
            let more = Family.allCases.flatMap { family in
                [
                    "--socks5 \(family.servedURL)", "-p --proxy \(family.servedURL)",
                    // What needs more than a name is not served to those who have it either.
                    "--socks4 \(family.servedURL) --proxy-user alice:secret",
                    "-p --proxy-digest --proxy \(family.servedURL) --proxy-user alice:secret",
                    "-p --proxy-header \"Proxy-Authorization: Bearer alice\" --proxy \(family.servedURL)",
                ].map { (family, $0) }
            }
            let good = Family.allCases.flatMap { family in Self.forms(family, "alice:secret").map { (family, $0) } }
            let bad = Family.allCases.flatMap { family in Self.forms(family, "alice:hunter2").map { (family, $0) } }
            try play(Variant(), start: false) { stage in
                let scratch = stage.topology.scratch
                try FileManager.default.createDirectory(atPath: scratch.file("www"), withIntermediateDirectories: true)
                try scratch.write("the page\n", to: "www/page", mode: 0o644)
                _ = try stage.topology.server.start([
                    "/usr/bin/python3", "-m", "http.server", "80", "--bind", "::", "--directory", scratch.file("www"),
                ])
                try stage.addStrangers(good.count + bad.count + more.count)
                try stage.topology.server.waitUntilListening(on: 80)
                try stage.startClearway(.servingUsers(stage.writeUsers()))
                /// How each ended, in the order of `rows`. All at once, each from an address of its own.
                func curl(_ rows: [(Family, String)], from first: Int) throws -> [(status: String, said: String)] {
                    let lines = rows.enumerated().map { number, row in
                        let options = "-sS -g --max-time 15 --interface \(row.0.stranger(first + number))"
                        let url = "http://\(number % 2 == 0 ? Family.v4.serverHost : Family.v6.serverHost)/page"
                        return "(said=$(curl \(options) \(row.1) \(url) 2>&1); echo \"\(number) $? $said\") &\n"
                    }
                    let script = try scratch.write(lines.joined() + "wait\n", to: "curls-\(first).sh")
                    let said = try stage.topology.client.require(["sh", script]).split(separator: "\n")
                    return try (0..<rows.count).map { number in
                        guard let line = said.first(where: { $0.hasPrefix("\(number) ") }) else { throw SituationError("\(said)") }
                        let parts = line.split(separator: " ", maxSplits: 2)
                        return (String(parts[1]), parts.count > 2 ? String(parts[2]) : "")
                    }
                }
                for (row, heard) in zip(good, try curl(good, from: 0)) {
                    #expect(heard == ("0", "the page"), "\(row.1): \(heard)")
                }
                let refused = bad + more
                for (row, heard) in zip(refused, try curl(refused, from: good.count)) {
                    if row.1.contains("socks") {
                        #expect(heard.status == "97", "\(row.1): \(heard)")
                    } else {
                        #expect(heard.status == "56" && heard.said.contains("407"), "\(row.1): \(heard)")
                    }
                }
                // Each of the wrong ones was looked at.
                // With `anyauth`, curl asks without one first.
                let twice = (good + bad).count { $0.1.contains("anyauth") }
                let records = try stage.clearway.waitForSessions(good.count + refused.count + twice)
                #expect(records.count { $0.string("reason") == "user name or password refused" } == bad.count)
                #expect(records.count { $0.fields["user"] as? String == "alice" } == good.count)
            }
        }

        /// From outside: three failures, and then nothing that comes from there helps for a while; nobody else notices.
        @Test(arguments: Family.allCases)
        func whoGuessesIsNotHeard(family: Family) throws {
            try play(Variant(), start: false) { stage in
                try stage.addStrangers(5)
                try stage.echo(on: 443)
                let clearway = try stage.startClearway(.servingUsers(stage.writeUsers()))
                func ask(_ password: String, from source: String) throws -> String {
                    let pieces = Says.greetingWithPassword + Says.login("alice", password) + Self.request
                    let heard = try stage.exchange(
                        [Exchange("", pieces, then: .fin, source: source)], host: family.routerTowardsClient)
                    return String(heard[0].hex.prefix(10))
                }
                func connect(from source: String) throws -> String {
                    let request = Says.request(Self.connect, ["Host: x", Says.authorization("alice:secret")])
                    let heard = try stage.exchange(
                        [Exchange("", request, then: .fin, source: source)], host: family.routerTowardsClient)
                    return String(heard[0].text.prefix(12))
                }
                // The wait is a second. A machine that stalls for so long has missed it, and tries again as somebody else.
                for attempt in 0..<4 {
                    let guesser = family.stranger(attempt)
                    // Of IPv6, whoever is in the same /64.
                    let beside = family == .v4 ? guesser : String(guesser.dropLast()) + "3"
                    if family == .v6 { try stage.topology.client.ip("address add \(beside)/64 dev eth0 nodad") }
                    var began = 0.0
                    for number in 0..<3 {
                        began = now()
                        #expect(try ask("guess \(number)", from: guesser) == "05020101")
                    }
                    let heard = [try ask("secret", from: guesser), try ask("secret", from: beside), try connect(from: guesser)]
                    guard now() - began < 1 else {
                        #expect(attempt < 3, "it never answered within a second")
                        continue
                    }
                    #expect(heard == ["05020101", "05020101", "HTTP/1.1 407"])
                    // Nobody else notices.
                    #expect(try ask("secret", from: family.stranger(4)) == Self.served)
                    // Its time passes, and then it counts for nothing any more.
                    try waitUntil("the guesser is heard again") { try ask("secret", from: guesser) == Self.served }
                    #expect(try connect(from: beside) == "HTTP/1.1 200")
                    let source = family == .v4 ? guesser : String(guesser.dropLast())
                    let said = clearway.log.split(separator: "\n").filter { $0.contains("passwords refused: the source must wait") }
                    #expect(said.contains { $0.contains("\"\(source)\"") && $0.contains("\"seconds\":1") }, "\(said)")
                    let reasons = try clearway.accessRecords().map { $0.string("reason") }
                    #expect(reasons.contains { $0.hasPrefix("too many failures from this address") })
                    break
                }
            }
        }
    }
}
