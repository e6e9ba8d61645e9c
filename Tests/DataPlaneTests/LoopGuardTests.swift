import Testing
import TransparentSockets

@testable import DataPlane

@Suite struct LoopGuardTests {
    let local = SocketAddress("192.0.2.1:40000")!
    let remote = SocketAddress("198.51.100.7:443")!

    @Test func knowsItsOwnAndNobodyElses() {
        let guardian = LoopGuard()
        #expect(guardian.depth(of: local, to: remote) == 0)
        guardian.add(local, to: remote, depth: 0)
        #expect(guardian.depth(of: local, to: remote) == 1)
        #expect(guardian.depth(of: local, to: SocketAddress("198.51.100.7:444")!) == 0)
        #expect(guardian.depth(of: SocketAddress("192.0.2.2:40000")!, to: remote) == 0)
        #expect(guardian.depth(of: SocketAddress("192.0.2.1:40001")!, to: remote) == 0)
        guardian.remove(local, to: remote)
        #expect(guardian.depth(of: local, to: remote) == 0)
    }

    @Test func anEndedSessionDoesNotForgetAnother() {
        let guardian = LoopGuard()
        let other = SocketAddress("[2001:db8::1]:443")!
        let from = SocketAddress("[2001:db8::2]:40000")!
        guardian.add(local, to: remote, depth: 0)
        guardian.add(from, to: other, depth: 0)
        guardian.remove(local, to: remote)
        #expect(guardian.depth(of: from, to: other) == 1)
    }

    @Test func eachTurnOfALoopIsOneDeeper() {
        let guardian = LoopGuard()
        let ports = (0..<6).map { SocketAddress("192.0.2.1:\(40_000 + $0)")! }
        var depths: [Int] = []
        for port in ports {
            let depth = depths.isEmpty ? 0 : guardian.depth(of: ports[depths.count - 1], to: remote)
            depths.append(depth)
            guardian.add(port, to: remote, depth: depth)
        }
        #expect(depths == [0, 1, 2, 3, 4, 4])
        for port in ports { guardian.remove(port, to: remote) }
        #expect(ports.allSatisfy { guardian.depth(of: $0, to: remote) == 0 })
    }

    @Test func theCheckForOurselves() {
        var check = SelfCheck([ListenAddress(SocketAddress("[::]:1081")!)])
        func isOurselves(_ text: String) -> Bool {
            check.isOurselves(OriginalDestination(SocketAddress(text)!), now: 1)
        }
        #expect(isOurselves("127.0.0.1:1081"))
        #expect(isOurselves("[::1]:1081"))
        #expect(!isOurselves("127.0.0.1:1082"))
        #expect(!isOurselves("198.51.100.7:1081"))
    }
}
