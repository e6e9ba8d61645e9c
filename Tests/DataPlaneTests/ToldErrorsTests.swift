import Glibc
import TestSupport
import Testing
import TransparentSockets

@testable import DataPlane

/// Errors of datagrams, and whose they are.
@Suite struct ToldErrorsTests {
    /// Plays what each sending returns, and whether something is told after it. The last goes on.
    private func send(_ script: (result: Int, isTold: Bool)...) -> (result: Int, attempts: Int) {
        var attempts = 0
        let result = pastErrors {
            attempts += 1
            return script[min(attempts, script.count) - 1].result
        } take: {
            script[min(attempts, script.count) - 1].isTold
        }
        return (result, attempts)
    }

    private let refused = -Int(ECONNREFUSED)
    private let unreachable = -Int(EHOSTUNREACH)

    @Test func whatGoesIsSentOnce() { #expect(send((100, false)) == (100, 1)) }

    /// However many of them come while it is sent.
    @Test func errorsOfOthersAreNotItsOwn() {
        #expect(send((refused, true), (64, false)) == (64, 2))
        #expect(send((refused, true), (unreachable, true), (unreachable, true), (64, false)) == (64, 4))
        // There was no memory to say whose it was.
        #expect(send((unreachable, false), (64, false)) == (64, 2))
        #expect(send((unreachable, false), (unreachable, true), (unreachable, false), (64, false)) == (64, 4))
    }

    @Test func itsOwnComesAgain() {
        #expect(send((unreachable, false)) == (unreachable, 2))
        #expect(send((refused, true), (unreachable, false)) == (unreachable, 3))
    }

    /// Nothing follows for a flow from an error that nobody can attribute.
    @Test func whoeverNeverStopsTellingDoesNotHoldUs() {
        #expect(send((unreachable, true)) == (-Int(EAGAIN), mostAttempts))
    }

    /// A part may have left.
    @Test(arguments: [EAGAIN, ENOBUFS, ENOMEM]) func nothingIsSentTwiceForWantOfRoom(error: Int32) {
        #expect(send((-Int(error), true), (64, false)) == (-Int(error), 1))
        #expect(send((refused, true), (-Int(error), true), (64, false)) == (-Int(error), 2))
    }
}
