import Foundation
import Synchronization

/// Three hosts in a row, with both families: client – router – server.
///
/// ```
///   client                      router                          server
///   eth0 192.0.2.2   ────   lan 192.0.2.1
///        2001:db8:1::2          2001:db8:1::1
///                           wan 198.51.100.1    ────    eth0 198.51.100.2
///                               2001:db8:2::1                2001:db8:2::2
/// ```
///
/// Behind the server lie two networks that nobody answers from: it says "unreachable" for the one, and nothing at all for the other.
final class Topology {
    let scratch: ScratchDirectory
    let client: Namespace
    let router: Namespace
    let server: Namespace

    private static let counter = Atomic<Int>(0)
    private static let prefix = "clearway-test-"
    private static let swept: Void = sweep()

    init() throws {
        _ = Self.swept
        let number = Self.counter.add(1, ordering: .relaxed).newValue
        let name = "\(Self.prefix)\(getpid())-\(number)"
        scratch = try ScratchDirectory()
        client = try Namespace(name: "\(name)-client", scratch: scratch)
        router = try Namespace(name: "\(name)-router", scratch: scratch)
        server = try Namespace(name: "\(name)-server", scratch: scratch)
        do {
            try connect()
        } catch {
            remove()
            throw error
        }
    }

    func remove() {
        for namespace in [client, router, server] { namespace.remove() }
        scratch.remove()
    }

    private func connect() throws {
        // Until a link-local address has been checked for duplicates nobody asks for neighbours: a second's pause at the first packet.
        for namespace in [client, router, server] {
            try namespace.require(["sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"])
        }
        // A veth whose number equals its other end's number counts as a plain device, and the kernel looks at the carrier of those once a
        // second only. With numbers of their own the links are up at once.
        try router.ip(
            """
            link set lo up
            link add lan index 11 type veth peer name eth0 index 21 netns \(client.name)
            link add wan index 12 type veth peer name eth0 index 22 netns \(server.name)
            address add 192.0.2.1/24 dev lan
            address add 2001:db8:1::1/64 dev lan nodad
            address add 198.51.100.1/24 dev wan
            address add 2001:db8:2::1/64 dev wan nodad
            link set lan up
            link set wan up
            route add 203.0.113.0/24 via 198.51.100.2
            route add 2001:db8:ff::/48 via 2001:db8:2::2
            """)
        try client.ip(
            """
            link set lo up
            address add 192.0.2.2/24 dev eth0
            address add 2001:db8:1::2/64 dev eth0 nodad
            link set eth0 up
            route add default via 192.0.2.1
            route add default via 2001:db8:1::1
            """)
        try server.ip(
            """
            link set lo up
            address add 198.51.100.2/24 dev eth0
            address add 2001:db8:2::2/64 dev eth0 nodad
            link set eth0 up
            route add default via 198.51.100.1
            route add default via 2001:db8:2::1
            route add unreachable 203.0.113.0/25
            route add unreachable 2001:db8:ff:1::/64
            route add blackhole 203.0.113.128/25
            route add blackhole 2001:db8:ff:2::/64
            """)
        for namespace in [router, server] {
            try namespace.require(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        }
        for namespace in [client, router, server] {
            try waitUntil("links up in \(namespace.name)") {
                let links = try namespace.require(["ip", "-o", "link", "show", "type", "veth"])
                return links.split(separator: "\n").allSatisfy { $0.contains("state UP") }
            }
        }
    }

    /// Removes what runs that were killed have left: a namespace whose name carries the identifier of a process that no longer lives.
    private static func sweep() {
        guard let scratch = try? ScratchDirectory() else { return }
        defer { scratch.remove() }
        guard let list = try? Namespace.finish(["ip", "netns", "list"], files: scratch.file("list")) else { return }
        for line in list.output.split(separator: "\n") {
            let name = String(line.prefix { $0 != " " })
            guard name.hasPrefix(prefix), let owner = pid_t(name.dropFirst(prefix.count).prefix { $0 != "-" }), kill(owner, 0) != 0
            else { continue }
            if let left = try? Namespace.finish(["ip", "netns", "pids", name], files: scratch.file("pids")) {
                for process in left.output.split(separator: "\n").compactMap({ pid_t($0) }) { kill(process, SIGKILL) }
            }
            _ = try? Namespace.finish(["ip", "netns", "delete", name], files: scratch.file("delete"))
        }
    }
}
