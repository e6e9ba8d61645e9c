import Foundation
import Testing

extension Situations {
    /// How usocksd's sessions leave: `outgoing.addresses`, `dnsbl_domain` and `iface`, as the destination and the wire see it.
    @Suite struct UsocksdOutgoing {
        private static let destinations = [Destination.privateV4, Destination.privateV6]
        private static let clients = 16

        /// An address of the right family, the same again and again, and none that is listed.
        @Test func addressesAndTheirBlockList() throws {
            let sources = Family.allCases.flatMap { [$0.source(11), $0.source(12), $0.source(13)] }
            try play(Variant(), start: false) { stage in
                _ = try stage.addDestinations()
                try stage.addSources(clients: Self.clients)
                try stage.tellSources(at: Self.destinations)
                let list = try stage.peer(in: stage.topology.router)
                try list.perform("name_server", ["names": ["12.100.51.198.bl.test": [["127.0.0.2"]]]])
                let configuration = UsocksdConfiguration(
                    outgoing: "addresses = \(ClearwayConfiguration.toml(sources))\ndnsbl_domain = \"bl.test\"")
                let usocksd = try stage.startUsocksd(configuration, wrapper: HostNames(in: stage.topology.scratch).wrapper)
                try waitUntil("one is listed") { usocksd.log.contains("\"\(Family.v4.source(12))\"") }
                let first = try stage.seen(clients: Self.clients, at: Self.destinations)
                #expect(Set(first.values) == Set(sources).subtracting([Family.v4.source(12)]))
                #expect(first.allSatisfy { $0.value.contains(":") == $0.key.destination.contains(":") })
                #expect(try stage.seen(clients: Self.clients, at: Self.destinations) == first)
                // What the log says of a session is what its destination saw.
                let logged = try usocksd.waitForRecords("proxy starts", 4 * Self.clients * 2)
                #expect(
                    logged.allSatisfy { record in
                        let text = record.string("src_addr")
                        return first.values.contains(
                            text[..<(text.lastIndex(of: ":") ?? text.endIndex)].filter { !"[]".contains($0) })
                    })
            }
        }

        @Test func iface() throws {
            try play(Variant(), start: false) { stage in
                let names = try stage.addDestinations()
                try stage.addSources(clients: 1)
                try stage.addSideLink()
                try stage.tellSources(at: [Destination.privateV4])
                try stage.count(["side": "oifname \"side\" tcp dport 443", "wan": "oifname \"wan\" tcp dport 443"])
                _ = try stage.startUsocksd(UsocksdConfiguration(outgoing: "iface = \"side\""), wrapper: names)
                #expect(try Set(stage.seen(clients: 1, at: [Destination.privateV4]).values) == ["10.77.0.1"])
                #expect(try (stage.counted("side"), stage.counted("wan")) == (2, 0))
                try stage.topology.router.ip("link set side down")
                #expect(try stage.replies([Destination.privateV4])[0] != "00")
                #expect(try stage.counted("wan") == 0)
            }
        }
    }
}
