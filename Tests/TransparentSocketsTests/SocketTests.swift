import CSockets
import Glibc
import SystemPackage
import Testing
import TransparentSockets

/// The public calls over loopback, as somebody who builds on this library meets them. What needs a rule in the kernel is
/// tested as a situation, in network namespaces.
@Suite struct SocketTests {
    private func wildcard(_ port: UInt16) -> ListenAddress { ListenAddress(SocketAddress(IPAddress("::")!, port: port)) }

    private func port(of listener: borrowing TransparentListener) throws -> UInt16 {
        try localAddress(listener.descriptor.raw).value.port
    }

    private struct NothingCame: Error {}

    private func accept(_ listener: borrowing TransparentListener) throws -> AcceptedConnection {
        var entry = pollfd(fd: listener.descriptor.raw, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 5_000) == 1, let accepted = try listener.accept() else { throw NothingCame() }
        return accepted
    }

    @Test(arguments: ["127.0.0.1", "::1"])
    func aDualStackListenerServesBothFamilies(_ host: String) throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        let target = SocketAddress(IPAddress(host)!, port: try port(of: listener))
        let client = try dial(UpstreamAddress(target), within: .seconds(5))
        let accepted = try accept(listener)
        // Nothing was intercepted, so the original destination is what was dialled; and no mapped form shows.
        #expect(try accepted.originalDestination().value == target)
        #expect(accepted.client.value == (try localAddress(client.raw).value))
        if try listener.accept() != nil { Issue.record("nobody else had connected") }
    }

    @Test func redirectSaysThatNothingWasRedirected() throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .redirect))
        let target = SocketAddress(IPAddress("127.0.0.1")!, port: try port(of: listener))
        let client = try dial(UpstreamAddress(target), within: .seconds(5))
        defer { withExtendedLifetime(client.raw) {} }
        let accepted = try accept(listener)
        do throws(SocketError) {
            // Where connection tracking is at work it knows the connection, untranslated; elsewhere it has never heard of it.
            let destination = try accepted.originalDestination()
            #expect(destination.value == target)
        } catch {
            #expect(error.errno == .noSuchFileOrDirectory || error.errno == .protocolNotAvailable)
        }
    }

    @Test func aTakenAddressIsSaid() throws {
        var options = ListenerOptions(mode: .tproxy)
        options.sharesPort = true
        let first = try TransparentListener(wildcard(0), options)
        let address = wildcard(try port(of: first))
        // We may share with ourselves; the check finds a stranger who would let us share, too.
        let second = try TransparentListener(address, options)
        #expect(second.address == address)
        #expect {
            try TransparentListener.checkFree(address, options)
        } throws: { ($0 as? SocketError)?.errno == .addressInUse }
        #expect {
            _ = try TransparentListener(address, ListenerOptions(mode: .tproxy)).address
        } throws: { ($0 as? SocketError)?.errno == .addressInUse }
    }

    @Test func refusedIsRefused() throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        let free = try port(of: listener)
        _ = consume listener
        #expect {
            _ = try dial(UpstreamAddress(SocketAddress(IPAddress("127.0.0.1")!, port: free)), within: .seconds(5)).raw
        } throws: { ($0 as? SocketError)?.errno == .connectionRefused }
    }

    @Test func aForeignSourceAndAMark() throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        var options = DialOptions()
        options.mark = 0x77
        options.source = .address(IPAddress("127.9.9.9")!)
        let target = UpstreamAddress(SocketAddress(IPAddress("127.0.0.1")!, port: try port(of: listener)))
        let client = try dial(target, options, within: .seconds(5))
        var mark: Int32 = 0
        #expect(cs_get_option(client.raw, cs_level_socket, SO_MARK, &mark) == 0)
        #expect(mark == 0x77)
        let accepted = try accept(listener)
        #expect(accepted.client.value.address == IPAddress("127.9.9.9"))
    }

    /// By a source address alone no port is taken before the destination is known: one port serves towards many.
    @Test(arguments: [("127.0.0.1", "127.9.9.9"), ("::1", "::1")])
    func aSourceAddressTakesNoPort(_ host: String, _ source: String) throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        var options = DialOptions()
        options.source = .address(IPAddress(source)!)
        let target = SocketAddress(IPAddress(host)!, port: try port(of: listener))
        let client = try dial(UpstreamAddress(target), options, within: .seconds(5))
        var takesNone: Int32 = 0
        #expect(cs_get_option(client.raw, cs_level_ip, CS_IP_BIND_ADDRESS_NO_PORT, &takesNone) == 0)
        #expect(takesNone == 1)
        #expect(try accept(listener).client.value.address == IPAddress(source))
    }

    @Test func aDeviceIsTheOnlyWay() throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        let target = UpstreamAddress(SocketAddress(IPAddress("127.0.0.1")!, port: try port(of: listener)))
        var options = DialOptions()
        options.device = "lo"
        let client = try dial(target, options, within: .seconds(5))
        var name = [UInt8](repeating: 0, count: Int(IFNAMSIZ))
        var length = socklen_t(name.count)
        #expect(getsockopt(client.raw, cs_level_socket, SO_BINDTODEVICE, &name, &length) == 0)
        #expect(Array(name.prefix(Int(length))) == [UInt8]("lo\0".utf8))
    }

    /// The kernel would take the beginning of what is too long, and of a name with a NUL.
    @Test(arguments: ["", "absent0", "lo\0", "lo, but with a long name"])
    func withoutItsDeviceNothingLeaves(_ device: String) throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        let target = UpstreamAddress(SocketAddress(IPAddress("127.0.0.1")!, port: try port(of: listener)))
        var options = DialOptions()
        options.device = device
        #expect {
            _ = try dial(target, options, within: .seconds(5)).raw
        } throws: {
            guard let error = $0 as? SocketError else { return false }
            return error.errno == .operationNotSupportedByDevice && error.call.hasPrefix("setsockopt(SO_BINDTODEVICE)")
        }
    }

    @Test func aSourcePortIsKeptUnlessTaken() throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        let target = UpstreamAddress(SocketAddress(IPAddress("127.0.0.1")!, port: try port(of: listener)))
        let first = try dial(target, within: .seconds(5))
        let taken = try localAddress(first.raw).value
        var options = DialOptions()
        options.source = .addressAndPort(taken)
        let second = try dial(target, options, within: .seconds(5))
        let used = try localAddress(second.raw).value
        #expect(used.address == taken.address)
        #expect(used.port != taken.port)
        let wished = SocketAddress(IPAddress("127.8.8.8")!, port: taken.port)
        options.source = .addressAndPort(wished)
        let third = try dial(target, options, within: .seconds(5))
        #expect(try localAddress(third.raw).value == wished)
    }

    /// Reads one byte: 1, 0 at the end, or a negated errno.
    private func readOne(_ raw: Int32) -> Int {
        var entry = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
        var byte: UInt8 = 0
        return poll(&entry, 1, 5_000) == 1 ? cs_receive(raw, &byte, 1) : -Int(ETIMEDOUT)
    }

    @Test(arguments: ["127.0.0.1", "::1"], [true, false])
    func aSocketIsDialledAgain(_ host: String, _ upstreamEndsFirst: Bool) throws {
        let first = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        let second = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        var options = DialOptions()
        options.mark = 0x77
        let client = try dial(
            UpstreamAddress(SocketAddress(IPAddress(host)!, port: try port(of: first))), options, within: .seconds(5))
        let firstPort = try localAddress(client.raw).value.port
        do {
            let accepted = try accept(first).release()
            if !upstreamEndsFirst {
                #expect(cs_shutdown(client.raw, Int32(SHUT_WR)) == 0)
                #expect(readOne(accepted.raw) == 0)
            }
        }
        #expect(readOne(client.raw) == 0)
        if upstreamEndsFirst { #expect(cs_shutdown(client.raw, Int32(SHUT_WR)) == 0) }
        try waitUntilFree(client.raw)
        let target = SocketAddress(IPAddress(host)!, port: try port(of: second))
        _ = try redial(client.raw, to: UpstreamAddress(target))
        acknowledgeNow(client.raw)
        let accepted = try accept(second)
        #expect(try accepted.originalDestination().value == target)
        #expect(accepted.client.value.port != firstPort)
        #expect(connectionError(client.raw) == nil)
        var mark: Int32 = 0
        #expect(cs_get_option(client.raw, cs_level_socket, SO_MARK, &mark) == 0)
        #expect(mark == 0x77)
        #expect(cs_send(client.raw, [7], 1, 0) == 1)
        #expect(readOne(accepted.descriptor.raw) == 1)
        #expect(cs_send(accepted.descriptor.raw, [8], 1, 0) == 1)
        #expect(readOne(client.raw) == 1)
    }

    @Test func aSocketIsNotFreeBeforeItsEndIsAcknowledged() throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        let client = try dial(
            UpstreamAddress(SocketAddress(IPAddress("127.0.0.1")!, port: try port(of: listener))), within: .seconds(5))
        let accepted = try accept(listener)
        // More than the other side's buffer takes: our end waits behind it.
        let block = [UInt8](repeating: 1, count: 1 << 16)
        var sent = 0
        while case let count = cs_send(client.raw, block, block.count, 0), count > 0 { sent += count }
        #expect(cs_shutdown(client.raw, Int32(SHUT_WR)) == 0)
        #expect(try !disconnect(client.raw))
        // The connection has not suffered.
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var received = 0
        var entry = pollfd(fd: accepted.descriptor.raw, events: Int16(POLLIN), revents: 0)
        while poll(&entry, 1, 5_000) == 1 {
            let count = cs_receive(accepted.descriptor.raw, &buffer, buffer.count)
            guard count > 0 else { break }
            received += count
        }
        #expect(received == sent)
    }

    @Test func aBrokenConnectionFreesNothing() throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        let client = try dial(
            UpstreamAddress(SocketAddress(IPAddress("127.0.0.1")!, port: try port(of: listener))), within: .seconds(5))
        do {
            let accepted = try accept(listener)
            _ = cs_reset_on_close(accepted.descriptor.raw)
        }
        var entry = pollfd(fd: client.raw, events: Int16(POLLIN), revents: 0)
        #expect(poll(&entry, 1, 5_000) == 1)
        #expect {
            _ = try disconnect(client.raw)
        } throws: { ($0 as? SocketError)?.errno == .connectionReset }
    }

    /// Who knew the last connection must not know the next one's sequence numbers.
    @Test func aSocketDialledAgainCountsAnew() throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        let target = UpstreamAddress(SocketAddress(IPAddress("127.0.0.1")!, port: try port(of: listener)))
        let client = try dial(target, within: .seconds(5))
        var steps: [UInt32] = []
        for _ in 0..<4 {
            do { _ = try accept(listener).descriptor.raw }
            #expect(readOne(client.raw) == 0)
            #expect(cs_shutdown(client.raw, Int32(SHUT_WR)) == 0)
            let last = try nextSequence(client.raw)
            try waitUntilFree(client.raw)
            _ = try redial(client.raw, to: target)
            steps.append(try nextSequence(client.raw) &- last)
        }
        // Left to itself the kernel goes on a window further, each time.
        #expect(steps.contains { $0 > 1 << 20 && $0 < ~0 - 1 << 20 })
        #expect(Set(steps).count > 1)
    }

    private func nextSequence(_ raw: Int32) throws -> UInt32 {
        var value: Int32 = 0
        try #require(cs_set_option(raw, cs_level_tcp, TCP_REPAIR, 1) == 0)
        try #require(cs_set_option(raw, cs_level_tcp, TCP_REPAIR_QUEUE, 2) == 0)
        try #require(cs_get_option(raw, cs_level_tcp, TCP_QUEUE_SEQ, &value) == 0)
        try #require(cs_set_option(raw, cs_level_tcp, TCP_REPAIR, -1) == 0)
        return UInt32(bitPattern: value)
    }

    /// The peer's acknowledgement comes at once over loopback, but nobody promises it.
    private func waitUntilFree(_ raw: Int32) throws {
        for _ in 0..<5_000 {
            if try disconnect(raw) { return }
            usleep(1_000)
        }
        throw NothingCame()
    }

    @Test func aDescriptorClosesOnce() throws {
        let listener = try TransparentListener(wildcard(0), ListenerOptions(mode: .tproxy))
        let raw = listener.descriptor.raw
        var before = stat()
        var after = stat()
        #expect(fstat(raw, &before) == 0)
        _ = consume listener
        // By its inode: the number may be another test's by now.
        #expect(fstat(raw, &after) < 0 || after.st_ino != before.st_ino)
    }

    @Test func theHostKnowsItsAddresses() throws {
        #expect(try hostAddresses().contains(IPAddress("127.0.0.1")!))
    }
}
