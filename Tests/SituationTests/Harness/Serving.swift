import Foundation
import Testing

extension ClearwayConfiguration {
    /// One listener that serves the hosts behind `lan`, on port 1080.
    ///
    /// - Parameters:
    ///   - reach: the addresses of these tests stand in documents and are nobody's: they are not reached without being listed.
    ///   - more: further keys of the listener, one a line.
    static func serving(
        _ mode: String = "socks+http", reach: [String]? = servedNetworks, timeouts: String = "", more: String = "",
        policy: String = ""
    ) -> ClearwayConfiguration {
        var configuration = ClearwayConfiguration(timeouts: timeouts)
        configuration.listeners = []
        configuration.policy = servedListener(mode, reach: reach, more: more) + policy
        return configuration
    }

    static func servedListener(
        _ mode: String, name: String = "served", port: Int = 1080, reach: [String]? = servedNetworks,
        clients: [String] = ["192.0.2.0/24", "2001:db8:1::/64"], more: String = ""
    ) -> String {
        """
        [[listener]]
        name = "\(name)"
        mode = "\(mode)"
        listen = ["[::]:\(port)"]
        clients = \(toml(clients))
        \(reach.map { "reach = \(toml($0))" } ?? "")
        \(more)

        """
    }

    /// The server's networks, and those behind it.
    static let servedNetworks = ["198.51.100.0/24", "2001:db8:2::/64", "203.0.113.0/24", "2001:db8:ff::/48"]

    static func toml(_ texts: [String]) -> String { "[\(texts.map { "\"\($0)\"" }.joined(separator: ", "))]" }
}

extension Family {
    /// Where clients find a listener of `serving`.
    var servedURL: String { self == .v4 ? "192.0.2.1:1080" : "[2001:db8:1::1]:1080" }
    /// As the host of a URL.
    var serverHost: String { self == .v4 ? server : "[\(server)]" }
}

/// The names that a host's resolver knows, of which it asks one server alone.
struct HostNames {
    /// Starts what follows with it.
    let wrapper: [String]

    /// - Parameters:
    ///   - server: an address.
    ///   - timeout: seconds that the server has for its answer.
    ///   - more: further lines of `resolv.conf`.
    init(in scratch: ScratchDirectory, server: String = "127.0.0.1", timeout: Int = 5, more: String = "") throws {
        let files = [
            "hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
            "resolv.conf": "nameserver \(server)\noptions timeout:\(timeout) attempts:1\n\(more)",
            "nsswitch.conf": "hosts: files dns\n",
        ]
        for (name, text) in files { try scratch.write(text, to: name, mode: 0o644) }
        chmod(scratch.path, 0o755)
        let mounts =
            #"for name in hosts resolv.conf nsswitch.conf; do mount --bind "$0/$name" "$(readlink -f /etc/$name)" || exit; done; exec "$@""#
        wrapper = ["sh", "-c", mounts, scratch.path]
    }
}

extension Stage {
    /// Starts a Clearway whose names are these and no others.
    ///
    /// - Parameters:
    ///   - changing: names with another answer each time.
    ///   - delay: seconds that each answer takes.
    ///   - dead: names that end so get no answer.
    ///   - timeout: seconds that the host waits for an answer.
    ///   - search: what the host appends to names that it does not find.
    /// - Returns: the name server, to be asked what it was `asked`.
    @discardableResult
    func startClearway(
        _ configuration: ClearwayConfiguration, names: [String: [String]], changing: [String: [[String]]] = [:], delay: Double = 0,
        dead: String = ".", timeout: Int = 5, search: String? = nil
    ) throws -> (clearway: Clearway, names: NameServer) {
        let peer = try peer(in: topology.router)
        let all = changing.merging(names.mapValues { [$0] }) { one, _ in one }
        let server = try peer.perform("name_server", ["names": all, "delay": delay, "dead": dead])
        let clearway = try startClearway(
            configuration,
            wrapper: HostNames(in: topology.scratch, timeout: timeout, more: search.map { "search \($0)\n" } ?? "").wrapper)
        return (clearway, NameServer(peer: peer, socket: server.socket))
    }

    /// Serves echoes on that port of the server, on both families.
    func echo(on port: Int) throws {
        for family in Family.allCases {
            let listener = try server.listen(family.server, port: port)
            try server.perform("serve", ["socket": listener.socket, "manner": "echo"])
        }
    }

