internal import TransparentSockets

extension Plan {
    /// Commands for a shell, as ``shellScript``, because no other form holds both families.
    var iptablesScript: String {
        let families = [false, true].filter { $0 ? spec.families.ipv6 : spec.families.ipv4 }.map {
            IptablesFamily(spec: spec, ipv6: $0)
        }
        var text = """
            #!/bin/sh
            # The same rules for iptables: run this with sh. It may be run again. The end of this text takes them away, which is also
            # what to do before the configuration changes.
            # They belong to no process: they stay when the proxy stops or is killed.
            # iptables' TPROXY drops a packet when no listener takes it: on_down = "direct" cannot be had this way.

            """
        text += inSubshell(families.map(\.text).joined())
        text += "\n# Undo:\n"
        for family in families { text += family.undo }
        for command in undoCommands { text += "#   \(command)\n" }
        return text
    }
}

struct IptablesFamily {
    let spec: FirewallSpec
    let ipv6: Bool

    private let syn = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN"

    /// A table's chains and rules, and the jumps from the kernel's own chains.
    struct Table {
        let name: String
        var chains: [String] = []
        var jumps: [String] = []
        var rules: [String] = []
    }

    private var tables: [Table] { [raw, mangle, nat, filter].filter { !$0.jumps.isEmpty } }

    private var program: String { ipv6 ? "ip6tables" : "iptables" }

    /// The chains, each emptied and filled in one go, and then the jumps to them that are not there yet.
    var text: String {
        guard !tables.isEmpty else { return "" }
        let chains = tables.flatMap { table in
            ["*\(table.name)"] + table.chains.map { ":\($0) - [0:0]" } + table.rules + ["COMMIT"]
        }
        let jumps = tables.flatMap { table in
            table.jumps.map { jump in
                "\(program) -t \(table.name) -C \(jump) 2>/dev/null || \(program) -t \(table.name) -A \(jump)"
            }
        }
        return (["\(program)-restore --noflush <<'RULES'"] + chains + ["RULES"] + jumps).map { $0 + "\n" }.joined()
    }

    var undo: String {
        tables.map { table in
            (table.jumps.map { "-D \($0)" } + table.chains.map { "-F \($0)" } + table.chains.reversed().map { "-X \($0)" })
                .map { "#   \(program) -t \(table.name) \($0)\n" }.joined()
        }.joined()
    }

    private func members(_ mode: InterceptionMode) -> [Interception] {
        spec.interceptions.filter { $0.mode == mode && $0.protocols.contains(.tcp) && !$0.listeners(ipv6: ipv6).isEmpty }
    }

    func mark(_ value: UInt32) -> String { "\(hex(value))/\(hex(spec.marks.mask))" }

    // ---- tables ----

    /// Keeps a preserved source out of connection tracking, where the client's redirected connection is already.
    private var raw: Table {
        var table = Table(name: "raw")
        guard members(.redirect).contains(where: \.preservesSource) else { return table }
        let incoming = name("raw_pre")
        let outgoing = name("raw_out")
        table.chains = [incoming, outgoing]
        table.jumps = ["PREROUTING -p tcp -j \(incoming)", "OUTPUT -p tcp -j \(outgoing)"]
        table.rules = [
            "-A \(incoming) -p tcp -m tcp ! --tcp-flags SYN,ACK SYN -m socket --transparent -j CT --notrack",
            "-A \(outgoing) -m mark --mark \(mark(spec.marks.own)) -m addrtype ! --src-type LOCAL -j CT --notrack",
        ]
        return table
    }

    private var mangle: Table {
        var table = Table(name: "mangle")
        let members = members(.tproxy)
        if spec.divertsGateway || !members.isEmpty {
            let chain = name("pre")
            table.chains.append(chain)
            table.jumps.append("PREROUTING -p tcp -j \(chain)")
            if spec.divertsGateway {
                let divert = "-A \(chain) ! -i lo -p tcp -m tcp ! --tcp-flags SYN,ACK SYN -m socket --transparent"
                table.rules.append("\(divert) -j MARK --set-xmark \(mark(spec.marks.gateway))")
                table.rules.append("\(divert) -j ACCEPT")
            }
            if !members.isEmpty { exclusions(chain, &table) }
            for (index, member) in members.enumerated() {
                let address = member.listeners(ipv6: ipv6)[0]
                for gateway in [false, true] where gateway ? !member.interfaces.isEmpty : member.local {
                    let inner = name("\(gateway ? "g" : "l")\(index)")
                    if gateway {
                        table.rules += jumps(chain, member, to: inner)
                    } else {
                        table.rules.append("-A \(chain) -i lo -m mark --mark \(mark(spec.marks.local)) -j \(inner)")
                    }
                    let at = address.address.isUnspecified ? "" : " --on-ip \(address.address)"
                    let value = gateway ? spec.marks.gateway : spec.marks.local
                    criteria(
                        inner, member,
                        actions: ["-p tcp -j TPROXY --on-port \(address.port)\(at) --tproxy-mark \(mark(value))"], &table)
                }
            }
        }
        let local = members.enumerated().filter { $0.element.local }
        if !local.isEmpty {
            let chain = name("out")
            table.chains.append(chain)
            table.jumps.append("OUTPUT -p tcp -j \(chain)")
            table.rules.append("-A \(chain) -m mark --mark \(mark(spec.marks.own)) -j RETURN")
            exits(chain, &table)
            let opened = "-A \(chain) -m conntrack --ctdir ORIGINAL -m connmark --mark \(mark(spec.marks.local))"
            table.rules.append("\(opened) -j MARK --set-xmark \(mark(spec.marks.local))")
            table.rules.append("-A \(chain) -m conntrack ! --ctstate NEW -j RETURN")
            exclusions(chain, &table)
            for (index, member) in local {
                let inner = name("o\(index)")
                table.rules.append("-A \(chain) -j \(inner)")
                criteria(
                    inner, member,
                    actions: [
                        "-j CONNMARK --set-xmark \(mark(spec.marks.local))", "-j MARK --set-xmark \(mark(spec.marks.local))",
                    ], &table)
            }
        }
        interceptDatagrams(&table)
        return table
    }

