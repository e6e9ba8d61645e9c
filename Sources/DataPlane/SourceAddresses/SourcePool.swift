public import Policy
internal import Synchronization
public import TransparentSockets

/// The addresses of ours that sessions leave from, and the choice among them: a client keeps one address towards one destination,
/// for as long as that address is in use. FTP's passive mode needs that, and whatever else joins two connections by their address.
public final class SourcePool: Sendable {
    public let name: String
    public let sources: [Source]
    /// Whom the ``BlockListChecker`` asks whether they are listed; nil: nobody.
    public let blockList: DomainName?
    private let rendezvous: Rendezvous

    /// One address of a pool and what is known of it. Shared by all workers.
    public final class Source: Sendable {
        /// Never a mapped one.
        public let address: IPAddress
        private let listed = Atomic<Bool>(false)

        init(_ address: IPAddress) { self.address = address.unmapped }

        /// The block list names it, as far as is known.
        public var isListed: Bool { listed.load(ordering: .relaxed) }

        func found(listed isListed: Bool) { listed.store(isListed, ordering: .relaxed) }
    }

    /// - Parameters:
    ///   - addresses: of both families, in any order: it is no preference. One that comes twice counts once.
    ///   - blockList: the domain of a DNS block list, such as `zen.spamhaus.org`; at most ``longestBlockList`` octets.
    ///   - old: what its block list said of addresses that are here as well is taken over, if that is still the list to ask.
    public init(name: String, addresses: [IPAddress], blockList: DomainName? = nil, inheriting old: SourcePool? = nil) {
        self.name = name
        self.blockList = blockList
        let known = old?.blockList == blockList ? old?.sources ?? [] : []
        var seen: Set<IPAddress> = []
        sources = addresses.map(\.unmapped).filter { seen.insert($0).inserted }.map { address in
            known.first { $0.address == address } ?? Source(address)
        }
        rendezvous = Rendezvous(sources.map(\.address.description))
    }

    /// Octets of the longest domain of a block list below which there is room for an IPv6 address: 32 digits, each with its dot.
    public static let longestBlockList = DomainName.longest - 64

    /// The address to leave from: of those of the destination's family the one that the pair of client and destination weighs
    /// most. Ports count for nothing.
    ///
    /// Addresses on the block list are left out as long as one of the family is not on it; when all are, all count as if none
    /// were, as a proxy without a way out would help nobody. A pair moves to another address only when its own is listed, and
    /// returns when it no longer is.
    ///
    /// - Returns: nil when the pool has no address of that family. Then the destination cannot be reached, and the caller must
    ///   say so (as for ENETUNREACH) or try a destination of the other family. It must not dial without a source: the kernel would
    ///   choose an address that nobody has named.
    public func source(for client: IPAddress, to destination: IPAddress) -> IPAddress? {
        let isIPv6 = destination.unmapped.isIPv6
        let key = Rendezvous.Key(client, to: destination)
        var best: (source: Source, isListed: Bool, weight: UInt64)?
        for (place, source) in sources.enumerated() where source.address.isIPv6 == isIPv6 {
            let isListed = source.isListed
            let weight = rendezvous.weight(of: place, for: key)
            if let best, best.isListed == isListed ? best.weight >= weight : isListed { continue }
            best = (source, isListed, weight)
        }
        return best?.source.address
    }
}
