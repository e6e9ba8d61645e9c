internal import CSockets
internal import Glibc
internal import SystemPackage
internal import TransparentSockets

/// A stream socket on a loop, for code that reads from top to bottom: it waits by its task's ``Bell``, and closes with its last
/// reference.
///
/// `receive` and `send` without a deadline take what there is, and never wait.
final class LoopSocket {
    enum Failure: Error, Equatable {
        /// The deadline has come.
        case timedOut
        /// The peer has ended where more was expected.
        case ended
        case call(SocketError)

        var reason: String {
            switch self {
            case .timedOut: "no answer in time"
            case .ended: "the connection ended early"
            case .call(let error): "\(error)"
            }
        }
    }

    enum Received: Equatable {
        case bytes(Int)
        case end
        case nothingYet
    }

    private let core: Core

    /// Takes over a socket that does not block.
    ///
    /// - Throws: `Failure`: epoll takes no more.
    init(_ descriptor: consuming Descriptor, _ bell: Bell) throws(Failure) {
        core = Core(descriptor, bell)
        guard let id = bell.loop.watchEdges(core) else {
            core.descriptor = nil
            throw .call(SocketError(call: "epoll_ctl", errno: .noSpace))
        }
        core.id = id
    }

    deinit { core.close() }

    /// Connects, and waits until that is done.
    ///
    /// - Parameter addresses: tried one after the other, each for its share of the time.
    static func connected(
        to addresses: [UpstreamAddress], _ options: DialOptions, _ bell: Bell, until deadline: UInt64
    ) async throws(Failure) -> LoopSocket {
        var last = Failure.call(SocketError(call: "connect", errno: .addressNotAvailable))
        for (number, address) in addresses.enumerated() {
            let now = bell.loop.now
            let share = deadline > now ? (deadline - now) / UInt64(addresses.count - number) : 0
            do throws(Failure) {
                let descriptor: Descriptor
                do throws(SocketError) {
                    descriptor = try dial(address, options).release()
                } catch {
                    throw .call(error)
                }
                let socket = try LoopSocket(descriptor, bell)
                try await socket.connect(to: address, until: now + share)
                return socket
            } catch {
                last = error
            }
        }
        throw last
    }

    private func connect(to address: UpstreamAddress, until deadline: UInt64) async throws(Failure) {
        while !core.isWritable {
            guard await core.wait(until: deadline) else { throw .timedOut }
        }
        if let error = connectionError(raw) { throw .call(SocketError(call: "connect \(address)", errno: error)) }
    }

    var raw: Int32 { core.descriptor?.raw ?? -1 }

    /// The peer has ended, or is gone; there may be bytes that it sent before.
    var isHungUp: Bool { core.isHungUp }

    /// The peer neither sends nor takes any more.
    var isGone: Bool { core.isGone }

    /// Ends our side.
    func end() { _ = cs_shutdown(raw, Int32(SHUT_WR)) }

    /// Nothing has come, and no end either: of a connection between two exchanges, that it can be used again.
    var isSilent: Bool {
        var byte: UInt8 = 0
        return cs_peek(raw, &byte, 1) == -Int(EAGAIN)
    }

    /// Whose task waits for it from now on.
    func belong(to bell: Bell) {
        core.bell = bell
        core.whenRestEnds = nil
    }

    /// Nobody's task waits for it; `whenItEnds` is called, once, if it ends or says something.
    func rest(_ whenItEnds: @escaping () -> Void) {
        core.bell = nil
        core.whenRestEnds = whenItEnds
    }

    // MARK: What there is

    /// - Throws: `Failure`: the connection is broken.
    func receive(_ buffer: UnsafeMutableRawPointer, _ count: Int) throws(Failure) -> Received {
        guard core.isReadable else { return .nothingYet }
        while true {
            let received = cs_receive(raw, buffer, count)
            if received > 0 {
                // An end that came with the bytes brings no further edge.
                if received < count, !core.isHungUp { core.isReadable = false }
                return .bytes(received)
            }
            if received == 0 { return .end }
            if received == -Int(EAGAIN) {
                core.isReadable = false
                return .nothingYet
            }
            guard received == -Int(EINTR) else { throw .call(SocketError("recv", Int32(received))) }
        }
    }

