import Testing

extension Situations {
    /// Two instances on one host, each with its own table, listeners and ports; neither minds the other's coming and going.
    @Suite struct TwoClearways {
        @Test(arguments: [Variant(), Variant(mode: .redirect), Variant(scope: .local)])
        func eachCarriesItsOwn(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let before = try HostState(of: stage.topology.router)
                var one = ClearwayConfiguration(variant)
                one.listeners[0].more = "ports = [\"7001\"]"
                var two = ClearwayConfiguration(variant)
                two.firewall = "table = \"second\""
                two.listeners[0].listen = "[::]:1082"
                two.listeners[0].more = "ports = [\"7002\"]"
                let first = try stage.startClearway(one, name: "first")
                let second = try stage.startClearway(two, name: "second")
                try Self.session(stage, 7001)
                try Self.session(stage, 7002)
                try Self.session(stage, 7002)
                #expect(try first.waitForSessions(1).count == 1)
                #expect(try second.waitForSessions(2).count == 2)

                #expect(try first.stop() == .exited(0))
                try Self.session(stage, 7002)
                #expect(try second.waitForSessions(3).count == 3)
                try Self.session(stage, 7001)

                #expect(try second.stop() == .exited(0))
                #expect(try first.accessRecords().count == 1)
                #expect(try second.accessRecords().count == 3)
                #expect(try HostState(of: stage.topology.router).differences(from: before) == [])
            }
        }

        /// One with rules by hand: the other takes other marks, and leaves those rules alone.
        @Test(arguments: [Variant(), Variant(scope: .local)])
        func rulesByHandAreNotTheOthers(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let router = stage.topology.router
                var one = ClearwayConfiguration(variant)
                one.firewall = "manage = false"
                one.listeners[0].more = "ports = [\"7001\"]"
                var two = ClearwayConfiguration(variant)
                two.firewall = "table = \"second\""
                two.listeners[0].listen = "[::]:1082"
                two.listeners[0].more = "ports = [\"7002\"]"
                let first = try stage.startClearway(one, name: "first")
                let script = try router.require([clearwayBinary, "rules", "-c", first.configurationFile, "--format", "shell"])
                try router.require(["sh", stage.topology.scratch.write(script, to: "rules.sh")])
                let before = try HostState(of: router)

                let second = try stage.startClearway(two, name: "second")
                try Self.session(stage, 7001)
                try Self.session(stage, 7002)
                #expect(try first.waitForSessions(1).count == 1)
                #expect(try second.waitForSessions(1).count == 1)
                #expect(try second.stop() == .exited(0))
                #expect(try HostState(of: router).differences(from: before) == [])
                try Self.session(stage, 7001)
                #expect(try first.waitForSessions(2).count == 2)
                #expect(try first.stop() == .exited(0))
            }
        }

        private static func session(_ stage: Stage, _ port: Int) throws {
            let listener = try stage.server.listen(stage.variant.family.server, port: port)
            let client = try stage.client.connect(stage.variant.family.server, port)
            let server = try stage.server.accept(listener)
            try stage.client.send(client.socket, "hello")
            #expect(try stage.server.receive(server.socket, 5) == "hello")
            try stage.client.shut(client.socket)
            try stage.server.shut(server.socket)
            _ = try stage.client.drain(client.socket)
            try stage.server.close(listener.socket)
        }
    }
}
