internal import TransparentSockets

/// DHCP, of both families. What gives hosts their addresses goes to the server itself: a proxy's question would be answered to the
/// address it asks for, and not to the proxy.
let excludedDatagramPorts = [67, 68, 546, 547]
/// Where services of this host answer to one what was asked of all: NetBIOS, SSDP, WS-Discovery, mDNS, LLMNR. Connection tracking does
/// not see that such an answer belongs to a question.
let answersToMulticast = [137, 1900, 3702, 5353, 5355]

/// The rules of UDP.
///
/// They stand in chains of their own, entered from the line where the chains of TCP let go of what is not TCP, and hooked into the
/// kernel themselves where there is no such chain. UDP has no SYN: every datagram to an intercepted destination goes to `tproxy`, and
/// nothing of a flow is remembered here, so a flow ends with its interception.
extension Plan {
    /// Listeners that intercept datagrams, in one scope or in any.
    func datagramMembers(_ scope: Scope? = nil) -> [Interception] {
        spec.interceptions.filter { member in
            guard member.protocols.contains(.udp) else { return false }
            switch scope {
            case nil: return member.local || !member.interfaces.isEmpty
            case .gateway: return !member.interfaces.isEmpty
            case .local, .output: return member.local
            }
        }
    }

    func datagramPrerouting(isBase: Bool, _ text: inout NftText) {
        let (gateway, local) = (datagramMembers(.gateway), datagramMembers(.local))
        guard !gateway.isEmpty || !local.isEmpty else { return }
        let marks = spec.marks
        let needs = spec.datagramNeeds
        text.open("chain udp_prerouting")
        if isBase { text.line("type filter hook prerouting priority \(spec.priority); policy accept;") }
        text.line("meta l4proto != udp accept")
        var only: String?
        if local.isEmpty, let named = needs.namedInterfaces {
            text.line("\(from(named)) accept")
            if named.count == 1 { only = named[0] }
        }
        // What this host sends was judged on its way out.
        for name in names(local, .local) {
            text.line("iifname \"lo\" meta mark & \(hex(marks.mask)) == \(hex(marks.local)) jump udp_\(name)")
        }
        if only == nil { text.line("iifname \"lo\" accept") }
        // Answers to a preserved source: there a socket of ours is bound to the client's address. The listener, which is found for
        // every datagram to its port wherever that goes, is bound to none; and answers leave from a socket that is bound to an
        // address nobody has. So what a client sends elsewhere is not caught.
        if needs.anywhere {
            let ours = "socket mark & \(hex(marks.mask)) == \(hex(marks.own)) socket wildcard 0"
            text.line("\(ours) \(setMark("meta", marks.gateway)) accept")
        }
        if !gateway.isEmpty {
            text.line("udp dport \(ports(excludedDatagramPorts)) accept")
            excludedDestinations(&text)
            dispatch(gateway, .gateway, prefix: "udp_", besides: only, &text)
        }
        text.close()
        for (scope, members) in [(Scope.local, local), (.gateway, gateway)] {
            for (member, name) in zip(members, names(members, scope)) { handOver(member, scope, in: "udp_\(name)", &text) }
        }
    }

    private func handOver(_ member: Interception, _ scope: Scope, in chain: String, _ text: inout NftText) {
        text.open("chain \(chain)")
        criteria(member, of: .udp, &text)
        for (family, addresses) in served(member) {
            for address in addresses {
                // For a wildcard listener no address, ever: the kernel then looks for sockets of the interface's own one, and spreads
                // datagrams over those that share the port by the client's address and port alone, so that all datagrams of a
                // client's socket come to one worker, wherever they go.
                let to = address.address.isUnspecified ? ":\(address.port)" : portOnly(address)
                let mark = scope == .gateway ? " " + setMark("meta", spec.marks.gateway) : ""
                text.line(
                    "\(family) meta l4proto udp tproxy \(family == "meta nfproto ipv6" ? "ip6" : "ip") to \(to)\(mark) accept")
            }
            // Reached when no socket listens there. Over lo, IPv4 has no address to send ICMP from: this host's own datagrams are dropped.
            if spec.onDown == .reject { text.line("\(family) \(refusal)") }
        }
        text.close()
    }

