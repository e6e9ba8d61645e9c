import Glibc
import Policy
import TestSupport
import Testing
import TransparentSockets

@testable import DataPlane

/// What comes from the network, byte by byte.
@Suite struct BlockListAnswerTests {
    private func v4(_ texts: String...) -> [IPv4Address] { texts.map { IPv4Address($0)! } }

    private func read(_ message: Message) -> BlockListAnswer { BlockListAnswer(reading: message.bytes()) }

    @Test func aCodeIsAListing() {
        #expect(read(Message("127.0.0.2", seconds: 300)) == .listed(v4("127.0.0.2"), seconds: 300))
        #expect(read(Message("127.0.0.4", "127.0.0.10")) == .listed(v4("127.0.0.4", "127.0.0.10"), seconds: 60))
        #expect(read(Message("127.1.0.0", "127.255.254.255")) == .listed(v4("127.1.0.0", "127.255.254.255"), seconds: 60))
        // A listing beside what is none stays a listing.
        #expect(read(Message("198.51.100.7", "127.255.255.254", "127.0.0.2")) == .listed(v4("127.0.0.2"), seconds: 60))
    }

    @Test(arguments: ["127.0.0.1", "127.255.255.0", "127.255.255.252", "127.255.255.254", "127.255.255.255"])
    func aRefusalIsNoListing(_ code: String) {
        #expect(read(Message(code)) == .unknown("the list refuses to answer (\(code))"))
    }

    @Test(arguments: ["198.51.100.7", "0.0.0.0", "126.255.255.255", "128.0.0.2", "255.255.255.255"])
    func anAddressThatSomebodyMadeUpIsNoListing(_ address: String) {
        #expect(read(Message(address)) == .unknown("\(address) is no block list's answer"))
    }

    @Test func noSuchNameAndNoAddressMeanNotListed() {
        #expect(read(Message(nothingFor: 900)) == .notListed(seconds: 900))
        #expect(read(Message(nothingFor: 900, soaSeconds: 30)) == .notListed(seconds: 30))
        var empty = Message(nothingFor: 900)
        empty.code = 0
        #expect(read(empty) == .notListed(seconds: 900))
        empty.authorities = []
        #expect(read(empty) == .notListed(seconds: 0))
        // A text, and a record of type A that is none.
        empty.answers = [(16, 60, [2, 104, 105]), (1, 60, [127, 0, 0]), (1, 60, [127, 0, 0, 2, 9])]
        #expect(read(empty) == .notListed(seconds: 0))
        // Too short for what it says it is.
        empty.answers = []
        empty.authorities = [(6, 60, [UInt8](repeating: 0, count: 21))]
        #expect(read(empty) == .notListed(seconds: 0))
    }

    @Test func theShortestLifeCounts() {
        var message = Message("127.0.0.2", seconds: 300)
        message.answers.insert((5, 20, [0]), at: 0)
        #expect(read(message) == .listed(v4("127.0.0.2"), seconds: 20))
        // The top bit is nobody's (RFC 2181 §8).
        #expect(read(Message("127.0.0.2", seconds: 0x8000_0001)) == .listed(v4("127.0.0.2"), seconds: 0))
        #expect(read(Message("127.0.0.2", seconds: 0x7FFF_FFFF)) == .listed(v4("127.0.0.2"), seconds: 0x7FFF_FFFF))
        #expect(read(Message(nothingFor: 0xFFFF_FFFF)) == .notListed(seconds: 0))
    }

    @Test func ofACutOffAnswerTheBeginningCounts() {
        var message = Message("127.0.0.2")
        message.isCutOff = true
        #expect(read(message) == .listed(v4("127.0.0.2"), seconds: 60))
        message.answers = []
        #expect(read(message) == .unknown("the answer is cut off"))
    }

    @Test func failuresAndQuestionsAreNoAnswers() {
        for code: UInt8 in [1, 2, 4, 5, 15] {
            var message = Message("127.0.0.2")
            message.code = code
            #expect(read(message) == .unknown("the name server failed (RCODE \(code))"))
        }
        var question = Message("127.0.0.2")
        question.isAnswer = false
        #expect(read(question) == .unknown("the answer is malformed"))
    }

    @Test func anAnswerWithoutEndIsTold() {
        var message = Message()
        message.answers = (0..<200).map { (1, 60, [127, 0, 1, UInt8($0)]) }
        guard case .listed(let codes, 60) = read(message) else { return #expect(Bool(false)) }
        #expect(codes.count == BlockListAnswer.mostCodes)
    }

    @Test func everyBeginningOfAnAnswerIsSurvived() {
        for message in [Message("127.0.0.2", "127.0.0.3"), Message(nothingFor: 60)] {
            let bytes = message.bytes()
            for count in bytes.indices {
                #expect(BlockListAnswer(reading: Array(bytes[..<count])) == .unknown("the answer is malformed"))
            }
        }
    }

    @Test func anyBytesAreSurvived() {
        var random = SplitMix(1)
        var soa = Message(nothingFor: 60)
        soa.answers = [(5, 20, [0xC0, 12]), (1, 60, [127, 0, 0, 2])]
        var understood = 0
        for _ in 0..<50_000 {
            var bytes = soa.bytes()
            random.mutate(&bytes)
            if case .unknown = BlockListAnswer(reading: bytes) { continue }
            understood += 1
        }
        // The changes are small enough to get past the first check.
        #expect(understood > 1_000)
    }
}

/// Questions over UDP, to a name server of the test's own.
@Suite struct BlockListQuestionTests {
    private let list = DomainName("list.example")!

