import Foundation
import Testing

extension Situations {
    /// More connections than descriptors: Clearway waits for some to be free, without spinning, and is well afterwards.
    @Suite struct DescriptorExhaustion {
        @Test(arguments: Variant.proxied)
        func itSurvivesAndRecovers(variant: Variant) throws {
            try play(variant, start: false) { stage in
                let clearway = try stage.startClearway(wrapper: ["prlimit", "--nofile=64:64"])
                let listener = try stage.server.listen(variant.family.server)
                try stage.server.perform("serve", ["socket": listener.socket, "manner": "echo"])
                let port = listener.int("port")
                #expect(try Self.echoes(stage, port))

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
                #expect(clearway.descriptors <= 64)
                #expect(clearway.program.isRunning)

                try stage.client.perform("hang_up", ["sockets": flood.ints("sockets")])
                try waitUntil("new connections served again") { try Self.echoes(stage, port) }
            }
        }

        private static func echoes(_ stage: Stage, _ port: Int) throws -> Bool {
            let connection = try stage.client.perform("connect", ["host": stage.variant.family.server, "port": port])
            guard connection.outcome == "connected" else { return false }
            do {
                try stage.client.send(connection.socket, "again")
                let answer = try stage.client.perform("receive", ["socket": connection.socket, "bytes": 5, "timeout": 5])
                try stage.client.reset(connection.socket)
                return answer.string("text") == "again"
            } catch is PeerFailure {
                return false
            }
        }
    }
}
