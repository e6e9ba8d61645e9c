internal import CSockets
internal import TransparentSockets

/// Holds a mark window against other processes of ours in the same network namespace, as an abstract Unix socket: it
/// belongs to the namespace and dies with the process. Keep it as long as packets bear the marks.
public final class MarkReservation {
    public let marks: Marks
    private let socket: Descriptor

    /// `nil` when another living process holds the window.
    public init?(_ marks: Marks) throws(FirewallError) {
        let raw = cs_socket_unix_datagram()
        guard raw >= 0 else { throw .system("a Unix socket cannot be made", errno: -raw) }
        socket = Descriptor(owning: raw)
        self.marks = marks
        let bound = cs_bind_abstract(socket.raw, Self.name(marks))
        if bound == -EADDRINUSE { return nil }
        guard bound == 0 else { throw .system("the mark window cannot be reserved", errno: -bound) }
    }

    /// The socket's name, as others look for it.
    static func name(_ marks: Marks) -> String { "clearway-mark-\(marks.shift)" }

    /// Chooses marks, route table and rule preference that are free in the network namespace of the calling thread.
    ///
    /// - Parameters:
    ///   - mark: the lowest bit of the window that must be used; 0: choose.
    ///   - routeTable: the routing table that must be used; 0: choose.
    public static func choose(mark: UInt32 = 0, routeTable: UInt32 = 0) throws(FirewallError) -> (Choice, MarkReservation) {
        let ip = try Tool.find("ip")
        var rules: [ListedRule] = []
        for family in ["-4", "-6"] {
            rules += ListedRule.parse(try ip.run([family, "-N", "rule", "show"]).output, isIPv6: family == "-6")
        }
        var foreignTables: Set<UInt32> = []
        while true {
            let free = choices(rules: rules, foreignTables: foreignTables, mark: mark, routeTable: routeTable)
            var crossed = false
            for choice in free {
                if routeTable == 0, try hasForeignRoutes(ip, choice.routeTable) {
                    foreignTables.insert(choice.routeTable)
                    crossed = true
                    break
                }
                if let reservation = try MarkReservation(choice.marks) { return (choice, reservation) }
            }
            if crossed { continue }
            throw FirewallError(
                .system,
                mark == 0
                    ? "no two neighbouring bits of the packet mark are free: see `ip rule`, and choose with firewall.mark"
                    : "mark \(hex(mark)) is held by another clearway in this network namespace")
        }
    }

    private static func hasForeignRoutes(_ ip: Tool, _ table: UInt32) throws(FirewallError) -> Bool {
        for family in ["-4", "-6"] {
            let routes = try ip.run([family, "-N", "route", "show", "table", "\(table)"]).output
            if routes.split(separator: "\n").contains(where: { !$0.contains("proto \(ownProtocol)") }) { return true }
        }
        return false
    }
}
