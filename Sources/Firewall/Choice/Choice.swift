/// The numbers of ours that nobody else uses.
public struct Choice: Hashable, Sendable {
    public var marks: Marks
    public var routeTable: UInt32
    public var preference: Int
}

/// Positions of the mark window, most wished first. Kubernetes has bits 14 and 15, Tailscale 16…23, Calico 16…31 in part.
public let markShifts = [24, 26, 28, 22, 20, 18, 30, 12, 10, 8]

/// Every choice that is free beside the rules of others, most wished first. Two processes of ours in one network namespace
/// then settle by ``MarkReservation`` who takes which.
///
/// - Parameters:
///   - rules: the rules of both families. Those with our protocol number are left-overs, and free.
///   - foreignTables: routing tables with routes that are not ours.
///   - mark: the lowest bit of the window the configuration demands; 0: choose. What is demanded is taken, free or not.
///   - routeTable: the table the configuration demands; 0: choose.
public func choices(rules: [ListedRule], foreignTables: Set<UInt32> = [], mark: UInt32 = 0, routeTable: UInt32 = 0) -> [Choice] {
    let foreign = rules.filter { !$0.isOurs }
    let occupied = foreign.reduce(0) { $0 | $1.occupiedBits }
    let takenTables = foreignTables.union(foreign.compactMap(\.table))
    let demanded = Marks(lowestBit: mark)
    let windows: [Marks] =
        if let demanded { [demanded] } else { markShifts.map { Marks(shift: $0) }.filter { $0.mask & occupied == 0 } }
    return windows.map { marks -> Choice in
        let index = markShifts.firstIndex(of: marks.shift) ?? markShifts.count + marks.shift
        var table = routeTable
        if table == 0 {
            table = UInt32(7100 + index)
            while takenTables.contains(table) { table += 100 }
        }
        let others = rules.filter { !$0.isOurs || $0.mask != marks.mask }
        return Choice(
            marks: marks, routeTable: table,
            preference: freePreference(
                beside: others.map(\.preference), foreign: foreign.map(\.preference), from: 1000 + 10 * index))
    }
}

/// The first of three free preferences in a row, before the rules of others where that can be had: a rule of a VPN that
/// takes all traffic would take intercepted packets too.
private func freePreference(beside taken: [Int], foreign: [Int], from wished: Int) -> Int {
    let taken = Set(taken)
    let first = foreign.filter { $0 > 0 }.min() ?? 32_766
    let free = { (start: Int) in (0...2).allSatisfy { !taken.contains(start + $0) } }
    let latest = first - 3
    if latest >= wished, let found = (wished...latest).first(where: free) { return found }
    if latest >= 1, let found = (1...latest).reversed().first(where: free) { return found }
    return (1...32_763).first(where: free) ?? wished
}
