import Glibc
import Policy
import Testing
import TransparentSockets

/// What a client may write to get where it must not: by the way that every destination goes, from the bytes of a SOCKS request
/// or a CONNECT line to the addresses that would be dialled. None may come out.
@Suite struct ForbiddenSpellingsTests {
    /// This host's own.
    private static let ourselves: Set<IPAddress> = ["8.8.4.4", "2606:4700::4"].map { IPAddress($0)! }.reduce(into: []) {
        $0.insert($1)
    }

    /// The addresses that would be dialled; empty: the destination is refused, or none.
    private func dialled(_ host: String) -> [IPAddress] {
        let found: [IPAddress]
        if let address = IPAddress(anySpelling: host) {
            found = [address]
        } else if let name = DomainName(host) {
            found = Self.lookUp(name)
        } else {
            return []
        }
        return Reach().refusal(ofAny: found, ourselves: Self.ourselves) == nil ? found : []
    }

    /// Stands in for the system's resolver, which reads as an address what it can before it asks anybody.
    private static func lookUp(_ name: DomainName) -> [IPAddress] {
        var v4 = in_addr()
        if inet_aton(name.description, &v4) != 0 { return [.v4(IPv4Address(bits: UInt32(bigEndian: v4.s_addr)))] }
        if name.description.hasSuffix(".localhost") { return [IPAddress("::1")!, IPAddress("127.0.0.1")!] }
        return (names[name.description] ?? []).map { IPAddress($0)! }
    }

    private static let names: [String: [String]] = [
        "good.example": ["1.1.1.1", "2606:4700::1111"],
        "localhost": ["::1", "127.0.0.1"], "ip6-localhost": ["::1"], "gateway.local": ["169.254.1.1"],
        "metadata.google.internal": ["169.254.169.254"], "private.example": ["10.0.0.1"], "private6.example": ["fd00::1"],
        "any.example": ["0.0.0.0"], "any6.example": ["::"], "ours.example": ["8.8.4.4"], "ours6.example": ["2606:4700::4"],
        "mixed.example": ["1.1.1.1", "10.0.0.1"], "mixed-first.example": ["10.0.0.1", "1.1.1.1"],
        "mixed6.example": ["2606:4700::1111", "::1", "1.1.1.1"],
        "mixed-last.example": ["1.1.1.1", "1.0.0.1", "8.8.8.8", "127.0.0.1"],
        "mixed-nat64.example": ["1.1.1.1", "64:ff9b::10.0.0.1"], "mixed-ours.example": ["1.1.1.1", "8.8.4.4"],
        "nat64.example": ["64:ff9b::127.0.0.1"], "6to4.example": ["2002:7f00:1::1"], "mapped.example": ["::ffff:127.0.0.1"],
        "teredo.example": ["2001:0:808:808:0:0:80ff:fffe"], "xn--lclhst-9ta.example": ["127.0.0.1"],
        "127.0.0.1.nip.example": ["127.0.0.1"],
        "a-very-long-label-that-is-still-a-name.metadata.example": ["169.254.169.254"], "broadcast.example": ["255.255.255.255"],
        "multicast.example": ["239.255.255.250"], "shared.example": ["100.100.100.200"],
    ]

    /// One of each kind that nobody may reach, with the notorious ones: metadata services, this host under many names.
    private static let forbidden4 = [
        "127.0.0.1", "127.1.2.3", "127.255.255.255", "0.0.0.0", "0.1.2.3", "169.254.169.254", "10.0.0.1", "172.16.0.1",
        "192.168.1.1",
        "100.100.100.200", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.192", "198.18.0.1", "203.0.113.1", "8.8.4.4",
    ]
    private static let forbidden6 = [
        "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1", "100::1", "2001:db8::1", "3fff::1",
        "5f00::1",
        "2001:2::1", "2001:10::1", "64:ff9b:1::1", "4000::1", "2606:4700::4",
    ]

    /// The same IPv4 address in the spellings that resolvers, browsers and libraries read.
    private static func spellings(_ bits: UInt32) -> [String] {
        let octets = [24, 16, 8, 0].map { bits >> $0 & 255 }
        func octal(_ value: UInt32) -> String { "0" + String(value, radix: 8) }
        func hex(_ value: UInt32) -> String { "0x" + String(value, radix: 16) }
        func padded(_ text: String, _ count: Int) -> String { String(repeating: "0", count: count) + text }
        var texts: [String] = []
        // In one, two, three and four parts, each part in each radix.
        for parts in 1...4 {
            let width = UInt32(8 * (5 - parts))
            let last = width == 32 ? bits : bits & ((1 << width) - 1)
            let values = octets.prefix(parts - 1) + [last]
            for radix in 0..<4 {
                texts.append(
                    values.enumerated().map { index, value in
                        switch radix == 3 ? index % 3 : radix {
                        case 0: "\(value)"
                        case 1: hex(value)
                        default: octal(value)
                        }
                    }.joined(separator: "."))
            }
            texts.append(values.map { hex($0).uppercased() }.joined(separator: "."))
            texts.append(values.map { padded(octal($0), 7) }.joined(separator: "."))
            texts.append(values.map { "0x" + padded(String($0, radix: 16), 9) }.joined(separator: "."))
            // Longer than any address is wide, and still read by inet_aton(3).
            texts.append(values.map { padded(octal($0), 45) }.joined(separator: "."))
        }
        texts += texts.map { $0 + "." }
        texts.append("[\(octets.map(String.init).joined(separator: "."))]")
        return texts
    }

