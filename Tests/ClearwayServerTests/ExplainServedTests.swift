import Foundation
import Testing

@testable import ClearwayServer

/// What `explain` says of clients that speak SOCKS or HTTP with us.
@Suite struct ExplainServedTests {
    private static let served = """
        [[listener]]
        name = "lan"
        local = true
        [[listener]]
        name = "both"
        mode = "socks+http"
        listen = "[::]:1080"
        clients = ["192.0.2.0/24", "2001:db8:1::/64"]
        reach = ["10.0.0.0/8", "::/0"]
        [[listener]]
        name = "users"
        mode = "socks"
        listen = "[::]:1082"
        users = "USERS"
        ports = [80, "8000-8999"]
        reach = ["private", "127.0.0.1"]
        [[upstream]]
        name = "names"
        url = "http://10.0.0.1:3128"
        [[upstream]]
        name = "addresses"
        url = "socks5://10.0.0.1:1080"
        [[rule]]
        user = "ann"
        action = "reject"
        [[rule]]
        domain = "*.far.example"
        action = "names"
        [[rule]]
        domain = "*.near.example"
        action = "addresses"
        [[rule]]
        destination = "10.9.0.0/16"
        client = "192.0.2.7"
        action = "reject"
        [[rule]]
        domain = "shut.example"
        action = "reject"
        """

    private func explainedServed(_ rows: [([String], [String])]) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("served-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let hash = "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1"
        _ = FileManager.default.createFile(
            atPath: "\(directory)/users", contents: Data("ann:\(hash)\nbob:\(hash)\n".utf8), attributes: [.posixPermissions: 0o600])
        let path = "\(directory)/c.toml"
        try Self.served.replacing("USERS", with: "\(directory)/users").write(toFile: path, atomically: true, encoding: .utf8)
        for (words, expected) in rows {
            var given: [String: String] = [:]
            for word in words.dropFirst() {
                let pair = word.split(separator: "=", maxSplits: 1).map(String.init)
                given[pair[0]] = pair[1]
            }
            let text = try explain(
                configurationAt: path, destination: words[0], client: given["client"], name: given["name"],
                listener: given["listener"],
                user: given["user"])
            #expect(text.replacing(path, with: "FILE").split(separator: "\n").map(String.init) == expected, "\(words)")
        }
    }

    @Test func whoIsServedAndWhereTo() throws {
        let admitted = "192.0.2.9 is admitted by both"
        try explainedServed([
            (
                ["8.8.8.8:443", "listener=both", "client=192.0.2.9"],
                [admitted, "port 443 is served", "8.8.8.8 can be reached", "no rule (default): direct to 8.8.8.8:443"]
            ),
            (["8.8.8.8:443", "listener=both", "client=198.51.100.1"], ["refused: 198.51.100.1 is no client of both (clients)"]),
            (
                ["8.8.8.8:443", "listener=both"],
                [
                    "both admits only some clients (give --client)", "port 443 is served", "8.8.8.8 can be reached",
                    "no rule (default): direct to 8.8.8.8:443",
                ]
            ),
            (
                ["8.8.8.8:25", "listener=both", "client=192.0.2.9"],
                [
                    admitted, "port 25 is served over SOCKS, and refused over HTTP (ports)", "8.8.8.8 can be reached",
                    "no rule (default): direct to 8.8.8.8:25",
                ]
            ),
            (
                ["192.168.0.1:443", "listener=both", "client=192.0.2.9"],
                [admitted, "port 443 is served", "refused: 192.168.0.1 is a private address (reach)"]
            ),
            (
                ["[::ffff:127.0.0.1]:443", "listener=both", "client=192.0.2.9"],
                [admitted, "port 443 is served", "refused: 127.0.0.1 is a loopback address (reach)"]
            ),
            (
                ["[64:ff9b::a9fe:a9fe]:443", "listener=both", "client=192.0.2.9"],
                [
                    admitted, "port 443 is served",
                    "refused: 64:ff9b::a9fe:a9fe leads to 169.254.169.254, a link-local address (reach)",
                ]
            ),
            (
                ["[::1]:443", "listener=both", "client=192.0.2.9"],
                [admitted, "port 443 is served", "refused: ::1 is a loopback address (reach)"]
            ),
            (
                ["10.9.0.1:443", "listener=both", "client=192.0.2.7"],
                ["192.0.2.7 is admitted by both", "port 443 is served", "10.9.0.1 can be reached", "rule 4 (FILE:32): rejected"]
            ),
        ])
    }

