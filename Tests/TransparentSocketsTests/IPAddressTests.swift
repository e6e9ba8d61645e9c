import Testing
import TransparentSockets

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("0.0.0.0", UInt32(0)), ("255.255.255.255", 0xFFFF_FFFF), ("192.0.2.1", 0xC000_0201), ("127.0.0.1", 0x7F00_0001),
        ("10.0.100.5", 0x0A00_6405),
    ])
    func readsIPv4(text: String, bits: UInt32) {
        #expect(IPv4Address(text)?.bits == bits)
        #expect(IPv4Address(bits: bits).description == text)
    }

    @Test(arguments: [
        "", ".", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.0.0.1", "1.2.3.256", "1.2.3.1000", "01.2.3.4",
        "1.2.3.04",
        "00.0.0.0", "127.1", "0x7f.0.0.1", "017700000001", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "-1.2.3.4", "+1.2.3.4", "1.2.3.a",
        "1,2,3,4",
        "١.٢.٣.٤", "1.2.3.4/32", "99999999999999999999.0.0.0",
    ])
    func refusesIPv4(text: String) { #expect(IPv4Address(text) == nil) }

    @Test(arguments: [
        ("::", UInt64(0), UInt64(0), "::"),
        ("::1", 0, 1, "::1"),
        ("1::", 0x0001_0000_0000_0000, 0, "1::"),
        ("2001:db8::1", 0x2001_0DB8_0000_0000, 1, "2001:db8::1"),
        ("2001:DB8:0:0:0:0:0:1", 0x2001_0DB8_0000_0000, 1, "2001:db8::1"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", 0x2001_0DB8_0000_0000, 1, "2001:db8::1"),
        ("1:2:3:4:5:6:7:8", 0x0001_0002_0003_0004, 0x0005_0006_0007_0008, "1:2:3:4:5:6:7:8"),
        ("::2:3:4:5:6:7:8", 0x0000_0002_0003_0004, 0x0005_0006_0007_0008, "0:2:3:4:5:6:7:8"),
        ("1:2:3:4:5:6:7::", 0x0001_0002_0003_0004, 0x0005_0006_0007_0000, "1:2:3:4:5:6:7:0"),
        ("1:0:0:4:5:0:0:8", 0x0001_0000_0000_0004, 0x0005_0000_0000_0008, "1::4:5:0:0:8"),
        ("1:0:0:4:0:0:0:8", 0x0001_0000_0000_0004, 0x0000_0000_0000_0008, "1:0:0:4::8"),
        ("1:0:3:4:5:6:7:8", 0x0001_0000_0003_0004, 0x0005_0006_0007_0008, "1:0:3:4:5:6:7:8"),
        ("::ffff:192.0.2.1", 0, 0x0000_FFFF_C000_0201, "::ffff:c000:201"),
        ("64:ff9b::192.0.2.33", 0x0064_FF9B_0000_0000, 0xC000_0221, "64:ff9b::c000:221"),
        ("1:2:3:4:5:6:1.2.3.4", 0x0001_0002_0003_0004, 0x0005_0006_0102_0304, "1:2:3:4:5:6:102:304"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", .max, .max, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fe80::1", 0xFE80_0000_0000_0000, 1, "fe80::1"),
    ])
    func readsIPv6(text: String, high: UInt64, low: UInt64, canonical: String) {
        #expect(IPv6Address(text) == IPv6Address(high: high, low: low))
        #expect(IPv6Address(high: high, low: low).description == canonical)
        #expect(IPv6Address(canonical) == IPv6Address(high: high, low: low))
    }

    @Test(arguments: [
        "", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8:", ":1:2:3:4:5:6:7:8", "1::2::3", "::1::",
        "12345::",
        "g::", "1:2:3:4::5:6:7:8", "::1.2.3", "::1.2.3.4.5", "::256.1.1.1", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:1",
        "[::1]",
        "::1%eth0", "::1/128", " ::1", "::1 ", "1:2", "1:::2", "::١",
    ])
    func refusesIPv6(text: String) { #expect(IPv6Address(text) == nil) }

    @Test func everyZeroRunPrintsAndReadsBack() {
        for pattern in 0..<256 {
            var address = IPv6Address(high: 0, low: 0)
            for group in 0..<8 where pattern & (1 << group) != 0 {
                let bits = UInt64(0xA0 + group) << UInt64(48 - 16 * (group % 4))
                if group < 4 { address.high |= bits } else { address.low |= bits }
            }
            #expect(IPv6Address(address.description) == address, "\(address)")
        }
    }

    @Test func aMappedAddressIsIPv4() {
        #expect(IPAddress("::ffff:192.0.2.1") == IPAddress("192.0.2.1"))
        #expect(IPAddress("::ffff:0:192.0.2.1")?.isIPv6 == true)
        #expect(IPAddress("::192.0.2.1")?.isIPv6 == true)
    }

    @Test func kinds() throws {
        for text in ["0.0.0.0", "::"] { #expect(try #require(IPAddress(text)).isUnspecified) }
        for text in ["0.0.0.1", "::1", "1::"] { #expect(try !#require(IPAddress(text)).isUnspecified) }
        for text in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
            #expect(try #require(IPAddress(text)).isLoopback)
        }
        for text in ["126.255.255.255", "128.0.0.0", "::2", "1::1"] { #expect(try !#require(IPAddress(text)).isLoopback) }
    }
}
