public import Synchronization

extension Datagrams {
    typealias Counters = DatagramCounters
}

/// What other threads may read of a worker's datagrams.
public final class DatagramCounters: Sendable {
    /// Why a datagram went no further.
    public enum Drop: Int, Sendable, CaseIterable {
        /// Cut off, or with a header that is none.
        case malformed
        /// It may not go where it wants, or there is no way there.
        case refused
        /// From somebody that the client has not sent to, or to an association from somebody else than its client.
        case unwanted
        /// Too many waited for a proxy or a name, or one waited when it was over.
        case waiting
        /// The kernel did not take it.
        case unsent

        /// As logs call it.
        public var name: String { "\(self)" }
    }

    /// Flows open now, and ended since the start.
    public let active = Atomic<Int>(0)
    public let ended = Atomic<UInt64>(0)
    /// Flows that had to make room.
    public let evicted = Atomic<UInt64>(0)
    private let malformed = Atomic<UInt64>(0)
    private let refused = Atomic<UInt64>(0)
    private let unwanted = Atomic<UInt64>(0)
    private let waiting = Atomic<UInt64>(0)
    private let unsent = Atomic<UInt64>(0)

    func drop(_ why: Drop, _ count: UInt64) {
        switch why {
        case .malformed: malformed.wrappingAdd(count, ordering: .relaxed)
        case .refused: refused.wrappingAdd(count, ordering: .relaxed)
        case .unwanted: unwanted.wrappingAdd(count, ordering: .relaxed)
        case .waiting: waiting.wrappingAdd(count, ordering: .relaxed)
        case .unsent: unsent.wrappingAdd(count, ordering: .relaxed)
        }
    }

    public func dropped(_ why: Drop) -> UInt64 {
        switch why {
        case .malformed: malformed.load(ordering: .relaxed)
        case .refused: refused.load(ordering: .relaxed)
        case .unwanted: unwanted.load(ordering: .relaxed)
        case .waiting: waiting.load(ordering: .relaxed)
        case .unsent: unsent.load(ordering: .relaxed)
        }
    }
}
