import Glibc
import Testing
import TransparentSockets

@testable import Firewall

/// The texts stand in `Golden/`. After a wished change: `UPDATE_GOLDEN=1 swift test --filter Golden`, then read the diff.
@Suite struct GoldenTests {
    @Test(arguments: Situation.allCases, Plan.Format.allCases)
    func rendered(_ situation: Situation, _ format: Plan.Format) throws {
        let text = try Plan(situation.spec).rendered(format)
        let folder = #filePath.prefix(through: #filePath.lastIndex(of: "/")!) + "Golden/"
        let file = "\(folder)\(situation.rawValue).\(format.rawValue)"
        if getenv("UPDATE_GOLDEN") != nil {
            let stream = try #require(fopen(file, "w"))
            fputs(text, stream)
            fclose(stream)
        }
        #expect(contents(of: file) == text)
    }

    @Test func ownedTableDiffersByItsFlagAlone() throws {
        let plan = try Plan(Situation.gateway.spec)
        #expect(
            plan.interceptionTable(owned: true)
                == plan.interceptionTable(owned: false)
                .split(separator: "{\n", maxSplits: 1).joined(separator: "{\n\tflags owner\n"))
    }

    @Test func downTableOnlyWhenWished() throws {
        #expect(try Plan(Situation.gateway.spec).downTableText == nil)
        #expect(try Plan(Situation.redirect.spec).downTableText?.contains("reject with tcp reset") == true)
    }

    @Test func oneFamilyAlone() throws {
        var spec = Situation.everything.spec
        spec.families = Families(ipv4: true, ipv6: false)
        for format in Plan.Format.allCases {
            let text = try Plan(spec).rendered(format)
            #expect(!text.contains("ip6") && !text.contains("ip -6") && !text.contains("nfproto ipv6"))
        }
    }

    @Test func refusedSpecifications() {
        func refused(_ change: (inout FirewallSpec) -> Void) -> PlanError? {
            var spec = Situation.host.spec
            change(&spec)
            do {
                _ = try Plan(spec)
                return nil
            } catch { return error }
        }
        #expect(refused { $0.table = "a b" } == .name("a b"))
        #expect(refused { $0.table = "9" } == .name("9"))
        #expect(refused { $0.interceptions[0].local = false } == .nothingIntercepted)
        #expect(refused { $0.interceptions = [] } == .nothingIntercepted)
        #expect(refused { $0.priority = -200 } == .priority(-200))
        #expect(refused { $0.priority = -199 } == nil)
        // Those of other packets than our own, and any bits outside the window.
        for mark: UInt32 in [0x0200_0000, 0x0300_0077] {
            #expect(refused { $0.exitMarks = [0x77, mark] } == .exitMark(mark, window: 0x0300_0000))
        }
        #expect(refused { $0.exitMarks = [0x77, 0x0100_0077, 0xFC00_0000] } == nil)
        #expect(refused { $0.interceptions[0].interfaces = ["lo"] } == .loopbackInterface(listener: "tproxy-1081"))
        #expect(refused { $0.interceptions[0].interfaces = ["eth0\"; x"] } == .name("eth0\"; x"))
        #expect(refused { $0.interceptions[0].interfaces = ["abcdefghijklmnop"] } == .name("abcdefghijklmnop"))
        #expect(
            refused {
                $0.interceptions[0].mode = .redirect
                $0.interceptions[0].protocols = [.udp]
            } == .redirectedDatagrams(listener: "tproxy-1081"))
        #expect(
            refused {
                $0.interceptions[0].mode = .redirect
                $0.interceptions[0].interfaces = ["eth1"]
                $0.interceptions[0].listen = listening("127.0.0.1:1")
            } == .loopbackRedirect(listener: "tproxy-1081", address: listening("127.0.0.1:1")[0]))
    }

    /// What was intercepted once adds up; without a reload there is nothing to add.
    @Test func needsAddUp() throws {
        let plain = Situation.gateway.spec
        var reloaded = plain
        reloaded.carried = plain.needs
        #expect(try Plan(reloaded).interceptionTable(owned: true) == Plan(plain).interceptionTable(owned: true))
        #expect(try Plan(reloaded).rules == Plan(plain).rules)

        reloaded.carried = Situation.everything.spec.needs
        let again = reloaded.needs
        #expect(again.interfaces == ["eth1", "vlan*", "*"] && again.anywhere && again.local && again.translatedGateway)
        #expect(again.ports == [1081, 1082, 1083])
        #expect(!again.untracked && !again.translatedLocal)
        #expect(reloaded.draining.needs == again)
    }

    @Test func rememberedInterfacesAreBounded() {
        func needs(_ interfaces: [String]) -> SessionNeeds {
            SessionNeeds([Interception(name: "a", mode: .tproxy, listen: listening("[::]:1"), interfaces: interfaces)])
        }
        var all = needs(["ppp0"])
        for number in 1...SessionNeeds.rememberedInterfaces { all = needs(["ppp\(number)"]).adding(all) }
        #expect(all.interfaces.count == SessionNeeds.rememberedInterfaces + 1 && all.namedInterfaces != nil)
        all = needs(["eth0"]).adding(all)
        #expect(all.interfaces == ["eth0", "*"] && all.divertedInterfaces == ["*"] && all.namedInterfaces == nil)
    }

    /// What TCP packets meet is the same with UDP beside it: as many rules in each of their chains.
    @Test(arguments: [Situation.host, .gateway, .everything, .preserving])
    func tcpPacketsPassAsManyRules(_ situation: Situation) throws {
        var spec = situation.spec
        spec.earlierPorts = [53]
        let without = try Plan(spec)
        for index in spec.interceptions.indices where spec.interceptions[index].mode == .tproxy {
            spec.interceptions[index].protocols = [.tcp, .udp]
        }
        let with = try Plan(spec)
        for (plain, mixed) in [
            (without.interceptionTable(owned: true), with.interceptionTable(owned: true)),
            (without.downTableText ?? "", with.downTableText ?? ""),
        ] {
            let chains = lengths(mixed)
            #expect(lengths(plain).allSatisfy { chains[$0.key] == $0.value })
            // What is more belongs to UDP, and no packet comes there but by a rule that asks for what is not TCP.
            #expect(chains.keys.filter { lengths(plain)[$0] == nil }.allSatisfy { $0.hasPrefix("udp_") })
            #expect(!mixed.split(separator: "chain udp_").dropFirst().contains { $0.prefix(100).contains("hook") })
        }
    }

    private func lengths(_ table: String) -> [Substring: Int] {
        var result: [Substring: Int] = [:]
        for chain in table.split(separator: "\tchain ").dropFirst() {
            let lines = chain.split(separator: "\n")
            result[lines[0].prefix { $0 != " " }] = lines.prefix { $0 != "\t}" }.count
        }
        return result
    }

    /// Flows need nothing when their interception is gone; what TCP needs stays.
    @Test func datagramsLeaveNothingBehind() throws {
        let draining = try Plan(Situation.datagrams.spec.draining)
        #expect(draining.rules == [] && draining.route == nil && draining.sysctls == [])
        #expect(draining.interceptionTable(owned: false) == "table inet clearway {\n}\n")
        #expect(Situation.datagrams.spec.needs == SessionNeeds())
        let both = try Plan(Situation.both.spec.draining)
        let text = both.interceptionTable(owned: true)
        #expect(!text.contains("udp") && text.contains("meta l4proto != tcp accept") && both.downTableText == nil)
        // Early demux is in the way of TCP alone.
        #expect(try Plan(Situation.datagrams.spec).sysctls == [])
    }

    @Test func aListenerWithoutAScopeMakesNoRules() throws {
        var spec = Situation.gateway.spec
        spec.interceptions.append(
            Interception(name: "idle", mode: .tproxy, protocols: [.udp], listen: listening("[::]:1082")))
        #expect(!(try Plan(spec).interceptionTable(owned: true).contains("udp")))
    }

    @Test func portsAreMerged() {
        #expect(merged([]) == [])
        #expect(merged([1...65535]) == [])
        #expect(merged([0...65535]) == [])
        #expect(merged([1...100, 101...65535]) == [])
        #expect(merged([80...80, 8080...8090, 8085...9000]) == [80...80, 8080...9000])
        #expect(merged([65535...65535, 1...1]) == [1...1, 65535...65535])
    }

    @Test func chainNamesAreSafeAndDifferent() {
        #expect(chainNames(["gateway_a b", "gateway_a-b", "gateway_ü"]) == ["gateway_a_b", "gateway_a_b_2", "gateway___"])
    }
}
