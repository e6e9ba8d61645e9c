import CSockets
import Glibc
import TestSupport
import Testing

@testable import DataPlane

/// One direction between two real socket pairs, byte by byte against what went in.
@Suite struct DirectionTests {
    final class Wire {
        /// Bytes enter at `entry`, the direction reads `source`, writes `sink`, and they leave at `exit`.
        let entry: Int32, source: Int32, sink: Int32, exit: Int32
        let resources: Resources

        init(_ mode: RelayMode) throws {
            (entry, source) = try Self.connectedPair()
            (sink, exit) = try Self.connectedPair()
            var settings = Settings()
            settings.relay = mode
            resources = Resources(settings)
        }

        /// TCP over loopback: splice and half-close behave as they will in service.
        static func connectedPair() throws -> (Int32, Int32) {
            let listener = cs_socket_stream(AF_INET, 0)
            var address = cs_endpoint()
            address.family = 4
            address.bytes.0 = 127
            address.bytes.3 = 1
            try #require(cs_bind(listener, &address) == 0)
            try #require(cs_listen(listener, 1) == 0)
            try #require(cs_local_address(listener, &address) == 0)
            let client = cs_socket_stream(AF_INET, 0)
            try #require(cs_connect(client, &address) == 0)
            try #require(cs_set_nonblocking(client) == 0)
            var peer = cs_endpoint()
            let server = cs_accept(listener, &peer)
            try #require(server >= 0)
            _ = cs_close(listener)
            return (client, server)
        }

        deinit { for descriptor in [entry, source, sink, exit] { _ = cs_close(descriptor) } }
    }

