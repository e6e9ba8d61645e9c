internal import TransparentSockets

/// What the rules need of the kernel, each with a small text that a kernel without it refuses.
public enum KernelFeature: String, Sendable, CaseIterable {
    case inetTables, owner, tproxyV4, tproxyV6, socketTransparent, fib, rejectInPrerouting, conntrack, nat

    /// The option of the kernel's configuration, or the version that brought it.
    public var option: String {
        switch self {
        case .inetTables: "CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET (modprobe nf_tables)"
        case .owner: "tables owned by a process (Linux 5.12 or later)"
        case .tproxyV4: "CONFIG_NFT_TPROXY and CONFIG_NF_TPROXY_IPV4 (modprobe nft_tproxy)"
        case .tproxyV6: "CONFIG_NFT_TPROXY and CONFIG_NF_TPROXY_IPV6 (modprobe nft_tproxy)"
        case .socketTransparent: "CONFIG_NFT_SOCKET (modprobe nft_socket; Linux 5.10 or later)"
        case .fib: "CONFIG_NFT_FIB_INET (modprobe nft_fib_inet)"
        case .rejectInPrerouting: "CONFIG_NFT_REJECT_INET (modprobe nft_reject_inet; Linux 5.9 or later)"
        case .conntrack: "CONFIG_NFT_CT and CONFIG_NF_CONNTRACK_MARK (modprobe nft_ct)"
        case .nat: "CONFIG_NFT_NAT and CONFIG_NFT_REDIR (modprobe nft_chain_nat nft_redir)"
        }
    }

    /// The kernel modules that bring it; `nil` when it is part of nf_tables itself.
    var modules: String? {
        switch self {
        case .owner: nil
        case .inetTables: "nf_tables"
        case .tproxyV4, .tproxyV6: "nft_tproxy"
        case .socketTransparent: "nft_socket"
        case .fib: "nft_fib_inet"
        case .rejectInPrerouting: "nft_reject_inet"
        case .conntrack: "nft_ct"
        case .nat: "nft_chain_nat nft_redir"
        }
    }

    private var rule: String {
        switch self {
        case .inetTables, .owner: ""
        case .tproxyV4: "meta nfproto ipv4 meta l4proto tcp tproxy ip to :1"
        case .tproxyV6: "meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :1"
        case .socketTransparent: "socket transparent 1 socket wildcard 1 accept"
        case .fib: "fib daddr type local accept"
        case .rejectInPrerouting: "meta l4proto tcp reject with tcp reset"
        case .conntrack: "ct direction original ct state new ct mark set ct mark | 0x1"
        case .nat: "meta nfproto ipv4 meta l4proto tcp redirect to :1"
        }
    }

    var probe: String {
        let chain = self == .nat ? "type nat hook prerouting priority -100" : "type filter hook prerouting priority -150"
        let flags = self == .owner ? "\tflags owner\n" : ""
        return "table inet clearway_probe {\n\(flags)\tchain probe {\n\t\t\(chain)\n\t\t\(rule)\n\t}\n}\n"
    }

    static func isPresent(_ feature: KernelFeature, _ nft: Tool) throws(FirewallError) -> Bool {
        let result = try nft.run(["-c", "-f", "-"], input: feature.probe)
        guard !result.errors.contains("Operation not permitted") else { throw .noCapability }
        return result.status == 0
    }
}

extension Plan {
    /// What of the kernel this plan uses.
    public var features: [KernelFeature] {
        var features: [KernelFeature] = [.inetTables, .owner, .fib]
        if spec.interceptions.contains(where: { $0.mode == .tproxy }) {
            if spec.families.ipv4 { features.append(.tproxyV4) }
            if spec.families.ipv6 { features.append(.tproxyV6) }
        }
        if spec.allNeeds.divertsGateway { features.append(.socketTransparent) }
        if spec.allNeeds.local { features.append(.conntrack) }
        if spec.interceptions.contains(where: { $0.mode == .redirect }) { features.append(.nat) }
        if spec.onDown == .reject { features.append(.rejectInPrerouting) }
        return features
    }
}
