import Glibc
import TransparentSockets

@testable import Firewall

func listening(_ text: String...) -> [ListenAddress] { text.map { ListenAddress(SocketAddress($0)!) } }

func network(_ text: String) -> IPNetwork { try! IPNetwork(parsing: text) }

/// The situations whose rules are kept as text beside the tests.
enum Situation: String, CaseIterable {
    case host, gateway, everything, redirect, preserving, draining, exits, datagrams, both

    var spec: FirewallSpec {
        switch self {
        case .host:
            FirewallSpec(
                forwarding: false,
                interceptions: [Interception(name: "tproxy-1081", mode: .tproxy, listen: listening("[::]:1081"), local: true)])
        case .gateway:
            FirewallSpec(interceptions: [
                Interception(name: "lan", mode: .tproxy, listen: listening("[::]:1081"), interfaces: ["eth1"])
            ])
        case .everything:
            FirewallSpec(
                table: "edge", priority: -140, onDown: .reject, marks: Marks(shift: 20), routeTable: 7102, preference: 1010,
                interceptions: [
                    Interception(
                        name: "lan", mode: .tproxy, listen: listening("0.0.0.0:1081", "[fd00::1]:1081"),
                        interfaces: ["eth1", "vlan*"],
                        local: true, ports: [443...443, 8000...8999, 80...80, 8080...9000],
                        destinations: [network("203.0.113.0/24"), network("198.51.100.7")],
                        exclude: [network("203.0.113.9"), network("2001:db8::/32")],
                        clients: [network("10.0.0.0/8"), network("fd00::/8")],
                        preservesSource: true),
                    Interception(name: "lan", mode: .tproxy, listen: listening("127.0.0.1:1082"), interfaces: ["*"]),
                    Interception(name: "old", mode: .redirect, listen: listening("10.0.0.1:1083"), interfaces: ["br0"]),
                ])
        case .preserving:
            FirewallSpec(interceptions: [
                Interception(
                    name: "lan", mode: .redirect, listen: listening("[::]:1081"), interfaces: ["eth1"], preservesSource: true)
            ])
        case .datagrams:
            FirewallSpec(interceptions: [
                Interception(name: "lan", mode: .tproxy, protocols: [.udp], listen: listening("[::]:1081"), interfaces: ["eth1"])
            ])
        case .both:
            FirewallSpec(
                onDown: .reject,
                interceptions: [
                    Interception(
                        name: "lan", mode: .tproxy, protocols: [.tcp, .udp], listen: listening("[::]:1081"), interfaces: ["eth1"],
                        local: true, ports: [53...53, 443...443], destinations: [network("203.0.113.0/24")],
                        exclude: [network("203.0.113.9")], clients: [network("10.0.0.0/8")], preservesSource: true),
                    Interception(
                        name: "dns", mode: .tproxy, protocols: [.udp], listen: listening("127.0.0.1:1082", "[::1]:1082"),
                        interfaces: ["br0"]),
                    Interception(name: "old", mode: .redirect, listen: listening("[::]:1083"), interfaces: ["br0"]),
                ])
        case .draining: Self.everything.spec.draining
        case .exits: Self.withExits
        case .redirect:
            FirewallSpec(
                onDown: .reject,
                interceptions: [
                    Interception(
                        name: "lan", mode: .redirect, listen: listening("[::]:1081"), interfaces: ["eth1"], local: true,
                        ports: [80...80]),
                    Interception(name: "lo", mode: .redirect, listen: listening("127.0.0.1:1082", "[::1]:1082"), local: true),
                ])
        }
    }

    /// Both modes, where this host's own connections have marks of their own in places.
    private static var withExits: FirewallSpec {
        var spec = FirewallSpec(
            onDown: .reject,
            interceptions: [
                Interception(
                    name: "here", mode: .tproxy, listen: listening("[::]:1081"), interfaces: ["eth1"], local: true,
                    ports: [443...443]),
                Interception(name: "there", mode: .redirect, listen: listening("[::]:1082"), local: true, ports: [80...80]),
            ])
        spec.exitMarks = [0x77, 0x0100_0001, 0x77]
        return spec
    }
}

func contents(of file: String) -> String? {
    guard let stream = fopen(file, "r") else { return nil }
    defer { fclose(stream) }
    var bytes: [UInt8] = []
    var byte = fgetc(stream)
    while byte != EOF {
        bytes.append(UInt8(byte))
        byte = fgetc(stream)
    }
    return String(decoding: bytes, as: UTF8.self)
}
