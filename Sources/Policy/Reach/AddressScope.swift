public import TransparentSockets

/// How far an address reaches.
///
/// Sources: IANA's registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890, RFC 8190), of multicast addresses, and of
/// the IPv6 address space. Only ``global`` is meant to be answered by the Internet.
public enum AddressScope: Sendable, Hashable, CaseIterable {
    case global
    /// RFC 1918, the shared space of carriers (100.64.0.0/10, RFC 6598), unique local (fc00::/7, RFC 4193), and site-local
    /// (fec0::/10), which was its forerunner and is still routed like it.
    case privateUse
    /// Documentation, benchmarks, assignments to protocols, 240.0.0.0/4, and all IPv6 space that nobody has been given. Who
    /// answers there is somebody local who has taken the numbers (fake addresses of DNS proxies in 198.18.0.0/15, clouds inside
    /// 240.0.0.0/4), so it is no more public than private addresses are.
    case reserved
    case multicast
    /// 255.255.255.255. A subnet's own broadcast address looks like any other; the kernel refuses to connect to both.
    case broadcast
    /// 169.254.0.0/16, where clouds have the metadata of their machines, and fe80::/10.
    case linkLocal
    /// 0.0.0.0/8 and ::. Linux takes 0.0.0.0 and :: as a destination for this host.
    case unspecified
    case loopback

    /// The scope of the address by itself; what may be written inside it is told by ``IPAddress/embeddedIPv4``.
    public init(of address: IPAddress) { self = Self.block(of: address).scope }

    /// Which block of a registry holds an address, and so decides on its scope.
    struct Block: Equatable {
        let scope: AddressScope
        /// Bits that all of its addresses have in common, counted in the family of the unmapped address.
        let prefixLength: Int

        init(_ scope: AddressScope, _ prefixLength: Int) {
            self.scope = scope
            self.prefixLength = prefixLength
        }
    }

    static func block(of address: IPAddress) -> Block {
        switch address.unmapped {
        case .v4(let v4): block(of: v4)
        case .v6(let v6): block(of: v6)
        }
    }

    /// 192.0.0.0/24 has two anycast addresses that are globally reachable, for talking to the nearest NAT and the nearest TURN
    /// server: nothing that a stranger should reach through us. 192.88.99.0/24 was 6to4's anycast, withdrawn by RFC 7526.
    private static func block(of address: IPv4Address) -> Block {
        switch address.bits {
        case 0x0000_0000...0x00FF_FFFF: Block(.unspecified, 8)  // 0.0.0.0/8
        case 0x0A00_0000...0x0AFF_FFFF: Block(.privateUse, 8)  // 10.0.0.0/8
        case 0x6440_0000...0x647F_FFFF: Block(.privateUse, 10)  // 100.64.0.0/10
        case 0x7F00_0000...0x7FFF_FFFF: Block(.loopback, 8)  // 127.0.0.0/8
        case 0xA9FE_0000...0xA9FE_FFFF: Block(.linkLocal, 16)  // 169.254.0.0/16
        case 0xAC10_0000...0xAC1F_FFFF: Block(.privateUse, 12)  // 172.16.0.0/12
        case 0xC000_0000...0xC000_00FF: Block(.reserved, 24)  // 192.0.0.0/24, protocols
        case 0xC000_0200...0xC000_02FF: Block(.reserved, 24)  // 192.0.2.0/24, documentation
        case 0xC058_6300...0xC058_63FF: Block(.reserved, 24)  // 192.88.99.0/24
        case 0xC0A8_0000...0xC0A8_FFFF: Block(.privateUse, 16)  // 192.168.0.0/16
        case 0xC612_0000...0xC613_FFFF: Block(.reserved, 15)  // 198.18.0.0/15, benchmarks
        case 0xC633_6400...0xC633_64FF: Block(.reserved, 24)  // 198.51.100.0/24, documentation
        case 0xCB00_7100...0xCB00_71FF: Block(.reserved, 24)  // 203.0.113.0/24, documentation
        case 0xE000_0000...0xEFFF_FFFF: Block(.multicast, 4)  // 224.0.0.0/4
        case 0xFFFF_FFFF: Block(.broadcast, 32)
        case 0xF000_0000...0xFFFF_FFFE: Block(.reserved, 4)  // 240.0.0.0/4
        default: Block(.global, 0)
        }
    }

