internal import Glibc
internal import Synchronization
internal import TransparentSockets

/// The ports that our own datagrams leave from: one that comes back to us has been taken for a client's. Shared by all workers.
final class DatagramPorts: Sendable {
    /// How many sockets of ours have each port, IPv4's before IPv6's.
    private nonisolated(unsafe) let counts: UnsafeMutablePointer<Atomic<UInt32>>

    init() {
        // Zeroed by the kernel when touched, and not before.
        counts = calloc(2 * 65_536, MemoryLayout<Atomic<UInt32>>.stride)!.assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    deinit { free(counts) }

    func add(_ local: SocketAddress) { counts[place(local)].wrappingAdd(1, ordering: .relaxed) }
    func remove(_ local: SocketAddress) { counts[place(local)].wrappingSubtract(1, ordering: .relaxed) }
    /// Whether a socket of ours has this port, at whatever address of the family.
    func contains(_ local: SocketAddress) -> Bool { counts[place(local)].load(ordering: .relaxed) > 0 }

    private func place(_ local: SocketAddress) -> Int { Int(local.port) + (local.address.isIPv6 ? 65_536 : 0) }
}

/// Our addresses towards destinations, for the record: a socket that talks with everybody has none of its own.
struct LocalAddresses {
    /// Nanoseconds that an answer of the routing table's is believed, and how many are kept.
    private static let lifetime: UInt64 = 1_000_000_000
    private static let limit = 1_024

    private var known: [IPAddress: IPAddress] = [:]
    private var since: UInt64 = 0

    mutating func complete(_ local: LocalAddress, towards destination: SocketAddress, now: UInt64) -> LocalAddress {
        guard local.value.address.isUnspecified else { return local }
        if now - since > Self.lifetime || known.count >= Self.limit {
            known.removeAll(keepingCapacity: true)
            since = now
        }
        let address: IPAddress
        if let found = known[destination.address] {
            address = found
        } else {
            guard let found = try? localAddress(towards: destination.address) else { return local }
            known[destination.address] = found
            address = found
        }
        return LocalAddress(SocketAddress(address, port: local.value.port))
    }
}