    /// The IPv6 addresses that lead to an IPv4 address.
    private static func carriers(_ bits: UInt32) -> [IPv6Address] {
        let low = UInt64(bits)
        let teredo = UInt64(0x2001_0000_0000_0000)
        return [
            IPv6Address(high: 0, low: 0xFFFF << 32 | low), IPv6Address(high: 0, low: low),
            IPv6Address(high: 0, low: 0xFFFF_0000 << 32 | low),
            IPv6Address(high: 0x0064_FF9B_0000_0000, low: low), IPv6Address(high: 0x0064_FF9B_0001_0000, low: low),
            IPv6Address(high: 0x0064_FF9B_0001_0000 | low >> 16, low: (low & 0xFFFF) << 40),
            IPv6Address(high: 0x0064_FF9B_0001_0000, low: low << 24),
            IPv6Address(high: 0x2002_0000_0000_0000 | low << 16, low: 0),
            IPv6Address(high: 0x2002_0000_0000_0000 | low << 16, low: low),
            IPv6Address(high: teredo | low, low: 0xF7F7_F7F7),
            IPv6Address(high: teredo | 0x0808_0808, low: 0x8000_F227 << 32 | UInt64(~bits)),
            IPv6Address(high: 0x2606_4700_0000_0000, low: 0x5EFE << 32 | low),
            IPv6Address(high: 0x2606_4700_0000_0000, low: 0x0200_5EFE << 32 | low),
        ]
    }

    /// The same IPv6 address in the spellings that RFC 4291 §2.2 has, in brackets and with zones as clients write them.
    private static func spellings(_ address: IPv6Address) -> [String] {
        let groups: [String] = (0..<8).map { index in
            let half = index < 4 ? address.high : address.low
            return String(UInt16(truncatingIfNeeded: half >> UInt64(48 - 16 * (index % 4))), radix: 16)
        }
        let full = groups.map { String(repeating: "0", count: 4 - $0.utf8.count) + $0 }.joined(separator: ":")
        let short = groups.joined(separator: ":")
        let last = IPv4Address(bits: UInt32(truncatingIfNeeded: address.low))
        let dotted = groups.prefix(6).joined(separator: ":") + ":\(last)"
        let plain = [address.description, full, short, dotted, address.description.uppercased(), full.uppercased()]
        let texts = plain + plain.map { "[\($0)]" }
        return texts + [
            "\(address)%lo", "[\(address)%eth0]", "\(address)%25eth0", "[\(full)%25lo]", "[\(address)].", "\(address)%",
            "\(address).",
        ]
    }

    private static func addressSpellings() -> Set<String> {
        var all: Set<String> = []
        for text in forbidden4 {
            let bits = IPv4Address(text)!.bits
            all.formUnion(spellings(bits))
            for carrier in carriers(bits) { all.formUnion(spellings(carrier)) }
        }
        for text in forbidden6 { all.formUnion(spellings(IPv6Address(text)!)) }
        return all
    }

    /// In whatever case, with and without the root's dot.
    private static func nameSpellings() -> Set<String> {
        var all: Set<String> = []
        for name in names.keys where name != "good.example" {
            for text in [name, name.uppercased(), name.prefix(1).uppercased() + name.dropFirst()] {
                all.formUnion([text, text + "."])
            }
        }
        return all.union(["foo.localhost", "FOO.Bar.LocalHost.", "127-0-0-1.localhost", "_.localhost"])
    }