    /// - Returns: bytes taken; 0: none for now.
    func send(_ bytes: Span<UInt8>) throws(Failure) -> Int {
        guard core.isWritable, bytes.count > 0 else { return 0 }
        while true {
            let sent = bytes.withUnsafeBytes { cs_send(raw, $0.baseAddress!, $0.count, 0) }
            if sent >= 0 {
                if sent < bytes.count { core.isWritable = false }
                return sent
            }
            if sent == -Int(EAGAIN) {
                core.isWritable = false
                return 0
            }
            guard sent == -Int(EINTR) else { throw .call(SocketError("send", Int32(sent))) }
        }
    }

    // MARK: With a deadline

    /// Appends what comes next.
    ///
    /// - Throws: `Failure`; `ended` when the peer has.
    func receive(into bytes: inout [UInt8], atMost most: Int, until deadline: UInt64) async throws(Failure) {
        while true {
            guard try receiveNow(into: &bytes, atMost: most) == .nothingYet else { return }
            guard await core.wait(until: deadline) else { throw .timedOut }
        }
    }

    /// Appends what there is.
    func receiveNow(into bytes: inout [UInt8], atMost most: Int) throws(Failure) -> Received {
        guard core.isReadable else { return .nothingYet }
        let buffer = core.loop.scratch
        let received = try receive(buffer, min(most, EventLoop.scratchSize))
        switch received {
        case .bytes(let count): bytes.append(contentsOf: UnsafeRawBufferPointer(start: buffer, count: count))
        case .end: throw .ended
        case .nothingYet: break
        }
        return received
    }

    /// Sends everything.
    func send(_ bytes: [UInt8], until deadline: UInt64) async throws(Failure) {
        var sent = 0
        while sent < bytes.count {
            let count = try send(bytes.span.extracting(sent..<bytes.count))
            sent += count
            guard count == 0 else { continue }
            guard await core.wait(until: deadline) else { throw .timedOut }
        }
    }

    /// What the loop watches. It outlives the socket by no more than a turn.
    private final class Core: Watched {
        var descriptor: Descriptor?
        var id = SlotID(index: 0, generation: 0)
        var bell: Bell?
        var whenRestEnds: (() -> Void)?
        unowned(unsafe) let loop: EventLoop
        // As the kernel said last; to begin with, a look tells.
        var isReadable = true
        var isWritable = false
        var isHungUp = false
        var isGone = false

        init(_ descriptor: consuming Descriptor, _ bell: Bell) {
            self.descriptor = .some(descriptor)
            self.bell = bell
            loop = bell.loop
        }

        var raw: Int32 { descriptor?.raw ?? -1 }

        func ready(_ events: UInt32) {
            let hangUp = cs_epoll_rdhup | cs_epoll_hup | cs_epoll_err
            if events & (cs_epoll_in | hangUp) != 0 { isReadable = true }
            if events & hangUp != 0 { isHungUp = true }
            if events & (cs_epoll_hup | cs_epoll_err) != 0 { isGone = true }
            if events & (cs_epoll_out | cs_epoll_err | cs_epoll_hup) != 0 { isWritable = true }
            bell?.ring()
            if events & (cs_epoll_in | hangUp) != 0 { whenRestEnds.take()?() }
        }

        func wait(until deadline: UInt64) async -> Bool { await bell?.wait(until: deadline) ?? false }

        func close() {
            guard descriptor != nil else { return }
            loop.unwatch(self, id, isClosed: true)
            descriptor = nil
            (bell, whenRestEnds) = (nil, nil)
        }
    }
}
