internal import TransparentSockets

/// One `ip rule`.
public struct RouteRule: Hashable, Sendable {
    public enum Action: Hashable, Sendable {
        /// Look the destination up in this table.
        case lookup(UInt32)
        /// Go on with the rule of this preference.
        case goto(Int)
    }
    public var preference: Int
    /// Only packets that arrive here; `lo`: those this host sends, and the kernel's own questions about the way back.
    public var incoming: String?
    public var mark: UInt32
    public var mask: UInt32
    public var action: Action

    /// The words after `ip rule add`.
    public var words: String {
        let target =
            switch action {
            case .lookup(let table): "lookup \(table)"
            case .goto(let preference): "goto \(preference)"
            }
        return
            "pref \(preference)\(incoming.map { " iif \($0)" } ?? "") fwmark \(hex(mark))/\(hex(mask)) \(target) protocol \(ownProtocol)"
    }
}

/// A kernel setting, as the path below `/proc/sys` with dots.
public struct Sysctl: Hashable, Sendable {
    public var name: String
    public var value: String
}

/// Our rules and routes carry this protocol number, so that left-overs are recognised as ours.
public let ownProtocol = 193

/// Everything the kernel must be told, as values: computed from a specification alone, touching nothing.
public struct Plan: Hashable, Sendable {
    public private(set) var spec: FirewallSpec
    /// In the order in which they are added; the same for every family of the specification.
    public let rules: [RouteRule]
    /// The words after `ip route add` of the one route our table needs; `nil` when no packet is marked.
    public let route: String?
    public let sysctls: [Sysctl]

    public init(_ spec: FirewallSpec) throws(PlanError) {
        try check(spec)
        self.spec = spec
        let marks = spec.marks
        let preference = spec.preference
        var rules: [RouteRule] = []
        let needs = spec.allNeeds
        let named: [String?]? = needs.namedInterfaces
        // Under src_valid_mark=1 the kernel checks a packet's source with its mark: it then asks for the way back "from lo"
        // and would find our local route, and call the packet a martian. A rule for the clients' interface alone is not asked.
        // Where packets may arrive on any interface, that question jumps over the rule: the target must exist, therefore it
        // comes first and exists also without local interception.
        if (needs.divertsGateway && named == nil) || needs.local {
            rules.append(
                RouteRule(
                    preference: preference + 2, incoming: "lo", mark: marks.local, mask: marks.mask,
                    action: .lookup(spec.routeTable)))
        }
        if needs.divertsGateway, named == nil {
            rules.append(
                RouteRule(
                    preference: preference, incoming: "lo", mark: marks.gateway, mask: marks.mask, action: .goto(preference + 2)))
        }
        if needs.divertsGateway {
            rules += (named ?? [nil]).map {
                RouteRule(
                    preference: preference + 1, incoming: $0, mark: marks.gateway, mask: marks.mask,
                    action: .lookup(spec.routeTable))
            }
        }
        self.rules = rules
        route = rules.isEmpty ? nil : "local default dev lo table \(spec.routeTable) protocol \(ownProtocol)"
        // A TIME_WAIT socket of ours found by early demux turns a forwarded packet into one the kernel drops.
        sysctls =
            spec.leavesSocketsInTheWay && !spec.isSwept
            ? [Sysctl(name: "net.ipv4.tcp_early_demux", value: "0")] : []
    }

    /// The same when connection tracking has seen everything that was there before it.
    var withoutEarlierPorts: Plan {
        var plan = self
        plan.spec.earlierPorts = []
        return plan
    }

    /// The families that have rules, as `ip` options.
    var familyOptions: [String] { (spec.families.ipv4 ? ["-4"] : []) + (spec.families.ipv6 ? ["-6"] : []) }
}

extension Interception {
    /// The addresses that serve a family, the concrete before the dual-stack wildcard.
    func listeners(ipv6: Bool) -> [SocketAddress] {
        let unmapped = listen.map { SocketAddress($0.value.address.unmapped, port: $0.value.port, scope: $0.value.scope) }
        let own = unmapped.filter { $0.address.isIPv6 == ipv6 }
        return own + (ipv6 ? [] : unmapped.filter { $0.address.isIPv6 && $0.address.isUnspecified })
    }
}

private func check(_ spec: FirewallSpec) throws(PlanError) {
    guard isName(spec.table, longest: 64) else { throw .name(spec.table) }
    guard spec.isDraining || spec.interceptions.contains(where: { $0.local || !$0.interfaces.isEmpty }) else {
        throw .nothingIntercepted
    }
    if spec.allNeeds.local, spec.priority <= -200 { throw .priority(spec.priority) }
    if let mark = spec.exitMarks.first(where: { ![0, spec.marks.own].contains($0 & spec.marks.mask) }) {
        throw .exitMark(mark, window: spec.marks.mask)
    }
    for interception in spec.interceptions {
        if interception.mode == .redirect, interception.protocols.contains(.udp) {
            throw .redirectedDatagrams(listener: interception.name)
        }
        for interface in interception.interfaces {
            if interface == "lo" { throw .loopbackInterface(listener: interception.name) }
            guard interface == "*" || isInterface(interface) else { throw .name(interface) }
        }
        if interception.mode == .redirect, !interception.interfaces.isEmpty,
            let address = interception.listen.first(where: { $0.value.address.unmapped.isLoopback })
        {
            throw .loopbackRedirect(listener: interception.name, address: address)
        }
    }
}

/// A word nft reads as one identifier, whatever its keywords.
private func isName(_ text: String, longest: Int) -> Bool {
    guard let first = text.utf8.first, isLetter(first) || first == UInt8(ascii: "_"), text.utf8.count <= longest else {
        return false
    }
    return text.utf8.allSatisfy { isLetter($0) || $0 &- 0x30 < 10 || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }
}

/// What the kernel takes as a device name and a quoted nft string can hold, with an optional star at the end.
private func isInterface(_ text: String) -> Bool {
    let stem = text.hasSuffix("*") ? text.dropLast() : text[...]
    return (1...15).contains(stem.utf8.count)
        && stem.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !"/\"\\*'$`".utf8.contains($0) }
}

private func isLetter(_ byte: UInt8) -> Bool { byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z") }

/// `0x03000000`: eight digits, as nft prints marks.
func hex(_ value: UInt32) -> String {
    let digits = String(value, radix: 16)
    return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
}
