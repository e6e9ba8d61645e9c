internal import CSockets
internal import Glibc
internal import TransparentSockets

/// Rules, routes and settings as they are in the kernel, and the duty to take them away.
///
/// The interception table is owned by a child process whose standard input we hold, so it vanishes with this process however
/// that ends. What then stays is harmless (rules for marks no packet bears, and under `on_down = "reject"` the table that
/// refuses) and is reused at the next start. Use from one thread; everything happens in that thread's network namespace.
public final class OwnedFirewall {
    public private(set) var plan: Plan
    /// What the operator should know: parts left out, settings that could not be changed.
    public private(set) var notices: [String] = []

    private let nft: Tool
    private let routing: Routing
    private let canSweep: Bool
    private(set) var sweeper: Sweeper?
    private(set) var owner: NftOwner?
    private var settings = SavedSettings()
    /// Until when ports are kept out of interception whose sockets were there before it, in monotonic nanoseconds.
    private var earlierUntil: UInt64 = 0

    private init(_ plan: Plan, nft: Tool, ip: Tool, canSweep: Bool) {
        self.plan = plan
        self.nft = nft
        self.canSweep = canSweep
        routing = Routing(ip: ip)
    }

    /// Applies a specification, all of it or, when this throws, nothing.
    ///
    /// - Parameter canSweep: false: even where left-over sockets could be destroyed, early demux is switched off instead.
    public static func apply(_ spec: FirewallSpec, canSweep: Bool = true) throws(FirewallError) -> OwnedFirewall {
        var capabilities: UInt64 = 0
        guard cs_effective_capabilities(&capabilities) != 0 || capabilities & 1 << 12 != 0 else { throw .noCapability }
        var spec = spec
        spec.isSwept = canSweep && spec.leavesSocketsInTheWay && Sweeper.isSupported(spec.marks)
        if spec.interceptsOwnDatagrams { spec.earlierPorts = datagramPorts() }
        let (plan, notices) = try reachable(spec)
        let firewall = OwnedFirewall(plan, nft: try Tool.find("nft"), ip: try Tool.find("ip"), canSweep: canSweep)
        firewall.notices = notices
        firewall.earlierUntil = afterEarlierTime()
        try firewall.checkName()
        try firewall.check(plan)
        do throws(FirewallError) {
            try firewall.install(plan, tableExists: false)
        } catch {
            firewall.remove()
            throw error
        }
        return firewall
    }

    /// Becomes readable when the child that owns the table has died; -1 while there is none. Then ``reapply()``.
    public var childDescriptor: Int32 { owner?.ended.raw ?? -1 }

    /// Whether the table is there, as far as the child's life tells.
    public var isOwned: Bool {
        guard let owner else { return false }
        var stream = pollfd(fd: owner.ended.raw, events: Int16(POLLIN), revents: 0)
        return poll(&stream, 1, 0) == 0
    }

    /// Makes everything anew after the child has died.
    public func reapply() throws(FirewallError) {
        owner?.end()
        owner = nil
        if cs_monotonic_nanoseconds() >= earlierUntil { plan = plan.withoutEarlierPorts }
        do throws(FirewallError) {
            try checkName()
            try install(plan, tableExists: false)
        } catch {
            owner?.end()
            owner = nil
            throw error
        }
    }

    /// Puts another plan in place of this one; packets meet the old rules or the new, never none, and open sessions keep what
    /// they live by. When this throws, the old rules stay. The table's name and the marks cannot change.
    ///
    /// - Returns: whether something is intercepted no longer.
    @discardableResult
    public func replace(with spec: FirewallSpec) throws(FirewallError) -> Bool {
        guard spec.table == plan.spec.table, spec.marks == plan.spec.marks else {
            throw FirewallError(.specification, "firewall.table and firewall.mark change only with a new start")
        }
        let previous = plan.spec
        var spec = spec
        spec.carried = previous.needs
        if spec.interceptsOwnDatagrams { spec.earlierPorts = earlierPorts(after: previous) }
        spec.isSwept = previous.isSwept || (canSweep && spec.leavesSocketsInTheWay && Sweeper.isSupported(spec.marks))
        let (next, notices) = try OwnedFirewall.reachable(spec)
        self.notices = notices
        try put(next)
        let isLess = !previous.interceptions.allSatisfy(spec.interceptions.contains)
        if isLess { sweepTimeWait() }
        return isLess
    }

    /// Intercepts nothing more, and keeps what the open sessions need. Where that fails, the old rules stay until ``remove()``
    /// or ``reapply()``, which in any case makes nothing that intercepts.
    public func drain() throws(FirewallError) {
        let (next, _) = try OwnedFirewall.reachable(plan.spec.draining)
        defer { plan = next }
        // Without the table nothing is intercepted; what refuses in its place must go all the same.
        guard isOwned else { return removeDownTable() }
        try put(next)
        sweepTimeWait()
    }

    /// Whether sockets that finished sessions leave behind are in the way of forwarded packets, and can be destroyed.
    public var hasTimeWaitToSweep: Bool { plan.spec.isSwept && plan.spec.leavesSocketsInTheWay }

    /// Takes the TIME_WAIT sockets of finished sessions out of the way of connections that are no longer intercepted, from the
    /// same ports: with early demux on, they would swallow their packets for a minute.
    public func sweepTimeWait() {
        if hasTimeWaitToSweep { Sweeper.sweepTimeWait(plan.spec.marks) }
    }

