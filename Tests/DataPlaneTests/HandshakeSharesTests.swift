import Testing
import TransparentSockets

@testable import DataPlane

@Suite struct HandshakeSharesTests {
    private let one = IPAddress("192.0.2.1")!
    private let other = IPAddress("2001:db8::")!

    @Test func aSourceHasItsShareAndOthersTheirs() {
        let shares = HandshakeShares()
        for source in [one, other] {
            for _ in 0..<3 { #expect(shares.begin(source, atMost: 3)) }
            #expect(!shares.begin(source, atMost: 3))
        }
        shares.end(one)
        #expect(shares.begin(one, atMost: 3))
        #expect(!shares.begin(one, atMost: 3) && !shares.begin(other, atMost: 3))
        // A reload may allow more, or fewer.
        #expect(shares.begin(one, atMost: 4))
        #expect(!shares.begin(one, atMost: 2))
    }

    @Test func whoHasNoneIsForgotten() {
        let shares = HandshakeShares()
        for round in 0..<1_000 {
            let source = IPAddress.v4(IPv4Address(bits: UInt32(round)))
            #expect(shares.begin(source, atMost: 1))
            #expect(shares.sources == 1)
            shares.end(source)
            #expect(shares.sources == 0)
        }
    }

    /// From several threads, as workers do.
    @Test func nothingIsLost() async {
        let shares = HandshakeShares()
        let begun = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask { [one] in
                    var begun = 0
                    for _ in 0..<10_000 where shares.begin(one, atMost: 10_000) { begun += 1 }
                    return begun
                }
            }
            return await group.reduce(0, +)
        }
        #expect(begun == 10_000)
        for _ in 0..<10_000 { shares.end(one) }
        #expect(shares.sources == 0)
    }
}
