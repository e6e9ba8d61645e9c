internal import Glibc
internal import Synchronization
internal import TransparentSockets

/// Recognises our own upstream connections when a rule that does not skip our mark hands them back to us.
///
/// By local port, the fingerprint of the connection that last used it: an accepted connection with the fingerprint of one
/// that we dialled is ours. Shared by all workers, since the loop may come back to another one; a lookup is one load. The
/// table is 512 KiB of address space, of which only the ports in use become memory.
///
/// With a preserved source address our connection and the client's next one may have the same four numbers by chance, since two
/// hosts chose the ports. So what is told is a depth: a loop comes back again and again, chance does not.
final class LoopGuard: Sendable {
    private nonisolated(unsafe) let fingerprints: UnsafeMutablePointer<Atomic<UInt64>>
    private let seed = UInt64.random(in: 1 ... .max)

    init() {
        // Zeroed by the kernel when touched, and not before: `initialize` would make all of it memory.
        let bytes = calloc(65_536, MemoryLayout<Atomic<UInt64>>.stride)!
        fingerprints = bytes.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    deinit { free(fingerprints) }

    /// Depths that are told apart, from 0.
    static let deepest = 3

    /// - Parameter depth: of the connection that this one is dialled for.
    func add(_ local: SocketAddress, to remote: SocketAddress, depth: Int) {
        let depth = UInt64(min(depth, Self.deepest))
        fingerprints[Int(local.port)].store(fingerprint(local, remote) | depth, ordering: .relaxed)
    }

    func remove(_ local: SocketAddress, to remote: SocketAddress) {
        let stored = fingerprints[Int(local.port)].load(ordering: .relaxed)
        guard isMatch(stored, local, remote) else { return }
        _ = fingerprints[Int(local.port)].compareExchange(expected: stored, desired: 0, ordering: .relaxed)
    }

    /// - Returns: 0 for a connection that is not ours, 1 for one that we dialled for such a one, 2 for one that we dialled for
    ///   that, and so on.
    func depth(of client: SocketAddress, to destination: SocketAddress) -> Int {
        let stored = fingerprints[Int(client.port)].load(ordering: .relaxed)
        return isMatch(stored, client, destination) ? Int(stored & 3) + 1 : 0
    }

    private func isMatch(_ stored: UInt64, _ local: SocketAddress, _ remote: SocketAddress) -> Bool {
        stored != 0 && stored & ~3 == fingerprint(local, remote)
    }

    /// Never 0; the low two bits are free for the depth.
    private func fingerprint(_ local: SocketAddress, _ remote: SocketAddress) -> UInt64 {
        var hash = seed
        mix(&hash, local.address)
        mix(&hash, remote.address)
        hash = (hash ^ UInt64(local.port) << 16 ^ UInt64(remote.port)) &* 0x9E37_79B9_7F4A_7C15
        return (hash ^ hash >> 32) & ~3 | 4
    }

    private func mix(_ hash: inout UInt64, _ address: IPAddress) {
        switch address {
        case .v4(let v4): hash = (hash ^ UInt64(v4.bits)) &* 0x9E37_79B9_7F4A_7C15
        case .v6(let v6):
            hash = (hash ^ v6.high) &* 0x9E37_79B9_7F4A_7C15
            hash = (hash ^ hash >> 29 ^ v6.low) &* 0x9E37_79B9_7F4A_7C15
        }
        hash ^= hash >> 31
    }
}
