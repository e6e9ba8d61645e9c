internal import Synchronization
internal import TransparentSockets

/// How many handshakes each source has under way, in all workers together.
///
/// A client that sends a byte a second keeps its place until `timeouts.handshake` is over. One that does so from all of its ports
/// would keep all the places there are; so it has half of them, and others find room.
final class HandshakeShares: Sendable {
    /// Sources without any are not in it: it has no more entries than there are sessions.
    private let counts = Mutex<[IPAddress: Int]>([:])

    /// - Parameters:
    ///   - source: as ``BackOff/source(of:)`` has it.
    ///   - most: that it may have, this one included.
    /// - Returns: whether it may; then ``end(_:)`` must follow, once.
    func begin(_ source: IPAddress, atMost most: Int) -> Bool {
        counts.withLock { counts in
            guard counts[source, default: 0] < most else { return false }
            counts[source, default: 0] += 1
            return true
        }
    }

    func end(_ source: IPAddress) {
        counts.withLock { counts in
            let left = counts[source, default: 0] - 1
            counts[source] = left > 0 ? left : nil
        }
    }

    /// Sources with a handshake under way.
    var sources: Int { counts.withLock(\.count) }
}
