internal import TransparentSockets

/// Judges whether interception will work: a pure function of the plan and of what was gathered.
///
/// - Parameters:
///   - manages: `firewall.manage`. When false, people make the rules, and these are wanted where they stand.
///   - dialsByItself: connections are made from this host's own addresses, and not all from their clients'.
///   - maxSessions: 0: as many as fit.
public func examine(
    _ plan: Plan, _ state: SystemState, manages: Bool = true, dialsByItself: Bool = true, maxSessions: Int = 0
) -> [Finding] {
    // Which of the windows a running one chose is its own affair; with rules by hand there is no choice.
    let running =
        manages
        ? !state.heldShifts.isEmpty && state.ruleset.tables.contains("inet \(plan.spec.table)")
        : state.heldShifts.contains(plan.spec.marks.shift)
    return requirements(plan, state, manages: manages) + settings(plan, state, manages: manages)
        + (dialsByItself ? portReuse(state.sysctls[portReuseSysctl]) : [])
        + (manages ? remains(plan, state, running: running) : rulesByHand(plan, state)) + neighbours(plan, state, manages: manages)
        + sockets(plan, state, running: running) + datagramSockets(plan, state, running: running)
        + descriptors(state, maxSessions: maxSessions)
}

/// Of a program that carries UDP too.
let wantedCapabilities = "cap_net_admin,cap_net_bind_service,cap_net_raw+ep"

/// The command that gives the program capabilities: this program, which need not be the one that a shell finds by name.
func granting(_ capabilities: String, _ state: SystemState) -> String {
    "sudo setcap \(capabilities) '\(state.executable.replacing("'", with: #"'\''"#))'"
}

private func requirements(_ plan: Plan, _ state: SystemState, manages: Bool) -> [Finding] {
    var findings: [Finding] = []
    let carriesDatagrams = plan.spec.interceptions.contains { $0.protocols.contains(.udp) }
    let wanted = carriesDatagrams ? wantedCapabilities : "cap_net_admin,cap_net_bind_service+ep"
    let capability = "\(granting(wanted, state))   # or run as root"
    if state.capable {
        findings.append(.ok("capability", "CAP_NET_ADMIN is there"))
    } else if manages || plan.spec.interceptions.contains(where: { $0.mode == .tproxy }) {
        findings.append(
            .problem(
                77, "capability", "CAP_NET_ADMIN is missing: neither rules nor transparent sockets are possible", capability))
    } else {
        findings.append(.warning("capability", "CAP_NET_ADMIN is missing: packets of our own bear no mark", capability))
    }
    for program in state.missingPrograms {
        let remedy = "apt-get install \(program == "nft" ? "nftables" : "iproute2")"
        findings.append(
            manages
                ? .problem(69, program, "the program is not installed", remedy)
                : .warning(program, "the program is not installed: your rules cannot be looked at", remedy))
    }
    for command in state.failedCommands {
        let message = "\(command) failed: what it shows cannot be looked at"
        findings.append(manages ? .problem(71, "command", message, command) : .warning("command", message, command))
    }
    for feature in state.missingFeatures {
        findings.append(
            .problem(69, "kernel", "the kernel lacks \(feature.option)", feature.modules.map { "modprobe -a \($0)" }))
    }
    if state.missingPrograms.isEmpty, state.missingFeatures.isEmpty, state.capable {
        findings.append(.ok("kernel", "everything these rules use is there"))
    }
    if plan.spec.families.ipv6, let reason = state.missingIPv6 {
        findings.append(.warning("IPv6", "not intercepted: \(reason)", "sysctl -w net.ipv6.conf.all.disable_ipv6=0"))
    }
    if state.interfaces["lo"] != true {
        findings.append(.problem(71, "lo", "interface lo is down, and intercepted packets go through it", "ip link set lo up"))
    }
    return findings
}

