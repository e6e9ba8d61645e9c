import Foundation
import Testing

extension Situations {
    /// More connections than descriptors: Clearway waits for some to be free, without spinning, and is well afterwards.
    @Suite struct DescriptorExhaustion {
        @Test(arguments: Variant.proxied)
        func itSurvivesAndRecovers(variant: Variant) throws { try play(ClearwayConfiguration(variant), variant) }

        /// The proxies of a group are asked for descriptors too, and by checks besides.
        @Test func soItDoesWithAGroupOfProxies() throws {
            var configuration = ClearwayConfiguration(Variant())
            configuration.policy = """
                [[upstream]]
                name = "out"
                urls = ["socks5h://localhost:1090", "socks5://198.51.100.2:1091"]
                check = "100ms"
                [[rule]]
                action = "out"
                """
            try play(configuration, Variant(), descriptors: 80) { stage in
                _ = try stage.topology.router.start(["microsocks", "-i", "127.0.0.1", "-p", "1090"])
                _ = try stage.topology.server.start(["microsocks", "-p", "1091"])
                try stage.topology.router.waitUntilListening(on: 1090)
                try stage.topology.server.waitUntilListening(on: 1091)
            }
        }

        private func play(
            _ configuration: ClearwayConfiguration, _ variant: Variant, descriptors limit: Int = 64,
            _ prepare: (Stage) throws -> Void = { _ in }
        ) throws {
            try SituationTests.play(variant, start: false) { stage in
                try prepare(stage)
                let clearway = try stage.startClearway(configuration, wrapper: ["prlimit", "--nofile=\(limit):\(limit)"])
                let listener = try stage.server.listen(variant.family.server)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "echo"])
                let port = listener.int("port")
                #expect(try stage.echoes(port))

                let flood = try stage.client.perform("flood", ["host": variant.family.server, "port": port, "count": 300])
                try waitUntil("every SYN of the flood answered") {
                    try stage.topology.client.require(["ss", "-Hnt", "state", "syn-sent"]).isEmpty
                }
                // A second of watching is the measure itself.
                let before = clearway.processorTime
                sleep(1)
                let spent = clearway.processorTime - before
                print(
                    "flooded, \(variant.testDescription): \(clearway.descriptors) descriptors, \(spent) s of processor time in 1 s")
                #expect(spent < 0.4)
                #expect(clearway.descriptors <= limit)
                #expect(clearway.program.isRunning)

                try stage.client.perform("hang_up", ["sockets": flood.ints("sockets")])
                try waitUntil("new connections served again") { try stage.echoes(port) }
            }
        }
    }
}
