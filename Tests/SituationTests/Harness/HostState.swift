/// Everything that Clearway may change on a host, as text: what is the same before and after was left as it was found.
struct HostState: Equatable {
    let ruleset: [String]
    let rules: [String]
    let routes: [String]
    let settings: [String]

    init(of namespace: Namespace) throws {
        ruleset = try Self.lines(namespace.require(["nft", "-s", "list", "ruleset"]))
        rules = try Self.lines(namespace.require(["ip", "-4", "rule"]) + namespace.require(["ip", "-6", "rule"]))
        routes = try Self.lines(
            namespace.require(["ip", "-4", "route", "show", "table", "all"])
                + namespace.require(["ip", "-6", "route", "show", "table", "all"])
        ).sorted()
        // Of the thousand settings, those that a transparent proxy has a reason to touch.
        settings = try Self.lines(
            namespace.require([
                "sysctl", "-a", "-r",
                #"^net\.(ipv4\.(ip_|tcp_early|tcp_tw|conf\.)|ipv6\.(conf\.[a-z0-9]+\.(forwarding|accept|disable)|ip_)|bridge)"#,
            ]))
    }

    /// What is in one and not in the other, for a failure that can be read.
    func differences(from other: HostState) -> [String] {
        let pairs = [(ruleset, other.ruleset), (rules, other.rules), (routes, other.routes), (settings, other.settings)]
        var differences: [String] = []
        for (new, old) in pairs where new != old {
            differences += new.filter { !old.contains($0) }.map { "+ \($0)" }
            differences += old.filter { !new.contains($0) }.map { "- \($0)" }
            // The same lines in another number or order are a difference too.
            if Set(new) == Set(old) { differences += ["before:"] + old + ["after:"] + new }
        }
        return differences
    }

    private static func lines(_ text: String) -> [String] {
        text.split(separator: "\n").map(String.init)
    }
}