    /// Has the client say what each of the rows says.
    ///
    /// - Returns: how each of them went.
    func exchange(_ rows: [Exchange], host: String = Family.v4.routerTowardsClient, port: Int = 1080) throws -> [Heard] {
        let command = rows.map { row in
            var fields: [String: Any] = [
                "host": host, "port": port, "pieces": row.pieces.map(hexadecimal), "pause": row.pause, "then": row.then.rawValue,
            ]
            fields["source"] = row.source
            return fields
        }
        let answers = try client.perform("exchanges", ["rows": command])
        return (answers.fields["answers"] as? [[String: Any]] ?? []).map(Heard.init)
    }
}

struct NameServer {
    let peer: Peer
    let socket: Int

    /// The names that were asked for so far, each with the kind of record: `www.example AAAA`.
    func asked() throws -> [String] { try peer.perform("asked", ["socket": socket]).strings("names") }
}

/// What a client says, byte for byte.
struct Exchange: Sendable {
    enum End: String, Sendable { case wait, fin, rst }

    var name: String
    var pieces: [[UInt8]]
    var then = End.wait
    /// Seconds between the pieces.
    var pause = 0.0
    /// An address of the client host's; nil: the kernel chooses.
    var source: String?

    init(_ name: String, _ pieces: [UInt8]..., then: End = .wait, pause: Double = 0, source: String? = nil) {
        self.init(name, pieces: pieces, then: then, pause: pause, source: source)
    }

    init(_ name: String, pieces: [[UInt8]], then: End = .wait, pause: Double = 0, source: String? = nil) {
        self.name = name
        self.pieces = pieces
        self.then = then
        self.pause = pause
        self.source = source
    }
}

/// What it heard.
struct Heard {
    /// In hexadecimal.
    let hex: String
    /// "fin", or an errno's name.
    let end: String
    /// From the last byte, or else the last word of the client's, to the end.
    let seconds: Double

    init(_ fields: [String: Any]) {
        let answer = Answer(fields: fields)
        hex = answer.string("text")
        end = answer.string("end")
        seconds = answer.double("seconds")
    }

    /// As text, a byte a character.
    var text: String { String(String.UnicodeScalarView(bytes(hex).map { UnicodeScalar($0) })) }
}

func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { String(UInt16($0) + 0x100, radix: 16).dropFirst() }.joined()
}

/// Reads hexadecimal digits, with blanks anywhere.
func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.filter { !$0.isWhitespace }
    return stride(from: 0, to: digits.count, by: 2).map { place in
        let start = digits.index(digits.startIndex, offsetBy: place)
        return UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16)!
    }
}

/// The messages of clients that are well.
enum Says {
    static let greeting = bytes("05 01 00")

    /// SOCKS5, an address.
    static func socks5(_ address: String, _ port: Int, command: UInt8 = 1) -> [UInt8] {
        [5, command, 0, address.contains(":") ? 4 : 1] + octets(address) + number(port)
    }

    /// SOCKS5, a name in whatever bytes.
    static func socks5(name: [UInt8], _ port: Int, command: UInt8 = 1) -> [UInt8] {
        [5, command, 0, 3, UInt8(truncatingIfNeeded: name.count)] + name + number(port)
    }

    static func socks4(_ address: String, _ port: Int, user: String = "me", command: UInt8 = 1) -> [UInt8] {
        [4, command] + number(port) + octets(address) + Array(user.utf8) + [0]
    }

    static func socks4a(name: [UInt8], _ port: Int, user: String = "me", command: UInt8 = 1) -> [UInt8] {
        [4, command] + number(port) + [0, 0, 0, 1] + Array(user.utf8) + [0] + name + [0]
    }

    static func connect(_ authority: String, version: String = "1.1", fields: [String] = ["Host: x.test"]) -> [UInt8] {
        request("CONNECT \(authority) HTTP/\(version)", fields)
    }

    static func request(_ line: String, _ fields: [String] = ["Host: x.test"]) -> [UInt8] {
        Array(([line] + fields).map { $0 + "\r\n" }.joined().utf8) + [13, 10]
    }

    static func octets(_ address: String) -> [UInt8] {
        var octets = [UInt8](repeating: 0, count: address.contains(":") ? 16 : 4)
        precondition(inet_pton(address.contains(":") ? AF_INET6 : AF_INET, address, &octets) == 1)
        return octets
    }

    private static func number(_ port: Int) -> [UInt8] { [UInt8(port >> 8), UInt8(port & 255)] }
}

extension Clearway {
    /// Finished sessions, counted without being read: for the thousands.
    var finishedSessions: Int { log.split(separator: "\n").count { $0.contains(#""message":"session""#) } }
}