    /// Nobody's name, and no address: it may reach neither a resolver nor a socket.
    private static let noNames = [
        "", ".", "..", " ", "localhost..", ".localhost", "local host", " localhost", "localhost ", "localhost\t", "localhost\n",
        "localhost\r\n",
        "localhost\0", "\0localhost", "localhost\0.good.example", "good.example\0", "good.example\0.localhost",
        "good.example\0@localhost",
        "127.0.0.1\0", "127.0.0.1\0.good.example", "127.0.0.1 good.example", "127.0.0.1\tgood.example", "127.0.0.1\n", " 127.0.0.1",
        "127.0.0.1 ",
        "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "127.0.0.1%00", "localhost%00.good.example", "%6cocalhost", "localhos%74",
        "%5b::1%5d", "%00",
        "127.0.0.1:80", "localhost:80", "[::1]:80", "::1:80:", "good.example:80", "good.example@127.0.0.1", "user@localhost",
        "//localhost",
        "http://localhost", "localhost/", "127.0.0.1/", "127.0.0.1/8", "::1/128", "localhost#", "localhost?", "localhost\\",
        "good.example#@localhost",
        "[127.0.0.1", "127.0.0.1]", "[::1", "::1]", "[[::1]]", "[]", "[.]", "{::1}", "(127.0.0.1)", "<localhost>", "\"localhost\"",
        "'localhost'",
        "127。0。0。1", "１２７.0.0.1", "①②⑦.0.0.1", "127.0.0.１", "ⓛocalhost", "ｌocalhost", "localhoﬆ", "lоcalhost", "localhost。",
        "127.0.0.1。",
        "١٢٧.٠.٠.١", "localhost\u{200B}", "local\u{AD}host", "\u{FEFF}localhost", "localhost\u{0}", "::ﬀff:127.0.0.1", "[：：1]",
        "127..0.1", "127.0..1", ".127.0.0.1", "127.0.0.1..", "+127.0.0.1", "-127.0.0.1x y", "127,0,0,1", "127.0.0.1,good.example",
        "good.example,localhost",
        "0x7f.0.0.1/", "0x7f 1", "::ffff:127.1", "::ffff:0x7f.0.0.1", "::ffff:127.0.0.01", "::ffff:2130706433", ":::1",
        "0:0:0:0:0:0:0:0:1", "::00001",
        "::g", "1::1::1", "::1%eth0]", String(repeating: "a", count: 64) + ".localhost",
        String(repeating: "a.", count: 127) + "localhost",
        String(repeating: "localhost.", count: 30),
    ]

    @Test func noSpellingOfAnAddressIsReached() {
        let all = Self.addressSpellings()
        #expect(all.count > 5_000)
        for text in all.sorted() {
            let reached = dialled(text)
            #expect(reached.isEmpty, "\(text) reaches \(reached)")
        }
    }

    @Test func noNameOfOneIsReached() {
        for text in Self.nameSpellings().sorted() {
            // Not for want of being known.
            #expect(DomainName(text).map { !Self.lookUp($0).isEmpty } == true, "\(text)")
            let reached = dialled(text)
            #expect(reached.isEmpty, "\(text) reaches \(reached)")
        }
    }

    @Test func whatIsNoNameReachesNoResolver() {
        for text in Self.noNames {
            #expect(DomainName(text) == nil, "\(text.debugDescription)")
            #expect(dialled(text).isEmpty, "\(text.debugDescription)")
        }
    }

    /// Bytes that are no UTF-8 are no name either.
    @Test func noBytesAreTakenForOthers() {
        for bytes: [UInt8] in [
            [0xFF], [0x80], [0xC0, 0xAE], Array("127".utf8) + [0xC0, 0xAE] + Array("0.0.1".utf8), Array("localhost".utf8) + [0],
            Array("localhost".utf8) + [0xFF], [0xC1, 0xAC] + Array("ocalhost".utf8), [0x7F],
            Array("local".utf8) + [0x1B] + Array("host".utf8),
        ] {
            #expect(DomainName(wire: bytes.span) == nil)
            #expect(dialled(String(decoding: bytes, as: UTF8.self)).isEmpty)
        }
    }

    /// Else none of the above would mean anything.
    @Test func thePublicOnesAreReachedInEverySpelling() {
        #expect(dialled("good.example") == Self.names["good.example"]!.map { IPAddress($0)! })
        #expect(dialled("GOOD.example.") == dialled("good.example"))
        let public4: UInt32 = 0x0808_0808
        for text in Self.spellings(public4) { #expect(dialled(text) == [.v4(IPv4Address(bits: public4))], "\(text)") }
        for carrier in [
            IPv6Address(high: 0, low: 0xFFFF_0808_0808), IPv6Address(high: 0x0064_FF9B_0000_0000, low: 0x0808_0808),
            IPv6Address(high: 0x2002_0808_0808_0000, low: 1), IPv6Address(high: 0x2001_0000_0808_0808, low: 0xF7F7_F7F7),
            IPv6Address(high: 0x2606_4700_0000_0000, low: 0x1111),
            IPv6Address(high: 0x2606_4700_0000_0000, low: 0x0200_5EFE_0808_0808),
        ] {
            for text in Self.spellings(carrier) where !text.hasSuffix(":.") {
                #expect(dialled(text) == [IPAddress.v6(carrier).unmapped], "\(text)")
            }
        }
    }
}