    /// Global is what lies in 2000::/3, the only space from which global unicast addresses are given out, less what is special
    /// in it; and NAT64's own prefix. 2001::/23 is given to protocols; those of its parts that are globally reachable (anycast
    /// of port control and TURN, AMT, AS112, hashes in the form of addresses) serve no client of a proxy.
    private static func block(of address: IPv6Address) -> Block {
        switch address.high {
        case 0 where address.low == 0: Block(.unspecified, 128)
        case 0 where address.low == 1: Block(.loopback, 128)
        case 0x0064_FF9B_0000_0000 where address.low >> 32 == 0: Block(.global, 96)  // 64:ff9b::/96, NAT64
        case 0x0064_FF9B_0001_0000...0x0064_FF9B_0001_FFFF: Block(.reserved, 48)  // 64:ff9b:1::/48, NAT64 of somebody's own
        case 0x0100_0000_0000_0000: Block(.reserved, 64)  // 100::/64, to be thrown away
        case 0x2001_0000_0000_0000...0x2001_0000_FFFF_FFFF: Block(.global, 32)  // 2001::/32, Teredo
        case 0x2001_0001_0000_0000...0x2001_01FF_FFFF_FFFF: Block(.reserved, 23)  // the rest of 2001::/23
        case 0x2001_0DB8_0000_0000...0x2001_0DB8_FFFF_FFFF: Block(.reserved, 32)  // 2001:db8::/32, documentation
        case 0x3FFF_0000_0000_0000...0x3FFF_0FFF_FFFF_FFFF: Block(.reserved, 20)  // 3fff::/20, documentation
        case 0x2000_0000_0000_0000...0x3FFF_FFFF_FFFF_FFFF: Block(.global, 3)
        case 0xFC00_0000_0000_0000...0xFDFF_FFFF_FFFF_FFFF: Block(.privateUse, 7)  // fc00::/7
        case 0xFE80_0000_0000_0000...0xFEBF_FFFF_FFFF_FFFF: Block(.linkLocal, 10)  // fe80::/10
        case 0xFEC0_0000_0000_0000...0xFEFF_FFFF_FFFF_FFFF: Block(.privateUse, 10)  // fec0::/10
        case 0xFF00_0000_0000_0000...0xFFFF_FFFF_FFFF_FFFF: Block(.multicast, 8)  // ff00::/8
        // The rest has been given to nobody, in blocks of these sizes.
        case 0x0000_0000_0000_0000...0x01FF_FFFF_FFFF_FFFF: Block(.reserved, 8)
        case 0x0200_0000_0000_0000...0x03FF_FFFF_FFFF_FFFF: Block(.reserved, 7)
        case 0x0400_0000_0000_0000...0x07FF_FFFF_FFFF_FFFF: Block(.reserved, 6)
        case 0x0800_0000_0000_0000...0x0FFF_FFFF_FFFF_FFFF: Block(.reserved, 5)
        case 0x1000_0000_0000_0000...0x1FFF_FFFF_FFFF_FFFF: Block(.reserved, 4)
        case 0x4000_0000_0000_0000...0xDFFF_FFFF_FFFF_FFFF: Block(.reserved, 3)
        case 0xE000_0000_0000_0000...0xEFFF_FFFF_FFFF_FFFF: Block(.reserved, 4)
        case 0xF000_0000_0000_0000...0xF7FF_FFFF_FFFF_FFFF: Block(.reserved, 5)
        case 0xF800_0000_0000_0000...0xFBFF_FFFF_FFFF_FFFF: Block(.reserved, 6)
        default: Block(.reserved, 9)  // fe00::/9
        }
    }
}

extension AddressScope: CustomStringConvertible {
    /// For a sentence in a log: "a … address".
    public var description: String {
        switch self {
        case .global: "global"
        case .privateUse: "private"
        case .reserved: "reserved"
        case .multicast: "multicast"
        case .broadcast: "broadcast"
        case .linkLocal: "link-local"
        case .unspecified: "unspecified"
        case .loopback: "loopback"
        }
    }
}
