import Testing

extension Situations {
    /// The way from a name to a connection: several addresses, late answers, and clients that do not wait for them.
    @Suite struct ServingNames {
        private static let server = Family.v4.server
        private static let blackholes = [Family.v4.blackhole, Family.v6.blackhole]

        private static func asks(_ name: String, _ port: Int = 443) -> [UInt8] {
            Says.greeting + Says.socks5(name: Array(name.utf8), port)
        }

        private func begin(_ stage: Stage, _ name: String) throws -> Int {
            let client = try stage.client.connect("192.0.2.1", 1080).socket
            try stage.client.send(client, String(String.UnicodeScalarView(Self.asks(name).map { UnicodeScalar($0) })))
            #expect(try stage.client.receive(client, 2) == "\u{5}\0")
            return client
        }

        /// Of several addresses one that answers is enough, and the others cost no more than a quarter of a second.
        @Test func theAddressThatAnswersIsTaken() throws {
            let names = [
                "silent-first.test": ["2001:db8:ff:2::1", Self.server], "refused-first.test": ["2001:db8:2::2", Self.server],
                "unreachable-first.test": ["2001:db8:ff:1::1", Self.server], "all-refuse.test": ["2001:db8:2::2", "198.51.100.1"],
                "all-silent.test": Self.blackholes, "many.test": (129...135).map { "203.0.113.\($0)" } + ["2001:db8:2::2"],
            ]
            try play(Variant(), start: false) { stage in
                let listener = try stage.server.listen(Self.server, port: 444)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "echo"])
                try stage.echo(on: 443)
                let reach = ClearwayConfiguration.servedNetworks + ["198.51.100.1/32"]
                let (clearway, _) = try stage.startClearway(.serving(reach: reach, timeouts: "connect = \"3s\""), names: names)
                let rows: [(name: String, port: Int, reply: String)] = [
                    ("silent-first.test", 444, "00"), ("refused-first.test", 444, "00"), ("unreachable-first.test", 444, "00"),
                    ("all-refuse.test", 444, "05"), ("all-silent.test", 444, "04"), ("many.test", 443, "00"),
                ]
                let descriptors = clearway.descriptors
                let heard = try stage.exchange(
                    rows.map { Exchange($0.name, Self.asks($0.name, $0.port) + Array("ping".utf8), then: .fin) })
                for (row, heard) in zip(rows, heard) {
                    #expect(heard.hex.hasPrefix("050005" + row.reply), "\(row.name): \(heard.hex)")
                    #expect((row.reply == "00") == heard.hex.hasSuffix("70696e67"), "\(row.name): \(heard.hex)")
                }
                for record in try clearway.waitForSessions(rows.count) {
                    let seconds = record.fields["duration"] as? Double ?? 99
                    let longest = record.string("name") == "all-silent.test" ? 4.5 : record.string("name") == "many.test" ? 3 : 1.5
                    #expect(seconds < longest, "\(record.string("name")): \(seconds) s")
                }
                try waitUntil("the descriptors of before") { clearway.descriptors <= descriptors + 32 }
            }
        }

        /// `timeouts.connect` is for the name and the connection together.
        @Test(arguments: ["silent.test", "late.test"])
        func lateNamesTakeFromTheTimeToConnect(name: String) throws {
            try play(Variant(), start: false) { stage in
                let late = name == "late.test"
                let names = ["silent.test": Self.blackholes]
                let (clearway, _) = try stage.startClearway(
                    .serving(timeouts: "connect = \"2s\""), names: names, delay: late ? 3 : 1.5)
                let heard = try stage.exchange([Exchange("", Self.asks(name)), Exchange("", Says.connect("\(name):443"))])
                #expect(heard[0].hex == "0500" + "05040001000000000000")
                #expect(heard[1].text.hasPrefix("HTTP/1.1 504 "))
                for record in try clearway.waitForSessions(2) {
                    #expect(record.ending == "upstream-timeout")
                    #expect((1.9..<3.2).contains(record.fields["duration"] as? Double ?? 99), "\(record.fields)")
                }
            }
        }

        /// While its name is looked up, and while its address is dialled.
        @Test(arguments: ["late.test", "silent.test"])
        func aClientThatResetsIsGone(name: String) throws {
            try play(Variant(), start: false) { stage in
                let late = name == "late.test"
                let (clearway, asked) = try stage.startClearway(
                    .serving(), names: ["late.test": [Self.server], "silent.test": Self.blackholes], delay: late ? 0.5 : 0)
                let descriptors = clearway.descriptors
                let clients = try (0..<20).map { _ in try begin(stage, name) }
                try waitUntil("the name asked for") { try asked.asked().contains { $0.hasPrefix(name) } }
                if !late {
                    try waitUntil("SYNs on the way") {
                        try stage.topology.router.require(["ss", "-Hnt", "state", "syn-sent"]).split(separator: "\n").count >= 20
                    }
                }
                for client in clients { try stage.client.reset(client) }
                #expect(
                    try clearway.waitForSessions(20).allSatisfy {
                        $0.ending == "client-gone" && ($0.fields["duration"] as? Double ?? 99) < 5
                    })
                try waitUntil("the descriptors of before") { clearway.descriptors <= descriptors + 4 }
                // An answer that comes later finds nobody, and is kept for the next.
                if late {
                    try stage.echo(on: 443)
                    #expect(try stage.exchange([Exchange("", Self.asks(name), then: .fin)])[0].hex.hasPrefix("05000500"))
                    #expect(try asked.asked().count == 2)
                }
            }
        }

        /// A client that has said all it wants to say still wants the answer.
        @Test func aClientThatHasEndedStillWaits() throws {
            try play(Variant(), start: false) { stage in
                try stage.echo(on: 443)
                _ = try stage.startClearway(.serving(), names: ["late.test": [Self.server]], delay: 0.3)
                let heard = try stage.exchange([Exchange("", Self.asks("late.test") + Array("ping".utf8), then: .fin)])
                #expect(heard[0].hex.hasSuffix("70696e67") && heard[0].end == "fin")
            }
        }

        /// A client with names that nobody answers for fills its own part of the queue, and hears that; others are resolved at once.
        @Test func oneClientDoesNotKeepOthersFromTheirNames() throws {
            try play(Variant(), start: false) { stage in
                try stage.echo(on: 443)
                try stage.topology.client.ip("address add 192.0.2.3/24 dev eth0")
                let (clearway, asked) = try stage.startClearway(.serving(), names: ["good.test": [Self.server]], dead: ".dead")
                for number in 0..<136 { _ = try begin(stage, "n\(number).dead") }
                // Half of the sixteen threads, and all that it may have in the queue.
                try waitUntil("its threads asking") { try Set(asked.asked().map { $0.prefix { $0 != " " } }).count == 8 }
                let rows = [Exchange("", Self.asks("one.dead")), Exchange("", Says.connect("two.dead:443"))]
                let began = now()
                let heard = try stage.exchange(rows)
                #expect(heard[0].hex == "0500" + "05010001000000000000")
                #expect(heard[1].text.hasPrefix("HTTP/1.1 503 "))
                let other = try stage.client.connect("192.0.2.1", 1080, ["source": "192.0.2.3"]).socket
                let says = Self.asks("good.test") + Array("ping".utf8)
                try stage.client.send(other, String(String.UnicodeScalarView(says.map { UnicodeScalar($0) })))
                #expect(try stage.client.receive(other, 16).hasSuffix("ping"))
                // Before any of those had been given up.
                #expect(now() - began < 4)
                #expect(try clearway.waitForSessions(2).map(\.ending) == ["proxy-limit", "proxy-limit"])
            }
        }

        @Test(arguments: ["late.test", "silent.test"])
        func aDrainEndsTheWaiting(name: String) throws {
            try play(Variant(), start: false) { stage in
                let (clearway, asked) = try stage.startClearway(
                    .serving(timeouts: "drain = \"200ms\""), names: ["silent.test": Self.blackholes],
                    delay: name == "late.test" ? 5 : 0)
                let client = try begin(stage, name)
                try waitUntil("the name asked for") { try asked.asked().contains { $0.hasPrefix(name) } }
                let began = now()
                #expect(try clearway.stop() == .exited(0))
                #expect(now() - began < 3)
                #expect(try stage.client.drain(client).end != "timeout")
                #expect(try clearway.accessRecords().map(\.ending) == ["proxy-drain"])
            }
        }
    }
}