    private var nat: Table {
        var table = Table(name: "nat")
        let members = members(.redirect)
        for gateway in [true, false] where members.contains(where: { gateway ? !$0.interfaces.isEmpty : $0.local }) {
            let chain = name(gateway ? "npre" : "nout")
            table.chains.append(chain)
            table.jumps.append("\(gateway ? "PREROUTING" : "OUTPUT") -p tcp -j \(chain)")
            if !gateway {
                table.rules.append("-A \(chain) -m mark --mark \(mark(spec.marks.own)) -j RETURN")
                exits(chain, &table)
            }
            exclusions(chain, &table)
            for (index, member) in members.enumerated() where gateway ? !member.interfaces.isEmpty : member.local {
                let inner = name("\(gateway ? "ng" : "no")\(index)")
                table.rules += gateway ? jumps(chain, member, to: inner) : ["-A \(chain) -j \(inner)"]
                let address = member.listeners(ipv6: ipv6)[0]
                let to = ipv6 ? "[\(address.address)]:\(address.port)" : "\(address.address):\(address.port)"
                criteria(
                    inner, member,
                    actions: [
                        address.address.isUnspecified
                            ? "-p tcp -j REDIRECT --to-ports \(address.port)" : "-p tcp -j DNAT --to-destination \(to)"
                    ], &table)
            }
        }
        return table
    }

    /// Refuses what nobody took. REJECT exists in this table alone, and what was intercepted never comes by here.
    private var filter: Table {
        var table = Table(name: "filter")
        guard spec.onDown == .reject else { return table }
        let members = members(.tproxy) + members(.redirect)
        for gateway in [true, false] where members.contains(where: { gateway ? !$0.interfaces.isEmpty : $0.local }) {
            let chain = name(gateway ? "rfwd" : "rout")
            table.chains.append(chain)
            table.jumps.append("\(gateway ? "FORWARD" : "OUTPUT") -p tcp -m mark --mark 0x0/\(hex(spec.marks.mask)) -j \(chain)")
            if !gateway { exits(chain, &table) }
            exclusions(chain, &table)
            for (index, member) in members.enumerated() where gateway ? !member.interfaces.isEmpty : member.local {
                let inner = name("\(gateway ? "rg" : "ro")\(index)")
                table.rules += gateway ? jumps(chain, member, to: inner) : ["-A \(chain) -j \(inner)"]
                criteria(inner, member, actions: ["-p tcp -j REJECT --reject-with tcp-reset"], &table)
            }
        }
        refuseDatagrams(&table)
        return table
    }

    // ---- parts ----

    func name(_ suffix: String) -> String { spec.iptablesPrefix + suffix }

    func jumps(_ chain: String, _ member: Interception, to inner: String) -> [String] {
        member.interfaces.map { interface in
            let match =
                interface == "*" ? "! -i lo" : "-i \(interface.hasSuffix("*") ? interface.dropLast() + "+" : interface[...])"
            return "-A \(chain) \(match) -j \(inner)"
        }
    }

    func exits(_ chain: String, _ table: inout Table) {
        for mark in unique(spec.exitMarks) { table.rules.append("-A \(chain) -m mark --mark \(hex(mark)) -j RETURN") }
    }

    private func exclusions(_ chain: String, _ table: inout Table) {
        table.rules.append("-A \(chain) -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j RETURN")
        excludedDestinations(chain, &table)
    }

    func excludedDestinations(_ chain: String, _ table: inout Table) {
        for type in ["LOCAL", "BROADCAST", "ANYCAST", "MULTICAST"] where !(ipv6 && type == "BROADCAST") {
            table.rules.append("-A \(chain) -m addrtype --dst-type \(type) -j RETURN")
        }
        for network in ipv6 ? excludedV6 : excludedV4 { table.rules.append("-A \(chain) -d \(network) -j RETURN") }
    }

    /// iptables has no "in none of these networks": each list that must match is a chain of its own, entered by `-g`.
    func criteria(
        _ chain: String, _ member: Interception, of transport: Interception.Transport = .tcp, actions: [String],
        _ table: inout Table
    ) {
        let match = "-p \(transport.rawValue) -m \(transport.rawValue)"
        var current = chain
        table.chains.append(current)
        for network in unique(member.exclude) where network.base.isIPv6 == ipv6 {
            table.rules.append("-A \(current) -d \(network) -j RETURN")
        }
        for (letter, option, networks) in [("d", "-d", member.destinations), ("c", "-s", member.clients)] where !networks.isEmpty {
            let next = "\(chain)\(letter)"
            table.chains.append(next)
            for network in unique(networks) where network.base.isIPv6 == ipv6 {
                table.rules.append("-A \(current) \(option) \(network) -g \(next)")
            }
            current = next
        }
        let ports = merged(member.ports)
        if !ports.isEmpty {
            let next = "\(chain)p"
            table.chains.append(next)
            for range in ports {
                table.rules.append("-A \(current) \(match) --dport \(range.lowerBound):\(range.upperBound) -g \(next)")
            }
            current = next
        }
        table.rules += actions.map { "-A \(current) \($0)" }
    }
}

extension FirewallSpec {
    /// What the names of our chains begin with, of the 28 characters they may have.
    var iptablesPrefix: String { "\(table.prefix(18))_" }
}