private func settings(_ plan: Plan, _ state: SystemState, manages: Bool) -> [Finding] {
    var findings: [Finding] = []
    let interfaces = unique(plan.spec.interceptions.flatMap(\.interfaces))
    for interface in interfaces where !interface.hasSuffix("*") {
        switch state.interfaces[interface] {
        case nil:
            findings.append(.warning("interface \(interface)", "does not exist: nothing is intercepted there", "ip link show"))
        case false: findings.append(.warning("interface \(interface)", "is down", "ip link set \(interface) up"))
        default: break
        }
    }
    guard !interfaces.isEmpty else { return findings }
    let others = plan.spec.interceptions.contains { $0.protocols.contains(.udp) } ? "ping" : "UDP, ping"
    for (family, name, wanted) in [
        ("IPv4", "net.ipv4.ip_forward", plan.spec.families.ipv4),
        ("IPv6", "net.ipv6.conf.all.forwarding", plan.spec.families.ipv6 && state.missingIPv6 == nil),
    ] where wanted && state.sysctls[name] == "0" {
        findings.append(
            .warning(
                name,
                "\(family) is not forwarded: intercepted connections work, all other traffic of the clients (\(others)) does not",
                "sysctl -w \(name)=1"))
    }
    for name in ["net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"] where state.sysctls[name] == "1" {
        findings.append(
            .warning(
                name, "frames that are only bridged meet the rules too, and tproxy loses them",
                "sysctl -w \(name)=0   # Docker and Kubernetes set it: ask first whether they need it"))
    }
    if !plan.sysctls.isEmpty, !manages || !state.writableSysctls, state.sysctls["net.ipv4.tcp_early_demux"] == "1" {
        findings.append(
            .warning(
                "net.ipv4.tcp_early_demux",
                "is 1\(state.writableSysctls ? "" : " and cannot be changed from here"): "
                    + "for a minute after a stop, connections that reuse an address and port may stall",
                "sysctl -w net.ipv4.tcp_early_demux=0\(state.writableSysctls ? "" : "   # outside the container")"))
    }
    return findings
}

private let portReuseSysctl = "net.ipv4.tcp_tw_reuse"

/// Whether ports of connections that are over are used again, as seen from here.
public func portReuse() -> [Finding] { portReuse(sysctl(portReuseSysctl)) }

/// Whoever closes a connection first keeps its port, and towards an upstream that is us wherever a client does.
///
/// - Parameter value: of the setting; nil: it is not known.
private func portReuse(_ value: String?) -> [Finding] {
    let name = portReuseSysctl
    guard let value, value != "1" else { return [] }
    return [
        .note(
            name,
            "is \(value): where clients close first, each connection's port waits for a minute (TIME_WAIT), and beyond some 28,000 "
                + "connections a minute to one destination (net.ipv4.ip_local_port_range) connects take milliseconds each, or fail",
            "sysctl -w \(name)=1")
    ]
}

/// What is left of a clearway that made its own rules.
private func remains(_ plan: Plan, _ state: SystemState, running: Bool) -> [Finding] {
    var findings: [Finding] = []
    let leftOvers = state.rules.filter { rule in
        rule.isOurs && !markShifts.contains { state.heldShifts.contains($0) && Marks(shift: $0).mask == rule.mask }
    }
    if !leftOvers.isEmpty {
        findings.append(
            .warning(
                "ip rule",
                "\(leftOvers.count) rules of a clearway that was killed remain; they do no harm and are reused at the next start",
                "ip rule flush protocol \(ownProtocol); ip -6 rule flush protocol \(ownProtocol)"))
    }
    let taken = "inet \(plan.spec.table)"
    if !running, state.ruleset.tables.contains(taken) {
        findings.append(
            .problem(
                71, "nft table", "table \(taken) exists and belongs to no running clearway",
                "nft delete table \(taken)   # or choose another name with firewall.table"))
    }
    let refusing = "inet \(plan.spec.downTable)"
    if !running, state.ruleset.tables.contains(refusing) {
        findings.append(
            .warning(
                "nft table", "table \(refusing) of a clearway that was killed refuses new connections (firewall.on_down)",
                "nft delete table \(refusing)   # or start clearway again"))
    }
    return findings
}

private func neighbours(_ plan: Plan, _ state: SystemState, manages: Bool) -> [Finding] {
    var findings: [Finding] = []
    let spec = plan.spec
    let marks = spec.marks
    // What people have made for us need not bear our protocol number.
    let foreign = state.rules.filter { rule in !rule.isOurs && (manages || !plan.rules.contains { rule.serves($0) }) }
    for rule in foreign where rule.occupiedBits & marks.mask != 0 {
        findings.append(
            .warning(
                "mark", "ip rule \(rule.preference) of somebody else reads mark bits of ours (\(hex(marks.mask)))",
                "set firewall.mark to a free pair of bits; those in use: ip rule"))
    }
    if plan.route != nil, let rule = foreign.first(where: { $0.table == spec.routeTable }) {
        findings.append(
            .warning(
                "route table", "table \(spec.routeTable) is used by ip rule \(rule.preference) of somebody else",
                "set firewall.route_table to a free number"))
    }
    if !plan.rules.isEmpty,
        let rule = foreign.first(where: { $0.preference > 0 && $0.preference < spec.preference && $0.mark == nil })
    {
        findings.append(
            .warning(
                "ip rule", "rule \(rule.preference) comes before ours and may take intercepted packets elsewhere",
                "ip rule show pref \(rule.preference)"))
    }
    let intercepted = interceptedInput(spec)
    for chain in state.ruleset.inputDrops where !intercepted.isEmpty {
        findings.append(
            .warning(
                "nft chain \(chain)", "drops by default what comes in, and intercepted packets come in there",
                intercepted.map { "nft insert rule \(chain) \($0) accept" }.joined(separator: "; ")))
    }
    for chain in state.ruleset.forwardDrops where spec.interceptions.contains(where: { !$0.interfaces.isEmpty }) {
        findings.append(
            .warning(
                "nft chain \(chain)", "drops by default what is forwarded: only intercepted connections of the clients get through",
                "nft list chain \(chain)"))
    }
    let own = manages ? "inet \(spec.table)" : tableOfRules(spec, state.ruleset) ?? possibleRule(spec, state.ruleset)?.table
    for table in unique(state.ruleset.interceptions.filter { $0.mode == .tproxy }.map(\.table)) where table != own {
        findings.append(
            .warning(
                "nft table \(table)", "has tproxy rules of its own: whichever comes first intercepts", "nft list table \(table)"))
    }
    for table in unique(state.ruleset.flowtables) {
        findings.append(
            .warning(
                "nft table \(table)", "has a flowtable: connections already in it pass by all rules", "nft list flowtables"))
    }
    return findings
}

/// How an `input` chain tells intercepted packets, as words for a shell: by their mark, and redirected ones, which bear none,
/// by the listener's port. This host's own redirected ones come in over lo.
private func interceptedInput(_ spec: FirewallSpec) -> [String] {
    let tproxy = spec.interceptions.contains { $0.mode == .tproxy } ? ["meta mark \\& \(hex(spec.marks.mask)) != 0"] : []
    let redirected = spec.interceptions.filter { $0.mode == .redirect }.flatMap { interception in
        interception.interfaces.flatMap { interface in
            unique(interception.listen.map(\.value.port)).map { port in
                "iifname \(interface.replacing("*", with: "\\*")) tcp dport \(port)"
            }
        }
    }
    return tproxy + redirected
}

private func sockets(_ plan: Plan, _ state: SystemState, running: Bool) -> [Finding] {
    var findings: [Finding] = []
    for address in listeners(plan.spec, of: .tcp) where !running {
        if let blocking = state.listening.first(where: { isInTheWay($0, of: address) }) {
            findings.append(
                .problem(
                    71, "listener \(address)", "a program already listens on \(blocking)", "ss -Hltnp 'sport = \(address.port)'"))
        }
    }
    return findings
}

func listeners(_ spec: FirewallSpec, of transport: Interception.Transport) -> [SocketAddress] {
    unique(
        spec.interceptions.filter { $0.protocols.contains(transport) }.flatMap(\.listen)
            .map { SocketAddress($0.value.address.unmapped, port: $0.value.port) })
}

/// Whether a socket that is bound to `other` keeps one from being bound to `address`.
func isInTheWay(_ other: SocketAddress, of address: SocketAddress) -> Bool {
    guard other.port == address.port else { return false }
    let sameFamily = other.address.isIPv6 == address.address.isIPv6
    let dualStack = [other.address, address.address].contains { $0.isIPv6 && $0.isUnspecified }
    let anywhere = other.address.isUnspecified || address.address.isUnspecified
    return other.address == address.address || (anywhere && sameFamily) || dualStack
}

private func descriptors(_ state: SystemState, maxSessions: Int) -> [Finding] {
    let remedy = "systemctl edit clearway   # [Service] LimitNOFILE=1048576; in a shell: ulimit -Hn 1048576"
    let limit = "\(state.hardLimit) at most (soft limit \(state.softLimit), raised at start)"
    if state.sessions == 0 { return [.problem(71, "descriptor limit", "\(limit): too few to start with", remedy)] }
    let message = "\(limit): \(state.sessions) sessions at once"
    if maxSessions > 0 ? state.sessions < maxSessions : state.hardLimit < 65_536 {
        return [.warning("descriptor limit", message, remedy)]
    }
    return [.ok("descriptor limit", message)]
}
