import Foundation
import Testing

extension Situations {
    /// An exit whose sources are looked up in a DNS block list, which is a name server on the router.
    @Suite struct BlockLists {
        private static let clients = 16
        private static let configuration = ClearwayConfiguration.serving(
            policy: Exit.toml(source: sources, more: "block_list = \"bl.test\""))
        private static let sources = [
            Family.v4.source(11), Family.v4.source(12), Family.v4.source(13), Family.v6.source(11), Family.v6.source(12),
        ]

        /// The name that a list is asked for.
        private static func question(_ source: String) -> String {
            let octets = Says.octets(source)
            let parts =
                octets.count == 4
                ? octets.map { "\($0)" } : octets.flatMap { [String($0 >> 4, radix: 16), String($0 & 15, radix: 16)] }
            return parts.reversed().joined(separator: ".") + ".bl.test"
        }

        /// What is listed is left out, and nothing else: not what the list refuses to say, nor what it does not know.
        @Test func whatIsListedIsLeftOut() throws {
            try play(Variant(), start: false) { stage in
                try stage.addSources(clients: Self.clients)
                try stage.tellSources()
                // Numbers of a list's for "I do not talk to you", and an address of somebody who sells names.
                let (clearway, list) = try stage.startClearway(
                    Self.configuration,
                    names: [
                        Self.question(Family.v4.source(12)): ["127.255.255.254"],
                        Self.question(Family.v6.source(12)): ["127.0.0.4", "127.0.0.10"],
                    ],
                    changing: [Self.question(Family.v4.source(11)): [["127.0.0.2"], [], [], []]])
                try stage.waitForLine("source listed", "\"\(Family.v4.source(11))\"")
                try stage.waitForLine("source listed", "\"127.0.0.4 127.0.0.10\"")
                try stage.waitForLine("block list cannot be asked", "\"\(Family.v4.source(12))\"")
                try waitUntil("every source was asked for") { try Set(list.asked()).count == Self.sources.count }
                #expect(try Set(list.asked()) == Set(Self.sources.map { Self.question($0) + " A" }))

                let listed = try stage.seen(clients: Self.clients)
                #expect(Set(listed.values) == [Family.v4.source(12), Family.v4.source(13), Family.v6.source(11)])

                // One of them is off the list: it is asked for again at SIGHUP, and gets back what was its own.
                try clearway.reload(Self.configuration)
                try stage.waitForLine("source no longer listed", "\"\(Family.v4.source(11))\"")
                let recovered = try stage.seen(clients: Self.clients)
                #expect(Set(recovered.values) == Set(listed.values).union([Family.v4.source(11)]))
                #expect(recovered.allSatisfy { $0.value == Family.v4.source(11) || $0.value == listed[$0.key] })
            }
        }

        /// When all of a family are listed all are used, for a proxy without a way out would help nobody.
        @Test func whenAllAreListedAllAreUsed() throws {
            try play(Variant(), start: false) { stage in
                try stage.addSources(clients: Self.clients)
                try stage.tellSources()
                let names = Self.sources.map { (Self.question($0), ["127.0.0.2"]) }
                try stage.startClearway(Self.configuration, names: Dictionary(uniqueKeysWithValues: names))
                for source in Self.sources { try stage.waitForLine("source listed", "\"\(source)\"") }
                #expect(try Set(stage.seen(clients: Self.clients).values) == Set(Self.sources))
            }
        }

        /// A list that nobody can ask is no reason to leave anything out, nor to wait.
        @Test func withoutANameServerAllAreUsed() throws {
            try play(Variant(), start: false) { stage in
                try stage.addSources(clients: Self.clients)
                try stage.tellSources()
                try stage.startClearway(Self.configuration, wrapper: HostNames(in: stage.topology.scratch).wrapper)
                try stage.waitForLine("block list cannot be asked", "\"\(Exit.name)\"")
                #expect(try Set(stage.seen(clients: Self.clients).values) == Set(Self.sources))
            }
        }
    }
}
