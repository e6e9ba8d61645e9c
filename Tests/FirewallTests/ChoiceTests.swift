import Testing

@testable import Firewall

@Suite struct ChoiceTests {
    private let debian = """
        0:\tfrom all lookup 255
        32766:\tfrom all lookup 254
        32767:\tfrom all lookup 253
        """
    private let tailscale = """
        0:\tfrom all lookup 255
        5210:\tfrom all fwmark 0x80000/0xff0000 lookup 254 proto 4
        5230:\tfrom all fwmark 0x80000/0xff0000 lookup 253
        5250:\tfrom all fwmark 0x80000/0xff0000 unreachable
        5270:\tfrom all lookup 52
        32766:\tfrom all lookup 254
        """
    private let wireguard = """
        0:\tfrom all lookup 255
        32764:\tfrom all lookup 254 suppress_prefixlength 0
        32765:\tnot from all fwmark 0xca6c lookup 51820
        32766:\tfrom all lookup 254
        """

    @Test func freshHost() {
        #expect(
            choices(rules: ListedRule.parse(debian)).first == Choice(marks: Marks(shift: 24), routeTable: 7100, preference: 1000))
        #expect(choices(rules: ListedRule.parse(debian)).count == markShifts.count)
        #expect(Set(choices(rules: []).map(\.routeTable)).count == markShifts.count)
    }

    @Test func foreignMasksAreTakenWhole() {
        let shifts = choices(rules: ListedRule.parse(tailscale)).map(\.marks.shift)
        #expect(shifts.first == 24)
        #expect(!shifts.contains { 16...23 ~= $0 })
    }

    @Test func aMarkWithoutMaskTakesItsBitsAlone() {
        let rules = ListedRule.parse("100:\tfrom all fwmark 0x3000400 lookup 7101\n" + wireguard)
        #expect(choices(rules: rules).first == Choice(marks: Marks(shift: 26), routeTable: 7201, preference: 97))
        #expect(!choices(rules: rules).contains { $0.marks.shift == 10 })
        #expect(choices(rules: rules).contains { $0.marks.shift == 28 })
    }

    @Test func leftOversOfOursAreFree() {
        let rules = ListedRule.parse(
            debian + "\n1000:\tfrom all fwmark 0x2000000/0x3000000 iif lo goto 1002 proto 193\n"
                + "1001:\tfrom all fwmark 0x2000000/0x3000000 lookup 7100 proto 193\n")
        #expect(choices(rules: rules).first == Choice(marks: Marks(shift: 24), routeTable: 7100, preference: 1000))
    }

    @Test func whatIsDemandedIsTaken() {
        let rules = ListedRule.parse(tailscale)
        let choice = choices(rules: rules, mark: 0x10000, routeTable: 52)
        #expect(choice.map(\.marks.shift) == [16])
        #expect(choice.map(\.routeTable) == [52])
    }

    @Test func preferencesComeBeforeForeignOnesWhereTheyCan() {
        #expect(choices(rules: ListedRule.parse("1001:\tfrom all lookup 5")).first?.preference == 998)
        #expect(choices(rules: ListedRule.parse("2:\tfrom all lookup 5")).first?.preference == 3)
        #expect(choices(rules: [], foreignTables: [7100, 7200]).first?.routeTable == 7300)
    }

    @Test func marksFromTheirLowestBit() {
        #expect(Marks(lowestBit: 0x100_0000) == Marks(shift: 24))
        #expect(Marks(lowestBit: 0) == nil)
        #expect(Marks(lowestBit: 3) == nil)
        #expect(Marks(lowestBit: 1 << 31) == nil)
        #expect(Marks(lowestBit: 1 << 30)?.mask == 0xC000_0000)
    }

    @Test func readsEveryKindOfRule() throws {
        let ours = try #require(
            ListedRule(line: "1000:\tfrom all fwmark 0x2000000/0x3000000 iif lo [detached] goto 1002 [unresolved] proto 193"))
        #expect(ours.isOurs && ours.goto == 1002 && ours.table == nil && ours.incoming == "lo")
        #expect(ours.mark == 0x200_0000 && ours.mask == 0x300_0000)
        #expect(
            ours.isSame(
                as: RouteRule(
                    preference: 1000, incoming: "lo", mark: 0x200_0000, mask: 0x300_0000, action: .goto(1002))))
        #expect(
            !ours.isSame(
                as: RouteRule(
                    preference: 1000, incoming: nil, mark: 0x200_0000, mask: 0x300_0000, action: .goto(1002))))
        #expect(ListedRule(line: "Error: nothing") == nil)
        #expect(ListedRule(line: "") == nil)
        #expect(ListedRule(line: "-1: x") == nil)
    }

    /// Whatever a tool prints, reading it ends, and choosing gives windows that its rules leave free.
    @Test func mutatedListsAreHarmless() {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        func random(_ limit: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(limit))
        }
        let seed = Array((tailscale + "\n" + wireguard).utf8)
        for _ in 0..<2000 {
            var bytes = seed
            for _ in 0...random(8) {
                switch random(3) {
                case 0: bytes[random(bytes.count)] = UInt8(random(256))
                case 1: bytes.remove(at: random(bytes.count))
                default: bytes.insert(UInt8(random(128)), at: random(bytes.count))
                }
            }
            let rules = ListedRule.parse(String(decoding: bytes, as: UTF8.self))
            let occupied = rules.filter { !$0.isOurs }.reduce(0) { $0 | $1.occupiedBits }
            for choice in choices(rules: rules) {
                #expect(choice.marks.mask & occupied == 0)
                #expect((1...32_763).contains(choice.preference))
            }
        }
    }
}
