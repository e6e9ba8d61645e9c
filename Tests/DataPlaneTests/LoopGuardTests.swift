import Testing
import TransparentSockets

@testable import DataPlane

@Suite struct LoopGuardTests {
    let local = SocketAddress("192.0.2.1:40000")!
    let remote = SocketAddress("198.51.100.7:443")!

    @Test func knowsItsOwnAndNobodyElses() {
        let guardian = LoopGuard()
        #expect(!guardian.isOurs(local, to: remote))
        guardian.add(local, to: remote)
        #expect(guardian.isOurs(local, to: remote))
        #expect(!guardian.isOurs(local, to: SocketAddress("198.51.100.7:444")!))
        #expect(!guardian.isOurs(SocketAddress("192.0.2.2:40000")!, to: remote))
        #expect(!guardian.isOurs(SocketAddress("192.0.2.1:40001")!, to: remote))
        guardian.remove(local, to: remote)
        #expect(!guardian.isOurs(local, to: remote))
    }

    @Test func anEndedSessionDoesNotForgetAnother() {
        let guardian = LoopGuard()
        let other = SocketAddress("[2001:db8::1]:443")!
        let from = SocketAddress("[2001:db8::2]:40000")!
        guardian.add(local, to: remote)
        guardian.add(from, to: other)
        guardian.remove(local, to: remote)
        #expect(guardian.isOurs(from, to: other))
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
