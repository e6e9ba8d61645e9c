import CSockets
import Glibc
import Testing
import TransparentSockets

@testable import Firewall

/// Datagrams on their way through the rules, between programs in network namespaces.
@Suite(.serialized) struct DatagramTrafficTests {
    init() { signal(SIGPIPE, SIG_IGN) }

    private func interception(_ change: (inout Interception) -> Void = { _ in }) -> FirewallSpec {
        var interception = Interception(name: "lan", mode: .tproxy, protocols: [.tcp, .udp], listen: listening("[::]:1081"))
        change(&interception)
        return FirewallSpec(interceptions: [interception])
    }

    /// Both families, with the checks of sources that break the usual recipes.
    @Test(arguments: [false, true]) func aGateway(strict: Bool) throws {
        let stage = try DatagramStage()
        try stage.checkSources(strict)
        let anywhere = ["0.0.0.0,53", "::,53", "0.0.0.0,67", "0.0.0.0,1081", "::,1081", "0.0.0.0,9"]
        try stage.start("serve", in: stage.server, ["server"] + anywhere)
        // This host's own name server has port 53 on all addresses, and a service has one at which nothing is intercepted.
        try stage.start("serve", in: stage.router, ["router", "0.0.0.0,53", "::,53"])
        try stage.start("proxy", in: stage.router, ["answers"])
        let spec = interception {
            $0.interfaces = ["eth1"]
            $0.ports = [1...8, 10...65535]
            $0.exclude = [network("10.2.0.8")]
        }
        let firewall = try stage.router.run { try OwnedFirewall.apply(spec) }
        try stage.expect(
            from: stage.client,
            [
                "10.2.0.9,53,4001": "proxy 10.2.0.9:53 for 10.1.0.2:4001",
                "fd02::9,53,4001": "proxy [fd02::9]:53 for [fd01::2]:4001",
                "203.0.113.7,65535,4001": "proxy 203.0.113.7:65535 for 10.1.0.2:4001",
                // The listener's own port, at another host; and a client that has the same one.
                "10.2.0.9,1081,4001": "proxy 10.2.0.9:1081 for 10.1.0.2:4001",
                "fd02::9,1081,4001": "proxy [fd02::9]:1081 for [fd01::2]:4001",
                "10.2.0.9,53,1081": "proxy 10.2.0.9:53 for 10.1.0.2:1081",
                // A socket that has a peer takes answers from nobody else.
                "10.2.0.9,53": "proxy 10.2.0.9:53 for 10.1.0.2:*",
                // This host's name server, by all its addresses.
                "10.1.0.1,53,4001": "router saw 10.1.0.2:4001",
                "fd01::1,53,4001": "router saw [fd01::2]:4001",
                "10.2.0.1,53,4001": "router saw 10.1.0.2:4001",
                // What is excluded, by network, port and as DHCP.
                "10.2.0.8,1081,4001": "server saw 10.1.0.2:4001",
                "10.2.0.8,53,1081": "server saw 10.1.0.2:1081",
                "10.2.0.9,9,4001": "server saw 10.1.0.2:4001",
                "10.2.0.9,67,4001": "server saw 10.1.0.2:4001",
            ])
        // What comes in elsewhere is not intercepted: the client has no such service.
        try stage.expect(
            from: stage.server, ["10.1.0.2,53": "ConnectionRefusedError", "10.2.0.1,53,4002": "router saw 10.2.0.9:4002"])
        try stage.router.run { try firewall.drain() }
        try stage.expect(from: stage.client, ["10.2.0.9,53,4001": "server saw 10.1.0.2:4001"])
        try stage.router.run { firewall.remove() }
    }

    /// The server sees the client's address, and its answers come back to the proxy, on whatever interface.
    @Test(arguments: [false, true]) func aPreservedSource(strict: Bool) throws {
        let stage = try DatagramStage()
        try stage.checkSources(strict)
        try stage.start("serve", in: stage.server, ["server", "0.0.0.0,53", "::,53", "0.0.0.0,1081"])
        try stage.start("serve", in: stage.client, ["client", "0.0.0.0,1081", "::,1081"])
        try stage.start("proxy", in: stage.router, ["preserving"])
        // Also where the answers' interface is intercepted itself.
        for interfaces in [["eth1"], ["eth1", "eth2"]] {
            let spec = interception {
                $0.interfaces = interfaces
                $0.exclude = [network("10.2.0.8"), network("10.1.0.2"), network("fd01::2")]
                $0.preservesSource = true
            }
            let firewall = try stage.router.run { try OwnedFirewall.apply(spec) }
            try stage.expect(
                from: stage.client,
                [
                    "10.2.0.9,53,4001": "proxy got: server saw 10.1.0.2:4001",
                    "fd02::9,53,4001": "proxy got: server saw [fd01::2]:4001",
                    "10.2.0.8,53,4001": "server saw 10.1.0.2:4001",
                    // The listener is found for its port at any address, and must not catch what goes to another.
                    "10.2.0.8,1081,4001": "server saw 10.1.0.2:4001",
                ])
            // Nor do sockets that are bound to the client's address and another port.
            try stage.expect(
                from: stage.server,
                [
                    "10.1.0.2,1081,5001": "client saw 10.2.0.9:5001",
                    "fd01::2,1081,5001": "client saw [fd02::9]:5001",
                ])
            try stage.router.run { firewall.remove() }
        }
    }

