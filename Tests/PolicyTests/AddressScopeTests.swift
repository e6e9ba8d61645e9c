import Policy
import TestSupport
import Testing
import TransparentSockets

@Suite struct AddressScopeTests {
    /// The blocks of IANA's registries with their scopes here. What lies between them is global.
    private static let blocks: [(block: String, scope: AddressScope)] = [
        ("0.0.0.0/8", .unspecified), ("10.0.0.0/8", .privateUse), ("100.64.0.0/10", .privateUse), ("127.0.0.0/8", .loopback),
        ("169.254.0.0/16", .linkLocal), ("172.16.0.0/12", .privateUse), ("192.0.0.0/24", .reserved), ("192.0.2.0/24", .reserved),
        ("192.88.99.0/24", .reserved), ("192.168.0.0/16", .privateUse), ("198.18.0.0/15", .reserved),
        ("198.51.100.0/24", .reserved), ("203.0.113.0/24", .reserved), ("224.0.0.0/4", .multicast),
        ("255.255.255.255", .broadcast),
        ("::", .unspecified), ("::1", .loopback), ("64:ff9b:1::/48", .reserved), ("100::/64", .reserved),
        ("100:0:0:1::/64", .reserved), ("2001:1::/32", .reserved), ("2001:2::/48", .reserved), ("2001:10::/28", .reserved),
        ("2001:20::/28", .reserved), ("2001:30::/28", .reserved), ("2001:db8::/32", .reserved), ("3fff::/20", .reserved),
        ("5f00::/16", .reserved), ("fc00::/7", .privateUse), ("fe80::/10", .linkLocal), ("fec0::/10", .privateUse),
        ("ff00::/8", .multicast), ("4000::/3", .reserved), ("::/96", .reserved), ("200::/7", .reserved),
    ]

    private static func lastAddress(of network: IPNetwork) -> IPAddress {
        switch network.base {
        case .v4(let v4): .v4(IPv4Address(bits: v4.bits | UInt32((UInt64(1) << UInt64(32 - network.prefixLength)) - 1)))
        case .v6(let v6):
            .v6(
                IPv6Address(
                    high: v6.high | (network.prefixLength >= 64 ? 0 : UInt64.max >> UInt64(network.prefixLength)),
                    low: v6.low
                        | (network.prefixLength >= 128
                            ? 0 : network.prefixLength <= 64 ? .max : UInt64.max >> UInt64(network.prefixLength - 64))))
        }
    }

    @Test func eachBlockHasItsScopeFromEndToEnd() throws {
        for (block, scope) in Self.blocks {
            let network = try IPNetwork(parsing: block)
            #expect(AddressScope(of: Self.lastAddress(of: network)) == scope, "last of \(block)")
            // The first two of ::/96 are blocks of their own.
            guard block != "::/96" else { continue }
            #expect(AddressScope(of: network.base) == scope, "first of \(block)")
        }
        #expect(AddressScope(of: IPAddress("255.255.255.254")!) == .reserved)
        #expect(AddressScope(of: IPAddress("240.0.0.0")!) == .reserved)
    }

    @Test(arguments: [
        "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
        "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.1.255",
        "192.0.3.0", "192.31.196.1", "192.52.193.1", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0",
        "192.175.48.1", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0",
        "223.255.255.255", "8.8.8.8",
        "2000::", "2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "2003::", "2606:4700::1111",
        "2620:4f:8000::1", "3ffe:ffff::", "3fff:1000::", "64:ff9b::", "64:ff9b::ffff:ffff", "2001::", "2002::",
    ])
    func itsNeighboursAreGlobal(_ text: String) {
        #expect(AddressScope(of: IPAddress(text)!) == .global)
    }

    @Test(arguments: [
        ("::ffff:127.0.0.1", [String]()), ("127.0.0.1", []), ("2606:4700::1111", []), ("::", []), ("::1", []),
        ("::127.0.0.1", ["127.0.0.1"]), ("::2", ["0.0.0.2"]), ("::ffff:0:10.1.2.3", ["10.1.2.3"]),
        ("64:ff9b::169.254.169.254", ["169.254.169.254"]), ("64:ff9b:0:0:0:1:a00:1", []), ("64:ff9b:2::10.0.0.1", []),
        ("2002:7f00:1::", ["127.0.0.1"]), ("2002:c0a8:101:5:6:7:8:9", ["192.168.1.1"]), ("2003:7f00:1::", []),
        // The example of RFC 4380 §4.
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", ["65.54.227.120", "192.0.2.45"]), ("2001:1:a00:1::", []),
        ("2606:4700::5efe:10.0.0.1", ["10.0.0.1"]), ("2606:4700::200:5efe:10.0.0.1", ["10.0.0.1"]),
        ("2606:4700::300:5efe:10.0.0.1", ["10.0.0.1"]), ("2606:4700::400:5efe:10.0.0.1", []),
        ("fe80::5efe:192.168.1.1", ["192.168.1.1"]),
        ("2002:a00:1::5efe:127.0.0.1", ["10.0.0.1", "127.0.0.1"]),
        // 192.0.2.33 in the forms of RFC 6052 §2.4, with this prefix.
        ("64:ff9b:1:c000:2:2100::", ["192.0.2.33", "0.2.33.0", "2.33.0.0"]),
        ("64:ff9b:1:c0:0:221::", ["192.0.2.33", "0.2.33.0"]),
        ("64:ff9b:1:0:c0:2:2100:0", ["192.0.2.33", "33.0.0.0"]),
        ("64:ff9b:1::192.0.2.33", ["192.0.2.33"]), ("64:ff9b:1::", ["0.0.0.0", "0.0.0.0", "0.0.0.0"]),
        ("64:ff9b:1:0:100::1", []),
    ])
    func anIPv4AddressIsFoundInside(_ text: String, _ embedded: [String]) {
        #expect(IPAddress(text)!.embeddedIPv4.map(\.description) == embedded)
    }

    @Test func noAddressTraps() {
        var random = SplitMix(62)
        let edges: [UInt64] = [
            0, 1, .max, 0xFFFF_0000_0000, 0xFFFF_0000_0000_0000, 0x0064_FF9B_0000_0000, 0x0064_FF9B_0001_0000,
            0x2001_0000_0000_0000, 0x2002_0000_0000_0000, 0x0000_5EFE_0000_0000, 0xFE80_0000_0000_0000,
        ]
        func half() -> UInt64 {
            edges[random.below(edges.count)] ^ (random.below(2) == 0 ? 0 : random.next() >> UInt64(random.below(64)))
        }
        for _ in 0..<100_000 {
            let address = IPAddress.v6(IPv6Address(high: half(), low: half()))
            // Nothing is global outside 2000::/3, but IPv4 in its own form and NAT64's.
            if case .v6(let v6) = address.unmapped, AddressScope(of: address) == .global {
                #expect(v6.high >> 61 == 1 || v6.high == 0x0064_FF9B_0000_0000)
            }
            #expect(address.embeddedIPv4.count <= 5)
            _ = Reach().refusal(of: address, ourselves: [])?.description
        }
    }
}
