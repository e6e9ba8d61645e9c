import CSockets
import Glibc
import Testing
import TransparentSockets

@testable import Firewall

@Suite struct DoctorTests {
    private func findings(_ situation: Situation, _ change: (inout SystemState) -> Void) throws -> [Finding] {
        var state = SystemState()
        state.interfaces = ["lo": true, "eth1": true, "br0": true]
        change(&state)
        return examine(try Plan(situation.spec), state).filter { $0.severity > .ok }
    }

    private func only(_ situation: Situation, _ change: (inout SystemState) -> Void) throws -> Finding {
        let found = try findings(situation, change)
        #expect(found.count == 1)
        return try #require(found.first)
    }

    @Test(arguments: Situation.allCases)
    func aGoodHostHasNoFault(_ situation: Situation) throws {
        #expect(try findings(situation) { _ in } == [])
    }

    @Test func whatIsMissing() throws {
        let capability = try only(.gateway) { $0.capable = false }
        #expect(
            capability.exitCode == 77 && capability.message.contains("CAP_NET_ADMIN")
                && capability.remedy?.contains("setcap") == true)
        let program = try only(.gateway) { $0.missingPrograms = ["nft"] }
        #expect(program.exitCode == 69 && program.remedy == "apt-get install nftables")
        #expect(try only(.gateway) { $0.missingPrograms = ["ip"] }.remedy == "apt-get install iproute2")
        let feature = try only(.gateway) { $0.missingFeatures = [.tproxyV6] }
        #expect(
            feature.exitCode == 69 && feature.message.contains("CONFIG_NFT_TPROXY") && feature.remedy == "modprobe -a nft_tproxy")
        #expect(try only(.host) { $0.interfaces["lo"] = false }.remedy == "ip link set lo up")
        #expect(try only(.gateway) { $0.interfaces["eth1"] = nil }.subject == "interface eth1")
        #expect(try only(.gateway) { $0.interfaces["eth1"] = false }.remedy == "ip link set eth1 up")
        #expect(try only(.gateway) { $0.missingIPv6 = "the kernel has no IPv6" }.subject == "IPv6")
    }

    @Test func settingsMatterToGatewaysAlone() throws {
        for name in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            #expect(try only(.gateway) { $0.sysctls[name] = "0" }.remedy == "sysctl -w \(name)=1")
            #expect(try findings(.host) { $0.sysctls[name] = "0" } == [])
        }
        #expect(try only(.gateway) { $0.sysctls["net.bridge.bridge-nf-call-iptables"] = "1" }.severity == .warning)
        #expect(
            try only(.gateway) {
                $0.writableSysctls = false
                $0.sysctls["net.ipv4.tcp_early_demux"] = "1"
            }.subject == "net.ipv4.tcp_early_demux")
    }

    @Test func neighbours() throws {
        let rules = { ListedRule.parse($0) }
        #expect(try only(.gateway) { $0.rules = rules("5000:\tfrom all fwmark 0x1000000 lookup 5") }.subject == "mark")
        #expect(try only(.gateway) { $0.rules = rules("5000:\tfrom all lookup 7100") }.subject == "route table")
        #expect(try only(.gateway) { $0.rules = rules("5:\tfrom all lookup 52") }.message.contains("rule 5 "))
        let own = "1001:\tfrom all fwmark 0x2000000/0x3000000 lookup 7100 proto 193"
        #expect(try only(.gateway) { $0.rules = rules(own) }.message.contains("1 rules of a clearway that was killed"))
        let held: (inout SystemState) -> Void = {
            $0.rules = rules(own)
            $0.heldShifts = [24]
        }
        #expect(try findings(.gateway, held) == [])
        #expect(try only(.gateway) { $0.ruleset.tables = ["inet clearway"] }.exitCode == 71)
        #expect(
            try findings(.gateway) {
                $0.ruleset.tables = ["inet clearway"]
                $0.heldShifts = [24]
                $0.listening = [SocketAddress("[::]:1081")!]
            } == [])
    }

    @Test func readsForeignTables() throws {
        let text = """
            table inet firewalld {
            \tflowtable fast {
            \t\thook ingress priority filter
            \t}
            \tchain filter_INPUT {
            \t\ttype filter hook input priority filter + 10; policy drop;
            \t}
            \tchain filter_FORWARD {
            \t\ttype filter hook forward priority filter + 10; policy accept;
            \t}
            }
            table ip filter {
            \tchain FORWARD {
            \t\ttype filter hook forward priority filter; policy drop;
            \t}
            \tchain divert {
            \t\tmeta l4proto tcp tproxy to :1 accept
            \t}
            }
            """
        let found = ForeignRuleset(parsing: text)
        #expect(found.tables == ["inet firewalld", "ip filter"])
        #expect(found.inputDrops == ["inet firewalld filter_INPUT"])
        #expect(found.forwardDrops == ["ip filter FORWARD"])
        #expect(found.flowtables == ["inet firewalld"])
        #expect(found.tproxyTables == ["ip filter"])
        let findings = try findings(.gateway) { $0.ruleset = found }
        #expect(findings.count == 4)
        #expect(
            findings[0].remedy == "nft insert rule inet firewalld filter_INPUT meta mark \\& 0x03000000 != 0 accept")
    }

    @Test func whatFirewallsMustLetIn() throws {
        let drops: (inout SystemState) -> Void = { $0.ruleset.inputDrops = ["inet own input"] }
        let insert = "nft insert rule inet own input"
        #expect(try only(.preserving, drops).remedy == "\(insert) iifname eth1 tcp dport 1081 accept")
        #expect(
            try only(.everything, drops).remedy
                == "\(insert) meta mark \\& 0x00300000 != 0 accept; \(insert) iifname br0 tcp dport 1083 accept")
        var spec = Situation.redirect.spec
        spec.interceptions[0].interfaces = []
        var state = SystemState()
        state.interfaces = ["lo": true]
        drops(&state)
        let found = examine(try Plan(spec), state)
        #expect(found.allSatisfy { $0.severity == .ok })
    }

    @Test func takenPorts() throws {
        for (other, blocks) in [
            ("0.0.0.0:1081", true), ("[::]:1081", true), ("127.0.0.1:1081", true), ("[::1]:1081", true), ("0.0.0.0:1082", false),
        ] {
            let found = try findings(.gateway) { $0.listening = [SocketAddress(other)!] }
            #expect(found.map(\.exitCode) == (blocks ? [71] : []), "\(other)")
        }
        let lines = """
              sl  local_address rem_address   st tx_queue rx_queue
               0: 0100007F:0439 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1
               1: 0100007F:0050 0100007F:C350 01 00000000:00000000 00:00000000 00000000 0 0 1
               2: 00000000000000000000000001000000:0439 00000000000000000000000000000000:0000 0A 0 0 0 0 0 1
               3: short:0A 0 0A
            """
        #expect(listeningSockets(lines) == [SocketAddress("127.0.0.1:1081")!, SocketAddress("[::1]:1081")!])
    }

    @Test func descriptorLimit() throws {
        #expect(try only(.host) { $0.hardLimit = 20_000 }.message.contains("10000 sessions"))
        #expect(try findings(.host) { $0.hardLimit = 65_536 } == [])
    }

    @Test func interfacesAreRead() {
        let text = """
            1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN
            2: eth0@if7: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN
            """
        #expect(interfaceStates(text) == ["lo": true, "eth0": false])
    }

    @Test func gathersInANamespace() throws {
        let namespace = try Namespace()
        try namespace.shell("ip link add eth1 type veth peer name eth2; nft add table inet other; ip rule add pref 5 lookup 52")
        try namespace.run {
            let plan = try Plan(Situation.everything.spec)
            let state = SystemState.gather(plan)
            #expect(state.capable && state.missingPrograms.isEmpty && state.missingFeatures.isEmpty && state.missingIPv6 == nil)
            #expect(state.interfaces == ["lo": true, "eth1": false, "eth2": false])
            #expect(state.ruleset.tables == ["inet other"])
            #expect(state.rules.contains { $0.preference == 5 && $0.table == 52 })
            #expect(state.sysctls["net.ipv4.ip_forward"] == "0")
            #expect(state.listening.isEmpty && state.heldShifts.isEmpty)
            #expect(try namespace.shell("nft list ruleset") == "table inet other {\n}\n")
        }
    }
}