    /// What this host sends itself, and never what it answers or was saying before.
    @Test(arguments: [false, true]) func thisHost(strict: Bool) throws {
        let stage = try DatagramStage()
        try stage.checkSources(strict)
        try stage.start("serve", in: stage.server, ["server", "0.0.0.0,53", "::,53", "0.0.0.0,67", "0.0.0.0,9"])
        try stage.start("serve", in: stage.router, ["router", "0.0.0.0,53", "::,53"])
        try stage.start("proxy", in: stage.router, ["answers"])
        // Nobody has asked for connection tracking here, so the kernel does not know of this flow.
        let earlier = try stage.talk(from: stage.router, ["10.2.0.9,53", "10.2.0.9,53", "10.2.0.9,53", "10.2.0.9,9"])
        #expect(earlier().hasPrefix("server saw 10.2.0.1:"))
        let spec = interception {
            $0.local = true
            $0.exclude = [network("10.2.0.8")]
        }
        let firewall = try stage.router.run { try OwnedFirewall.apply(spec) }
        #expect(earlier().hasPrefix("server saw 10.2.0.1:"))
        try stage.expect(
            from: stage.router,
            [
                "10.2.0.9,53,4001": "proxy 10.2.0.9:53 for 10.2.0.1:4001",
                "fd02::9,53,4001": "proxy [fd02::9]:53 for [fd02::1]:4001",
                "10.2.0.9,53,4003": "proxy 10.2.0.9:53 for 10.2.0.1:4003",
                // Again, in the same flow.
                "10.2.0.9,53,4001": "proxy 10.2.0.9:53 for 10.2.0.1:4001",
                "203.0.113.7,9,4001": "proxy 203.0.113.7:9 for 10.2.0.1:4001",
                "10.2.0.9,53": "proxy 10.2.0.9:53 for 10.2.0.1:*",
                "fd02::9,53": "proxy [fd02::9]:53 for [fd02::1]:*",
                "10.2.0.8,53,4001": "server saw 10.2.0.1:4001",
                "10.2.0.1,53,4001": "router saw 10.2.0.1:4001",
                "127.0.0.1,53,4001": "router saw 127.0.0.1:4001",
                "::1,53,4001": "router saw [::1]:4001",
                // DHCP's renewal, and what answers a question to all.
                "10.2.0.9,67,68": "server saw 10.2.0.1:68",
                "10.2.0.9,9,5353": "server saw 10.2.0.1:5353",
            ])
        // Its answers to others.
        try stage.expect(
            from: stage.server,
            [
                "10.2.0.1,53,4001": "router saw 10.2.0.9:4001", "fd02::1,53,4001": "router saw [fd02::9]:4001",
                "10.1.0.1,53,4001": "router saw 10.2.0.9:4001",
            ])
        // A reload forgets nothing of it. When the time for early ones is over, connection tracking knows the flow.
        try stage.router.run { _ = try firewall.replace(with: spec) }
        #expect(try stage.router.shell("nft list set inet clearway udp_earlier").contains("expires"))
        try #require(firewall.owner).send("flush set inet clearway udp_earlier\n")
        #expect(earlier().hasPrefix("server saw 10.2.0.1:"))
        // To somebody else it is a flow that begins.
        #expect(earlier().hasPrefix("proxy 10.2.0.9:9 for 10.2.0.1:"))
        try stage.router.run { firewall.remove() }
    }

