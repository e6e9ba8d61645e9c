import Foundation
import Testing

/// Every situation; one at a time, because each measures what the others would disturb.
@Suite(.serialized)
struct Situations {}

/// Those that mostly wait: for timeouts, drains, checks and small programs. One at a time as well, beside the others, whom they do not
/// disturb; the longer row of the two is how long everything takes.
@Suite(.serialized)
struct PatientSituations {}

/// What a situation plays on: the hosts, a peer at each end, and Clearway between them unless the variant is direct.
final class Stage {
    let topology: Topology
    let variant: Variant
    /// Where the connections are made: the client host, or in local scope the router itself.
    let client: Peer
    let server: Peer
    private(set) var running: Clearway?
    private var furtherPeers: [Peer] = []

    fileprivate init(_ variant: Variant, configuration: ClearwayConfiguration?, start: Bool) throws {
        self.variant = variant
        topology = try Topology()
        do {
            client = try Peer(in: variant.scope == .gateway ? topology.client : topology.router)
            server = try Peer(in: topology.server)
            if variant.mover != .direct && start { try startClearway(configuration ?? ClearwayConfiguration(variant)) }
        } catch {
            topology.remove()
            throw error
        }
    }

    /// The Clearway of a variant that has one.
    var clearway: Clearway {
        get throws {
            guard let running else { throw SituationError("no Clearway in the variant \(variant.testDescription)") }
            return running
        }
    }

    /// Starts a Clearway in the router and waits until it carries traffic.
    @discardableResult
    func startClearway(
        _ configuration: ClearwayConfiguration? = nil, name: String = "clearway", wrapper: [String] = []
    ) throws -> Clearway {
        let clearway = try Clearway(
            in: topology.router, configuration: configuration ?? ClearwayConfiguration(variant), name: name, wrapper: wrapper)
        try clearway.waitUntilReady()
        running = clearway
        return clearway
    }

    /// A further peer, which lives as long as the stage.
    func peer(in namespace: Namespace) throws -> Peer {
        let peer = try Peer(in: namespace)
        furtherPeers.append(peer)
        return peer
    }

    /// Has the access record of the only session, if there is a Clearway to write one.
    func expectEnding(_ ending: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        guard let running else { return }
        let records = try running.waitForSessions(1)
        #expect(records.map(\.ending) == [ending], sourceLocation: sourceLocation)
    }

    /// A connection from end to end, with nothing sent yet: the client's socket and the server's.
    func connected(_ options: [String: Any] = [:]) throws -> (client: Int, server: Int) {
        let listener = try server.listen(variant.family.server)
        let socket = try client.connect(variant.family.server, listener.int("port"), options).socket
        return (socket, try server.accept(listener).socket)
    }

    /// Whether a new connection gets its bytes back from an echo on that port of the server.
    func echoes(_ port: Int) throws -> Bool {
        let connection = try client.perform("connect", ["host": variant.family.server, "port": port])
        guard connection.outcome == "connected" else { return false }
        do {
            try client.send(connection.socket, "again")
            let answer = try client.perform("receive", ["socket": connection.socket, "bytes": 5, "timeout": 5])
            try client.reset(connection.socket)
            return answer.string("text") == "again"
        } catch is PeerFailure {
            return false
        }
    }
}

/// Plays a situation in a variant, and clears the stage whatever happens.
///
/// - Parameters:
///   - start: false when the situation itself says when Clearway starts.
func play(
    _ variant: Variant, start: Bool = true, configuration: ClearwayConfiguration? = nil,
    sourceLocation: SourceLocation = #_sourceLocation, _ situation: (Stage) throws -> Void
) throws {
    let stage = try Stage(variant, configuration: configuration, start: start)
    defer { withExtendedLifetime(stage) { stage.topology.remove() } }
    do {
        try situation(stage)
    } catch {
        if let running = stage.running {
            FileHandle.standardError.write(
                Data("Clearway's log in \(variant.testDescription):\n\(running.log.suffix(4000))\n".utf8))
        }
        throw error
    }
    if let status = stage.running?.program.poll(), status != .exited(0), status != .signalled(SIGKILL) {
        Issue.record("Clearway ended with \(status):\n\(stage.running?.log.suffix(4000) ?? "")", sourceLocation: sourceLocation)
    }
}
