import Policy
import Testing
import TransparentSockets

@testable import DataPlane

@Suite struct SourcePoolTests {
    private let destination = IPAddress("203.0.113.9")!

    private func pool(_ last: some Sequence<Int>, _ others: [String] = []) -> SourcePool {
        SourcePool(
            name: "pool", addresses: last.map { IPAddress("198.51.100.\($0)")! } + others.map { IPAddress($0)! },
            blockList: DomainName("list.example"))
    }

    private func client(_ number: Int) -> IPAddress { IPAddress("192.0.\(number >> 8).\(number & 255)")! }

    /// As a dual-stack socket has it.
    private func mapped(_ address: IPAddress) -> IPAddress {
        guard case .v4(let v4) = address else { return address }
        return .v6(IPv6Address(high: 0, low: 0xFFFF_0000_0000 | UInt64(v4.bits)))
    }

    private func list(_ addresses: Set<String>, in pool: SourcePool) {
        for source in pool.sources { source.found(listed: addresses.contains("\(source.address)")) }
    }

    /// Computed by another program: these numbers must never change.
    @Test(arguments: [
        ("198.51.100.1", "10.1.32.4", "93.184.216.34", 0x6C77_E3FF_94C8_5CF0 as UInt64),
        ("2001:db8::1", "10.1.32.4", "2001:db8:ffff::7", 0x1316_7ADD_487A_898E),
        ("198.51.100.2", "2001:db8::5", "203.0.113.9", 0xC214_9E31_ED84_35E7),
    ])
    func weightsAreForEver(_ source: String, _ client: String, _ destination: String, _ weight: UInt64) {
        let key = Rendezvous.Key(IPAddress(client)!, to: IPAddress(destination)!)
        #expect(Rendezvous([source]).weight(of: 0, for: key) == weight)
    }

    @Test func aClientAloneWeighsAsItDid() {
        let rendezvous = Rendezvous(["socks5://10.0.0.1:1080"])
        #expect(rendezvous.weight(of: 0, for: .init(IPAddress("192.0.2.7")!)) == 0x9E89_A639_7BE1_455E)
    }

    @Test func aPairKeepsItsAddress() {
        let five = pool(1...5)
        let chosen = (0..<12).map { five.source(for: IPAddress("192.0.2.\($0)")!, to: destination)! }
        #expect(chosen == Self.agreed.map { IPAddress("198.51.100.\($0)")! })
        // Neither the order of the addresses nor saying one twice matters.
        let reversed = pool([5, 4, 4, 3, 2, 1, 1])
        #expect(reversed.sources.count == 5)
        #expect((0..<12).map { reversed.source(for: IPAddress("192.0.2.\($0)")!, to: destination)! } == chosen)
    }

    private static let agreed = [4, 2, 4, 2, 3, 5, 5, 1, 4, 4, 3, 1]

    @Test func clientsAndDestinationsAreSpread() {
        let five = pool(1...5)
        var ofClients: [IPAddress: Int] = [:]
        var ofDestinations: [IPAddress: Int] = [:]
        for number in 0..<10_000 {
            ofClients[five.source(for: client(number), to: destination)!, default: 0] += 1
            ofDestinations[five.source(for: destination, to: client(number))!, default: 0] += 1
        }
        for counts in [ofClients, ofDestinations] {
            #expect(counts.count == 5 && counts.values.allSatisfy { (1_800...2_200).contains($0) }, "\(counts)")
        }
    }

    @Test func losingAnAddressMovesOnlyItsShare() {
        let five = pool(1...5)
        let four = pool(1...4)
        let lost = IPAddress("198.51.100.5")!
        var heirs: [IPAddress: Int] = [:]
        for number in 0..<10_000 {
            let before = five.source(for: client(number), to: destination)!
            let after = four.source(for: client(number), to: destination)!
            if before == lost { heirs[after, default: 0] += 1 } else { #expect(after == before) }
        }
        #expect(heirs.count == 4 && heirs.values.allSatisfy { (400...600).contains($0) }, "\(heirs)")
    }

    @Test func aListedAddressIsAsIfItWereNotThere() {
        let five = pool(1...5)
        let four = pool(1...4)
        let before = (0..<500).map { five.source(for: client($0), to: destination) }
        list(["198.51.100.5"], in: five)
        for number in 0..<500 {
            #expect(five.source(for: client(number), to: destination) == four.source(for: client(number), to: destination))
        }
        list([], in: five)
        #expect((0..<500).map { five.source(for: client($0), to: destination) } == before)
    }

    @Test func oneThatIsLeftServesAllAndNoneServesAsAll() {
        let three = pool(1...3, ["2001:db8::1"])
        let before = (0..<100).map { three.source(for: client($0), to: destination) }
        list(["198.51.100.1", "198.51.100.3"], in: three)
        #expect((0..<100).allSatisfy { three.source(for: client($0), to: destination) == IPAddress("198.51.100.2") })
        // The other family's address is on no list, and helps nobody here.
        list(["198.51.100.1", "198.51.100.2", "198.51.100.3"], in: three)
        #expect((0..<100).map { three.source(for: client($0), to: destination) } == before)
    }

    @Test func theDestinationSaysTheFamily() {
        let both = pool(1...2, ["2001:db8::1", "2001:db8::2"])
        for number in 0..<50 {
            #expect(both.source(for: client(number), to: IPAddress("2001:db8:ffff::7")!)!.isIPv6)
            #expect(!both.source(for: IPAddress("2001:db8::\(number)")!, to: destination)!.isIPv6)
        }
        #expect(pool(1...2).source(for: client(1), to: IPAddress("2001:db8:ffff::7")!) == nil)
        #expect(pool(0..<0, ["2001:db8::1"]).source(for: client(1), to: destination) == nil)
        #expect(pool(0..<0, ["2001:db8::1"]).source(for: client(1), to: mapped(destination)) == nil)
        #expect(pool(0..<0).source(for: client(1), to: destination) == nil)
    }

    @Test func theFormOfAnAddressDoesNotMatter() {
        let five = pool(1...5)
        let other = SourcePool(name: "mapped", addresses: five.sources.map { mapped($0.address) })
        for number in 0..<100 {
            let expected = five.source(for: client(number), to: destination)
            #expect(five.source(for: mapped(client(number)), to: destination) == expected)
            #expect(five.source(for: client(number), to: mapped(destination)) == expected)
            #expect(other.source(for: mapped(client(number)), to: mapped(destination)) == expected)
        }
    }

    @Test func aReloadKeepsWhatTheSameListHasSaid() {
        let old = pool(1...3)
        list(["198.51.100.2"], in: old)
        let addresses = old.sources.dropFirst().map(\.address) + [IPAddress("198.51.100.4")!]
        let same = SourcePool(name: "pool", addresses: addresses, blockList: old.blockList, inheriting: old)
        #expect(same.sources.map(\.isListed) == [true, false, false])
        for list in [DomainName("other.example"), nil] {
            let another = SourcePool(name: "pool", addresses: addresses, blockList: list, inheriting: old)
            #expect(another.sources.allSatisfy { !$0.isListed })
        }
    }
}
