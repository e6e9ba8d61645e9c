import Policy
import TestSupport
import Testing
import TransparentSockets

@Suite struct ReachTests {
    private func address(_ text: String) -> IPAddress { IPAddress(text)! }
    private func networks(_ texts: String...) throws -> [IPNetwork] { try texts.map { try IPNetwork(parsing: $0) } }

    @Test func whatIsAllowedIsReachedInEveryFormAndNothingElseIs() throws {
        let reach = Reach(allowedNetworks: try networks("10.1.0.0/16", "127.0.0.0/8", "fd00:1::/32"))
        for text in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::1", "127.0.0.1", "fd00:1::5", "8.8.8.8"] {
            #expect(reach.refusal(of: address(text), ourselves: []) == nil, "\(text)")
        }
        // Compatible addresses are a reserved form, whatever is inside.
        for text in [
            "10.2.0.1", "192.168.1.1", "169.254.169.254", "::1", "fd00:2::5", "::10.1.2.3", "0.0.0.0", "64:ff9b::10.2.0.1",
        ] {
            #expect(reach.refusal(of: address(text), ourselves: []) != nil, "\(text)")
        }
    }

    @Test func allOfIPv6OpensNoIPv4InsideIt() throws {
        let reach = Reach(allowedNetworks: try networks("::/0"))
        for text in ["fd00::1", "fec0::1", "2606:4700::1"] {
            #expect(reach.refusal(of: address(text), ourselves: []) == nil, "\(text)")
        }
        for text in ["127.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "64:ff9b:1::10.0.0.1"] {
            #expect(reach.refusal(of: address(text), ourselves: []) != nil, "\(text)")
        }
        #expect(
            Reach(allowedNetworks: try networks("64:ff9b:1::/96")).refusal(of: address("64:ff9b:1::8.8.8.8"), ourselves: []) == nil)
    }

    /// A list that holds a special address by accident does not open it.
    @Test func whatIsSpecialIsOpenedOnlyFromWithin() throws {
        let special = [
            ("127.0.0.1", "127.0.0.0/8"), ("0.0.0.0", "0.0.0.0/8"), ("169.254.169.254", "169.254.0.0/16"),
            ("224.0.0.1", "224.0.0.0/4"),
            ("255.255.255.255", "255.255.255.255/32"), ("240.0.0.1", "240.0.0.0/4"), ("198.18.0.1", "198.18.0.0/15"),
            ("192.0.0.9", "192.0.0.0/24"), ("192.0.2.1", "192.0.2.0/24"), ("192.88.99.1", "192.88.99.0/24"),
            ("198.51.100.1", "198.51.100.0/24"), ("203.0.113.1", "203.0.113.0/24"),
            ("::1", "::1/128"), ("::", "::/128"), ("fe80::1", "fe80::/10"), ("ff02::1", "ff00::/8"),
            ("2001:2::1", "2001::/23"), ("2001:db8::1", "2001:db8::/32"), ("3fff::1", "3fff::/20"), ("100::1", "100::/64"),
            ("64:ff9b:1::808:808", "64:ff9b:1::/48"), ("5f00::1", "4000::/3"), ("f000::1", "f000::/5"), ("fe00::1", "fe00::/9"),
        ]
        func isOpen(_ text: String, by network: IPNetwork) -> Bool {
            Reach(allowedNetworks: [network]).refusal(of: address(text), ourselves: []) == nil
        }
        for (text, block) in special {
            let block = try IPNetwork(parsing: block)
            let longest = address(text).isIPv6 ? 128 : 32
            for length in 0...longest {
                let network = IPNetwork(address(text), prefixLength: length)
                // To open an address that dialled is this host takes more than a network around it.
                let isNamed = AddressScope(of: address(text)) != .unspecified || length == longest
                #expect(isOpen(text, by: network) == (length >= block.prefixLength && isNamed), "\(text) by \(network)")
            }
            #expect(block.contains(address(text)))
        }
        // One that lies within does not help another that it does not hold, nor one around it.
        let reach = Reach(allowedNetworks: try networks("0.0.0.0/0", "127.0.0.1/32", "::/0", "169.254.169.0/24"))
        for text in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "169.254.169.254", "10.0.0.1", "fd00::1"] {
            #expect(reach.refusal(of: address(text), ourselves: []) == nil, "\(text)")
        }
        for text in ["127.0.0.2", "::1", "169.254.1.1", "224.0.0.1", "64:ff9b::127.0.0.2", "2002:e000:1::", "240.0.0.1", "0.0.0.0"]
        {
            #expect(reach.refusal(of: address(text), ourselves: []) != nil, "\(text)")
        }
        // Private addresses are no accident, whatever the size of the network.
        for text in ["10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1"] {
            for length in 0...32 { #expect(isOpen(text, by: IPNetwork(address(text), prefixLength: length))) }
        }
    }

    @Test(arguments: [
        ([], false), (["0.0.0.0/0", "::/0"], false), (["10.0.0.0/8", "169.254.0.0/16"], false), (["127.0.0.1"], true),
        (["127.0.0.0/8"], true), (["10.0.0.0/8", "::1"], true), (["127.9.0.0/16"], true), (["126.0.0.0/7"], false),
    ])
    func loopbackIsOpenedByName(_ texts: [String], _ isOpen: Bool) throws {
        let reach = Reach(allowsPrivateUse: true, allowedNetworks: try texts.map { try IPNetwork(parsing: $0) })
        #expect(reach.opensLoopback == isOpen)
    }

    @Test func theSwitchIsForPrivateAddressesOnly() {
        let reach = Reach(allowsPrivateUse: true)
        for text in ["10.0.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "fd00::1", "fec0::1", "64:ff9b::10.0.0.1"] {
            #expect(reach.refusal(of: address(text), ourselves: []) == nil, "\(text)")
            #expect(Reach().refusal(of: address(text), ourselves: []) != nil, "\(text)")
        }
        for text in [
            "127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1",
            "::1", "::", "fe80::1", "ff02::1", "2001:db8::1", "64:ff9b:1::10.0.0.1", "64:ff9b::127.0.0.1", "::10.0.0.1",
        ] {
            #expect(reach.refusal(of: address(text), ourselves: []) != nil, "\(text)")
        }
    }

    @Test func ourOwnAddressesMustBeNamedThemselves() throws {
        let ours: Set = [address("8.8.4.4"), address("10.1.0.1"), address("2606:4700::1"), address("127.0.0.1"), address("::1")]
        let asTheyCome = [
            "8.8.4.4", "::ffff:8.8.4.4", "64:ff9b::8.8.4.4", "2002:808:404::9", "2606:4700::1", "2606:4701::5efe:8.8.4.4",
        ]
        for text in asTheyCome {
            #expect(Reach().refusal(of: address(text), ourselves: ours)?.cause == .ourselves, "\(text)")
            #expect(Reach().refusal(of: address(text), ourselves: []) == nil, "\(text)")
        }
        // A network that we are part of was meant for the others in it.
        for reach in [Reach(allowsPrivateUse: true), Reach(allowedNetworks: try networks("10.0.0.0/8", "10.1.0.0/31"))] {
            #expect(reach.refusal(of: address("10.1.0.1"), ourselves: ours)?.cause == .ourselves)
            #expect(reach.refusal(of: address("10.1.0.0"), ourselves: ours) == nil)
        }
        #expect(Reach(allowedNetworks: try networks("10.1.0.1")).refusal(of: address("10.1.0.1"), ourselves: ours) == nil)
        #expect(Reach(allowedNetworks: try networks("8.8.4.4/32")).refusal(of: address("64:ff9b::8.8.4.4"), ourselves: ours) == nil)
        // Loopback is nobody else's.
        let loopback = Reach(allowedNetworks: try networks("127.0.0.0/8", "::1"))
        for text in ["127.0.0.1", "127.0.0.2", "::1"] { #expect(loopback.refusal(of: address(text), ourselves: ours) == nil) }
    }

    @Test func oneForbiddenAddressRefusesTheWholeName() {
        let good = ["8.8.8.8", "2606:4700::1111", "1.1.1.1"].map(address)
        #expect(Reach().refusal(ofAny: good, ourselves: []) == nil)
        for bad in ["10.0.0.1", "127.0.0.1", "::1", "64:ff9b::10.0.0.1", "fd00::1"].map(address) {
            for place in 0...good.count {
                var mixed = good
                mixed.insert(bad, at: place)
                #expect(Reach().refusal(ofAny: mixed, ourselves: [])?.address == bad)
            }
        }
        #expect(Reach().refusal(ofAny: good, ourselves: [address("1.1.1.1")])?.cause == .ourselves)
    }

    @Test(arguments: [
        ("10.1.2.3", "10.1.2.3 is a private address"), ("::ffff:169.254.169.254", "169.254.169.254 is a link-local address"),
        ("0.0.0.0", "0.0.0.0 is an unspecified address"),
        ("64:ff9b::127.0.0.1", "64:ff9b::7f00:1 leads to 127.0.0.1, a loopback address"),
        ("::127.0.0.1", "::7f00:1 leads to 127.0.0.1, a loopback address"), ("ff02::1", "ff02::1 is a multicast address"),
        ("9.9.9.9", "9.9.9.9 is an address of this host"),
        ("2002:909:909::", "2002:909:909:: leads to 9.9.9.9, an address of this host"),
        ("255.255.255.255", "255.255.255.255 is a broadcast address"), ("198.18.0.1", "198.18.0.1 is a reserved address"),
    ])
    func aRefusalSaysWhy(_ text: String, _ words: String) {
        #expect(Reach().refusal(of: address(text), ourselves: [address("9.9.9.9")])?.description == words)
    }

    @Test func twoAreEqualThatSayTheSame() throws {
        #expect(Reach(allowedNetworks: try networks("10.0.0.0/8")) == Reach(allowedNetworks: try networks("10.0.0.0/8")))
        #expect(Reach(allowedNetworks: try networks("10.0.0.0/8")) != Reach(allowedNetworks: try networks("10.0.0.0/9")))
        #expect(Reach(allowsPrivateUse: true) != Reach())
    }
}
