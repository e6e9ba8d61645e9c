internal import CSockets
internal import Glibc
public import TransparentSockets

/// What the doctor judges: facts about one network namespace and this process, gathered at one moment.
public struct SystemState: Sendable {
    /// Whether this process has CAP_NET_ADMIN.
    public var capable = true
    /// Whether it has CAP_NET_RAW.
    public var rawCapable = true
    /// The path of the program that this process runs.
    public var executable = "/usr/local/bin/clearway"
    public var missingPrograms: [String] = []
    /// Commands that should have told something of this, and failed.
    public var failedCommands: [String] = []
    /// Empty also when they could not be probed.
    public var missingFeatures: [KernelFeature] = []
    /// Why there is no IPv6; `nil`: there is.
    public var missingIPv6: String?
    /// Values of settings by their dotted names; those that do not exist are missing.
    public var sysctls: [String: String] = [:]
    /// Whether settings can be changed; false in many containers.
    public var writableSysctls = true
    /// The rules of both families.
    public var rules: [ListedRule] = []
    /// Families whose routing table of the plan delivers nothing to this host.
    public var missingRoutes: Set<String> = []
    /// Mark windows that another living process of ours holds.
    public var heldShifts: Set<Int> = []
    public var ruleset = ForeignRuleset(parsing: "")
    /// There are tables of the old iptables, which nft does not list.
    public var mayHaveLegacyRules = false
    /// Listening TCP sockets.
    public var listening: Set<SocketAddress> = []
    /// UDP sockets without a peer.
    public var receiving: Set<SocketAddress> = []
    /// Interfaces, and whether they are up.
    public var interfaces: [String: Bool] = ["lo": true]
    /// Descriptors this process may have.
    public var softLimit: UInt64 = 1 << 20
    public var hardLimit: UInt64 = 1 << 20
    /// How many sessions at once they are enough for. The caller reckons it, who knows what else needs descriptors.
    public var sessions = 1 << 18

    public init() {}

    /// Looks at the network namespace of the calling thread; changes nothing. What cannot be looked at is left as if good,
    /// except that its cause is itself a fact here.
    public static func gather(_ plan: Plan) -> SystemState {
        var state = SystemState()
        var capabilities: UInt64 = 0
        if cs_effective_capabilities(&capabilities) == 0 {
            (state.capable, state.rawCapable) = (capabilities & 1 << 12 != 0, capabilities & 1 << 13 != 0)
        }
        if let path = linkTarget("/proc/self/exe") { state.executable = withoutDeleted(path) }
        let tools = ["nft", "ip"].map { name in (name, try? Tool.find(name)) }
        state.missingPrograms = tools.filter { $0.1 == nil }.map(\.0)
        if let nft = tools[0].1, state.capable {
            // What sets hold does not matter, and may be much.
            if let text = state.output(of: nft, ["-s", "-t", "list", "ruleset"]) {
                state.ruleset = ForeignRuleset(parsing: text)
                state.missingFeatures = plan.features.filter { (try? KernelFeature.isPresent($0, nft)) == false }
            }
        }
        state.missingIPv6 = Firewall.missingIPv6()
        if let ip = tools[1].1 {
            for (family, option) in [("IPv4", "-4"), ("IPv6", "-6")] {
                // A kernel without a family has no rules of it to show.
                guard family == "IPv4" || state.missingIPv6 == nil else {
                    state.missingRoutes.insert(family)
                    continue
                }
                if let rules = state.output(of: ip, [option, "-N", "rule", "show"]) {
                    state.rules += ListedRule.parse(rules, isIPv6: family == "IPv6")
                }
                // Of a table that does not exist it says so with an error, and that is an answer.
                let routes = (try? ip.run([option, "route", "show", "table", "\(plan.spec.routeTable)"]).output) ?? ""
                let delivers = routes.split(separator: "\n").contains { $0.hasPrefix("local default dev lo ") }
                if !delivers { state.missingRoutes.insert(family) }
            }
            if let links = state.output(of: ip, ["-o", "link", "show"]) { state.interfaces = interfaceStates(links) }
        }
        state.mayHaveLegacyRules = ["ip", "ip6"].contains { family in
            let tables = "/proc/thread-self/net/\(family)_tables_names"
            // Only root may read it.
            return fileText(tables).map { !$0.isEmpty } ?? (access(tables, F_OK) == 0)
        }
        for name in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.tcp_early_demux", "net.ipv4.tcp_tw_reuse"]
            + ["net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"]
        {
            state.sysctls[name] = sysctl(name)
        }
        state.writableSysctls = access(sysctlPath("net.ipv4.tcp_early_demux"), W_OK) == 0
        for shift in Set(markShifts + [plan.spec.marks.shift]) {
            do throws(FirewallError) {
                if try MarkReservation(Marks(shift: shift)) == nil { state.heldShifts.insert(shift) }
            } catch {}
        }
        for file in ["tcp", "tcp6"] { state.listening.formUnion(sockets(ofFile: file, in: "0A")) }
        for file in ["udp", "udp6"] { state.receiving.formUnion(sockets(ofFile: file, in: "07")) }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            (state.softLimit, state.hardLimit) = (UInt64(limit.rlim_cur), UInt64(limit.rlim_max))
        }
        return state
    }
}

