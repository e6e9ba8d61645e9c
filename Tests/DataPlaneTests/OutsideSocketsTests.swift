import CSockets
import Glibc
import Testing
import TransparentSockets

@testable import DataPlane

/// Sockets that mappings give back, over loopback: which are kept, and what is left in them.
@Suite struct OutsideSocketsTests {
    private let loop: EventLoop

    init() throws { loop = try EventLoop() }

    private static let options = Mapping.Options(isIPv6: false, dialling: DatagramDialOptions())

    /// A peer of theirs, on a port of its own.
    private struct Peer: ~Copyable {
        let socket: Descriptor
        let address: SocketAddress

        init() throws {
            var options = DatagramDialOptions()
            options.source = .own(IPAddress("127.0.0.1")!)
            let socket = try datagramSocket(isIPv6: false, options)
            address = try localAddress(socket.raw).value
            self.socket = socket
        }
    }

    private func send(_ text: String, from raw: Int32, to address: SocketAddress) -> Int {
        var bytes = Array(text.utf8)
        var to = address.packed
        return bytes.withUnsafeMutableBytes { bytes in
            var part = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
            return cs_send_datagrams(raw, &part, 1, &to, nil, 0)
        }
    }

    /// What waits at a socket; nil: nothing.
    private func received(_ raw: Int32) -> String? {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = cs_receive(raw, &bytes, bytes.count)
        return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    private func waits(at raw: Int32) -> Bool {
        var entry = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 5_000) == 1
    }

    @Test func whatWasForOneMappingIsNotForTheNext() throws {
        var sockets = OutsideSockets(loop)
        let peer = try Peer()
        let socket = try sockets.take(Self.options, turn: 1, limit: 100)
        #expect(send("question", from: socket.raw, to: peer.address) == 8)
        let old = SocketAddress(IPAddress("127.0.0.1")!, port: try localAddress(socket.raw).value.port)
        #expect(send("answer", from: peer.socket.raw, to: old) == 6)
        try #require(waits(at: socket.raw))
        sockets.giveBack(socket, turn: 1, limit: 100)
        let again = try sockets.take(Self.options, turn: 2, limit: 100)
        #expect(again === socket)
        #expect(received(again.raw) == nil)
        // Nobody has the port any more: another program may.
        var options = DatagramDialOptions()
        options.source = .addressAndPort(old)
        let successor = try datagramSocket(isIPv6: false, options)
        #expect(try localAddress(successor.raw).value == old)
        // And it can be used as before.
        #expect(send("another", from: again.raw, to: peer.address) == 7)
        let new = SocketAddress(IPAddress("127.0.0.1")!, port: try localAddress(again.raw).value.port)
        #expect(new.port > 0 && new != old)
        #expect(send("yes", from: peer.socket.raw, to: new) == 3)
        try #require(waits(at: again.raw))
        #expect(received(again.raw) == "yes")
    }

    @Test func whatWasToldToOneMappingIsNotToldToTheNext() throws {
        var sockets = OutsideSockets(loop)
        let nobody = try Peer().address
        let socket = try sockets.take(Self.options, turn: 1, limit: 100)
        #expect(send("question", from: socket.raw, to: nobody) == 8)
        var entry = pollfd(fd: socket.raw, events: 0, revents: 0)
        try #require(poll(&entry, 1, 5_000) == 1)
        sockets.giveBack(socket, turn: 1, limit: 100)
        let again = try sockets.take(Self.options, turn: 2, limit: 100)
        #expect(again === socket)
        var told = cs_told_error()
        let result = cs_take_error(again.raw, &told)
        #expect(result == -EAGAIN)
        #expect(connectionError(again.raw) == nil)
    }

    /// Until the next turn something may still be on its way to it.
    @Test func itComesBackInAnotherTurn() throws {
        var sockets = OutsideSockets(loop)
        let socket = try sockets.take(Self.options, turn: 1, limit: 100)
        sockets.giveBack(socket, turn: 1, limit: 100)
        #expect(try sockets.take(Self.options, turn: 1, limit: 100) !== socket)
        #expect(try sockets.take(Self.options, turn: 2, limit: 100) === socket)
    }

    @Test func onlyWhatIsAlikeComesBack() throws {
        var sockets = OutsideSockets(loop)
        var bound = Self.options
        bound.dialling.source = .own(IPAddress("127.0.0.1")!)
        let other = try sockets.take(bound, turn: 1, limit: 100)
        sockets.giveBack(other, turn: 1, limit: 100)
        #expect(sockets.count == 0, "one with a source of its own is closed")
        let plain = try sockets.take(Self.options, turn: 2, limit: 100)
        sockets.giveBack(plain, turn: 2, limit: 100)
        #expect(sockets.count == 1)
        var oneByOne = Self.options
        oneByOne.dialling.takesBursts = false
        let another = try sockets.take(oneByOne, turn: 3, limit: 100)
        #expect(another !== plain)
        // What serves others does not close those that it cannot use.
        sockets.giveBack(another, turn: 3, limit: 100)
        #expect(sockets.count == 2)
        #expect(try sockets.take(Self.options, turn: 4, limit: 100) === plain)
        #expect(try sockets.take(oneByOne, turn: 4, limit: 100) === another)
    }

    @Test func whatNobodyTakesIsClosed() throws {
        var sockets = OutsideSockets(loop)
        let taken = try (0..<2).map { _ in try sockets.take(Self.options, turn: 1, limit: 100) }
        sockets.giveBack(taken[0], turn: 2, limit: 100)
        sockets.giveBack(taken[1], turn: 3, limit: 100)
        sockets.close(keptBefore: 3)
        #expect(sockets.count == 1)
        #expect(try sockets.take(Self.options, turn: 4, limit: 100) === taken[1])
    }

    /// Kept ones, and those of mappings, are bounded together.
    @Test func thereAreNoMoreThanTheLimit() throws {
        var sockets = OutsideSockets(loop)
        var ipv6 = Self.options
        ipv6.isIPv6 = true
        let taken = try (0..<3).map { _ in try sockets.take(Self.options, turn: 1, limit: 3) }
        #expect(sockets.taken == 3)
        for (index, socket) in taken.enumerated() { sockets.giveBack(socket, turn: 1 + UInt64(index), limit: 3) }
        #expect(sockets.count == 3 && sockets.taken == 0)
        // One that is made has the one closed that nobody has taken for longest, whatever the turn.
        let other = try sockets.take(ipv6, turn: 3, limit: 3)
        #expect(sockets.count == 2 && sockets.taken == 1)
        sockets.makeRoom(for: 1, limit: 3)
        #expect(sockets.count == 1)
        #expect(try sockets.take(Self.options, turn: 4, limit: 3) === taken[2])
        // With less room than before, nothing is kept.
        sockets.giveBack(other, turn: 4, limit: 1)
        #expect(sockets.count == 0 && sockets.taken == 1)
    }

    @Test func theOldestOfAllGoes() throws {
        var sockets = OutsideSockets(loop)
        var ipv6 = Self.options
        ipv6.isIPv6 = true
        let options = [Self.options, ipv6, Self.options, ipv6]
        let taken = try options.map { try sockets.take($0, turn: 1, limit: 4) }
        for (index, socket) in taken.enumerated() { sockets.giveBack(socket, turn: 2 + UInt64(index), limit: 4) }
        sockets.makeRoom(for: 3, limit: 4)
        #expect(sockets.count == 1)
        #expect(try sockets.take(ipv6, turn: 9, limit: 4) === taken[3])
    }
}