    /// Of sockets that were there before these datagrams were intercepted, as long as they matter.
    private func earlierPorts(after previous: FirewallSpec) -> [UInt16] {
        if !previous.interceptsOwnDatagrams {
            earlierUntil = Self.afterEarlierTime()
            return datagramPorts()
        }
        return cs_monotonic_nanoseconds() < earlierUntil ? previous.earlierPorts : []
    }

    private func put(_ next: Plan) throws(FirewallError) {
        guard isOwned else { throw FirewallError(.system, "the table is gone") }
        try check(next)
        let previous = plan
        do throws(FirewallError) {
            try install(next, tableExists: true)
            plan = next
        } catch {
            restore(previous)
            throw error
        }
    }

    /// A clean stop: takes away everything that was made. May be called again.
    public func remove() {
        owner?.end()
        owner = nil
        removeDownTable()
        try? routing.remove(plan)
        if !anotherLives { settings.restore() }
        sweeper?.end()
        sweeper = nil
        // With early demux on, a TIME_WAIT socket of ours would swallow forwarded packets of its tuple for a minute.
        if plan.spec.leavesSocketsInTheWay { Sweeper.sweepTimeWait(plan.spec.marks) }
    }

    // ---- steps ----

    /// The order matters: a packet that bears a mark must find its route, and what refuses comes after what intercepts.
    private func install(_ plan: Plan, tableExists: Bool) throws(FirewallError) {
        if plan.spec.isSwept, sweeper == nil { sweeper = try Sweeper(plan.spec.marks) }
        for setting in plan.sysctls {
            if let notice = settings.set(setting) { notices.append(notice) }
        }
        try routing.install(plan)
        let owner: NftOwner
        if let present = self.owner { owner = present } else { owner = try NftOwner(nft, table: plan.spec.table) }
        self.owner = owner
        let table = plan.interceptionTable(owned: true)
        try owner.send(tableExists ? "delete table inet \(plan.spec.table)\n\(table)" : table)
        if let down = plan.downTableText {
            let result = try nft.run(["-f", "-"], input: replacing(plan.spec.downTable, with: down))
            guard result.status == 0 else { throw refused(result.errors) }
        } else {
            removeDownTable()
        }
    }

    private func restore(_ previous: Plan) {
        do throws(FirewallError) { try install(previous, tableExists: true) } catch {
            notices.append("the rules before the refused ones could not all be restored: \(error)")
        }
    }

    private func removeDownTable() {
        let name = plan.spec.downTable
        _ = try? nft.run(["-f", "-"], input: "table inet \(name)\ndelete table inet \(name)\n")
    }

    private func checkName() throws(FirewallError) {
        let name = plan.spec.table
        let tables = try nft.run(["list", "tables", "inet"])
        guard tables.status == 0 else {
            if tables.errors.contains("Operation not permitted") { throw .noCapability }
            throw FirewallError(.missingFeature, "the kernel lacks \(KernelFeature.inetTables.option): \(tables.complaint)")
        }
        guard !tables.output.split(separator: "\n").contains("table inet \(name)") else {
            throw FirewallError(
                .tableTaken,
                "nft table \"inet \(name)\" exists already: another clearway runs, or the rules were loaded by hand "
                    + "(nft delete table inet \(name)); or choose another name with firewall.table")
        }
    }

    /// Asks nft and the kernel about a plan without changing anything.
    private func check(_ plan: Plan) throws(FirewallError) {
        // Under a name of its own: a check against the owned table of that name would be refused for its owner.
        var spec = plan.spec
        spec.table = "clearway_check"
        guard let scratch = try? Plan(spec) else { return }
        let text = scratch.interceptionTable(owned: true) + (scratch.downTableText ?? "")
        let result = try nft.run(["-c", "-f", "-"], input: text)
        guard result.status != 0 else { return }
        for feature in plan.features {
            let present = try KernelFeature.isPresent(feature, nft)
            if !present { throw FirewallError(.missingFeature, "the kernel lacks \(feature.option)") }
        }
        throw refused(result.errors)
    }

    /// The plan for the families this network namespace has.
    private static func reachable(_ spec: FirewallSpec) throws(FirewallError) -> (Plan, [String]) {
        var spec = spec
        var notices: [String] = []
        if spec.families.ipv6, let reason = missingIPv6() {
            spec.families.ipv6 = false
            notices.append("IPv6 is not intercepted: \(reason)")
        }
        do throws(PlanError) {
            return (try Plan(spec), notices)
        } catch {
            throw FirewallError(.specification, error.description)
        }
    }

    private static func afterEarlierTime() -> UInt64 {
        cs_monotonic_nanoseconds() + UInt64(FirewallSpec.earlierTime.components.seconds) * 1_000_000_000
    }

    /// Whether another process of ours still needs the settings: rules of another window whose reservation is held.
    private var anotherLives: Bool {
        let listed = ["-4", "-6"].flatMap { (try? routing.rules($0)) ?? [] }
        let others = Set(listed.filter { $0.isOurs && $0.mask != plan.spec.marks.mask }.map(\.mask))
        return others.contains { mask in
            guard let marks = Marks(lowestBit: mask & ~(mask << 1)) else { return false }
            do { return try MarkReservation(marks) == nil } catch { return false }
        }
    }
}
