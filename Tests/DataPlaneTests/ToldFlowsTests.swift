import Glibc
import Policy
import TestSupport
import Testing
import TransparentSockets

@testable import DataPlane

/// What becomes of a flow of which ICMP has said something.
@Suite struct ToldFlowsTests {
    private final class Side: ClientSide {
        let settings = ListenerSettings(name: "test")
        var number: UInt32 { 7 }
        var user: String? { nil }
        private(set) var told: [UnreachableSender.Reason] = []
        func header(from source: SocketAddress) -> [UInt8] { [] }
        func send(
            _ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int, from source: SocketAddress, to client: SocketAddress
        ) -> Int { 0 }
        func tell(_ client: SocketAddress, _ reason: UnreachableSender.Reason, of length: Int, to destination: SocketAddress) {
            told.append(reason)
        }
    }

    private final class Observer: SessionObserver {
        var wantsTransactions: Bool { false }
        func sessionOpened(_ opening: SessionOpening) {}
        func sessionEnded(_ record: SessionRecord) {}
        func transactionEnded(_ record: SessionRecord) {}
        func event(_ event: WorkerEvent) {}
        func turnEnded() {}
        func drained() {}
    }

    private let worker: Worker
    private let datagrams: Datagrams
    private let side = Side()

    init() throws {
        worker = try Worker(Settings(), Worker.Shared(), observer: Observer())
        datagrams = try worker.datagramsMade()
        datagrams.table.limit = 10
    }

    private func open(_ destination: String) throws -> (flow: Flow, mapping: Mapping) {
        let (client, destination) = (SocketAddress("192.0.2.1:1")!, SocketAddress(destination)!)
        let endpoint = EndpointKey(client, of: side.number)
        let flow = try #require(
            datagrams.open(
                FlowKey(endpoint, to: destination), endpoint, client, to: destination, name: nil, Decision(.direct, rule: nil), side
            ))
        guard case .direct(let mapping) = flow.way else { throw Unexpected() }
        return (flow, mapping)
    }

    private struct Unexpected: Error {}

    @Test func theClientIsToldAndNothingEnds() throws {
        let (flow, mapping) = try open("198.51.100.1:443")
        datagrams.told(ECONNREFUSED, of: flow.destination, through: mapping)
        #expect(side.told == [.port] && flow.refusal == .upstreamRefused)
        datagrams.told(EHOSTUNREACH, of: flow.destination, through: mapping)
        #expect(side.told == [.port, .host] && flow.refusal == .upstreamUnreachable)
        #expect(flow.isOpen && mapping.flows == 1 && flow.stage == .unanswered)
        // Nothing is known of that one, and too large is not lost.
        datagrams.told(ECONNREFUSED, of: SocketAddress("198.51.100.2:443")!, through: mapping)
        datagrams.told(EMSGSIZE, of: flow.destination, through: mapping)
        #expect(side.told.count == 2)
    }

    /// The next resolver is asked, from another port. What was answered goes on as it was.
    @Test func forAQuestionItIsAnAnswer() throws {
        let (question, mapping) = try open("198.51.100.1:53")
        datagrams.told(ECONNREFUSED, of: question.destination, through: mapping)
        #expect(question.isOpen && question.stage == .done)
        let (talk, _) = try open("198.51.100.1:443")
        datagrams.table.touch(talk, .answered, now: 5)
        datagrams.told(ECONNREFUSED, of: talk.destination, through: mapping)
        #expect(talk.isOpen && talk.stage == .answered && talk.lastAt == 5)
    }

    /// A client has several where rules send it by several exits, and one of them may be a flow's no more.
    @Test func anotherMappingOfTheClientsSaysNothingOfIt() throws {
        let (flow, _) = try open("198.51.100.1:443")
        var options = datagrams.plainOptions
        options.takesBursts.toggle()
        let other = try datagrams.mapping(of: flow.endpoint, Mapping.Options(isIPv6: false, dialling: options))
        datagrams.told(ECONNREFUSED, of: flow.destination, through: other)
        #expect(side.told.isEmpty && flow.refusal == nil)
    }
}
