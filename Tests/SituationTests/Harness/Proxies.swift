import Foundation
import TestSupport
import Testing

/// Proxies that people run, on the server.
enum ProxyProgram {
    case microsocks
    /// `me`, `s@cret`
    case microsocksWithPassword
    case dante
    /// With further lines of its configuration.
    case tinyproxyWith(String)
    /// With options of its port, such as `require-proxy-header`.
    case squidWith(String)

    /// `me`, `secret`
    static var tinyproxy: ProxyProgram { .tinyproxyWith("BasicAuth me secret") }
    static var squid: ProxyProgram { .squidWith("") }

    static let port = 1090

    fileprivate func command(_ scratch: ScratchDirectory, port: Int) throws -> [String] {
        switch self {
        case .microsocks: return ["microsocks", "-i", "::", "-p", "\(port)"]
        case .microsocksWithPassword: return ["microsocks", "-i", "::", "-p", "\(port)", "-u", "me", "-P", "s@cret"]
        case .dante:
            let configuration = try scratch.write(
                """
                errorlog: stderr
                internal: 198.51.100.2 port = \(port)
                external: 198.51.100.2
                clientmethod: none
                socksmethod: none
                user.privileged: root
                user.unprivileged: root
                client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
                socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
                """, to: "danted-\(port).conf")
            return ["danted", "-f", configuration, "-p", scratch.file("danted-\(port).pid")]
        case .tinyproxyWith(let more):
            let configuration = try scratch.write(
                "Port \(port)\nTimeout 600\nMaxClients 500\nLogLevel Error\n\(more)\n", to: "tinyproxy-\(port).conf")
            return ["tinyproxy", "-d", "-c", configuration]
        case .squidWith(let options):
            let configuration = try scratch.write(
                """
                http_port \(port) \(options)
                proxy_protocol_access allow all
                http_access allow all
                cache deny all
                access_log none
                cache_log /dev/stderr
                pid_filename none
                pinger_enable off
                shutdown_lifetime 0 seconds
                visible_hostname proxy.example
                """, to: "squid-\(port).conf")
            return ["squid", "-N", "-f", configuration]
        }
    }
}

extension Stage {
    /// Starts a proxy on the server, and waits until it listens.
    @discardableResult
    func startProxy(_ proxy: ProxyProgram, port: Int = ProxyProgram.port) throws -> Program {
        let program = try topology.server.start(try proxy.command(topology.scratch, port: port))
        try topology.server.waitUntilListening(on: port)
        return program
    }

    func microsocks(_ port: Int) throws -> Program { try startProxy(.microsocks, port: port) }
    func tinyproxy(_ port: Int, _ more: String = "") throws -> Program { try startProxy(.tinyproxyWith(more), port: port) }
    func squid(_ port: Int, _ options: String) throws -> Program { try startProxy(.squidWith(options), port: port) }

    /// Where the stage's certificates are made.
    var certificates: Certificates { Certificates(in: topology.scratch.path) }

    /// Starts a program on the server that ends TLS for its clients on `port`, of both families, and passes on what they say.
    ///
    /// - Parameter more: further lines of its service.
    @discardableResult
    func startTLS(
        port: Int = 1443, to target: Int = ProxyProgram.port, with certificate: Certificates.Certificate, _ more: String = ""
    ) throws -> Program {
        let configuration = try topology.scratch.write(
            """
            foreground = yes
            pid =
            debug = warning
            socket = l:TCP_NODELAY=1
            socket = r:TCP_NODELAY=1
            [tls]
            accept = :::\(port)
            connect = 198.51.100.2:\(target)
            cert = \(certificate.file)
            key = \(certificate.key)
            \(more)

            """, to: "stunnel-\(port).conf")
        let program = try topology.server.start(["stunnel", configuration])
        try topology.server.waitUntilListening(on: port)
        return program
    }

    /// A port of the server that sends back what it gets.
    func echo() throws -> Int {
        let listener = try server.listen(variant.family.server)
        try server.perform("serve", ["socket": listener.socket, "manner": "echo"])
        return listener.int("port")
    }

    /// A session from beginning to end.
    func roundTrip(_ port: Int) throws {
        let socket = try client.connect(variant.family.server, port).socket
        try client.send(socket, "ping")
        #expect(try client.receive(socket, 4) == "ping")
        try client.shut(socket)
        #expect(try client.drain(socket).end == "fin")
        try client.close(socket)
    }

    /// Lines of Clearway's log that say this of that member.
    func said(_ message: String, of member: String) throws -> [Substring] {
        try clearway.log.split(separator: "\n").filter { $0.contains("\"\(message)\"") && $0.contains("\"\(member)\"") }
    }

    /// Waits until the log has said so that many times.
    func wait(_ message: String, _ member: String, count: Int = 1) throws {
        try waitUntil("\(count) × \(message), \(member)") { try said(message, of: member).count >= count }
    }
}
