import Glibc
import Policy
import TestSupport
import Testing
import TransparentSockets

@testable import DataPlane

@Suite struct FlowTableTests {
    private final class Side: ClientSide {
        let settings = ListenerSettings(name: "test")
        var number: UInt32 { 7 }
        var user: String? { nil }
        func header(from source: SocketAddress) -> [UInt8] { [] }
        func send(
            _ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int, from source: SocketAddress, to client: SocketAddress
        ) -> Int { 0 }
        func tell(_ client: SocketAddress, _ reason: UnreachableSender.Reason, of length: Int, to destination: SocketAddress) {}
    }

    private let side = Side()

    private func key(_ client: SocketAddress, _ destination: SocketAddress) -> FlowKey {
        FlowKey(EndpointKey(client, of: side.number), to: destination)
    }

    private func flow(_ client: String, _ destination: String, now: UInt64 = 0) -> Flow {
        let (client, destination) = (SocketAddress(client)!, SocketAddress(destination)!)
        let endpoint = Endpoint(EndpointKey(client, of: side.number), client, side)
        return Flow(
            key(client, destination), of: endpoint, to: destination, Decision(.direct, rule: nil), upstream: nil,
            .nowhere(.proxyRejected), now: now)
    }

    @Test func flowsAreToldApart() {
        var table = FlowTable(limit: 100)
        let all = [
            ("192.0.2.1:1", "198.51.100.1:53"), ("192.0.2.1:2", "198.51.100.1:53"), ("192.0.2.2:1", "198.51.100.1:53"),
            ("192.0.2.1:1", "198.51.100.2:53"), ("192.0.2.1:1", "198.51.100.1:54"), ("[2001:db8::1]:1", "[2001:db8::2]:53"),
        ].map { flow($0.0, $0.1) }
        for flow in all { table.insert(flow) }
        #expect(table.count == all.count)
        for flow in all { #expect(table[key(flow.endpoint.client, flow.destination)] === flow) }
        // The same, heard by another listener.
        let other = FlowKey(EndpointKey(all[0].endpoint.client, of: 8), to: all[0].destination)
        #expect(table[other] == nil)
        // A mapped address is the IPv4 one.
        let mapped = SocketAddress(.v6(IPv6Address(high: 0, low: 0xFFFF_C000_0201)), port: 1)
        #expect(table[key(mapped, all[0].destination)] === all[0])
        for flow in all {
            table.remove(flow)
            #expect(table[flow.key] == nil && !flow.isOpen)
        }
        #expect(table.count == 0 && table.flows(of: IPAddress("192.0.2.1")!).isEmpty)
    }

    @Test func answeredQuestionsAreBounded() {
        var table = FlowTable(limit: 100_000)
        let questions = (0...FlowTable.mostDone).map { flow("192.0.2.1:\($0 + 1)", "198.51.100.1:53") }
        for (index, question) in questions.enumerated() {
            table.insert(question)
            #expect(table.doneForLongest == nil)
            table.touch(question, .done, now: UInt64(index))
        }
        #expect(table.doneForLongest === questions[0])
        // Asked again, it waits again.
        table.touch(questions[0], .unanswered, now: 5_000)
        #expect(table.doneForLongest == nil)
        table.touch(questions[0], .done, now: 6_000)
        #expect(table.doneForLongest === questions[1])
        table.remove(questions[1])
        #expect(table.doneForLongest == nil)
    }

    @Test func theLongestSilentOneMakesRoom() {
        var table = FlowTable(limit: 4)
        let clients = (1...4).map { flow("192.0.2.\($0):1", "198.51.100.1:443", now: UInt64($0)) }
        for flow in clients { table.insert(flow) }
        let newcomer = IPAddress("192.0.2.9")!
        #expect(table.inTheWay(of: newcomer, sparing: nobody) === clients[0])
        table.touch(clients[0], .answered, now: 10)
        #expect(table.inTheWay(of: newcomer, sparing: nobody) === clients[1])
        // What has its answer goes before others, however fresh it is.
        table.touch(clients[3], .done, now: 11)
        #expect(table.inTheWay(of: newcomer, sparing: nobody) === clients[3])
        table.remove(clients[3])
        #expect(table.inTheWay(of: newcomer, sparing: nobody) == nil)
    }

    @Test(arguments: Flow.Stage.allCases)
    func whateverStageItIsIn(stage: Flow.Stage) {
        var table = FlowTable(limit: 2)
        let (one, other) = (flow("192.0.2.1:1", "198.51.100.1:53"), flow("192.0.2.2:1", "198.51.100.1:53"))
        for flow in [one, other] {
            table.insert(flow)
            table.touch(flow, stage, now: 5)
        }
        #expect(table.inTheWay(of: IPAddress("192.0.2.9")!, sparing: nobody) === one)
    }

    /// Whose flow is to come; these go nowhere, and hold nothing.
    private let nobody = EndpointKey(SocketAddress("203.0.113.1:1")!, of: 7)

    @Test func noClientHasMoreThanHalf() {
        var table = FlowTable(limit: 10)
        let mine = (1...5).map { flow("192.0.2.1:\($0)", "198.51.100.1:443", now: UInt64($0)) }
        for flow in mine { table.insert(flow) }
        #expect(table.inTheWay(of: IPAddress("192.0.2.1")!, sparing: nobody) === mine[0])
        #expect(table.inTheWay(of: IPAddress("192.0.2.2")!, sparing: nobody) == nil)
        table.touch(mine[0], .unanswered, now: 9)
        #expect(table.inTheWay(of: IPAddress("192.0.2.1")!, sparing: nobody) === mine[1])
        // One IPv6 host has 2^64 addresses.
        let theirs = (1...5).map { flow("[2001:db8::\($0)]:1", "[2001:db8:1::1]:443", now: UInt64($0)) }
        for flow in theirs { table.insert(flow) }
        #expect(table.inTheWay(of: IPAddress("2001:db8::99")!, sparing: nobody) === theirs[0])
        #expect(table.flows(of: IPAddress("2001:db8::7")!).map(\.endpoint.client) == theirs.map(\.endpoint.client))
    }

    /// RFC 4787, REQ-5: two minutes at least, where nothing else was said; REQ-6: what the client sends begins them anew.
    @Test func flowsStayForTheirTimeOfSilence() {
        let settings = Settings()
        let second: UInt64 = 1_000_000_000
        #expect(settings.flowTimeout == 180 * second && settings.flowUnansweredTimeout == 30 * second)
        var table = FlowTable(limit: 10)
        func expectOverdue(_ flow: Flow, at time: UInt64, _ ending: Ending) {
            #expect(table.overdue(settings, now: time - 1) == nil)
            let overdue = table.overdue(settings, now: time)
            #expect(overdue?.flow === flow && overdue?.ending == ending)
        }
        let talk = flow("192.0.2.1:1", "198.51.100.1:443", now: 5 * second)
        table.insert(talk)
        expectOverdue(talk, at: 35 * second, .flowUnanswered)
        table.touch(talk, .unanswered, now: 34 * second)
        expectOverdue(talk, at: 64 * second, .flowUnanswered)
        table.touch(talk, .answered, now: 60 * second)
        expectOverdue(talk, at: 240 * second, .flowIdle)
        table.touch(talk, .answered, now: 239 * second)
        expectOverdue(talk, at: 419 * second, .flowIdle)
        // However silent the others are.
        let question = flow("192.0.2.1:1", "198.51.100.1:53", now: 240 * second)
        table.insert(question)
        expectOverdue(question, at: 270 * second, .flowUnanswered)
        table.touch(question, .done, now: 241 * second)
        expectOverdue(question, at: 243 * second, .flowIdle)
        table.remove(question)
        expectOverdue(talk, at: 419 * second, .flowIdle)
        table.remove(talk)
        #expect(table.overdue(settings, now: .max) == nil)
    }

    /// A resolver asks for both families at once, and waits for both answers.
    @Test func aQuestionIsDoneWhenAllHasItsAnswer() {
        let question = flow("192.0.2.1:1", "198.51.100.1:53")
        question.datagramsUp = 2
        question.datagramsDown = 1
        #expect(question.stageWhenAnswered == .unanswered)
        question.datagramsDown = 2
        #expect(question.stageWhenAnswered == .done)
        question.stage = .done
        #expect(question.stageWhenAsked == .unanswered)
        question.datagramsUp = Flow.mostQuestions
        question.datagramsDown = Flow.mostQuestions
        #expect(question.stageWhenAnswered == .done)
        // Not by its port alone.
        question.datagramsUp += 1
        #expect(question.stageWhenAnswered == .answered)
        question.stage = .answered
        #expect(question.stageWhenAsked == .answered)
        // What has had all its answers, or some, is not taken back to where nobody has answered.
        for stage in [Flow.Stage.done, .unanswered] {
            question.stage = stage
            #expect(question.stageWhenAsked == .answered)
        }
        let unheard = flow("192.0.2.1:1", "198.51.100.1:53")
        unheard.datagramsUp = Flow.mostQuestions + 1
        #expect(unheard.stageWhenAsked == .unanswered)
        let talk = flow("192.0.2.1:1", "198.51.100.1:443")
        talk.datagramsUp = 2
        talk.datagramsDown = 1
        #expect(talk.stageWhenAnswered == .answered)
    }

    @Test func whatHasEndedIsNotTouched() {
        var table = FlowTable(limit: 10)
        let (one, other) = (flow("192.0.2.1:1", "198.51.100.1:443"), flow("192.0.2.1:2", "198.51.100.1:443"))
        table.insert(one)
        table.insert(other)
        table.remove(one)
        table.touch(one, .answered, now: 5)
        table.remove(one)
        #expect(table.count == 1 && table.oldest(.unanswered) === other && table.oldest(.answered) == nil)
    }

    /// Its key may be another one's by then.
    @Test func whatHasEndedEndsNothingElse() {
        var table = FlowTable(limit: 10)
        let (first, second) = (flow("192.0.2.1:1", "198.51.100.1:443"), flow("192.0.2.1:1", "198.51.100.1:443"))
        table.insert(first)
        table.remove(first)
        table.insert(second)
        table.remove(first)
        #expect(table[second.key] === second && second.endpoint.flows.count == 1 && table.oldest(.unanswered) === second)
    }

    @Test func aClientIsToldSoOftenWithinASecond() {
        let share = FlowTable.Share()
        let second: UInt64 = 1_000_000_000
        let told = (0..<200).count { share.mayTell(now: second + UInt64($0)) }
        #expect(told == FlowTable.mostTold)
        #expect(!share.mayTell(now: 2 * second - 1) && share.mayTell(now: 2 * second))
    }

    @Test func portsAreToldApartByFamily() {
        let ports = DatagramPorts()
        ports.add(SocketAddress("0.0.0.0:65535")!)
        #expect(ports.contains(SocketAddress("192.0.2.1:65535")!) && !ports.contains(SocketAddress("[2001:db8::1]:65535")!))
        ports.add(SocketAddress("[::]:65535")!)
        ports.remove(SocketAddress("0.0.0.0:65535")!)
        #expect(!ports.contains(SocketAddress("192.0.2.1:65535")!) && ports.contains(SocketAddress("[2001:db8::1]:65535")!))
    }

    /// Beside a model that does the same slowly.
    @Test func thousandsOfStepsKeepTheOrder() {
        var random = SplitMix(3)
        var table = FlowTable(limit: 50)
        var model: [Flow] = []
        for now in 1...20_000 as ClosedRange<UInt64> {
            switch random.below(4) {
            case 0, 1:
                let new = flow("192.0.2.\(random.below(8)):\(random.below(60) + 1)", "198.51.100.1:443", now: now)
                guard table[new.key] == nil else { continue }
                while let victim = table.inTheWay(of: new.endpoint.client.address, sparing: nobody) {
                    let own = model.filter { $0.endpoint.client.address == new.endpoint.client.address }
                    let rivals = own.count >= 25 ? own : model
                    #expect(victim === rivals.min { $0.lastAt < $1.lastAt })
                    table.remove(victim)
                    model.removeAll { $0 === victim }
                }
                table.insert(new)
                model.append(new)
            case 2:
                guard let flow = model.randomElement(using: &random) else { continue }
                table.touch(flow, random.below(2) == 0 ? .answered : .unanswered, now: now)
            default:
                guard let flow = model.randomElement(using: &random) else { continue }
                table.remove(flow)
                model.removeAll { $0 === flow }
            }
            #expect(table.count == model.count)
            for stage in [Flow.Stage.unanswered, .answered] {
                #expect(table.oldest(stage) === model.filter { $0.stage == stage }.min { $0.lastAt < $1.lastAt })
            }
        }
    }
}
