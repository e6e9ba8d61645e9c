public import TransparentSockets

/// Which destinations the clients of a listener may reach when they say themselves where they want to go (SOCKS, CONNECT).
///
/// Such a client sits outside, and we inside: what only answers to its neighbours would answer to us. So without further words
/// only global addresses can be reached, and none of this host's own.
///
/// What is judged is an address that will be dialled, never a name: a name is resolved once, its addresses are judged, and
/// exactly these are dialled.
public struct Reach: Sendable, Equatable {
    /// Whether ``AddressScope/privateUse`` addresses can be reached without being listed.
    public let allowsPrivateUse: Bool
    /// What can be reached beside global addresses. IPv4 is meant in every form it is written in, so `::/0` opens no IPv4 address.
    ///
    /// A network opens the private addresses in it. What is neither global nor private it opens only where it lies within one of the
    /// blocks of that scope: whoever lists 127.0.0.0/8 means loopback, and whoever lists 0.0.0.0/0 does not.
    public let allowedNetworks: [IPNetwork]
    /// With their lengths in place of rules.
    private let allowed: NetworkIndex
    /// Those of the networks that are one address each.
    private let allowedAddresses: Set<IPAddress>

    public init(allowsPrivateUse: Bool = false, allowedNetworks: [IPNetwork] = []) {
        self.allowsPrivateUse = allowsPrivateUse
        self.allowedNetworks = allowedNetworks
        allowed = NetworkIndex(allowedNetworks.map { ($0, UInt32($0.prefixLength)) })
        allowedAddresses = Set(allowedNetworks.filter { $0.prefixLength == ($0.base.isIPv6 ? 128 : 32) }.map(\.base))
    }

    /// Whether some of the loopback addresses can be reached: then names may be tried that mean one.
    public var opensLoopback: Bool {
        allowedNetworks.contains { AddressScope(of: $0.base) == .loopback && refusal(of: $0.base, ourselves: []) == nil }
    }

    /// Why an address cannot be reached.
    public struct Refusal: Sendable, Hashable, CustomStringConvertible {
        public enum Cause: Sendable, Hashable {
            case scope(AddressScope)
            /// It is an address of this host.
            case ourselves
        }
        /// As it was to be dialled.
        public let address: IPAddress
        /// The address inside it that is the reason; nil: the address itself is.
        public let embedded: IPv4Address?
        public let cause: Cause

        /// In words for a log: `64:ff9b::7f00:1 leads to 127.0.0.1, a loopback address`.
        public var description: String {
            let what =
                switch cause {
                case .scope(.unspecified): "an unspecified address"
                case .scope(let scope): "a \(scope) address"
                case .ourselves: "an address of this host"
                }
            return embedded.map { "\(address) leads to \($0), \(what)" } ?? "\(address) is \(what)"
        }
    }

    /// Judges an address, and each IPv4 address inside it, as if that were dialled: the worst counts.
    ///
    /// - Parameter ourselves: this host's addresses, without mapped ones.
    /// - Returns: nil when it may be dialled.
    public func refusal(of address: IPAddress, ourselves: Set<IPAddress>) -> Refusal? {
        let address = address.unmapped
        // These first: that `::127.0.0.1` is reserved is true, and not what a reader of logs wants to know.
        for embedded in address.embeddedIPv4 {
            if let cause = cause(against: .v4(embedded), ourselves) {
                return Refusal(address: address, embedded: embedded, cause: cause)
            }
        }
        return cause(against: address, ourselves).map { Refusal(address: address, embedded: nil, cause: $0) }
    }

    /// Judges what a name resolved to. One address that may not be dialled refuses the name.
    ///
    /// Dialling only the others would be no less safe today. But who mixes addresses of others' networks into an answer tries
    /// to get in (DNS rebinding), or has made a mistake; the log should name it at once, and not only on the day on which the
    /// public address does not answer. Refused, there is no list left from which a race, a retry or a later change of this
    /// program could take the wrong one. Whoever has such names for a reason lists the network: then nothing in it is forbidden.
    ///
    /// - Returns: the first refusal; nil when each of them may be dialled.
    public func refusal(ofAny addresses: [IPAddress], ourselves: Set<IPAddress>) -> Refusal? {
        for address in addresses {
            if let refusal = refusal(of: address, ourselves: ourselves) { return refusal }
        }
        return nil
    }

    private func cause(against address: IPAddress, _ ourselves: Set<IPAddress>) -> Refusal.Cause? {
        let block = AddressScope.block(of: address)
        let scope = block.scope
        switch scope {
        case .global: break
        case .privateUse where allowsPrivateUse: break
        case .privateUse: if !isAllowed(address, within: 0) { return .scope(scope) }
        case .loopback, .linkLocal, .multicast, .unspecified, .broadcast, .reserved:
            if !isAllowed(address, within: block.prefixLength) { return .scope(scope) }
        }
        // A network that this host is a member of was listed for its other members; loopback has no others.
        guard scope != .loopback, !allowedAddresses.contains(address) else { return nil }
        // Dialled, the unspecified address is this host.
        return scope == .unspecified || ourselves.contains(address) ? .ourselves : nil
    }

    /// - Parameter prefixLength: of the network around `address` that a listed one must lie within.
    private func isAllowed(_ address: IPAddress, within prefixLength: Int) -> Bool {
        var isAllowed = false
        allowed.forEachMatch(address) { lengths in
            for place in lengths.indices where lengths[place] >= UInt32(prefixLength) { isAllowed = true }
        }
        return isAllowed
    }

    public static func == (one: Reach, other: Reach) -> Bool {
        one.allowsPrivateUse == other.allowsPrivateUse && one.allowedNetworks == other.allowedNetworks
    }
}
