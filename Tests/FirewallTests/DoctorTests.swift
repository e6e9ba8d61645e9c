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
        let capability = try only(.gateway) {
            $0.capable = false
            $0.executable = "/home/me/it's/clearway"
        }
        #expect(capability.exitCode == 77 && capability.message.contains("CAP_NET_ADMIN"))
        #expect(
            capability.remedy
                == #"sudo setcap cap_net_admin,cap_net_bind_service+ep '/home/me/it'\''s/clearway'   # or run as root"#)
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
        let refusing = try only(.redirect) { $0.ruleset.tables = ["inet clearway_down"] }
        #expect(refusing.severity == .warning && refusing.remedy?.hasPrefix("nft delete table inet clearway_down ") == true)
        #expect(
            try findings(.redirect) { ($0.ruleset.tables, $0.heldShifts) = (["inet clearway", "inet clearway_down"], [24]) } == [])
    }

    /// Of what `rules --format shell` sets up and a clearway that runs with it, after a change.
    private func byHand(_ change: (inout SystemState) -> Void) throws -> [Finding] {
        var state = SystemState()
        state.interfaces = ["lo": true, "eth1": true]
        state.ruleset = ForeignRuleset(parsing: "table inet clearway {\n\tchain a {\n\t\ttproxy ip to :1081\n\t}\n}")
        let rule = "1001:\tfrom all fwmark 0x2000000/0x3000000 iif eth1 lookup 7100 proto 193"
        state.rules = ListedRule.parse(rule) + ListedRule.parse(rule, isIPv6: true)
        state.sysctls["net.ipv4.tcp_early_demux"] = "0"
        state.heldShifts = [24]
        state.listening = [SocketAddress("0.0.0.0:1081")!, SocketAddress("[::]:1081")!]
        change(&state)
        return examine(try Plan(Situation.gateway.spec), state, manages: false)
    }

    @Test func rulesByHandAreWantedWhereTheyStand() throws {
        let good = try byHand { _ in }
        #expect(good.allSatisfy { $0.severity == .ok })
        #expect(good.contains { $0.subject == "rules by hand" && $0.message.contains("inet clearway") })
        // Before clearway is started, too; and in whatever form people keep them.
        #expect(
            try byHand {
                $0.heldShifts = []
                $0.listening = []
            }.allSatisfy { $0.severity == .ok })
        let iptables = "table ip mangle {\n\tchain clearway_pre {\n\t}\n}"
        let own = "table inet ours {\n\tchain x {\n\t\ttproxy to :1081\n\t}\n}"
        for text in [iptables, own] {
            #expect(try byHand { $0.ruleset = ForeignRuleset(parsing: text) }.allSatisfy { $0.severity == .ok }, "\(text)")
        }
        let plain = "30:\tfrom all fwmark 0x2000000/0x3000000 lookup 7100"
        #expect(
            try byHand { $0.rules = ListedRule.parse(plain) + ListedRule.parse(plain, isIPv6: true) }.allSatisfy {
                $0.severity == .ok
            })
    }

    /// Only a port that is ours alone tells that a rule is.
    @Test func rulesByHandThatMayBeOurs() throws {
        func rulesByHand(_ rule: String) throws -> Finding {
            let table = "table inet other {\n\tchain a {\n\t\ttcp dport 80 \(rule)\n\t}\n}"
            var state = SystemState()
            state.interfaces = ["lo": true, "eth1": true]
            state.ruleset = ForeignRuleset(parsing: table)
            let found = examine(try Plan(Situation.redirect.spec), state, manages: false)
            return try #require(found.first { $0.subject == "rules by hand" })
        }
        #expect(try rulesByHand("redirect to :1081").severity == .ok)
        for (rule, words) in [
            ("redirect to :1000-2000", "intercepts to ports 1000-2000"), ("redirect", "intercepts without saying to which port"),
            ("redirect to :1080-1081 random", "intercepts to ports 1080-1081"),
            ("redirect to :tcp dport map { 80 : 1081 }", "intercepts without saying to which port"),
        ] {
            let found = try rulesByHand(rule)
            #expect(found.severity == .warning && found.exitCode == 0 && found.message.contains(words), "\(rule)")
        }
        #expect(try rulesByHand("redirect to :2000-3000").severity == .problem)
        #expect(
            try byHand { $0.ruleset = ForeignRuleset(parsing: "table ip m {\n\tchain a {\n\t\txt target \"TPROXY\"\n\t}\n}") }
                .filter { $0.severity > .ok }.map(\.subject) == ["rules by hand"])
    }

    @Test func rulesByHandAreWantedInEachFamily() throws {
        let ours = "1001:\tfrom all fwmark 0x2000000/0x3000000 iif eth1 lookup 7100"
        for isIPv6 in [false, true] {
            let found = try byHand { $0.rules = ListedRule.parse("\(ours)\n\(ours)", isIPv6: isIPv6) }.filter { $0.severity > .ok }
            #expect(found.map(\.subject) == ["ip rule"])
            #expect(found.first?.message.hasPrefix("missing for \(isIPv6 ? "IPv4" : "IPv6"): ") == true)
        }
    }

    /// A note changes no exit status.
    @Test func portsThatWaitAreNoted() throws {
        for value in ["0", "2"] {
            let found = try only(.gateway) { $0.sysctls["net.ipv4.tcp_tw_reuse"] = value }
            #expect(found.severity == .note && found.severity < .warning && found.exitCode == 0)
            #expect(found.message.hasPrefix("is \(value): ") && found.remedy == "sysctl -w net.ipv4.tcp_tw_reuse=1")
        }
        #expect(try findings(.gateway) { $0.sysctls["net.ipv4.tcp_tw_reuse"] = "1" } == [])
        var state = SystemState()
        state.interfaces = ["lo": true, "eth1": true]
        state.sysctls["net.ipv4.tcp_tw_reuse"] = "2"
        let preserving = examine(try Plan(Situation.gateway.spec), state, dialsByItself: false)
        #expect(preserving.allSatisfy { $0.severity == .ok })
    }

    @Test func rulesByHandAreMissed() throws {
        func only(_ change: (inout SystemState) -> Void) throws -> Finding {
            let found = try byHand(change).filter { $0.severity > .ok }
            #expect(found.count == 1)
            return try #require(found.first)
        }
        let table = try only { $0.ruleset = ForeignRuleset(parsing: "table inet other {\n}") }
        #expect(table.subject == "rules by hand" && table.remedy?.hasPrefix("clearway rules") == true && table.exitCode == 0)
        // Where the routing is missing, too, nobody has made any.
        let nothing = try byHand { ($0.ruleset, $0.rules) = (ForeignRuleset(parsing: ""), []) }
        #expect(nothing.filter { $0.severity == .problem }.map(\.subject) == ["rules by hand"])
        #expect(nothing.map(\.exitCode).max() == 71)
        let rule = try only { $0.rules.removeLast() }
        #expect(rule.message.contains("pref 1001 iif eth1 fwmark 0x02000000/0x03000000 lookup 7100"))
        #expect(try only { $0.missingRoutes = ["IPv6"] }.message.hasPrefix("missing for IPv6: local default dev lo"))
        #expect(try only { $0.sysctls["net.ipv4.tcp_early_demux"] = "1" }.remedy == "sysctl -w net.ipv4.tcp_early_demux=0")
        #expect(try only { $0.heldShifts = [] }.exitCode == 71)  // Somebody else is on our port.
        let second =
            "table inet clearway {\n\tchain a {\n\t\ttproxy to :1081\n\t}\n}\ntable ip two {\n\tchain x {\n\t\ttproxy to :1\n\t}\n}"
        #expect(try only { $0.ruleset = ForeignRuleset(parsing: second) }.subject == "nft table ip two")
    }

    @Test func rulesByHandNeedLess() throws {
        var state = SystemState()
        state.interfaces = ["lo": true, "eth1": true]
        state.capable = false
        state.missingPrograms = ["nft", "ip"]
        #expect(
            examine(try Plan(Situation.redirect.spec), state, manages: false).filter { $0.severity > .ok }.map(\.severity)
                == [.warning, .warning, .warning])
        (state.capable, state.missingPrograms) = (true, [])
        func exitCode(_ change: (inout SystemState) -> Void) throws -> Int32? {
            var changed = state
            change(&changed)
            return examine(try Plan(Situation.redirect.spec), changed, manages: false).map(\.exitCode).max()
        }
        #expect(try exitCode { _ in } == 71)
        // A redirect has no routing by which rules of another name could be told.
        let other = "table ip nat {\n\tchain ours {\n\t\ttcp dport 80 redirect to :1081\n\t}\n}"
        #expect(try exitCode { $0.ruleset = ForeignRuleset(parsing: other) } == 0)
        #expect(try exitCode { $0.mayHaveLegacyRules = true } == 0)
        // What could not be asked is not missing.
        #expect(try exitCode { $0.failedCommands = ["nft -s list ruleset"] } == 0)
        let unasked = try byHand {
            ($0.ruleset, $0.rules) = (ForeignRuleset(parsing: ""), [])
            $0.failedCommands = ["nft -s list ruleset", "ip -4 -N rule show"]
        }
        #expect(unasked.filter { $0.severity > .ok }.map(\.subject) == ["command", "command"])
        #expect(unasked.allSatisfy { $0.exitCode == 0 })
        state.capable = false
        #expect(examine(try Plan(Situation.gateway.spec), state, manages: false).map(\.exitCode).max() == 77)
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
        #expect(found.interceptions.map(\.table) == ["ip filter"])
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
        #expect(localAddresses(lines, in: "0A") == [SocketAddress("127.0.0.1:1081")!, SocketAddress("[::1]:1081")!])
    }

    @Test func datagramSocketsInTheWay() throws {
        let dns = SocketAddress("0.0.0.0:53")!
        // With CAP_NET_RAW an answer does without a socket on the port.
        #expect(try findings(.datagrams) { $0.receiving = [dns] } == [])
        let held = try only(.datagrams) {
            ($0.rawCapable, $0.receiving) = (false, [dns, SocketAddress("[::]:53")!, SocketAddress("192.0.2.1:54")!])
        }
        #expect(held.severity == .warning && held.subject == "UDP port 53" && held.remedy?.contains("cap_net_raw") == true)
        // Only ports that are intercepted, and only of those who intercept datagrams.
        for situation in [Situation.gateway, .both] {
            #expect(
                try findings(situation) {
                    ($0.rawCapable, $0.receiving) = (false, [SocketAddress("0.0.0.0:5060")!])
                    $0.interfaces["br0"] = true
                }.count { $0.subject == "UDP port 5060" } == (situation == .both ? 1 : 0))
        }
        let taken = try only(.datagrams) { $0.receiving = [SocketAddress("0.0.0.0:1081")!] }
        #expect(taken.exitCode == 71 && taken.message == "a program already receives datagrams on 0.0.0.0:1081")
        #expect(
            try findings(.datagrams) {
                ($0.receiving, $0.rawCapable) = ([SocketAddress("0.0.0.0:1081")!], false)
                ($0.ruleset.tables, $0.heldShifts) = (["inet clearway"], [24])
            } == [])
        // A TCP socket is in nobody's way here, and UDP is not in TCP's.
        #expect(try findings(.datagrams) { $0.listening = [SocketAddress("0.0.0.0:1081")!] } == [])
        #expect(try findings(.gateway) { $0.receiving = [SocketAddress("0.0.0.0:1081")!] } == [])
        let lines =
            "  sl  local_address rem_address   st\n 70: 00000000:0035 00000000:0000 07 0 0\n 71: 0100007F:0036 0100007F:1 01 0 0"
        #expect(localAddresses(lines, in: "07") == [dns])
    }

    @Test func descriptorLimit() throws {
        let few: (inout SystemState) -> Void = {
            $0.hardLimit = 20_000
            $0.sessions = 8_826
        }
        #expect(try only(.host, few).message.hasSuffix(": 8826 sessions at once"))
        #expect(try findings(.host) { $0.hardLimit = 65_536 } == [])
        #expect(try only(.host) { $0.sessions = 0 }.exitCode == 71)
        // Who wants no more needs no more.
        var state = SystemState()
        few(&state)
        let plan = try Plan(Situation.host.spec)
        #expect(examine(plan, state, maxSessions: 8_826).allSatisfy { $0.severity == .ok })
        #expect(examine(plan, state, maxSessions: 8_827).contains { $0.subject == "descriptor limit" && $0.severity == .warning })
    }

    @Test func interfacesAreRead() {
        let text = """
            1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN
            2: eth0@if7: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN
            """
        #expect(interfaceStates(text) == ["lo": true, "eth0": false])
    }

    @Test func aProgramReplacedWhileItRunsIsNamedAsItWas() {
        #expect(withoutDeleted("/usr/local/bin/clearway (deleted)") == "/usr/local/bin/clearway")
        #expect(withoutDeleted("/usr/local/bin/clearway") == "/usr/local/bin/clearway")
    }

    @Test func gathersInANamespace() throws {
        let namespace = try Namespace()
        try namespace.shell("ip link add eth1 type veth peer name eth2; nft add table inet other; ip rule add pref 5 lookup 52")
        try namespace.run {
            let plan = try Plan(Situation.everything.spec)
            let state = SystemState.gather(plan)
            #expect(state.executable != SystemState().executable && access(state.executable, X_OK) == 0)
            #expect(state.capable && state.missingPrograms.isEmpty && state.missingFeatures.isEmpty && state.missingIPv6 == nil)
            #expect(state.failedCommands.isEmpty && !state.mayHaveLegacyRules)
            #expect(state.interfaces == ["lo": true, "eth1": false, "eth2": false])
            #expect(state.ruleset.tables == ["inet other"])
            #expect(state.rules.contains { $0.preference == 5 && $0.table == 52 })
            #expect(state.sysctls["net.ipv4.ip_forward"] == "0")
            #expect(state.listening.isEmpty && state.heldShifts.isEmpty)
            #expect(try namespace.shell("nft list ruleset") == "table inet other {\n}\n")
        }
    }
}
