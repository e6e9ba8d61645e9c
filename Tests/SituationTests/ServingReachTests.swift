import Foundation
import Testing

extension Situations {
    /// Clients say where they want to go, and we stand inside: what only answers to its neighbours must not answer to them.
    @Suite struct ServingReach {
        /// Of this host, and of networks where somebody would answer: the server has all of the latter.
        private static let own = ["127.0.0.1", "127.8.8.8", "0.0.0.0", "192.0.2.1", "198.51.100.1", "100.66.0.1"]
        private static let near = [
            "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "198.18.0.1", "203.0.113.200", "240.0.0.1",
        ]
        private static let own6 = ["::", "::1", "2001:db8:1::1", "2001:db8:2::1", "fe80::1"]
        private static let near6 = [
            "fd00::1", "fc00:8::1", "fec0::1", "2001:db8:9::1", "64:ff9b:1::1", "64:ff9b::a00:1", "2002:a00:1::1",
        ]
        private static let port = 443

        /// The same IPv4 address in the spellings that resolvers read, and inside IPv6 addresses.
        private static func spellings(_ address: String) -> [String] {
            let octets = Says.octets(address).map(Int.init)
            let all = octets.reduce(0) { $0 << 8 | $1 }
            func hex(_ value: Int) -> String { "0x" + String(value, radix: 16) }
            func octal(_ value: Int) -> String { "0" + String(value, radix: 8) }
            let groups = "\(String(all >> 16, radix: 16)):\(String(all & 0xFFFF, radix: 16))"
            let plain = [
                address, "\(all)", hex(all), octal(all), octets.map(hex).joined(separator: "."),
                octets.map(octal).joined(separator: "."),
                "\(octets[0]).\(all & 0xFF_FFFF)", "\(octets[0]).\(octets[1]).\(all & 0xFFFF)",
                "\(hex(octets[0])).\(octal(octets[1])).\(all & 0xFFFF)",
                hex(all).uppercased(), "0000\(octal(all))",
            ]
            let inside = [
                "::ffff:\(address)", "::ffff:\(groups)", "0:0:0:0:0:FFFF:\(groups)", "::\(address)", "64:ff9b::\(groups)",
                "2002:\(groups)::1",
                "2001:0:\(groups)::", "::ffff:0:\(groups)", "64:ff9b:1::\(groups)",
            ]
            return plain + plain.map { $0 + "." } + inside + inside.map { "[\($0)]" }
        }

        private static func spellings6(_ address: String) -> [String] {
            let octets = Says.octets(address)
            let full = stride(from: 0, to: 16, by: 2).map { hexadecimal(Array(octets[$0...($0 + 1)])) }.joined(separator: ":")
            return [address, full, full.uppercased(), "[\(address)]", "[\(full)]", "\(address)%lo", "[\(address)%25lan]"]
        }

        private static let names: [String: [String]] = [
            "good.test": ["198.51.100.2"], "loop.test": ["127.0.0.1"], "loop6.test": ["::1"], "any.test": ["0.0.0.0"],
            "metadata.test": ["169.254.169.254"],
            "private.test": ["10.0.0.1"], "private6.test": ["fd00::1"], "ours.test": ["198.51.100.1"],
            "mapped.test": ["::ffff:127.0.0.1"],
            "mixed.test": ["198.51.100.2", "127.0.0.1"], "mixed-last.test": ["198.51.100.2", "2001:db8:2::2", "10.0.0.1"],
            "mixed6.test": ["2001:db8:2::2", "::1"], "nat64.test": ["64:ff9b::7f00:1"], "multicast.test": ["224.0.0.1"],
        ]
        private static let changing = ["rebind.test": [["198.51.100.2"], ["127.0.0.1"]]]

        /// What no resolver of ours gives out: the names have no address.
        private static let unusable: Set = ["CONNECT any.test", "CONNECT multicast.test"]

