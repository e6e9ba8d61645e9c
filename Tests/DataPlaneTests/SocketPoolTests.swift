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

    /// A number may be another test's as soon as it is closed; the inode tells.
    private func inode(_ raw: Int32) -> UInt? {
        var status = stat()
        return fstat(raw, &status) == 0 ? UInt(status.st_ino) : nil
    }

    private func take(_ pool: inout SocketPool) -> Int32? {
        for _ in 0..<5_000 {
            if let taken = pool.take(isIPv6: false) { return taken.release() }
            usleep(1_000)
        }
        return nil
    }

    @Test func theOldestComesBackFirst() throws {
        var pool = SocketPool(limit: 4)
        let first = try used()
        let second = try used()
        let raws = [first.raw, second.raw]
        pool.retire(first, isIPv6: false)
        pool.retire(second, isIPv6: false)
        if pool.take(isIPv6: true) != nil { Issue.record("a family has its own sockets") }
        #expect(take(&pool) == raws[0])
        #expect(take(&pool) == raws[1])
        if pool.take(isIPv6: false) != nil { Issue.record("there were two") }
        for raw in raws { _ = cs_close(raw) }
    }

    @Test func pastTheLimitTheOldestIsClosed() throws {
        var pool = SocketPool(limit: 1)
        let first = try used()
        let second = try used()
        let raws = [first.raw, second.raw]
        let inodes = raws.map(inode)
        pool.retire(first, isIPv6: false)
        pool.retire(second, isIPv6: false)
        #expect(inode(raws[0]) != inodes[0] && inode(raws[1]) == inodes[1])
        pool.empty()
        #expect(inode(raws[1]) != inodes[1] && pool.count == 0)
    }

    @Test func withoutALimitNoneIsKept() throws {
        var pool = SocketPool(limit: 0)
        let only = try used()
        let raw = only.raw
        let before = inode(raw)
        pool.retire(only, isIPv6: false)
        #expect(inode(raw) != before && pool.count == 0)
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

    @Test func oneThatWaitsDoesNotHoldUpTheOthers() throws {
        var pool = SocketPool(limit: 4)
        let (slow, theirs) = try DirectionTests.Wire.connectedPair()
        defer { _ = cs_close(theirs) }
        let block = [UInt8](repeating: 1, count: 1 << 16)
        while cs_send(slow, block, block.count, 0) > 0 {}
        pool.retire(Descriptor(owning: slow), isIPv6: false)
        let other = try used()
        let raw = other.raw
        pool.retire(other, isIPv6: false)
        #expect(take(&pool) == raw)
        _ = cs_close(raw)
        #expect(pool.count == 1)
    }

    @Test func oneThatBrokeIsClosed() throws {
        var pool = SocketPool(limit: 4)
        let (broken, theirs) = try DirectionTests.Wire.connectedPair()
        pool.retire(Descriptor(owning: broken), isIPv6: false)
        _ = cs_reset_on_close(theirs)
        _ = cs_close(theirs)
        var entry = pollfd(fd: broken, events: Int16(POLLIN), revents: 0)
        #expect(poll(&entry, 1, 5_000) == 1)
        if pool.take(isIPv6: false) != nil { Issue.record("it was reset") }
        #expect(pool.count == 0)
    }
}
