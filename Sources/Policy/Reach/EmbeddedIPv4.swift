public import TransparentSockets

extension IPAddress {
    /// The IPv4 addresses that are written inside an IPv6 address, and to which a translator or a tunnel on the way would send
    /// what is sent to it. Empty for IPv4, which the mapped form `::ffff:0:0/96` is too.
    ///
    /// An operator's own NAT64 prefix (RFC 6052 §2.2, out of its global addresses) cannot be told by looking.
    public var embeddedIPv4: [IPv4Address] {
        guard case .v6(let v6) = unmapped else { return [] }
        var found: [IPv4Address] = []
        switch v6.high {
        // IPv4-compatible (RFC 4291 §2.5.5.1), but for :: and ::1, which came before it.
        case 0 where v6.low >> 32 == 0 && v6.low > 1: found.append(v6.last)
        // IPv4-translated, ::ffff:0:0:0/96 (RFC 2765 §2.1).
        case 0 where v6.low >> 32 == 0xFFFF_0000: found.append(v6.last)
        // NAT64, 64:ff9b::/96 (RFC 6052 §2.1).
        case 0x0064_FF9B_0000_0000 where v6.low >> 32 == 0: found.append(v6.last)
        // NAT64 of somebody's own, 64:ff9b:1::/48 (RFC 8215).
        case 0x0064_FF9B_0001_0000...0x0064_FF9B_0001_FFFF: found += v6.locallyTranslated
        // Teredo: the server, and the client with all bits turned (RFC 4380 §4).
        case 0x2001_0000_0000_0000...0x2001_0000_FFFF_FFFF:
            found.append(IPv4Address(bits: UInt32(truncatingIfNeeded: v6.high)))
            found.append(IPv4Address(bits: ~v6.last.bits))
        // 6to4 (RFC 3056 §2).
        case 0x2002_0000_0000_0000...0x2002_FFFF_FFFF_FFFF:
            found.append(IPv4Address(bits: UInt32(truncatingIfNeeded: v6.high >> 16)))
        default: break
        }
        // ISATAP, under any prefix, with the universal and the group bit as they come (RFC 5214 §6.1).
        if v6.low >> 32 & 0xFCFF_FFFF == 0x0000_5EFE { found.append(v6.last) }
        return found
    }
}

extension IPv6Address {
    /// The last 32 bits.
    fileprivate var last: IPv4Address { IPv4Address(bits: UInt32(truncatingIfNeeded: low)) }

    /// The operator of a translator chooses how long its prefix is, and nobody else knows. So the address is read in each of the
    /// forms of RFC 6052 §2.2 whose reserved bits are zero in it, and all that come out count. By itself it is reserved: whoever
    /// lists it answers for what the translator makes of the rest.
    fileprivate var locallyTranslated: [IPv4Address] {
        var found: [IPv4Address] = []
        func add(_ bits: UInt64, ifZero reserved: UInt64) {
            if low & reserved == 0 { found.append(IPv4Address(bits: UInt32(truncatingIfNeeded: bits))) }
        }
        add(high << 16 | low >> 40 & 0xFFFF, ifZero: 0xFF00_00FF_FFFF_FFFF)  // /48
        add(high << 24 | low >> 32 & 0xFF_FFFF, ifZero: 0xFF00_0000_FFFF_FFFF)  // /56
        add(low >> 24, ifZero: 0xFF00_0000_00FF_FFFF)  // /64
        // Zeros at the end are what the shorter prefixes leave there.
        if last.bits != 0 || found.isEmpty { add(low, ifZero: 0xFF00_0000_0000_0000) }  // /96
        return found
    }
}
