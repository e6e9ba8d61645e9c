/// A range of addresses in CIDR notation: `203.0.113.0/24`, `2001:db8::/32`. An address alone is a network of one.
public struct IPNetwork: Hashable, Sendable {
    /// The first address of the network.
    public let base: IPAddress
    /// Number of leading bits that are fixed: 0…32 for IPv4, 0…128 for IPv6.
    public let prefixLength: Int

    /// What can be wrong with the text of a network.
    public enum ParseError: Error, Equatable, Sendable {
        /// Not an address before the slash.
        case address(String)
        /// Not a prefix length after the slash, or one too long for the family.
        case prefixLength(String)
        /// Bits are set outside the prefix; carries the network that was probably meant.
        case hostBits(IPNetwork)
    }

    /// - Precondition: `prefixLength` fits the family of `address`. Bits outside the prefix are cleared.
    public init(_ address: IPAddress, prefixLength: Int) {
        switch address {
        case .v4(let v4):
            precondition((0...32).contains(prefixLength))
            base = .v4(IPv4Address(bits: v4.bits & leadingOnes(prefixLength)))
        case .v6(let v6):
            precondition((0...128).contains(prefixLength))
            base = .v6(
                IPv6Address(
                    high: v6.high & leadingOnes(min(prefixLength, 64)), low: v6.low & leadingOnes(max(prefixLength - 64, 0))))
        }
        self.prefixLength = prefixLength
    }

    /// Reads `ADDRESS` or `ADDRESS/LENGTH`. A prefix is counted in the family as written, and bits outside it are an
    /// error and not quietly cleared: `10.0.0.5/8` is more often a slip than a wish.
    public init(parsing text: some StringProtocol) throws(ParseError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]), !(parts.count == 2 && parts[0].contains(":") && !address.isIPv6) else {
            throw .address(String(parts[0]))
        }
        let longest = address.isIPv6 ? 128 : 32
        guard parts.count == 2 else {
            self.init(address, prefixLength: longest)
            return
        }
        let digits = parts[1]
        guard digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let length = Int(digits), (0...longest).contains(length) else {
            throw .prefixLength(String(digits))
        }
        self.init(address, prefixLength: length)
        guard base == address else { throw .hostBits(self) }
    }

    public func contains(_ address: IPAddress) -> Bool {
        switch (base, address) {
        case (.v4(let base), .v4(let address)):
            (base.bits ^ address.bits) & leadingOnes(prefixLength) == 0
        case (.v6(let base), .v6(let address)):
            (base.high ^ address.high) & leadingOnes(min(prefixLength, 64)) == 0
                && (base.low ^ address.low) & leadingOnes(max(prefixLength - 64, 0)) == 0
        default: false
        }
    }
}

extension IPNetwork: CustomStringConvertible {
    public var description: String {
        prefixLength == (base.isIPv6 ? 128 : 32) ? "\(base)" : "\(base)/\(prefixLength)"
    }
}

private func leadingOnes<Bits: FixedWidthInteger>(_ count: Int) -> Bits {
    count == 0 ? 0 : ~Bits(0) << Bits(Bits.bitWidth - count)
}
