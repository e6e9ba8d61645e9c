import CSockets
import Glibc
import Testing
import TransparentSockets

@testable import Firewall

@Suite(.serialized) struct OwnedFirewallTests {
    init() { signal(SIGPIPE, SIG_IGN) }

    private func state(_ namespace: Namespace) throws -> String {
        try namespace.shell(
            "nft list ruleset; ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all; sysctl net.ipv4.tcp_early_demux"
        )
    }

    @Test(arguments: Situation.allCases, [false, true])
    func appliedAndTakenAway(_ situation: Situation, canSweep: Bool) throws {
        let namespace = try Namespace()
        let before = try state(namespace)
        try namespace.run {
            let firewall = try OwnedFirewall.apply(situation.spec, canSweep: canSweep)
            #expect(firewall.notices == [])
            #expect(firewall.isOwned)
            let table = try namespace.shell("nft list table inet \(situation.spec.table)")
            #expect(table.contains("flags owner"))
            for family in ["-4", "-6"] {
                let rules = try namespace.shell("ip \(family) rule")
                #expect(
                    rules.split(separator: "proto 193", omittingEmptySubsequences: false).count - 1 == firewall.plan.rules.count)
            }
            #expect(try namespace.shell("nft list tables").contains("_down") == (firewall.plan.downTableText != nil))
            #expect(try namespace.shell("sysctl -n net.ipv4.tcp_early_demux") == (firewall.plan.sysctls.isEmpty ? "1\n" : "0\n"))
            #expect((firewall.sweeper != nil) == (canSweep && situation.spec.leavesSocketsInTheWay))
            let saved = try #require(SavedSettings.path())
            #expect((access(saved, F_OK) == 0) == !firewall.plan.sysctls.isEmpty)
            firewall.remove()
            #expect(!firewall.isOwned)
            #expect(access(saved, F_OK) != 0)
            firewall.remove()
        }
        #expect(try state(namespace) == before)
    }

    @Test func tableDiesWithItsOwnerAndComesBack() throws {
        let namespace = try Namespace()
        try namespace.run {
            let firewall = try OwnedFirewall.apply(Situation.redirect.spec)
            let child = try #require(firewall.owner?.pid)
            kill(child, SIGKILL)
            var stream = pollfd(fd: firewall.childDescriptor, events: Int16(POLLIN), revents: 0)
            #expect(poll(&stream, 1, 5000) == 1)
            #expect(!firewall.isOwned)
            #expect(!(try namespace.shell("nft list tables").contains("table inet clearway\n")))
            // What refuses outlives it.
            #expect(try namespace.shell("nft list tables").contains("table inet clearway_down\n"))
            try firewall.reapply()
            #expect(firewall.isOwned)
            #expect(try namespace.shell("nft list tables").contains("table inet clearway\n"))
            firewall.remove()
        }
    }

    @Test func survivesTheFlushOfOthers() throws {
        let namespace = try Namespace()
        try namespace.run {
            let firewall = try OwnedFirewall.apply(Situation.gateway.spec)
            let before = try namespace.shell("nft list table inet clearway")
            try namespace.shell("nft flush ruleset")
            #expect(try namespace.shell("nft list table inet clearway") == before)
            #expect(throws: CommandFailed.self) { try namespace.shell("nft delete table inet clearway") }
            firewall.remove()
        }
    }

    @Test func replacedInOneTransaction() throws {
        let namespace = try Namespace()
        try namespace.run {
            let firewall = try OwnedFirewall.apply(Situation.gateway.spec)
            // Every state of the ruleset the kernel announces; a moment without the table would be a generation of its own.
            let log = try memoryFile("")
            let read = { fileText("/proc/self/fd/\(log.raw)") ?? "" }
            let monitor = try Tool.find("nft").spawn(["monitor"], descriptors: [log.raw, log.raw, log.raw])
            defer {
                kill(monitor, SIGKILL)
                reap(monitor)
            }
            while read().isEmpty { try namespace.shell("nft 'add table inet warm; delete table inet warm'") }
            var next = Situation.gateway.spec
            next.interceptions[0].listen = listening("[::]:2081")
            next.interceptions[0].local = true
            next.onDown = .reject
            try firewall.replace(with: next)
            let text = try namespace.shell("nft list table inet clearway")
            #expect(text.contains(":2081") && !text.contains(":1081") && text.contains("hook output"))
            #expect(try namespace.shell("nft list tables").contains("clearway_down"))
            while !read().contains("add table inet clearway_down") { sched_yield() }
            let lines = read().split(separator: "\n")
            let deleted = try #require(lines.firstIndex { $0.contains("delete table inet clearway") })
            let added = try #require(
                lines.firstIndex { $0.contains("add table inet clearway ") || $0 == "add table inet clearway" })
            #expect(!lines[min(deleted, added)...max(deleted, added)].contains { $0.contains("new generation") })

            var refusedSpec = next
            refusedSpec.interceptions[0].exclude = [network("10.0.0.0/8")]
            refusedSpec.marks = Marks(shift: 26)
            #expect(throws: FirewallError.self) { try firewall.replace(with: refusedSpec) }
            #expect(try namespace.shell("nft list table inet clearway") == text)
            try firewall.replace(with: Situation.gateway.spec)
            #expect(!(try namespace.shell("nft list tables").contains("clearway_down")))
            firewall.remove()
        }
    }

    /// The child dies, and the drain comes before the rules are there again: nobody listens by then.
    @Test func nothingIsInterceptedAgainWhileDraining() throws {
        let namespace = try Namespace()
        try namespace.run {
            let firewall = try OwnedFirewall.apply(Situation.redirect.spec)
            kill(try #require(firewall.owner?.pid), SIGKILL)
            var stream = pollfd(fd: firewall.childDescriptor, events: Int16(POLLIN), revents: 0)
            #expect(poll(&stream, 1, 5000) == 1)
            try firewall.drain()
            // What refused in place of the listeners goes as in any drain.
            #expect(!(try namespace.shell("nft list tables").contains("clearway_down")))
            try firewall.reapply()
            #expect(firewall.isOwned)
            let text = try namespace.shell("nft list table inet clearway")
            #expect(text.contains("ct state established") && !text.contains("redirect"))
            #expect(!(try namespace.shell("nft list tables").contains("clearway_down")))
            firewall.remove()
        }
    }

    /// Between an old rule and a new one a marked packet finds a route all the time.
    @Test func routingRulesAreAddedBeforeOthersGo() throws {
        let namespace = try Namespace()
        try namespace.run {
            let log = try memoryFile("")
            let monitor = try Tool.find("ip").spawn(["monitor", "rule"], descriptors: [log.raw, log.raw, log.raw])
            defer {
                kill(monitor, SIGKILL)
                reap(monitor)
            }
            let read = { fileText("/proc/self/fd/\(log.raw)") ?? "" }
            while read().isEmpty { try namespace.shell("ip rule add pref 9 lookup 9; ip rule del pref 9") }
            // Left by an earlier life, with another table.
            var earlier = Situation.gateway.spec
            earlier.routeTable = 7300
            let routing = Routing(ip: try Tool.find("ip"))
            try routing.install(try Plan(earlier))
            try routing.install(try Plan(Situation.gateway.spec))
            while !read().contains("lookup 7100") || !read().contains("Deleted 1001") { sched_yield() }
            let lines = read().split(separator: "\n").filter { $0.contains("1001:") }
            let added = try #require(lines.firstIndex { $0.contains("lookup 7100") })
            let deleted = try #require(lines.firstIndex { $0.hasPrefix("Deleted") })
            #expect(added < deleted && lines[deleted].contains("lookup 7300"))
            let left = ListedRule.parse(try namespace.shell("ip -4 -N rule")).filter(\.isOurs)
            #expect(left.map(\.table) == [7100])
            try routing.remove(try Plan(Situation.gateway.spec))
        }
    }

    /// A start without a gateway has nothing to sweep; when one is added, what can be swept decides about early demux.
    @Test(arguments: [true, false]) func aGatewayIsAddedLater(canSweep: Bool) throws {
        let namespace = try Namespace()
        let before = try state(namespace)
        try namespace.run {
            var spec = Situation.host.spec
            spec.forwarding = true
            let firewall = try OwnedFirewall.apply(spec, canSweep: canSweep)
            #expect(firewall.sweeper == nil)
            #expect(try firewall.replace(with: Situation.gateway.spec))
            #expect((firewall.sweeper != nil) == canSweep)
            #expect(try namespace.shell("sysctl -n net.ipv4.tcp_early_demux") == (canSweep ? "1\n" : "0\n"))
            firewall.remove()
        }
        #expect(try state(namespace) == before)
    }

    @Test func neighboursAreLeftAlone() throws {
        let namespace = try Namespace()
        try namespace.shell(
            """
            iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER; iptables -t nat -N DOCKER
            iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER; iptables -P FORWARD DROP
            nft 'table inet firewalld { chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept; ct state established accept; reject; }; }'
            ip rule add pref 5210 fwmark 0x80000/0xff0000 lookup main; ip rule add pref 5270 lookup 52
            """)
        let before = try state(namespace)
        try namespace.run {
            let firewall = try OwnedFirewall.apply(Situation.redirect.spec)
            #expect(try namespace.shell("nft list ruleset") != before)
            firewall.remove()
        }
        #expect(try state(namespace) == before)
    }

    /// The child is killed and everything forgotten, as after a SIGKILL of the process: only one life's worth stays.
    @Test func startsAndKillsLeaveNoGrowth() throws {
        let namespace = try Namespace()
        let before = try state(namespace)
        var afterFirst: String?
        for _ in 0..<50 {
            try namespace.run {
                let (choice, reservation) = try MarkReservation.choose()
                #expect(choice.marks == Marks(shift: 24))
                var spec = Situation.everything.spec
                (spec.marks, spec.routeTable, spec.preference) = (choice.marks, choice.routeTable, choice.preference)
                let firewall = try OwnedFirewall.apply(spec)
                #expect(firewall.isOwned)
                _ = reservation.marks
                // Forgotten without `remove()`: the pipe closes, as it does when the process dies.
            }
            let left = try state(namespace)
            #expect(left == afterFirst ?? left)
            #expect(!left.contains("table inet edge {"))
            afterFirst = left
        }
        try namespace.run { try OwnedFirewall.apply(Situation.everything.spec).remove() }
        try namespace.run {
            var spec = Situation.everything.spec
            spec.marks = Marks(shift: 24)
            try OwnedFirewall.apply(spec).remove()
        }
        #expect(try state(namespace) == before)
    }

    @Test func twoSideBySide() throws {
        let namespace = try Namespace()
        let before = try state(namespace)
        try namespace.run {
            var firewalls: [(OwnedFirewall, MarkReservation)] = []
            for table in ["one", "two"] {
                let (choice, reservation) = try MarkReservation.choose()
                var spec = Situation.gateway.spec
                (spec.table, spec.marks, spec.routeTable, spec.preference) = (
                    table, choice.marks, choice.routeTable, choice.preference
                )
                // The setting is what the two share.
                firewalls.append((try OwnedFirewall.apply(spec, canSweep: false), reservation))
            }
            #expect(firewalls.map(\.1.marks.shift) == [24, 26])
            firewalls[0].0.remove()
            #expect(firewalls[1].0.isOwned)
            #expect(try namespace.shell("ip rule").contains("lookup 7101"))
            #expect(!(try namespace.shell("ip rule").contains("lookup 7100")))
            #expect(try namespace.shell("sysctl -n net.ipv4.tcp_early_demux") == "0\n")
            firewalls.removeFirst()
            firewalls[0].0.remove()
        }
        #expect(try state(namespace) == before)
    }

    private func failure(_ spec: FirewallSpec) -> FirewallError? {
        do throws(FirewallError) {
            _ = try OwnedFirewall.apply(spec)
            return nil
        } catch { return error }
    }

    @Test func aForeignTableOfOurNameIsRespected() throws {
        let namespace = try Namespace()
        try namespace.shell("nft add table inet clearway")
        let before = try state(namespace)
        try namespace.run {
            let error = self.failure(Situation.gateway.spec)
            #expect(error?.kind == .tableTaken)
            #expect(error?.exitCode == 71)
        }
        #expect(try state(namespace) == before)
    }

    @Test func withoutCapabilityNothingIsTried() throws {
        let namespace = try Namespace()
        let before = try state(namespace)
        try namespace.run {
            // Of this thread alone; it ends with the test.
            try #require(cs_drop_capabilities() == 0)
            let error = self.failure(Situation.gateway.spec)
            #expect(error?.kind == .notPermitted)
            #expect(error?.exitCode == 77)
            #expect(error?.description.contains("CAP_NET_ADMIN") == true)
        }
        #expect(try state(namespace) == before)
    }

    @Test func aFailingStepLeavesNothing() throws {
        let namespace = try Namespace()
        try namespace.shell("ip link set lo down")
        let before = try state(namespace)
        try namespace.run {
            let error = self.failure(Situation.redirect.spec)
            // A redirect needs no route; the gateway does.
            #expect(error == nil)
            #expect(self.failure(Situation.gateway.spec)?.description.contains("ip link set lo up") == true)
        }
        try namespace.run { try OwnedFirewall.apply(Situation.redirect.spec).remove() }
        #expect(try state(namespace) == before)
    }

    @Test func withoutIPv6ItsPartsAreLeftOut() throws {
        let namespace = try Namespace()
        try namespace.shell("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
        try namespace.run {
            let firewall = try OwnedFirewall.apply(Situation.everything.spec)
            #expect(firewall.notices.count == 1 && firewall.notices[0].contains("IPv6"))
            #expect(!(try namespace.shell("nft list table inet edge").contains("ip6")))
            #expect(!(try namespace.shell("ip -6 rule").contains("193")))
            firewall.remove()
        }
    }

    /// Overlapping networks are one set to the kernel.
    @Test func overlappingNetworks() throws {
        let namespace = try Namespace()
        try namespace.run {
            var spec = Situation.gateway.spec
            spec.interceptions[0].exclude = [
                network("10.0.0.0/8"), network("10.1.0.0/16"), network("10.1.2.3"), network("0.0.0.0/0"),
            ]
            try OwnedFirewall.apply(spec).remove()
        }
    }
}