    func datagramOutput(isBase: Bool, _ text: inout NftText) {
        let members = datagramMembers(.output)
        guard !members.isEmpty else { return }
        let marks = spec.marks
        earlierSet(&text)
        text.open("chain udp_output")
        if isBase { text.line("type route hook output priority \(spec.priority); policy accept;") }
        text.line("meta l4proto != udp accept")
        text.line("meta mark & \(hex(marks.mask)) == \(hex(marks.own)) accept")
        exits(&text)
        // Only a flow that began under these rules has the mark in its conntrack entry: one that was answered before, and what
        // this host's own services answer, go on untouched.
        text.line(
            "ct direction original ct mark & \(hex(marks.mask)) == \(hex(marks.local)) \(setMark("meta", marks.local)) accept")
        text.line("ct state != new accept")
        ownExclusions(&text)
        dispatch(members, .output, prefix: "udp_", &text)
        text.close()
        for (member, name) in zip(members, names(members, .output)) {
            text.open("chain udp_\(name)")
            criteria(member, of: .udp, &text)
            for (family, _) in served(member) {
                text.line("\(family) \(setMark("ct", marks.local)) \(setMark("meta", marks.local)) accept")
            }
            text.close()
        }
    }

    /// Refuses datagrams that nobody takes, after the interception and when it is gone.
    func datagramsDown(_ text: inout NftText) {
        for (scope, hook) in [(Scope.gateway, "prerouting"), (.output, "output")] {
            let members = datagramMembers(scope)
            guard !members.isEmpty else { continue }
            let marks = spec.marks
            if scope == .output { earlierSet(&text) }
            text.open("chain udp_\(hook)")
            let isShared = spec.interceptions.contains { other in
                other.mode == .tproxy && other.protocols.contains(.tcp)
                    && (scope == .gateway ? !other.interfaces.isEmpty : other.local)
            }
            if !isShared { text.line("type filter hook \(hook) priority \(downPriority); policy accept;") }
            text.line("meta l4proto != udp accept")
            text.line("meta mark & \(hex(marks.mask)) != 0 accept")
            if scope == .output {
                exits(&text)
                // What was intercepted does not go its own way when the interception is gone; what never was does.
                text.line("ct direction original ct mark & \(hex(marks.mask)) == \(hex(marks.local)) \(refusal)")
                text.line("ct state != new accept")
                ownExclusions(&text)
            } else {
                text.line("udp dport \(ports(excludedDatagramPorts)) accept")
                excludedDestinations(&text)
            }
            dispatch(members, scope, prefix: "udp_", &text)
            text.close()
            for (member, name) in zip(members, names(members, scope)) {
                text.open("chain udp_\(name)")
                criteria(member, of: .udp, &text)
                for (family, _) in served(member) { text.line("\(family) \(refusal)") }
                text.close()
            }
        }
    }

    private var refusal: String { "meta l4proto udp reject with icmpx type port-unreachable" }

    private func earlierSet(_ text: inout NftText) {
        guard !spec.earlierPorts.isEmpty else { return }
        text.open("set udp_earlier")
        text.line("type inet_service; flags timeout; timeout \(FirewallSpec.earlierTime.components.seconds)s;")
        text.line("elements = { \(unique(spec.earlierPorts).sorted().map(String.init).joined(separator: ", ")) }")
        text.close()
    }

    private func ownExclusions(_ text: inout NftText) {
        // Connection tracking may have begun with these rules. It then takes the next datagram of a socket for the first one.
        if !spec.earlierPorts.isEmpty { text.line("udp sport @udp_earlier accept") }
        text.line("udp dport \(ports(excludedDatagramPorts)) accept")
        text.line("udp sport \(ports(answersToMulticast)) accept")
        excludedDestinations(&text)
    }

    private func ports(_ ports: [Int]) -> String { "{ \(ports.map(String.init).joined(separator: ", ")) }" }
}
