import Foundation
import Testing

/// A running usocksd, on the router.
final class Usocksd: DropIn {
    init(
        in namespace: Namespace, _ configuration: String, flags: [String] = [], logFile: String? = nil, wrapper: [String] = [],
        environment: [String: String] = [:]
    ) throws {
        try super.init(
            "usocksd", in: namespace, configuration, flags: flags, logFile: logFile, wrapper: wrapper, environment: environment)
    }

    static func link(in scratch: ScratchDirectory) throws -> String { try link("usocksd", in: scratch) }
}

/// What the tests' usocksd is told, unless they say something else.
struct UsocksdConfiguration {
    static let port = 1080
    static let metricsPort = 1081

    /// Keys of `[incoming]`, one a line.
    var incoming = #"allow_from = ["192.0.2.0/24", "2001:db8:1::/64"]"#
    /// Keys of `[outgoing]`, one a line.
    var outgoing = ""
    var format = "json"
    var level = "info"
    var file = ""

    var toml: String {
        """
        [incoming]
        \(incoming)
        [outgoing]
        \(outgoing)
        [log]
        filename = "\(file)"
        level = "\(level)"
        format = "\(format)"

        """
    }
}

/// The server's further addresses. Those that it has otherwise are for documentation, and nobody's destination.
enum Destination {
    static let privateV4 = "10.9.0.2"
    static let privateV6 = "fd09::2"
    static let publicV4 = "45.9.0.2"
    static let publicV6 = "2a09::2"
    static let port = 8_000

    static let hosts = """
        \(privateV4) www.amazon.com amazon.com www.google.com a.b.google.com google.com bad.google.com x.2ch.net
        \(privateV4) any.example bad.example
        \(privateV6) six.example
        \(publicV4) public.example
        127.0.0.1 localhost loopback.example
        169.254.169.254 metadata.example
        198.51.100.1 router.example

        """
}

extension Stage {
    /// The server as a private and a public host of both families, with names in the router's `/etc/hosts` and a page at port 8000.
    ///
    /// - Returns: what starts a program that sees the names.
    func addDestinations() throws -> [String] {
        let scratch = topology.scratch
        try topology.server.ip(
            """
            address add \(Destination.privateV4)/32 dev eth0
            address add \(Destination.publicV4)/32 dev eth0
            address add \(Destination.privateV6)/128 dev eth0 nodad
            address add \(Destination.publicV6)/128 dev eth0 nodad
            """)
        try topology.router.ip(
            """
            route add \(Destination.privateV4)/32 via 198.51.100.2
            route add \(Destination.publicV4)/32 via 198.51.100.2
            route add \(Destination.privateV6)/128 via 2001:db8:2::2
            route add \(Destination.publicV6)/128 via 2001:db8:2::2
            """)
        let hosts = try scratch.write(Destination.hosts, to: "hosts", mode: 0o644)
        return ["sh", "-c", "mount --bind \(hosts) /etc/hosts && exec \"$@\"", "sh"]
    }

    /// A page at ``Destination/port`` of the server.
    func startPages() throws {
        let scratch = topology.scratch
        try FileManager.default.createDirectory(atPath: scratch.file("www"), withIntermediateDirectories: true)
        try scratch.write("the page\n", to: "www/page")
        _ = try topology.server.start([
            "/usr/bin/python3", "-m", "http.server", "\(Destination.port)", "--bind", "::", "--directory", scratch.file("www"),
        ])
        try topology.server.waitUntilListening(on: Destination.port)
    }

    func startUsocksd(
        _ configuration: UsocksdConfiguration = UsocksdConfiguration(), wrapper: [String] = []
    ) throws -> Usocksd {
        let usocksd = try Usocksd(
            in: topology.router, configuration.toml, logFile: configuration.file.isEmpty ? nil : configuration.file,
            wrapper: wrapper)
        try usocksd.waitUntilServing()
        return usocksd
    }

    /// curl of the client host.
    ///
    /// - Parameter proxy: its options about the proxy.
    func curl(_ proxy: [String], _ url: String) throws -> Finished {
        try topology.client.finish(["curl", "-sS", "--max-time", "10"] + proxy + [url])
    }

    /// Has said that to usocksd, byte for character.
    func say(_ text: String, on socket: Int) throws { try client.send(socket, text) }

    /// A connection to usocksd.
    func callUsocksd() throws -> Int {
        try client.connect(Family.v4.routerTowardsClient, UsocksdConfiguration.port).socket
    }

    /// A session through usocksd to an echo at the server's private address: the client's socket.
    func socksSession(to port: Int) throws -> Int {
        let socket = try callUsocksd()
        try say("\u{5}\u{1}\0", on: socket)
        #expect(try client.receive(socket, 2) == "\u{5}\0")
        try say("\u{5}\u{1}\0\u{1}\u{A}\u{9}\0\u{2}" + Self.bytes(port), on: socket)
        #expect(try client.receive(socket, 10).hasPrefix("\u{5}\0\0\u{1}"))
        return socket
    }

    static func bytes(_ port: Int) -> String {
        String([port >> 8, port & 255].map { Character(UnicodeScalar(UInt8($0))) })
    }

    /// An echo at the server's private address; its port.
    func startEcho() throws -> Int {
        let listener = try server.listen(Destination.privateV4)
        try server.perform("serve", ["socket": listener.socket, "manner": "echo"])
        return listener.int("port")
    }

    func expectEcho(_ socket: Int, _ text: String = "ping") throws {
        try client.send(socket, text)
        #expect(try client.receive(socket, text.utf8.count) == text)
    }

    /// The metrics, by name and labels as they stand there.
    func metrics(_ more: String..., port: Int = UsocksdConfiguration.metricsPort) throws -> [String: Double] {
        let text = try topology.router.require(["curl", "-sS", "--max-time", "5", "http://127.0.0.1:\(port)/metrics"] + more)
        var found: [String: Double] = [:]
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let parts = line.split(separator: " ")
            guard parts.count == 2, let value = Double(parts[1]), found.updateValue(value, forKey: String(parts[0])) == nil else {
                throw SituationError("no sample, or twice: \(line)")
            }
        }
        return found
    }
}

/// A stage on which usocksd runs.
func playUsocksd(
    _ configuration: UsocksdConfiguration = UsocksdConfiguration(), wrapper: [String] = [],
    _ situation: (Stage, Usocksd) throws -> Void
) throws {
    try play(Variant(), start: false) { stage in
        let names = try stage.addDestinations()
        let usocksd = try stage.startUsocksd(configuration, wrapper: names + wrapper)
        do {
            try situation(stage, usocksd)
        } catch {
            FileHandle.standardError.write(Data("usocksd's log:\n\(usocksd.log.suffix(4000))\n".utf8))
            throw error
        }
    }
}
