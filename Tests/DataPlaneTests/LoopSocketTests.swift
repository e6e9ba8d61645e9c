import CSockets
import Glibc
import Testing
import TransparentSockets

@testable import DataPlane

/// Sockets on a loop of its own thread, for code that reads from top to bottom.
@Suite struct LoopSocketTests {
    private static let loop: EventLoop? = {
        guard let loop = try? EventLoop() else { return nil }
        return (try? startThread("loop") { loop.run() }) == nil ? nil : loop
    }()

    private func onLoop<Value: Sendable>(_ work: @escaping @Sendable (Bell) async throws -> Value) async throws -> Value {
        let loop = try #require(Self.loop)
        return try await Task(executorPreference: loop) { try await work(Bell(loop)) }.value
    }

    private static let second: UInt64 = 1_000_000_000

    @Test func bytesAndTheEnd() async throws {
        let (ours, theirs) = try DirectionTests.Wire.connectedPair()
        let heard = try await onLoop { bell in
            let socket = try LoopSocket(Descriptor(owning: ours), bell)
            #expect(socket.isSilent)
            var bytes: [UInt8] = []
            _ = Glibc.send(theirs, "hello", 5, 0)
            while bytes.count < 5 { try await socket.receive(into: &bytes, atMost: 3, until: bell.loop.now + 5 * Self.second) }
            _ = cs_close(theirs)
            do throws(LoopSocket.Failure) {
                try await socket.receive(into: &bytes, atMost: 3, until: bell.loop.now + 5 * Self.second)
                Issue.record("it has ended")
            } catch {
                #expect(error == .ended)
            }
            return bytes
        }
        #expect(heard == Array("hello".utf8))
    }

    @Test func deadlines() async throws {
        let (ours, theirs) = try DirectionTests.Wire.connectedPair()
        defer { _ = cs_close(theirs) }
        let waited = try await onLoop { bell in
            let socket = try LoopSocket(Descriptor(owning: ours), bell)
            var bytes: [UInt8] = []
            let start = cs_monotonic_nanoseconds()
            // A longer one before it is no reason to be late.
            _ = await bell.wait(until: 1)
            do throws(LoopSocket.Failure) {
                try await socket.receive(into: &bytes, atMost: 1, until: start + 50_000_000)
                Issue.record("nothing was sent")
            } catch {
                #expect(error == .timedOut)
            }
            return cs_monotonic_nanoseconds() - start
        }
        #expect(waited >= 50_000_000 && waited < 5 * Self.second)
    }

    /// However many have waited, and however often, for a deadline that never came.
    @Test func deadlinesThatNobodyWaitsForAreForgotten() async throws {
        let counts = try await onLoop { bell in
            let loop = bell.loop
            let others = loop.bells.count
            for _ in 0..<1_000 {
                let waiting = LoopBound(Bell(loop))
                Task(executorPreference: loop) { waiting.value.ring() }
                #expect(await waiting.value.wait(until: loop.now + 3_600 * Self.second))
            }
            let gone = loop.bells.count - others
            for _ in 0..<1_000 {
                let waiting = LoopBound(bell)
                Task(executorPreference: loop) { waiting.value.ring() }
                #expect(await bell.wait(until: loop.now + 3_600 * Self.second))
                await bell.pause()
            }
            return (gone, loop.bells.count - others)
        }
        // Other tests have a few.
        #expect(counts.0 < 100 && counts.1 < 100)
    }

    @Test func moreThanASocketTakes() async throws {
        let (ours, theirs) = try DirectionTests.Wire.connectedPair()
        let bytes = (0..<2 << 20).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let reader = Task.detached {
            var (total, sum): (Int, UInt64) = (0, 0)
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                var entry = pollfd(fd: theirs, events: Int16(POLLIN), revents: 0)
                guard poll(&entry, 1, 10_000) == 1 else { break }
                let received = buffer.withUnsafeMutableBytes { cs_receive(theirs, $0.baseAddress!, $0.count) }
                guard received > 0 else { break }
                for byte in buffer.prefix(received) { sum = sum &* 31 &+ UInt64(byte) }
                total += received
            }
            _ = cs_close(theirs)
            return (total, sum)
        }
        try await onLoop { bell in
            let socket = try LoopSocket(Descriptor(owning: ours), bell)
            try await socket.send(bytes, until: bell.loop.now + 20 * Self.second)
        }
        // Its last reference is gone: so is the socket.
        let heard = await reader.value
        #expect(heard.0 == bytes.count && heard.1 == bytes.reduce(UInt64(0)) { $0 &* 31 &+ UInt64($1) })
    }

    @Test func oneThatRestsTellsOfItsEnd() async throws {
        let (ours, theirs) = try DirectionTests.Wire.connectedPair()
        let isTold = try await onLoop { bell in
            let socket = try LoopSocket(Descriptor(owning: ours), bell)
            var isTold = false
            socket.rest {
                isTold = true
                bell.ring()
            }
            _ = cs_close(theirs)
            while !isTold { guard await bell.wait(until: bell.loop.now + 5 * Self.second) else { break } }
            return isTold
        }
        #expect(isTold)
    }

    @Test func nobodyListens() async throws {
        let port = try #require(try closedPort())
        let failure = try await onLoop { bell in
            let address = UpstreamAddress(SocketAddress(.v4(IPv4Address(bits: 0x7F00_0001)), port: port))
            do throws(LoopSocket.Failure) {
                _ = try await LoopSocket.connected(to: [address], DialOptions(), bell, until: bell.loop.now + 5 * Self.second)
            } catch {
                return Optional(error)
            }
            return nil
        }
        guard case .call(let error) = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
        #expect("\(error)".contains("onnection refused"))
    }

    /// One that was bound, and is not any more.
    private func closedPort() throws -> UInt16? {
        let raw = cs_socket_stream(AF_INET, 0)
        defer { _ = cs_close(raw) }
        var endpoint = SocketAddress(.v4(IPv4Address(bits: 0x7F00_0001)), port: 0).endpoint
        guard cs_bind(raw, &endpoint) == 0 else { return nil }
        return try localAddress(raw).value.port
    }
}
