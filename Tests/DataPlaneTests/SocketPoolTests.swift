import CSockets
import Glibc
import Testing
import TransparentSockets

@testable import DataPlane

/// Used sockets over loopback: which are kept, which come back.
@Suite struct SocketPoolTests {
    /// A socket whose peer has ended and closed, as a session leaves it: the end was read, ours is still to be sent.
    private func used() throws -> Descriptor {
        let (ours, theirs) = try DirectionTests.Wire.connectedPair()
        _ = cs_close(theirs)
        var entry = pollfd(fd: ours, events: Int16(POLLIN), revents: 0)
        var byte: UInt8 = 0
        try #require(poll(&entry, 1, 5_000) == 1 && cs_receive(ours, &byte, 1) == 0)
        return Descriptor(owning: ours)
    }

    private func isOpen(_ raw: Int32) -> Bool { fcntl(raw, F_GETFD) >= 0 }

    @Test func theOldestComesBackFirst() throws {
        var pool = SocketPool(limit: 4)
        let first = try used()
        let second = try used()
        let raws = [first.raw, second.raw]
        pool.retire(first, isIPv6: false)
        pool.retire(second, isIPv6: false)
        if pool.take(isIPv6: true) != nil { Issue.record("a family has its own sockets") }
        #expect(pool.take(isIPv6: false)?.release() == raws[0])
        #expect(pool.take(isIPv6: false)?.release() == raws[1])
        if pool.take(isIPv6: false) != nil { Issue.record("there were two") }
        for raw in raws { _ = cs_close(raw) }
    }

    @Test func pastTheLimitTheOldestIsClosed() throws {
        var pool = SocketPool(limit: 1)
        let first = try used()
        let second = try used()
        let raws = [first.raw, second.raw]
        pool.retire(first, isIPv6: false)
        pool.retire(second, isIPv6: false)
        #expect(!isOpen(raws[0]) && isOpen(raws[1]))
        pool.empty()
        #expect(!isOpen(raws[1]) && pool.count == 0)
    }

    @Test func withoutALimitNoneIsKept() throws {
        var pool = SocketPool(limit: 0)
        let only = try used()
        let raw = only.raw
        pool.retire(only, isIPv6: false)
        #expect(!isOpen(raw) && pool.count == 0)
    }

    @Test func whatIsNotAcknowledgedWaits() throws {
        var pool = SocketPool(limit: 4)
        let (ours, theirs) = try DirectionTests.Wire.connectedPair()
        defer { _ = cs_close(theirs) }
        let block = [UInt8](repeating: 1, count: 1 << 16)
        while cs_send(ours, block, block.count, 0) > 0 {}
        pool.retire(Descriptor(owning: ours), isIPv6: false)
        if pool.take(isIPv6: false) != nil { Issue.record("its end has not arrived yet") }
        #expect(pool.count == 1)
    }
}