    @Test func whatUsersAndPortsAreAskedFor() throws {
        try explainedServed([
            (
                ["8.8.8.8:80", "listener=users", "client=203.0.113.1", "user=bob"],
                [
                    "203.0.113.1 is admitted by users", "with the right password: user \"bob\"", "port 80 is served",
                    "8.8.8.8 can be reached", "no rule (default): direct to 8.8.8.8:80",
                ]
            ),
            (
                ["8.8.8.8:8999", "listener=users", "user=ann"],
                [
                    "with the right password: user \"ann\"", "port 8999 is served", "8.8.8.8 can be reached",
                    "rule 1 (FILE:23): rejected",
                ]
            ),
            (["8.8.8.8:80", "listener=users", "user=eve"], ["refused: there is no user \"eve\" (users)"]),
            (
                ["8.8.8.8:443", "listener=users"],
                ["a password is asked for (give --user)", "refused: port 443 is not served (ports)"]
            ),
            (
                ["127.0.0.1:8080", "listener=users", "user=bob"],
                [
                    "with the right password: user \"bob\"", "port 8080 is served", "127.0.0.1 can be reached",
                    "no rule (default): direct to 127.0.0.1:8080",
                ]
            ),
            (
                ["127.0.0.1:8080", "listener=users", "user=bob", "name=localhost"],
                [
                    "with the right password: user \"bob\"", "port 8080 is served", "127.0.0.1 can be reached",
                    "no rule (default): direct to 127.0.0.1:8080",
                ]
            ),
        ])
        for (listener, user) in [("both", "ann"), ("lan", "ann")] {
            #expect {
                try explainedServed([(["8.8.8.8:80", "listener=\(listener)", "user=\(user)"], [])])
            } throws: { ($0 as? Failure)?.code == .usage }
        }
    }

    @Test func whatANameDecides() throws {
        let begin = ["192.0.2.9 is admitted by both", "port 443 is served"]
        try explainedServed([
            // By a proxy that is given names, wherever they lead.
            (
                ["127.0.0.1:443", "listener=both", "client=192.0.2.9", "name=a.far.example"],
                begin + [
                    "a.far.example is not resolved here: where it leads is the proxy's to judge",
                    "rule 2 (FILE:26): upstream names (http 10.0.0.1:3128), asked for a.far.example:443",
                ]
            ),
            (
                ["127.0.0.1:443", "listener=both", "client=192.0.2.9", "name=a.near.example"],
                begin + ["refused: 127.0.0.1 is a loopback address (reach)"]
            ),
            (
                ["8.8.8.8:443", "listener=both", "client=192.0.2.9", "name=a.near.example"],
                begin + [
                    "8.8.8.8 can be reached", "rule 3 (FILE:29): upstream addresses (socks5 10.0.0.1:1080), asked for 8.8.8.8:443",
                ]
            ),
            (
                ["8.8.8.8:443", "listener=both", "client=192.0.2.9", "name=x.localhost."],
                begin + ["refused: x.localhost means loopback (reach)"]
            ),
            // An earlier rule asks for an address: the name is resolved, and what comes out is judged.
            (
                ["10.9.0.1:443", "listener=both", "client=192.0.2.7", "name=shut.example"],
                ["192.0.2.7 is admitted by both", "port 443 is served", "10.9.0.1 can be reached", "rule 4 (FILE:32): rejected"]
            ),
            (
                ["192.168.0.1:443", "listener=both", "client=192.0.2.9", "name=shut.example"],
                begin + ["rule 5 (FILE:36): rejected"]
            ),
        ])
    }
}
