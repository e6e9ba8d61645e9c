import Testing
import TransparentSockets

@Suite struct IPNetworkTests {
    @Test(arguments: [
        ("0.0.0.0/0", "0.0.0.0/0"), ("10.0.0.0/8", "10.0.0.0/8"), ("192.0.2.0/25", "192.0.2.0/25"), ("192.0.2.1/32", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"), ("::/0", "::/0"), ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8::8000:0:0:0/65", "2001:db8:0:0:8000::/65"),
        ("::1/128", "::1"), ("fe80::/10", "fe80::/10"), ("::ffff:192.0.2.1", "192.0.2.1"),
    ])
    func reads(text: String, canonical: String) throws {
        let network = try IPNetwork(parsing: text)
        #expect(network.description == canonical)
        #expect(try IPNetwork(parsing: network.description) == network)
    }

    @Test(arguments: [
        ("", IPNetwork.ParseError.address("")), ("/8", .address("")), ("10.0.0/8", .address("10.0.0")),
        ("example.com", .address("example.com")),
        ("10.0.0.0/", .prefixLength("")), ("10.0.0.0/33", .prefixLength("33")), ("10.0.0.0/-1", .prefixLength("-1")),
        ("10.0.0.0/+8", .prefixLength("+8")), ("10.0.0.0/8/8", .prefixLength("8/8")),
        ("10.0.0.0/255.0.0.0", .prefixLength("255.0.0.0")),
        ("10.0.0.0/99999999999999999999", .prefixLength("99999999999999999999")), ("::/129", .prefixLength("129")),
        ("::/ 8", .prefixLength(" 8")),
        // A prefix of a mapped address counts 96 bits that the IPv4 address does not have.
        ("::ffff:10.0.0.0/104", .address("::ffff:10.0.0.0")),
    ])
    func refuses(text: String, error: IPNetwork.ParseError) {
        #expect(throws: error) { try IPNetwork(parsing: text) }
    }

    @Test(arguments: [
        ("10.0.0.5/8", "10.0.0.0/8"), ("192.0.2.129/25", "192.0.2.128/25"), ("1.2.3.4/0", "0.0.0.0/0"),
        ("2001:db8::1/64", "2001:db8::/64"),
        ("2001:db8::3/127", "2001:db8::2/127"), ("8000::/0", "::/0"),
    ])
    func bitsBeyondThePrefixNameTheNetwork(text: String, meant: String) throws {
        let network = try IPNetwork(parsing: meant)
        #expect(throws: IPNetwork.ParseError.hostBits(network)) { try IPNetwork(parsing: text) }
    }

    @Test(arguments: [
        ("0.0.0.0/0", "255.255.255.255", true), ("0.0.0.0/0", "::", false), ("::/0", "192.0.2.1", false), ("::/0", "ffff::", true),
        ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false), ("10.0.0.0/8", "9.255.255.255", false),
        ("192.0.2.1/32", "192.0.2.1", true), ("192.0.2.1/32", "192.0.2.0", false),
        ("2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", true),
        ("2001:db8::/64", "2001:db8:0:1::", false), ("2001:db8::/65", "2001:db8::7fff:ffff:ffff:ffff", true),
        ("2001:db8::/65", "2001:db8::8000:0:0:0", false), ("::1/128", "::1", true), ("::1/128", "::", false),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
    ])
    func contains(network: String, address: String, expected: Bool) throws {
        #expect(try IPNetwork(parsing: network).contains(#require(IPAddress(address))) == expected)
    }

    @Test func clearsBitsWhenBuiltFromValues() throws {
        for length in 0...32 {
            let network = IPNetwork(.v4(IPv4Address(bits: .max)), prefixLength: length)
            #expect(try IPNetwork(parsing: network.description) == network)
        }
        for length in 0...128 {
            let network = IPNetwork(.v6(IPv6Address(high: .max, low: .max)), prefixLength: length)
            #expect(try IPNetwork(parsing: network.description) == network)
            #expect(network.contains(.v6(IPv6Address(high: .max, low: .max))))
        }
    }
}