    private func question(_ address: String) -> BlockListQuestion { BlockListQuestion(address: IPAddress(address)!, list: list) }

    @Test func anAddressIsAskedForBackwards() {
        #expect(question("192.0.2.99").name == "99.2.0.192.list.example.")
        #expect(BlockListQuestion(address: .v6(IPv6Address("::ffff:192.0.2.99")!), list: list).name == "99.2.0.192.list.example.")
        // The example of RFC 5782 §2.4.
        #expect(
            question("2001:db8:1:2:3:4:567:89ab").name
                == "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.list.example.")
    }

    /// The names that were asked for, as the wire has them.
    private func name(in question: [UInt8]) -> String {
        var labels: [String] = []
        var place = 12
        while place < question.count, question[place] > 0 {
            let end = place + 1 + Int(question[place])
            labels.append(String(decoding: question[(place + 1)..<end], as: UTF8.self))
            place = end
        }
        return labels.joined(separator: ".")
    }

    @Test func theAnswerComesBack() throws {
        let names = (question("192.0.2.99").name, question("2001:db8::1").name)
        let server = try NameServer { question in
            switch name(in: question) + "." {
            case names.0: Message("127.0.0.2", seconds: 90).bytes(to: question)
            case names.1: Message(nothingFor: 45).bytes(to: question)
            default: nil
            }
        }
        defer { server.stop() }
        #expect(server.ask(question("192.0.2.99")) == .listed([IPv4Address("127.0.0.2")!], seconds: 90))
        #expect(server.ask(question("2001:db8::1")) == .notListed(seconds: 45))
    }

    @Test func theLongestDomainHasRoomForAnIPv6Address() throws {
        let server = try NameServer { Message("127.0.0.2").bytes(to: $0) }
        defer { server.stop() }
        let labels = String(repeating: "a23456789.", count: 18) + "b2345678"
        let longest = try #require(DomainName(labels + "9"))
        #expect(longest.description.utf8.count == SourcePool.longestBlockList)
        let address = IPAddress("2001:db8::1")!
        #expect(server.ask(BlockListQuestion(address: address, list: longest)) == .listed([IPv4Address("127.0.0.2")!], seconds: 60))
        let tooLong = BlockListQuestion(address: address, list: try #require(DomainName(labels + "90")))
        #expect(server.ask(tooLong) == .unknown("\(tooLong.name) is no name"))
    }

    @Test func aCutOffAnswerIsReadAsItIs() throws {
        let server = try NameServer { question in
            var message = Message("127.0.0.2")
            message.isCutOff = true
            return message.bytes(to: question)
        }
        defer { server.stop() }
        // Over TCP nobody would answer here, and the system would ask there by itself.
        #expect(server.ask(question("192.0.2.99")) == .listed([IPv4Address("127.0.0.2")!], seconds: 60))
    }

    @Test func aServerThatFailsSaysNothing() throws {
        let server = try NameServer { question in
            var message = Message()
            message.code = 2
            return message.bytes(to: question)
        }
        defer { server.stop() }
        #expect(server.ask(question("192.0.2.99")) == .unknown("no name server has an answer"))
    }

    /// Silence, answers to other questions, and what is shorter than a header: all end within 5 s.
    @Test(arguments: 0..<3) func aServerThatDoesNotAnswerIsNotWaitedForForEver(_ kind: Int) throws {
        let server = try NameServer { question in
            switch kind {
            case 0: nil
            case 1: Message("127.0.0.2").bytes()
            default: [1, 2, 3]
            }
        }
        defer { server.stop() }
        let clock = ContinuousClock()
        let begin = clock.now
        guard case .unknown = server.ask(question("192.0.2.99")) else { return #expect(Bool(false)) }
        #expect(begin.duration(to: clock.now) < .seconds(5))
        #expect(server.questions > 0)
    }

    @Test func brokenAnswersOverTheWireAreSurvived() throws {
        let server = try NameServer { question in
            // Its bytes are as random as anything, and the header and the question stay as they were asked for.
            var random = SplitMix(UInt64(question[0]) << 8 | UInt64(question[1]))
            let answer = Message("127.0.0.2", "127.0.0.3").bytes(to: question)
            var records = Array(answer[question.count...])
            random.mutate(&records)
            return answer[..<question.count] + records
        }
        defer { server.stop() }
        for _ in 0..<300 {
            switch server.ask(question("192.0.2.99")) {
            case .listed(let codes, _): #expect(codes.count <= 2)
            case .notListed, .unknown: break
            }
        }
    }
}
