import Testing

extension Situations {
    /// What HTTP/3 is made of, by aioquic: a connection that has its own idea of addresses, of loss, and of how fast to send.
    @Suite struct QUIC {
        private static let megabyte = 1 << 20

        /// A stream of that many bytes, there and back.
        private static func exchange(_ connection: QUICConnection, _ bytes: Int = megabyte) throws -> QUICConnection.Exchange {
            let exchange = try connection.exchange(bytes)
            #expect(exchange.bytes == bytes && exchange.equal)
            return exchange
        }

        /// That the records of flows have what the connection has carried, as far as both ends have seen it: the client's datagrams may
        /// get lost before Clearway, and Clearway's before the client.
        private static func expect(_ records: [AccessRecord], _ last: QUICConnection.Exchange, from family: Family) {
            let (up, down) = records.reduce((0, 0)) { ($0.0 + $1.int("up"), $0.1 + $1.int("down")) }
            // What closes it comes after the last exchange.
            let closing = 10_000
            #expect((last.bytes...last.sent + closing).contains(up), "\(up) of \(last)")
            #expect(down >= last.received && down >= last.bytes, "\(down) of \(last)")
            let destination = family.written(family.server, QUICConnection.port)
            #expect(records.allSatisfy { $0.string("destination") == destination && $0.string("protocol") == "udp" })
        }

        @Test(arguments: [
            Variant(mover: .direct), Variant(), Variant(family: .v6), Variant(preserved: .addressAndPort),
        ])
        func aMegabyteEachWay(variant: Variant) throws {
            try play(variant, configuration: .datagrams(preserved: variant.preserved)) { stage in
                let connection = try QUICConnection(stage)
                let exchange = try Self.exchange(connection)
                try connection.close()
                guard variant.mover != .direct else { return }
                let totals = try stage.clearway.totals()
                #expect(
                    totals.total("flows") == 1 && totals.fields.keys.allSatisfy { !$0.hasPrefix("dropped") }, "\(totals.fields)")
                let records = try stage.clearway.flowRecords()
                #expect(records.count == 1)
                Self.expect(records, exchange, from: variant.family)
            }
        }

        /// As of a client behind a router that has forgotten it, or of a telephone that leaves the house.
        @Test(arguments: [PreservedSource.off, .addressAndPort]) func theClientMoves(preserved: PreservedSource) throws {
            try play(Variant(preserved: preserved), configuration: .datagrams(preserved: preserved)) { stage in
                try stage.topology.client.require(["ip", "address", "add", "192.0.2.3/24", "dev", "eth0"])
                let connection = try QUICConnection(stage)
                var last = try Self.exchange(connection)
                var places: [String] = []
                for address in ["192.0.2.2", "192.0.2.3"] {
                    places.append("\(address):\(try connection.move(to: address))")
                    last = try Self.exchange(connection, Self.megabyte + places.count)
                }
                try connection.close()
                #expect(try stage.clearway.totals().total("flows") == 3)
                let records = try stage.clearway.flowRecords()
                #expect(records.count == 3 && Set(records.map { $0.string("client") }).isSuperset(of: places))
                #expect(records.allSatisfy { $0.int("up") >= Self.megabyte && $0.int("down") >= Self.megabyte })
                Self.expect(records, last, from: .v4)
            }
        }

        /// The flow ends, the connection does not: what the client sends next comes to the server from another port of ours.
        @Test func ourPortChanges() throws {
            try play(Variant(), configuration: .datagrams(timeouts: "flow = \"1s\"")) { stage in
                let connection = try QUICConnection(stage)
                _ = try Self.exchange(connection)
                let clearway = try stage.clearway
                let first = try clearway.waitForFlows(1)
                #expect(first.allSatisfy { $0.ending == "flow-idle" })
                // The new one is not the same by chance.
                let old = try #require(first.last?.string("local").split(separator: ":").last.flatMap { Int($0) })
                _ = try stage.peer(in: stage.topology.router).datagramSocket(Family.v4.wildcard, port: old)
                let last = try Self.exchange(connection, Self.megabyte + 1)
                try connection.close()
                #expect(try clearway.totals().total("flows") >= 2)
                let records = try clearway.flowRecords()
                #expect(Set(records.map { $0.string("client") }).count == 1)
                #expect(records.last?.string("local").hasSuffix(":\(old)") == false)
                Self.expect(records, last, from: .v4)
            }
        }

        @Test(arguments: ["dante", "clearway"]) func throughAProxy(program: String) throws {
            try play(Variant(), start: false) { stage in
                let behind = program == "clearway" ? try stage.startClearwayBehind() : nil
                if behind == nil { try stage.startProxy(.dante) }
                let clearway = try stage.startDatagrams(
                    .datagrams(policy: ClearwayConfiguration.datagramsThrough("socks5://198.51.100.2:\(ProxyProgram.port)")))
                let connection = try QUICConnection(stage)
                let exchange = try Self.exchange(connection)
                try connection.close()
                let totals = try clearway.totals()
                #expect(
                    totals.total("flows") == 1 && totals.fields.keys.allSatisfy { !$0.hasPrefix("dropped") }, "\(totals.fields)")
                let records = try clearway.flowRecords()
                #expect(records.map { $0.string("upstream") } == ["out"])
                Self.expect(records, exchange, from: .v4)
                guard let behind else { return }
                Self.expect(try behind.waitForFlows(1), exchange, from: .v4)
                #expect(try behind.stop() == .exited(0))
            }
        }
    }
}
