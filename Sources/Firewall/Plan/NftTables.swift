internal import TransparentSockets

private let notPureSYN = "tcp flags & (fin | syn | rst | ack) != syn"

/// Never intercepted: this host's own addresses, and what no proxy could dial.
let excludedV4 = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255"]
let excludedV6 = ["::/128", "::1/128", "fe80::/10", "ff00::/8"]

extension Plan {
    /// The table that intercepts.
    ///
    /// - Parameter owned: with `flags owner`: the table vanishes with the process that sends it to the kernel.
    public func interceptionTable(owned: Bool) -> String {
        var text = NftText()
        text.open("table inet \(spec.table)")
        if owned { text.line("flags owner") }
        let tproxy = spec.interceptions.filter { $0.mode == .tproxy && $0.protocols.contains(.tcp) }
        let redirect = spec.interceptions.filter { $0.mode == .redirect }
        let needs = spec.needs
        let hasPrerouting = !tproxy.isEmpty || needs.divertsGateway
        if hasPrerouting { filterPrerouting(tproxy, needs, &text) }
        datagramPrerouting(isBase: !hasPrerouting, &text)
        if needs.local { filterOutput(tproxy.filter(\.local), &text) }
        datagramOutput(isBase: !needs.local, &text)
        if needs.untracked { untracked(&text) }
        if needs.translatedGateway { natPrerouting(redirect.filter { !$0.interfaces.isEmpty }, &text) }
        if needs.translatedLocal { natOutput(redirect.filter(\.local), &text) }
        text.close()
        return text.result
    }

    /// The table that refuses new connections when nobody takes them; `nil` under `on_down = "direct"`.
    public var downTableText: String? {
        guard spec.onDown == .reject, !spec.interceptions.isEmpty else { return nil }
        var text = NftText()
        text.open("table inet \(spec.downTable)")
        for mode in [InterceptionMode.tproxy, .redirect] {
            // After the interception itself: what it took bears our mark by then, or is addressed to this host.
            let priority = mode == .tproxy ? downPriority : -95
            let ours = spec.interceptions.filter { $0.mode == mode && $0.protocols.contains(.tcp) }
            for (scope, members) in [
                (Scope.gateway, ours.filter { !$0.interfaces.isEmpty }), (.output, ours.filter(\.local)),
            ] where !members.isEmpty {
                let hook = scope == .gateway ? "prerouting" : "output"
                text.open("chain \(mode.rawValue)_\(hook)")
                text.line("type filter hook \(hook) priority \(priority); policy accept;")
                text.line(mode == .tproxy ? notTCP(datagramMembers(scope), hook) : "meta l4proto != tcp accept")
                text.line("meta mark & \(hex(spec.marks.mask)) != 0 accept")
                if scope == .output { exits(&text) }
                exclusions(&text)
                dispatch(members, scope, prefix: "\(mode.rawValue)_", &text)
                text.close()
                for (member, name) in zip(members, names(members, scope)) {
                    text.open("chain \(mode.rawValue)_\(name)")
                    criteria(member, &text)
                    for (family, _) in served(member) {
                        text.line("\(family) meta l4proto tcp reject with tcp reset")
                    }
                    text.close()
                }
            }
        }
        datagramsDown(&text)
        text.close()
        return text.result
    }

    /// After the interception itself.
    var downPriority: Int { spec.priority + 5 }

    enum Scope: String {
        case gateway, local, output
    }

    // ---- tproxy ----

    private func filterPrerouting(_ members: [Interception], _ needs: SessionNeeds, _ text: inout NftText) {
        let marks = spec.marks
        let local = members.filter(\.local)
        text.open("chain prerouting")
        text.line("type filter hook prerouting priority \(spec.priority); policy accept;")
        let gateway = members.filter { !$0.interfaces.isEmpty }
        // What the first line lets through need not be asked for its interface again.
        var only: String?
        let datagrams = datagramMembers()
        if local.isEmpty, let named = needs.namedInterfaces, !named.isEmpty {
            text.line("\(datagrams.isEmpty ? "" : "meta l4proto tcp ")\(from(named)) accept")
            if named.count == 1 { only = named[0] }
        }
        text.line(notTCP(datagrams, "prerouting"))
        if needs.divertsGateway {
            // Packets of sessions we carry. Never a SYN: it must reach tproxy, which knows how to reopen a TIME_WAIT socket.
            for interface in needs.divertedInterfaces {
                text.line("\(match(interface, besides: only))tcp flags & (syn | ack) != syn jump divert")
            }
        }
        if !members.isEmpty {
            exclusions(&text)
            if !local.isEmpty {
                for name in names(local, .local) {
                    text.line("iifname \"lo\" meta mark & \(hex(marks.mask)) == \(hex(marks.local)) jump \(name)")
                }
            }
            if only == nil { text.line("iifname \"lo\" accept") }
            dispatch(gateway, .gateway, prefix: "", besides: only, &text)
        }
        text.close()
        if needs.divertsGateway { divert(needs, &text) }
        for (scope, members) in [(Scope.local, local), (.gateway, gateway)] {
            for (member, name) in zip(members, names(members, scope)) {
                text.open("chain \(name)")
                criteria(member, &text)
                for (family, addresses) in served(member) {
                    for address in addresses {
                        let to = address.address.isUnspecified ? ":\(address.port)" : portOnly(address)
                        let mark = scope == .gateway ? " " + setMark("meta", marks.gateway) : ""
                        text.line(
                            "\(family) meta l4proto tcp tproxy \(family == "meta nfproto ipv6" ? "ip6" : "ip") to \(to)\(mark) accept"
                        )
                    }
                    // Reached when no socket listens there.
                    if spec.onDown == .reject { text.line("\(family) meta l4proto tcp reject with tcp reset") }
                }
                text.close()
            }
        }
    }