    /// Whoever listens nowhere refuses, also when the proxy was killed; what was never intercepted goes on.
    ///
    /// TCP beside it, and datagrams alone.
    @Test(arguments: [[.tcp, .udp], [.udp]] as [Set<Interception.Transport>])
    func refused(protocols: Set<Interception.Transport>) throws {
        let stage = try DatagramStage()
        try stage.start("serve", in: stage.server, ["server", "0.0.0.0,53", "::,53"])
        try stage.start("serve", in: stage.router, ["router", "0.0.0.0,53"])
        try stage.start("proxy", in: stage.router, ["answers"])
        let flow = try stage.talk(from: stage.router, ["10.2.0.9,53", "10.2.0.9,53", "10.2.0.9,53"])
        #expect(flow().hasPrefix("server saw "))
        var spec = interception {
            $0.protocols = protocols
            $0.interfaces = ["eth1"]
            $0.local = true
            $0.exclude = [network("10.2.0.8")]
        }
        spec.onDown = .reject
        let firewall = try stage.router.run { try OwnedFirewall.apply(spec) }
        #expect(flow().hasPrefix("server saw "))
        let intercepted = try stage.talk(from: stage.router, ["10.2.0.9,53", "10.2.0.9,53"])
        #expect(intercepted().hasPrefix("proxy 10.2.0.9:53 for "))
        try stage.expect(from: stage.client, ["10.2.0.9,53": "proxy *", "fd02::9,53": "proxy *"])
        stage.end("proxy")
        try stage.expect(from: stage.client, ["10.2.0.9,53": "ConnectionRefusedError", "fd02::9,53": "ConnectionRefusedError"])
        // Over lo, IPv4 has no address to say so from: there its datagrams are only dropped.
        try stage.expect(from: stage.router, ["fd02::9,53": "ConnectionRefusedError"])

        kill(try #require(firewall.owner?.pid), SIGKILL)
        var stream = pollfd(fd: firewall.childDescriptor, events: Int16(POLLIN), revents: 0)
        #expect(poll(&stream, 1, 5000) == 1)
        try stage.expect(
            from: stage.client,
            [
                "10.2.0.9,53": "ConnectionRefusedError", "fd02::9,53": "ConnectionRefusedError",
                "10.2.0.8,53,4001": "server saw 10.1.0.2:4001",
            ])
        // Whose own datagram is refused on its way out is told so by the call itself.
        try stage.expect(from: stage.router, ["10.2.0.9,53": "PermissionError", "fd02::9,53": "PermissionError"])
        // A flow that was intercepted does not go its own way now.
        #expect(intercepted() == "PermissionError")
        #expect(flow().hasPrefix("server saw "))
        try stage.expect(from: stage.server, ["10.2.0.1,53,4001": "router saw 10.2.0.9:4001"])
        try stage.router.run {
            try firewall.reapply()
            firewall.remove()
        }
        try stage.expect(from: stage.client, ["10.2.0.9,53,4001": "server saw 10.1.0.2:4001"])
    }

    /// The same rules made by hand.
    @Test(arguments: [Plan.Format.iptables, .shell]) func byHand(format: Plan.Format) throws {
        let stage = try DatagramStage()
        try stage.checkSources(true)
        try stage.start("serve", in: stage.server, ["server", "0.0.0.0,53", "::,53", "0.0.0.0,67"])
        try stage.start("serve", in: stage.router, ["router", "0.0.0.0,53"])
        let spec = interception {
            ($0.interfaces, $0.local, $0.preservesSource) = (["eth1"], true, true)
            ($0.ports, $0.exclude) = ([53...1080], [network("10.2.0.8")])
        }
        let script = try Plan(spec).rendered(format)
        try stage.router.run { _ = try Tool.find("sh").run(["-s"], input: script).checked("rules") }
        try stage.start("proxy", in: stage.router, ["preserving"])
        try stage.expect(
            from: stage.client,
            [
                "10.2.0.9,53,4001": "proxy got: server saw 10.1.0.2:4001",
                "fd02::9,53,4001": "proxy got: server saw [fd01::2]:4001",
                "10.2.0.8,53,4001": "server saw 10.1.0.2:4001",
                "10.2.0.9,67,4001": "server saw 10.1.0.2:4001",
                "10.1.0.1,53,4001": "router saw 10.1.0.2:4001",
            ])
        stage.end("proxy")
        try stage.start("proxy", in: stage.router, ["answers"])
        try stage.expect(
            from: stage.router,
            [
                "10.2.0.9,53,4001": "proxy 10.2.0.9:53 for 10.2.0.1:4001",
                "fd02::9,53,4001": "proxy [fd02::9]:53 for [fd02::1]:4001",
                "10.2.0.8,53,4001": "server saw 10.2.0.1:4001",
            ])
        try stage.expect(from: stage.server, ["10.2.0.1,53,4001": "router saw 10.2.0.9:4001"])
    }
}