extension SystemState {
    /// What a command prints; nil, and noted: it failed.
    fileprivate mutating func output(of tool: Tool, _ arguments: [String]) -> String? {
        if let finished = try? tool.run(arguments), finished.status == 0, !finished.isCut { return finished.output }
        failedCommands.append(([tool.name] + arguments).joined(separator: " "))
        return nil
    }
}

/// As the kernel names a program whose file was replaced while it ran.
func withoutDeleted(_ path: String) -> String {
    let suffix = " (deleted)"
    return path.hasSuffix(suffix) ? String(path.dropLast(suffix.count)) : path
}

/// Where a symbolic link leads; nil: it cannot be read.
private func linkTarget(_ link: String) -> String? {
    var path = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink(link, &path, path.count)
    return count > 0 ? String(decoding: path.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
}

/// `ip -o link show`: names and whether the flag UP is among `<…>`.
func interfaceStates(_ text: String) -> [String: Bool] {
    var result: [String: Bool] = [:]
    for line in text.split(separator: "\n") {
        let parts = line.split(separator: " ", maxSplits: 3)
        guard parts.count >= 3, let name = parts[1].split(whereSeparator: { $0 == ":" || $0 == "@" }).first else { continue }
        result[String(name)] = parts[2].dropFirst().dropLast().split(separator: ",").contains("UP")
    }
    return result
}

/// Ports of the UDP sockets of this network namespace, without those that talk only with this host.
func datagramPorts() -> [UInt16] {
    let all = ["udp", "udp6"].flatMap { sockets(ofFile: $0, in: "07") + sockets(ofFile: $0, in: "01") }
    return unique(all.filter { !$0.address.isLoopback }.map(\.port))
}

/// - Parameters:
///   - file: `tcp`, `tcp6`, `udp` or `udp6`.
///   - state: as the kernel writes it: 01 has a peer, 07 (UDP) has none, 0A listens.
private func sockets(ofFile file: String, in state: String) -> [SocketAddress] {
    localAddresses(fileText("/proc/thread-self/net/\(file)") ?? "", in: state)
}

/// The sockets of `/proc/net/tcp` and its like in a state. Addresses are hexadecimal words in the machine's byte order.
func localAddresses(_ text: String, in state: String) -> [SocketAddress] {
    text.split(separator: "\n").compactMap { line in
        let fields = line.split(separator: " ")
        guard fields.count > 3, fields[3] == state else { return nil }
        let parts = fields[1].split(separator: ":")
        guard parts.count == 2, let port = UInt16(parts[1], radix: 16), parts[0].utf8.count % 8 == 0 else { return nil }
        var words: [UInt32] = []
        var rest = parts[0]
        while !rest.isEmpty {
            guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            words.append(UInt32(bigEndian: word))
            rest = rest.dropFirst(8)
        }
        switch words.count {
        case 1: return SocketAddress(.v4(IPv4Address(bits: words[0])), port: port)
        case 4:
            let high = UInt64(words[0]) << 32 | UInt64(words[1])
            let low = UInt64(words[2]) << 32 | UInt64(words[3])
            return SocketAddress(IPAddress.v6(IPv6Address(high: high, low: low)).unmapped, port: port)
        default: return nil
        }
    }
}
