import Foundation
import Testing

extension Situations {
    /// Streams of requests with mistakes in them, passed on to servers that read leniently, each in a way of its own.
    @Suite struct HTTPStreams {
        /// So many; more with CLEARWAY_HTTP_STREAMS.
        private static let count = ProcessInfo.processInfo.environment["CLEARWAY_HTTP_STREAMS"].flatMap { Int($0) } ?? 100_000
        private static let seed = ProcessInfo.processInfo.environment["CLEARWAY_HTTP_SEED"].flatMap { Int($0) } ?? 1

        /// Whatever we pass on, all servers understand alike: as many requests, with the same bodies.
        @Test func allServersSeeTheSameRequests() throws {
            let variant = Variant()
            var configuration = InterceptedHTTP.configuration(variant)
            configuration.listeners[0].more = "http = true\nvia = false\non_other = \"reject\""
            configuration.workers = 2
            configuration.logLevel = "notice"
            try play(variant, configuration: configuration) { stage in
                let peers = try StreamPeers(stage)
                // So many connections from one address need their ports back at once.
                for host in [stage.topology.client, stage.topology.router] {
                    try host.require(["sysctl", "-qw", "net.ipv4.ip_local_port_range=2000 65000", "net.ipv4.tcp_tw_reuse=1"])
                }
                // Without us they are understood in several ways: the readers do differ, and the judge sees it.
                let (control, _) = try peers.play(count: 2_000, seed: Self.seed, from: stage.topology.server)
                #expect(control.connections == 2_000 && control.disagreements > 500)

                let (judgement, answers) = try peers.play(count: Self.count, seed: Self.seed, from: stage.topology.client)
                #expect(judgement.disagreements == 0, "\(judgement.some.joined(separator: "\n"))")
                // Nobody has waited for more than there was.
                #expect(!answers.contains("unanswered"), "\(answers)")
                #expect(judgement.requests > Self.count / 3 && judgement.connections > Self.count / 3)
            }
        }
    }
}

/// `http_streams`, which says streams and hears what becomes of them, and those who judge that.
private struct StreamPeers {
    let stage: Stage
    private let program: String
    private let script = peerScript("http_streams.py")

    struct Judgement: Decodable {
        /// On which anything was heard, and how many of them were not the same as another.
        let connections, distinct: Int
        let requests: Int
        let disagreements: Int
        let some: [String]
    }

    init(_ stage: Stage) throws {
        self.stage = stage
        program = stage.topology.scratch.file("http_streams")
        try stage.topology.server.require(["gcc", "-O2", "-o", program, peerScript("http_streams.c")])
    }

    /// Says so many streams from that host to the server.
    ///
    /// - Returns: how they were understood, and the statuses that they were answered with.
    func play(count: Int, seed: Int, from host: Namespace) throws -> (judgement: Judgement, answers: String) {
        let (streams, heard) = (stage.topology.scratch.file("streams"), stage.topology.scratch.file("heard"))
        let made = try host.finish(["/usr/bin/python3", script, "make", "\(count)", "\(seed)", streams], limit: 120)
        guard made.succeeded else { throw SituationError("http_streams.py make: \(made.errors)") }
        let end = Pipe()
        let server = stage.variant.family.server
        let hearing = try stage.topology.server.start(
            [program, "hear", server, heard], input: end.fileHandleForReading.fileDescriptor)
        let port = try waitFor("the port") { hearing.standardOutput.last == "\n" ? Int(hearing.standardOutput.dropLast()) : nil }
        let begun = now()
        let said = try host.finish([program, "say", server, "\(port)", streams], limit: 300)
        guard said.succeeded else { throw SituationError("http_streams say: \(said.errors)") }
        let seconds = now() - begun
        try end.fileHandleForWriting.close()
        guard try hearing.waitForExit() == .exited(0) else { throw SituationError("http_streams hear: \(hearing.standardError)") }
        let judged = try host.finish(["/usr/bin/python3", script, "judge", heard], limit: 300)
        guard judged.succeeded else { throw SituationError("http_streams.py judge: \(judged.errors)") }
        let judgement = try JSONDecoder().decode(Judgement.self, from: Data(judged.output.utf8))
        let answers = said.output.split(separator: "\n").joined(separator: ", ")
        print(
            "HTTP streams: \(count) in \(Int(seconds)) s, \(judgement.requests) requests, \(judgement.distinct) streams that differ; \(answers)"
        )
        return (judgement, answers)
    }
}
