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
        client = Namespace(name: "\(name)-client", scratch: scratch)
        router = Namespace(name: "\(name)-router", scratch: scratch)
        server = Namespace(name: "\(name)-server", scratch: scratch)
        do {
            try connect()
        } catch {
            remove()
            throw error
        }
    }

    func remove() {
        for namespace in hosts { namespace.endPrograms() }
        let lines = hosts.map { "netns delete \($0.name)\n" }.joined()
        if let file = try? scratch.write(lines, to: "delete.ip") {
            _ = try? Namespace.finish(["ip", "-force", "-batch", file], files: scratch.file("delete"))
        }
        scratch.remove()
    }

    private var hosts: [Namespace] { [client, router, server] }

    /// All in one program: nearly a thousand situations begin with this.
    private func connect() throws {
        // A veth whose number equals its other end's number counts as a plain device, and the kernel looks at the carrier of those once a
        // second only. With numbers of their own the links are up at once.
        let lines = [
            router.name: """
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

            """,
            client.name: """
            link set lo up
            address add 192.0.2.2/24 dev eth0
            address add 2001:db8:1::2/64 dev eth0 nodad
            link set eth0 up
            route add default via 192.0.2.1
            route add default via 2001:db8:1::1

            """,
            server.name: """
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

            """,
        ]
        for (name, lines) in lines { try scratch.write(lines, to: "\(name).ip") }
        let script = """
            cd "$0"
            { echo "netns add $1"; echo "netns add $2"; echo "netns add $3"; } | ip -batch -
            # Until a link-local address has been checked for duplicates nobody asks for neighbours: a second's pause at the first packet.
            quick="net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
            forwards="net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
            nsenter --net="/run/netns/$1" sysctl -qw $quick
            for host in "$2" "$3"; do nsenter --net="/run/netns/$host" sysctl -qw $quick $forwards; done
            # The router comes first, for it has the others' cables.
            for host in "$2" "$1" "$3"; do ip -n "$host" -batch "$host.ip"; done
            """
        let made = try Namespace.finish(
            ["sh", "-e", "-c", script, scratch.path, client.name, router.name, server.name], files: scratch.file("topology"))
        guard made.succeeded else { throw SituationError("the hosts: \(made.errors)") }
        for namespace in hosts {
            try waitUntil("links up in \(namespace.name)") {
                let links = try Namespace.finish(
                    ["ip", "-n", namespace.name, "-o", "link", "show", "type", "veth"], files: scratch.file("links"))
                let lines = links.output.split(separator: "\n")
                return !lines.isEmpty && lines.allSatisfy { $0.contains("state UP") }
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
