import Foundation
import TLS
import TestSupport
import Testing
import TransparentSockets

/// Bytes through a channel, and its endings, with `openssl s_server` at the other end.
@Suite struct ChannelTests {
    private let fixture: Fixture

    init() throws { fixture = try Fixture.shared.get() }

    private func random(_ count: Int) -> [UInt8] {
        var generator = SplitMix(3)
        // Of an odd length, so that no two records are alike.
        let block = (0..<100_003).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        var all: [UInt8] = []
        while all.count < count { all += block }
        all.removeLast(all.count - count)
        return all
    }

    private func opened(_ server: Server, _ context: TLSContext? = nil) throws -> Link {
        let link = try Link(server.port, context ?? fixture.context())
        #expect(try link.shakeHands() == .done)
        return link
    }

    /// The server stands still until nothing more fits in; then it takes it all, and in order.
    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func whatWasNotTakenComesFirstAgain(version: String) throws {
        let server = try Server(version)
        let link = try opened(server)
        let bytes = random(12_000_000)
        server.signal(SIGSTOP)
        var sent = 0
        var refusals = 0
        while refusals < 3 {
            // Another place in memory each time, as the rest of a copy has.
            let rest = Array(bytes[sent...])
            let count = link.channel.send(rest, rest.count)
            if count == -Int(EAGAIN) { refusals += 1 } else { sent += count }
            guard count > 0 || count == -Int(EAGAIN), sent < bytes.count else {
                Issue.record("send: \(count), \(sent) sent")
                break
            }
        }
        server.signal(SIGCONT)
        try link.send(Array(bytes[sent...]))
        try waitForEnd(server, bytes)
    }