    /// Marks packets of sessions we carry. Each rule that asks for the socket costs a search, so the first one is for nearly
    /// all packets, and knows our sockets by their mark. The others are for clients of a foreign port equal to a listener's,
    /// and for sockets that are not full ones (a handshake's last packet, TIME_WAIT): those have neither mark nor wildcard.
    private func divert(_ needs: SessionNeeds, _ text: inout NftText) {
        let mark = setMark("meta", spec.marks.gateway)
        let ports = needs.ports.sorted().map(String.init).joined(separator: ", ")
        let ours = "socket mark & \(hex(spec.marks.mask)) == \(hex(spec.marks.own))"
        text.open("chain divert")
        text.line("tcp dport != { \(ports) } \(ours) \(mark) accept")
        // A listener on a wildcard address is "found" for any packet to its port, also one on its way to another host.
        text.line("socket wildcard 1 accept")
        // Nothing is accepted any more while draining, so of those only TIME_WAIT is left. Where nobody sweeps them away, a client
        // that comes back from the same port goes direct, and its packets must not end there.
        let passesTimeWait = spec.interceptions.isEmpty && !spec.isSwept
        text.line(passesTimeWait ? "\(ours) \(mark) accept" : "socket transparent 1 \(mark) accept")
        text.close()
    }

    /// Keeps a preserved source out of connection tracking: the client's own, redirected connection is there already with the
    /// same addresses and ports, and its translation would turn our packets back to us.
    private func untracked(_ text: inout NftText) {
        text.open("chain untracked_prerouting")
        text.line("type filter hook prerouting priority -300; policy accept;")
        text.line(
            "meta l4proto tcp tcp flags & (syn | ack) != syn socket transparent 1 "
                + "socket mark & \(hex(spec.marks.mask)) == \(hex(spec.marks.own)) notrack")
        text.close()
        text.open("chain untracked_output")
        text.line("type filter hook output priority -300; policy accept;")
        text.line(
            "meta l4proto tcp meta mark & \(hex(spec.marks.mask)) == \(hex(spec.marks.own)) fib saddr type != local notrack")
        text.close()
    }

    private func filterOutput(_ members: [Interception], _ text: inout NftText) {
        let marks = spec.marks
        text.open("chain output")
        text.line("type route hook output priority \(spec.priority); policy accept;")
        text.line(notTCP(datagramMembers(.output), "output"))
        text.line("meta mark & \(hex(marks.mask)) == \(hex(marks.own)) accept")
        exits(&text)
        // Only a connection that began under these rules has the mark in its conntrack entry: one that was open before, and
        // the replies of this host's own services, go on untouched.
        text.line(
            "ct direction original ct mark & \(hex(marks.mask)) == \(hex(marks.local)) \(setMark("meta", marks.local)) accept")
        guard !members.isEmpty else { return text.close() }
        text.line("ct state != new accept")
        exclusions(&text)
        dispatch(members, .output, prefix: "", &text)
        text.close()
        for (member, name) in zip(members, names(members, .output)) {
            text.open("chain \(name)")
            criteria(member, &text)
            for (family, _) in served(member) {
                text.line("\(family) \(setMark("ct", marks.local)) \(setMark("meta", marks.local)) accept")
            }
            text.close()
        }
    }

    // ---- redirect ----

    private func natPrerouting(_ members: [Interception], _ text: inout NftText) {
        text.open("chain nat_prerouting")
        text.line("type nat hook prerouting priority -100; policy accept;")
        guard !members.isEmpty else { return keepTranslating(&text) }
        text.line("meta l4proto != tcp accept")
        exclusions(&text)
        dispatch(members, .gateway, prefix: "nat_", &text)
        text.close()
        natChains(members, .gateway, &text)
    }

    private func natOutput(_ members: [Interception], _ text: inout NftText) {
        text.open("chain nat_output")
        text.line("type nat hook output priority -100; policy accept;")
        guard !members.isEmpty else { return keepTranslating(&text) }
        text.line("meta l4proto != tcp accept")
        text.line("meta mark & \(hex(spec.marks.mask)) == \(hex(spec.marks.own)) accept")
        exits(&text)
        exclusions(&text)
        dispatch(members, .output, prefix: "nat_", &text)
        text.close()
        natChains(members, .output, &text)
    }

