extension Choice {
    /// The numbers used when people make the rules by hand: they must not depend on what those rules have taken already.
    ///
    /// - Parameters:
    ///   - mark: the lowest bit of the window; 0: the most wished one.
    ///   - routeTable: 0: the most wished one.
    public static func fixed(mark: UInt32 = 0, routeTable: UInt32 = 0) -> Choice {
        Choice(
            marks: Marks(lowestBit: mark) ?? Marks(shift: markShifts[0]), routeTable: routeTable == 0 ? 7100 : routeTable,
            preference: 1000)
    }
}
