internal import TransparentSockets

/// Rendezvous hashing (Thaler and Ravishankar, 1998): each candidate weighs each key by a number of their own, and the heaviest
/// gets it. A candidate that leaves takes only its keys with it, and what it leaves behind is spread over all others.
///
/// Hosts agree without talking, so that the numbers must be the same on every machine and in every release.
struct Rendezvous: Sendable {
    private let seeds: [UInt64]

    /// - Parameter labels: what tells the candidates from each other on any machine, in their order.
    init(_ labels: some Sequence<String>) { seeds = labels.map(Self.seed) }

    /// - Parameter candidate: its place among the labels.
    func weight(of candidate: Int, for key: Key) -> UInt64 { Self.mixed(seeds[candidate] ^ key.bits) }

    /// What candidates are chosen for. A mapped IPv4 address is that IPv4 address.
    struct Key: Sendable {
        fileprivate let bits: UInt64

        init(_ client: IPAddress) { bits = Rendezvous.number(client) }

        /// Of the pair in this order: whoever is here a client and there a destination has two keys.
        init(_ client: IPAddress, to destination: IPAddress) {
            bits = Rendezvous.mixed(Rendezvous.mixed(Rendezvous.number(client)) ^ Rendezvous.number(destination))
        }
    }

    /// FNV-1a, 64 bits.
    private static func seed(_ label: String) -> UInt64 {
        label.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    private static func number(_ address: IPAddress) -> UInt64 {
        switch address.unmapped {
        case .v4(let v4): mixed(UInt64(v4.bits))
        case .v6(let v6): mixed(mixed(v6.high) ^ v6.low)
        }
    }

    /// The finalizer of SplitMix64.
    private static func mixed(_ value: UInt64) -> UInt64 {
        var value = value &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