    /// Where nothing is redirected any more: the kernel goes on translating the connections it has only as long as there is a chain
    /// of this type, and a rule somewhere that asks for connection tracking.
    private func keepTranslating(_ text: inout NftText) {
        text.line("ct state established accept")
        text.close()
    }

    private func natChains(_ members: [Interception], _ scope: Scope, _ text: inout NftText) {
        for (member, name) in zip(members, names(members, scope)) {
            text.open("chain nat_\(name)")
            criteria(member, &text)
            for (family, addresses) in served(member) {
                guard let address = addresses.first else { continue }
                let target =
                    address.address.isUnspecified
                    ? "redirect to :\(address.port)" : "dnat \(address.address.isIPv6 ? "ip6" : "ip") to \(portOnly(address))"
                text.line("\(family) meta l4proto tcp \(target)")
            }
            text.close()
        }
    }

    // ---- parts ----

    /// What is no TCP is let go, or sent to the rules of UDP: TCP packets pass as many rules in either case.
    private func notTCP(_ datagrams: [Interception], _ hook: String) -> String {
        "meta l4proto != tcp \(datagrams.isEmpty ? "accept" : "goto udp_\(hook)")"
    }

    /// From none of these interfaces.
    func from(_ interfaces: [String]) -> String {
        "iifname != { \(interfaces.map { "\"\($0)\"" }.joined(separator: ", ")) }"
    }

    private func exclusions(_ text: inout NftText) {
        text.line("\(notPureSYN) accept")
        excludedDestinations(&text)
    }

    func excludedDestinations(_ text: inout NftText) {
        text.line("fib daddr type { local, broadcast, anycast, multicast } accept")
        if spec.families.ipv4 { text.line("ip daddr { \(excludedV4.joined(separator: ", ")) } accept") }
        if spec.families.ipv6 { text.line("ip6 daddr { \(excludedV6.joined(separator: ", ")) } accept") }
    }

    /// - Parameter only: the one interface whose packets come this far.
    func dispatch(
        _ members: [Interception], _ scope: Scope, prefix: String, besides only: String? = nil, _ text: inout NftText
    ) {
        for (member, name) in zip(members, names(members, scope)) {
            for interface in scope == .gateway ? member.interfaces : [""] {
                text.line("\(match(interface, besides: only))jump \(prefix)\(name)")
            }
        }
    }

    private func match(_ interface: String, besides only: String?) -> String {
        switch interface {
        case "", only: ""
        case "*": "iifname != \"lo\" "
        default: "iifname \"\(interface)\" "
        }
    }

    /// Lines that leave the chain for packets this listener does not intercept.
    func criteria(_ member: Interception, of transport: Interception.Transport = .tcp, _ text: inout NftText) {
        if !member.exclude.isEmpty { networks("daddr", member.exclude, negated: false, &text) }
        if !member.destinations.isEmpty { networks("daddr", member.destinations, negated: true, &text) }
        if !member.clients.isEmpty { networks("saddr", member.clients, negated: true, &text) }
        let ports = merged(member.ports)
        if !ports.isEmpty { text.line("\(transport.rawValue) dport != { \(ports.map(portText).joined(separator: ", ")) } return") }
    }

    private func networks(_ side: String, _ networks: [IPNetwork], negated: Bool, _ text: inout NftText) {
        for ipv6 in [false, true] where ipv6 ? spec.families.ipv6 : spec.families.ipv4 {
            let own = networks.filter { $0.base.isIPv6 == ipv6 }.map(\.description)
            if !own.isEmpty {
                text.line("\(ipv6 ? "ip6" : "ip") \(side) \(negated ? "!= " : ""){ \(unique(own).joined(separator: ", ")) } return")
            } else if negated {
                text.line("meta nfproto \(ipv6 ? "ipv6" : "ipv4") return")
            }
        }
    }

    func served(_ member: Interception) -> [(family: String, addresses: [SocketAddress])] {
        var result: [(family: String, addresses: [SocketAddress])] = []
        for ipv6 in [false, true] where ipv6 ? spec.families.ipv6 : spec.families.ipv4 {
            let addresses = member.listeners(ipv6: ipv6)
            if !addresses.isEmpty { result.append(("meta nfproto \(ipv6 ? "ipv6" : "ipv4")", unique(addresses))) }
        }
        return result
    }

    /// Our own connections by exits that have marks of their own.
    func exits(_ text: inout NftText) {
        guard !spec.exitMarks.isEmpty else { return }
        text.line("meta mark { \(unique(spec.exitMarks).map(hex).joined(separator: ", ")) } accept")
    }

    func setMark(_ which: String, _ value: UInt32) -> String {
        "\(which) mark set \(which) mark & \(hex(~spec.marks.mask)) | \(hex(value))"
    }

    func names(_ members: [Interception], _ scope: Scope) -> [String] {
        chainNames(members.map { "\(scope.rawValue)_\($0.name)" })
    }
}