        /// The same wish, in each way that a client can say it.
        private static func wishes(_ text: String) -> [Exchange] {
            let name = Array(text.utf8)
            var wishes = [
                Exchange("SOCKS5 name \(text)", Says.greeting, Says.socks5(name: name, port)),
                Exchange("SOCKS4a \(text)", Says.socks4a(name: name, port)),
                Exchange("CONNECT \(text)", Says.connect("\(text):\(port)")),
            ]
            let isPlain =
                text.contains(":")
                ? !text.contains("%") && !text.contains("[")
                : text.split(separator: ".").count == 4 && text.wholeMatch(of: /[1-9][0-9.]*[0-9]|0\.0\.0\.0/) != nil
            if isPlain { wishes.append(Exchange("SOCKS5 address \(text)", Says.greeting, Says.socks5(text, port))) }
            if isPlain, !text.contains(":"), text != "0.0.0.0" {
                wishes.append(Exchange("SOCKS4 \(text)", Says.socks4(text, port)))
            }
            return wishes
        }

        /// Has somebody answer wherever a client must not get.
        ///
        /// - Returns: how many have come so far.
        private func canaries(_ stage: Stage) throws -> () throws -> Int {
            let (router, server) = (stage.topology.router, stage.topology.server)
            try router.ip(
                """
                address add 127.8.8.8/8 dev lo
                address add 100.66.0.1/32 dev lo
                address add fe80::1/64 dev lan nodad
                """)
            try server.ip(
                (Self.near + Self.near6).map { "address add \($0)/\($0.contains(":") ? "128 nodad" : "32") dev lo" }.map {
                    $0.replacing("128 nodad dev lo", with: "128 dev lo nodad")
                }.joined(separator: "\n"))
            try router.ip(
                (Self.near.map { "route add \($0)/32 via 198.51.100.2" }
                    + Self.near6.map { "route add \($0)/128 via 2001:db8:2::2" }).joined(separator: "\n"))
            var counters: [() throws -> Int] = []
            for peer in [try stage.peer(in: router), stage.server] {
                for family in Family.allCases {
                    let listener = try peer.listen(family.wildcard, port: Self.port)
                    let counter = try peer.perform("count", ["socket": listener.socket])
                    counters.append { try peer.perform("counted", ["socket": counter.socket]).int("count") }
                }
            }
            return { try counters.reduce(0) { try $0 + $1() } }
        }

        @Test func nobodyIsReachedByDefault() throws {
            try play(Variant(), start: false) { stage in
                let reached = try canaries(stage)
                let (clearway, asked) = try stage.startClearway(.serving(reach: nil), names: Self.names, changing: Self.changing)
                // Somebody is there, else nothing below would mean anything.
                let peer = try stage.peer(in: stage.topology.router)
                let there =
                    ["127.0.0.1", "::1"] + Self.own.dropFirst() + Self.near + Self.own6.filter { $0 != "fe80::1" } + Self.near6
                for address in there {
                    #expect(try peer.perform("connect", ["host": address, "port": Self.port]).outcome == "connected", "\(address)")
                }
                try waitUntil("the canaries alive") { try reached() == there.count }

                let texts =
                    (Self.own + Self.near).flatMap(Self.spellings) + (Self.own6 + Self.near6 + ["ff02::1"]).flatMap(Self.spellings6)
                    + ["224.0.0.1", "255.255.255.255", "localhost", "localhost.", "LOCALHOST", "ip6-localhost"]
                    + Self.names.keys.sorted() + Self.changing.keys
                let rows = texts.flatMap(Self.wishes)
                print("spellings of forbidden places: \(texts.count), said in \(rows.count) ways")
                #expect(texts.count >= 300)
                for (row, heard) in zip(rows, try stage.exchange(rows)) {
                    let isRefused =
                        heard.hex.wholeMatch(of: /(0500)?05(02|04)0001000000000000|005b000000000000/) != nil
                        || heard.text.hasPrefix("HTTP/1.1 400 ")
                        || heard.text.hasPrefix("HTTP/1.1 403 ")
                        || Self.unusable.contains(row.name) && heard.text.hasPrefix("HTTP/1.1 502 ")
                    #expect(isRefused, "\(row.name): \(heard.text.prefix(60).debugDescription) \(heard.hex.prefix(40))")
                }
                try waitUntil("a record for each") { clearway.finishedSessions >= rows.count }
                #expect(clearway.finishedSessions == rows.count)
                #expect(try reached() == there.count)
                // An address in whatever spelling is nobody's name.
                #expect(
                    try Set(asked.asked().map { String($0.prefix { $0 != " " }) }).isSubset(
                        of: Set(Self.names.keys).union(Self.changing.keys)))
            }
        }