    @Test(arguments: RelayMode.allCases, [UInt64(1), 2, 3])
    func everyByteArrivesOnceAndInOrder(_ mode: RelayMode, _ seed: UInt64) throws {
        let wire = try Wire(mode)
        var random = SplitMix(seed)
        let total = 3_000_000
        let sent = [UInt8](unsafeUninitializedCapacity: total) { buffer, count in
            for index in 0..<total { buffer[index] = UInt8(truncatingIfNeeded: index &* 31 ^ index >> 9) }
            count = total
        }
        var direction = Direction()
        direction.splices = mode == .splice
        var entered = 0
        var arrived: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 100_000)
        var isEndSent = false
        var isFinished = false
        var sawEnd = false
        while !sawEnd {
            // A writer and a reader of uneven appetite on both sides of the direction.
            if entered < total {
                let count = min(total - entered, Int(random.next() % 90_000) + 1)
                let result = sent.withUnsafeBytes { cs_send(wire.entry, $0.baseAddress! + entered, count, 0) }
                if result > 0 { entered += result }
            } else if !isEndSent {
                isEndSent = true
                #expect(cs_shutdown(wire.entry, Int32(SHUT_WR)) == 0)
            }
            if !isFinished {
                direction.noteSource(cs_epoll_in | (isEndSent ? cs_epoll_rdhup : 0))
                direction.noteSink(cs_epoll_out)
                switch direction.move(from: PlainStream(raw: wire.source), to: PlainStream(raw: wire.sink), wire.resources) {
                case .waiting, .budgetUsed: break
                case .finished:
                    isFinished = true
                    _ = cs_shutdown(wire.sink, Int32(SHUT_WR))
                case .sourceFailed(let error), .sinkFailed(let error): Issue.record("failed: \(error)")
                }
            }
            let count = cs_receive(wire.exit, &chunk, Int(random.next() % 100_000) + 1)
            if count > 0 { arrived += chunk[..<count] }
            sawEnd = count == 0
        }
        #expect(arrived == sent)
        #expect(direction.moved == UInt64(total))
        #expect(wire.resources.pipes.lent == 0)
        #expect(direction.rest == nil)
    }

    @Test func aBusyDirectionTakesAPipeAndAQuietOneGivesItUp() throws {
        let wire = try Wire(.adaptive)
        var direction = Direction()
        let block = [UInt8](repeating: 7, count: 1 << 20)
        var drain = [UInt8](repeating: 0, count: 1 << 20)
        var turns = 0
        while !direction.splices, turns < 1_000 {
            _ = cs_send(wire.entry, block, block.count, 0)
            direction.noteSource(cs_epoll_in)
            direction.noteSink(cs_epoll_out)
            _ = direction.move(from: PlainStream(raw: wire.source), to: PlainStream(raw: wire.sink), wire.resources)
            while cs_receive(wire.exit, &drain, drain.count) > 0 {}
            turns += 1
        }
        #expect(direction.splices)
        // Flush what is under way, then talk in small pieces.
        turns = 0
        while direction.splices, turns < 1_000 {
            _ = cs_send(wire.entry, block, 64, 0)
            direction.noteSource(cs_epoll_in)
            direction.noteSink(cs_epoll_out)
            _ = direction.move(from: PlainStream(raw: wire.source), to: PlainStream(raw: wire.sink), wire.resources)
            while cs_receive(wire.exit, &drain, drain.count) > 0 {}
            turns += 1
        }
        #expect(!direction.splices)
        #expect(wire.resources.pipes.lent == 0)
    }

    @Test func aFullSinkHoldsABoundedRest() throws {
        let wire = try Wire(.copy)
        var direction = Direction()
        let block = [UInt8](repeating: 7, count: 1 << 20)
        for _ in 0..<200 {
            _ = cs_send(wire.entry, block, block.count, 0)
            direction.noteSource(cs_epoll_in)
            _ = direction.move(from: PlainStream(raw: wire.source), to: PlainStream(raw: wire.sink), wire.resources)
        }
        #expect(!direction.isWritable)
        #expect(Int(direction.restEnd - direction.restStart) <= Resources.bufferSize)
        direction.release(wire.resources)
        #expect(direction.rest == nil)
    }

    @Test func withoutPipesItGoesOnCopying() throws {
        let wire = try Wire(.splice)
        wire.resources.pipes.limit = 0
        var direction = Direction()
        direction.splices = true
        _ = cs_send(wire.entry, "hello", 5, 0)
        direction.noteSource(cs_epoll_in)
        #expect(direction.move(from: PlainStream(raw: wire.source), to: PlainStream(raw: wire.sink), wire.resources) == .waiting)
        #expect(direction.moved == 5)
        #expect(!direction.splices)
    }

    /// Reads stop at the mark of urgent data, and behind a FIN `splice` even calls it the end. What is not urgent arrives.
    @Test(arguments: RelayMode.allCases, [cs_epoll_pri, cs_epoll_pri | cs_epoll_rdhup, cs_epoll_rdhup])
    func urgentDataStopsNothing(_ mode: RelayMode, _ events: UInt32) throws {
        let wire = try Wire(mode)
        var direction = Direction()
        direction.splices = mode == .splice
        _ = cs_send(wire.entry, "abc", 3, 0)
        _ = cs_send(wire.entry, "X", 1, Int32(MSG_OOB))
        _ = cs_send(wire.entry, "def", 3, 0)
        let ends = events & cs_epoll_rdhup != 0
        if ends { _ = cs_shutdown(wire.entry, Int32(SHUT_WR)) }
        direction.noteSource(cs_epoll_in | events)
        let moved = direction.move(from: PlainStream(raw: wire.source), to: PlainStream(raw: wire.sink), wire.resources)
        #expect(moved == (ends ? .finished : .waiting))
        if ends { _ = cs_shutdown(wire.sink, Int32(SHUT_WR)) }
        var received = [UInt8](repeating: 0, count: 16)
        var count = 0
        while count < 6 {
            let more = received.withUnsafeMutableBytes { cs_receive(wire.exit, $0.baseAddress! + count, 16 - count) }
            guard more > 0 || more == -Int(EAGAIN) else { break }
            count += max(more, 0)
        }
        #expect(received[..<count].elementsEqual("abcdef".utf8))
    }

    /// A failure that is met behind a short read is told once by the kernel: first the bytes, then the failure.
    @Test func bytesBeforeAResetAreHandedOnAndTheResetIsNotForgotten() throws {
        let wire = try Wire(.copy)
        var direction = Direction()
        _ = cs_send(wire.entry, "abc", 3, 0)
        #expect(cs_reset_on_close(wire.entry) == 0)
        // The number stays in use, so that the wire closes it once.
        let spare = dup(wire.exit)
        #expect(dup2(spare, wire.entry) == wire.entry)
        _ = cs_close(spare)
        direction.noteSource(cs_epoll_in | cs_epoll_err | cs_epoll_hup | cs_epoll_rdhup)
        #expect(
            direction.move(from: PlainStream(raw: wire.source), to: PlainStream(raw: wire.sink), wire.resources)
                == .sourceFailed(-ECONNRESET))
        #expect(direction.moved == 3)
    }
}
