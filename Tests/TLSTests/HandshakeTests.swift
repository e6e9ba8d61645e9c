import Foundation
import TLS
import TestSupport
import Testing
import TransparentSockets

/// Which servers are believed, and what is said of those that are not.
@Suite struct HandshakeTests {
    private let fixture: Fixture

    init() throws { fixture = try Fixture.shared.get() }

    private func handshake(_ server: Server, _ name: ServerName, _ trust: Trust) throws -> TLSChannel.Handshake {
        try Link(server.port, TLSContext(name, trust)).shakeHands()
    }

    @Test func theRightAuthority() throws {
        let server = try Server()
        #expect(try handshake(server, .name("proxy.test"), fixture.trust(fixture.authority)) == .done)
        #expect(try handshake(server, .address(IPAddress("127.0.0.1")!), fixture.trust(fixture.authority)) == .done)
    }

    @Test func theWrongAuthority() throws {
        let server = try Server()
        for trust in try [.system, fixture.trust(fixture.other)] {
            #expect(
                try handshake(server, .name("proxy.test"), trust)
                    == .failed("its certificate is not accepted: unable to get local issuer certificate"))
        }
    }

    @Test func theWrongName() throws {
        let server = try Server(certificate: fixture.named)
        let trust = try fixture.trust(fixture.authority)
        #expect(
            try handshake(server, .name("other.test"), trust) == .failed("its certificate is not accepted: hostname mismatch"))
        #expect(
            try handshake(server, .address(IPAddress("127.0.0.1")!), trust)
                == .failed("its certificate is not accepted: IP address mismatch"))
        #expect(try handshake(server, .name("PROXY.test"), trust) == .done)
    }

    @Test func anybody() throws {
        let server = try Server()
        #expect(try handshake(server, .name("nobody.example"), .anybody) == .done)
        #expect(try handshake(server, .address(IPAddress("2001:db8::1")!), .anybody) == .done)
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func versions(_ version: String) throws {
        let server = try Server(version)
        #expect(try handshake(server, .name("proxy.test"), fixture.trust(fixture.authority)) == .done)
    }

    /// Its name is sent, so that it can choose a certificate by it.
    @Test func theServerIsToldItsName() throws {
        let server = try Server(
            "-servername", "proxy.test", "-cert2", fixture.server.file, "-key2", fixture.server.key,
            certificate: fixture.other)
        #expect(try handshake(server, .name("proxy.test"), fixture.trust(fixture.authority)) == .done)
        guard case .failed = try handshake(server, .address(IPAddress("127.0.0.1")!), fixture.trust(fixture.authority)) else {
            Issue.record("an address was sent as a name")
            return
        }
    }

    @Test func anOldVersionIsRefused() throws {
        let server = try Server("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        guard case .failed(let why) = try handshake(server, .name("proxy.test"), fixture.trust(fixture.authority)) else {
            Issue.record("TLS 1.1 was spoken")
            return
        }
        #expect(why.hasPrefix("its TLS handshake: "))
    }

    /// Said in the handshake, or with TLS 1.3 in the first read behind it.
    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func aServerThatWantsACertificateOfOurs(_ version: String) throws {
        let server = try Server("-Verify", "1", version)
        let link = try Link(server.port, fixture.context())
        let handshake = try link.shakeHands()
        if version == "-tls1_2" {
            guard case .failed(let why) = handshake else {
                Issue.record("it was let in")
                return
            }
            #expect(why.contains("handshake failure"))
        } else {
            #expect(handshake == .done)
            #expect(link.channel.failure == 0)
            #expect(try link.receive().last == -Int(EPROTO))
            #expect(link.channel.complaint.contains("certificate required"))
        }
    }

    @Test func garbageInPlaceOfTLS() throws {
        let listener = try Listener()
        let link = try Link(listener.port, fixture.context())
        #expect(link.channel.shakeHands() == .waits)
        let connection = try listener.take()
        defer { close(connection) }
        let text = Array("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".utf8)
        #expect(write(connection, text, text.count) == text.count)
        #expect(try link.shakeHands() == .failed("its TLS handshake: wrong version number"))
    }

    @Test func anEndInTheHandshake() throws {
        let listener = try Listener()
        let link = try Link(listener.port, fixture.context())
        #expect(link.channel.shakeHands() == .waits)
        let connection = try listener.take()
        // Read what there is: closing would reset the connection otherwise.
        var buffer = [UInt8](repeating: 0, count: 65_536)
        #expect(read(connection, &buffer, buffer.count) > 0)
        close(connection)
        #expect(try link.shakeHands() == .failed("it ended in its TLS handshake"))
    }

    @Test func aResetInTheHandshake() throws {
        let listener = try Listener()
        let link = try Link(listener.port, fixture.context())
        #expect(link.channel.shakeHands() == .waits)
        // Our hello unread.
        try waitForBytes(in: listener.take())
        #expect(try link.shakeHands() == .failed("it ended in its TLS handshake"))
    }

    private func waitForBytes(in connection: Int32) throws {
        defer { close(connection) }
        var entry = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, generousLimit) == 1 else { throw Failure("nothing came") }
    }

    /// Names that no certificate can be for are no crash.
    @Test(arguments: ["", String(repeating: "a", count: 300), "a b"])
    func namesThatAreNone(_ name: String) throws {
        let server = try Server()
        do {
            guard case .failed = try handshake(server, .name(name), fixture.trust(fixture.authority)) else {
                Issue.record("\(name) was believed")
                return
            }
        } catch is TLSError {}
    }
}