        /// `reach` opens what it names.
        @Test(arguments: [
            (
                ["private"],
                [
                    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "fd00::1", "fc00:8::1", "fec0::1", "64:ff9b::a00:1",
                    "2002:a00:1::1",
                ]
            ),
            (["10.0.0.0/8", "fd00::/8"], ["10.0.0.1", "fd00::1", "64:ff9b::a00:1", "2002:a00:1::1"]),
            (["169.254.169.254/32"], ["169.254.169.254"]), (["100.66.0.1/32"], ["100.66.0.1"]),
            (["100.66.0.0/24", "192.0.2.0/24", "198.51.100.0/24"], []),
            (["127.0.0.1/32", "::1/128"], ["127.0.0.1", "::1"]), (["127.0.0.0/8"], ["127.0.0.1", "127.8.8.8"]),
            (["::/0"], ["fd00::1", "fc00:8::1", "fec0::1"]),
            (
                ["0.0.0.0/0"], ["10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "64:ff9b::a00:1", "2002:a00:1::1"]
            ),
            (
                ["::/0", "0.0.0.0/0", "::1", "169.254.169.254"],
                [
                    "fd00::1", "fc00:8::1", "fec0::1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "64:ff9b::a00:1",
                    "2002:a00:1::1", "::1", "169.254.169.254",
                ]
            ), (["0.0.0.0/32"], ["0.0.0.0"]), (["2001:db8:9::/48", "198.18.0.0/15"], ["2001:db8:9::1", "198.18.0.1"]),
        ])
        func whatItNamesIsOpen(reach: [String], open: [String]) throws {
            try play(Variant(), start: false) { stage in
                let reached = try canaries(stage)
                let clearway = try stage.startClearway(.serving(reach: reach))
                let places = Self.own + Self.near + Self.own6.filter { $0 != "fe80::1" } + Self.near6
                let heard = try stage.exchange(places.map { Exchange($0, Says.greeting, Says.socks5($0, Self.port), then: .fin) })
                let found = zip(places, heard).filter { $0.1.hex.hasPrefix("05000500") }.map(\.0)
                let missing = zip(places, heard).filter { !$0.1.hex.hasPrefix("05000500") && open.contains($0.0) }.map {
                    "\($0.0): \($0.1.hex)"
                }
                #expect(Set(found) == Set(open), "\(missing)")
                try clearway.waitForSessions(places.count)
                #expect(try reached() == open.count)
            }
        }

        /// Where names lead is judged once, and dialled as it was judged.
        @Test func namesAreResolvedOnce() throws {
            try play(Variant(), start: false) { stage in
                let reached = try canaries(stage)
                let (clearway, asked) = try stage.startClearway(.serving(), names: Self.names, changing: Self.changing)
                let names = (Array(Self.names.keys) + Array(Self.changing.keys)).sorted()
                let heard = try stage.exchange(
                    names.map { Exchange($0, Says.greeting, Says.socks5(name: Array($0.utf8), Self.port), then: .fin) })
                let open = zip(names, heard).filter { $0.1.hex.hasPrefix("05000500") }.map(\.0)
                #expect(open == ["good.test", "rebind.test"], "\(zip(names, heard).map { "\($0.0) \($0.1.hex)" })")
                #expect(try reached() == 2)
                let reasons = try clearway.waitForSessions(names.count).map { $0.fields["reason"] as? String ?? "" }
                #expect(reasons.count { $0.contains("loopback address") } >= 5)

                // Two questions, one for each family, whoever asks, and whenever within half a minute.
                let many = try stage.exchange(
                    (0..<200).map { _ in
                        Exchange("", Says.greeting, Says.socks5(name: Array("rebind.test".utf8), Self.port), then: .fin)
                    })
                #expect(many.allSatisfy { $0.hex.hasPrefix("05000500") })
                #expect(try asked.asked().count { $0.hasPrefix("rebind.test ") } == 2)
                #expect(try asked.asked().count { $0.hasPrefix("good.test ") } == 2)
                // None of them at 127.0.0.1, which is this host's.
                #expect(try reached() == 202)
                #expect(
                    try clearway.waitForSessions(names.count + 200).count { $0.string("destination").contains("127.0.0.1") } <= 3)
            }
        }
    }
}