    /// The last that it has received is this.
    private func waitForEnd(_ server: Server, _ bytes: [UInt8]) throws {
        let end = Data(bytes.suffix(64))
        _ = try waitFor("the last byte") { server.output.suffix(end.count) == end ? true : nil }
        #expect(server.output.suffix(bytes.count) == Data(bytes))
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"], [777, 65_536])
    func aSlowReaderGetsEverything(version: String, piece: Int) throws {
        let bytes = random(3_000_001)
        let name = "\(UUID().uuidString)"
        try Data(bytes).write(to: URL(fileURLWithPath: "\(fixture.directory)/\(name)"))
        let server = try Server("-WWW", version)
        let link = try opened(server)
        try link.send(Array("GET /\(name) HTTP/1.0\r\n\r\n".utf8))
        let (answer, last) = try link.receive(piece: piece)
        #expect(Data(answer.suffix(bytes.count)) == Data(bytes))
        // With the server's close_notify; and again, as whoever asks once more does.
        #expect(last == 0)
        #expect(try link.receive().last == 0)
        link.channel.finish()
        #expect(!link.channel.isFinishing)
    }

    @Test func whatIsPeekedAtComesAgain() throws {
        let server = try Server()
        let link = try opened(server)
        try server.say("HTTP/1.1 200 OK\r\n\r\n220 ready\r\n")
        try waitForPeek(link, 30)
        #expect(try String(decoding: link.peek(4), as: UTF8.self) == "HTTP")
        #expect(try String(decoding: link.peek(100), as: UTF8.self) == "HTTP/1.1 200 OK\r\n\r\n220 ready\r\n")
        link.channel.drop(19)
        #expect(try String(decoding: link.receive(5).bytes, as: UTF8.self) == "220 r")
        try server.say("more")
        #expect(try String(decoding: link.receive(10).bytes, as: UTF8.self) == "eady\r\nmore")
        var byte: UInt8 = 0
        #expect(link.channel.receive(&byte, 1) == -Int(EAGAIN))
        #expect(link.channel.isDrained)
        #expect(link.channel.peek(&byte, 1) == -Int(EAGAIN))
        server.end()
        #expect(try link.receive().last == -Int(ECONNRESET))
    }

    private func waitForPeek(_ link: Link, _ count: Int) throws {
        while try link.peek(100).count < count { try link.wait() }
    }

    /// Somebody may have cut the connection: whoever reads must not take that for all there was.
    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func anEndThatNobodyAnnounced(version: String) throws {
        let server = try Server(version)
        let link = try opened(server)
        try server.say("half")
        #expect(try link.peek(100) == Array("half".utf8))
        server.end()
        let (bytes, last) = try link.receive()
        #expect(bytes == Array("half".utf8))
        #expect(last == -Int(ECONNRESET))
        #expect(try link.receive().last == -Int(ECONNRESET))
    }

    @Test func sendingToWhoIsGone() throws {
        let server = try Server()
        let link = try opened(server)
        server.end()
        let bytes = random(65_536)
        let failure = try waitFor("a failure") {
            let count = link.channel.send(bytes, bytes.count)
            return count < 0 && count != -Int(EAGAIN) && count != -Int(EINTR) ? count : nil
        }
        #expect(failure == -Int(EPIPE) || failure == -Int(ECONNRESET))
    }

    /// Our end is told, and what the server has still to say is heard. (With TLS 1.2 `s_server` answers with its own end.)
    @Test func itsEndIsOneWayOnly() throws {
        let server = try Server()
        let link = try opened(server)
        try link.send(Array("question".utf8))
        _ = try waitFor("the question") { String(decoding: server.output, as: UTF8.self).hasSuffix("question") ? true : nil }
        try server.say("answer")
        link.channel.finish()
        #expect(!link.channel.isFinishing)
        #expect(try link.receive(6).bytes == Array("answer".utf8))
    }

    /// The server stands still, and its end must wait for room.
    @Test func anEndThatDoesNotFitIsToldLater() throws {
        let server = try Server()
        let link = try opened(server)
        server.signal(SIGSTOP)
        // Past the channel, which would otherwise have begun a record: the server understands nothing any more, and reads on.
        let filler = [UInt8](repeating: 0, count: 4_096)
        while write(link.raw, filler, filler.count) > 0 {}
        link.channel.finish()
        #expect(link.channel.isFinishing)
        server.signal(SIGCONT)
        try link.wait(POLLOUT)
        link.channel.finish()
        #expect(!link.channel.isFinishing)
    }

    /// A thousand session tickets, and not a byte of data: nobody may keep a thread with that.
    @Test func messagesWithoutEnd() throws {
        let server = try Server("-tls1_3", "-num_tickets", "5000")
        let link = try opened(server)
        #expect(try link.receive().last == -Int(EPROTO))
        #expect(link.channel.complaint == "TLS: messages without end, and no data")
    }

    /// The second handshake is a short one, for the same context and for no other.
    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func theServerKnowsUsAgain(version: String) throws {
        let server = try Server("-www", version)
        let context = try fixture.context()
        for count in 0..<3 {
            let link = try opened(server, context)
            #expect(link.channel.isResumed == (count > 0))
            try link.send(Array("GET / HTTP/1.0\r\n\r\n".utf8))
            #expect(try link.receive().last == 0)
        }
        #expect(try !opened(server).channel.isResumed)
    }

    /// A server that was started anew knows nobody: a whole handshake, and no failure.
    @Test func aServerThatHasForgottenUs() throws {
        let context = try fixture.context()
        for _ in 0..<2 {
            let server = try Server("-www")
            let link = try opened(server, context)
            #expect(!link.channel.isResumed)
            try link.send(Array("GET / HTTP/1.0\r\n\r\n".utf8))
            #expect(try link.receive().last == 0)
        }
    }

    /// Garbage behind a good handshake.
    @Test func aRecordThatIsNone() throws {
        let server = try Server("-www")
        let front = try Listener()
        let link = try Link(front.port, fixture.context())
        #expect(link.channel.shakeHands() == .waits)
        let near = try front.take()
        defer { close(near) }
        let far = try Link(server.port, fixture.context())
        try pass(near, far.raw) { link.channel.shakeHands() == .done }
        let garbage = [UInt8](repeating: 0x55, count: 100)
        #expect(write(near, garbage, garbage.count) == garbage.count)
        #expect(try link.receive().last == -Int(EPROTO))
        #expect(link.channel.complaint == "TLS: wrong version number")
    }

    /// Carries bytes between two sockets until `isDone`.
    private func pass(_ near: Int32, _ far: Int32, until isDone: () -> Bool) throws {
        _ = fcntl(near, F_SETFL, O_NONBLOCK)
        _ = try waitFor("the handshake") {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            for (from, to) in [(near, far), (far, near)] {
                let count = read(from, &buffer, buffer.count)
                if count > 0 { _ = write(to, buffer, count) }
            }
            return isDone() ? true : nil
        }
    }

    // MARK: Through another channel

    /// A link to a TLS server that passes on to `port` what comes through.
    private func linkThroughAnother(to port: UInt16) throws -> (Link, Process) {
        let listener = try Listener()
        let link = try Link(listener.port, fixture.context())
        #expect(link.channel.shakeHands() == .waits)
        let connection = try FileHandle(fileDescriptor: listener.take(), closeOnDealloc: true)
        let file = "\(fixture.directory)/\(UUID().uuidString)"
        try """
        foreground = quiet
        pid =
        connect = 127.0.0.1:\(port)
        cert = \(fixture.server.file)
        key = \(fixture.server.key)
        """.write(toFile: file, atomically: true, encoding: .utf8)
        let stunnel = Process()
        stunnel.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        stunnel.arguments = ["stunnel", file]
        stunnel.standardInput = connection
        stunnel.standardOutput = connection
        stunnel.standardError = FileHandle.nullDevice
        try stunnel.run()
        try connection.close()
        #expect(try link.shakeHands() == .done)
        return (link, stunnel)
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func aChannelWithinAChannel(version: String) throws {
        let server = try Server(version)
        let (link, stunnel) = try linkThroughAnother(to: server.port)
        defer { stunnel.terminate() }
        let inner = try TLSChannel(fixture.context(), socket: link.raw, over: link.channel)
        #expect(!inner.sendsByKernel && !inner.receivesByKernel)
        #expect(try link.shakeHands(inner) == .done)
        let bytes = random(3_000_000)
        try link.send(bytes, over: inner)
        try waitForEnd(server, bytes)
        try server.say("answer")
        #expect(try link.receive(6, over: inner).bytes == Array("answer".utf8))
    }

    @Test func anOrderlyEndWithinAChannel() throws {
        let server = try Server("-www")
        let (link, stunnel) = try linkThroughAnother(to: server.port)
        defer { stunnel.terminate() }
        let inner = try TLSChannel(fixture.context(), socket: link.raw, over: link.channel)
        #expect(try link.shakeHands(inner) == .done)
        try link.send(Array("GET / HTTP/1.0\r\n\r\n".utf8), over: inner)
        let (answer, last) = try link.receive(over: inner)
        #expect(answer.starts(with: "HTTP/1.0 200 ok".utf8))
        #expect(last == 0)
        inner.finish()
        #expect(!inner.isFinishing)
    }

    @Test func aChannelWithinAChannelIsJudgedByItself() throws {
        let server = try Server(certificate: fixture.named)
        let (link, stunnel) = try linkThroughAnother(to: server.port)
        defer { stunnel.terminate() }
        let address = try TLSContext(.address(IPAddress("127.0.0.1")!), fixture.trust(fixture.authority))
        let inner = try TLSChannel(address, socket: link.raw, over: link.channel)
        #expect(try link.shakeHands(inner) == .failed("its certificate is not accepted: IP address mismatch"))
    }

    /// The outer channel ends in order, and the inner one is cut.
    @Test func aChannelWithinAChannelIsCut() throws {
        let server = try Server()
        let (link, stunnel) = try linkThroughAnother(to: server.port)
        defer { stunnel.terminate() }
        let inner = try TLSChannel(fixture.context(), socket: link.raw, over: link.channel)
        #expect(try link.shakeHands(inner) == .done)
        try server.say("half")
        #expect(try link.receive(4, over: inner).bytes == Array("half".utf8))
        server.end()
        #expect(try link.receive(over: inner).last == -Int(ECONNRESET))
    }

    /// What stands in the way speaks no TLS within TLS.
    @Test func garbageWithinAChannel() throws {
        let listener = try Listener()
        let (link, stunnel) = try linkThroughAnother(to: listener.port)
        defer { stunnel.terminate() }
        let inner = try TLSChannel(fixture.context(), socket: link.raw, over: link.channel)
        #expect(inner.shakeHands() == .waits)
        let far = try listener.take()
        let text = Array("HTTP/1.0 400 Bad Request\r\n\r\n".utf8)
        #expect(write(far, text, text.count) == text.count)
        #expect(try link.shakeHands(inner) == .failed("its TLS handshake: wrong version number"))
        close(far)
    }
}
