internal import CSockets
internal import Glibc
internal import Protocols
internal import TLS
internal import TransparentSockets

// What the relay of requests reads and writes: the client's socket, and the upstream's, through which TLS may be spoken.

extension HTTPRelay {
    private var channel: TLSChannel? { session.channel }
    private var clientStream: PlainStream { PlainStream(raw: client) }
    private var upstreamStream: PlainStream { PlainStream(raw: upstream) }

    /// Whether bodies can go through a pipe towards the upstream, and from it.
    var canSpliceUp: Bool { channel?.sendsByKernel ?? true }
    var canSpliceDown: Bool { channel?.canSpliceFrom ?? true }

    /// TLS reads to write and writes to read: each edge is one for both.
    func note(upstream events: UInt32) {
        let events = channel == nil ? events : events | cs_epoll_in | cs_epoll_out
        down.noteSource(events)
        up.noteSink(events)
    }

    /// Sends what was written to the client.
    func sendDown(_ bytes: ArraySlice<UInt8>) -> Int32 { down.send(bytes, to: clientStream) }

    /// The same to the upstream.
    func sendUp(_ bytes: ArraySlice<UInt8>) -> Int32 {
        guard let channel else { return up.send(bytes, to: upstreamStream) }
        return up.send(bytes, to: TLSStream(raw: upstream, channel: channel))
    }

    /// Moves what the client sends.
    func moveUp() -> Moved {
        guard let channel else { return up.move(from: clientStream, to: upstreamStream, resources) }
        return up.move(from: clientStream, to: TLSStream(raw: upstream, channel: channel), resources)
    }

    /// Moves what the upstream sends.
    func moveDown() -> Moved {
        guard let channel else { return down.move(from: upstreamStream, to: clientStream, resources) }
        return down.move(from: TLSStream(raw: upstream, channel: channel), to: clientStream, resources)
    }

    func moveChunksUp() -> Moved {
        guard let channel else { return moveChunks(from: clientStream, to: upstreamStream, &up, &stash, \.request) }
        return moveChunks(from: clientStream, to: TLSStream(raw: upstream, channel: channel), &up, &stash, \.request)
    }

    func moveChunksDown() -> Moved {
        guard let channel else { return moveChunks(from: upstreamStream, to: clientStream, &down, &responseStash, \.response) }
        return moveChunks(
            from: TLSStream(raw: upstream, channel: channel), to: clientStream, &down, &responseStash, \.response)
    }

    /// Reads from the upstream, as `recv` does.
    ///
    /// - Returns: bytes, 0 or a negated errno; and whether nothing more is there.
    func receiveDown(_ buffer: UnsafeMutableRawPointer, _ room: Int) -> (count: Int, isDrained: Bool) {
        guard let channel else {
            let count = cs_receive(upstream, buffer, room)
            return (count, count < room)
        }
        return (channel.receive(buffer, room), channel.isDrained)
    }

    /// Acknowledges what has come of a message that is not whole. Whoever writes it in small pieces waits for that before the next one (RFC
    /// 896); of many bytes the kernel sees to it.
    func acknowledge() {
        guard let transaction else { return }
        let new = (up: up.moved &- acknowledged.up, down: down.moved &- acknowledged.down)
        acknowledged = (up.moved, down.moved)
        if !transaction.request.isDone, new.up > 0, new.up < Self.manyBytes { acknowledgeNow(client) }
        let isPart = transaction.response.isWaiting ? !responseStash.isEmpty : !transaction.response.isDone && new.down > 0
        if isPart, new.down < Self.manyBytes { acknowledgeNow(upstream) }
    }

    /// Two full segments.
    private static var manyBytes: UInt64 { 3_000 }

    /// The upstream has ended, or has said what nobody asked for: it is not asked again.
    var isUpstreamOver: Bool {
        if down.isHungUp { return true }
        guard down.isReadable else { return false }
        var byte: UInt8 = 0
        guard (channel?.peek(&byte, 1) ?? cs_peek(upstream, &byte, 1)) == -Int(EAGAIN) else { return true }
        down.isReadable = false
        return false
    }
}

extension Direction {
    /// Sends what was written, behind what waits; what the sink does not take waits. Nothing may be in the pipe.
    ///
    /// - Returns: 0, or a negated errno.
    mutating func send(_ bytes: ArraySlice<UInt8>, to sink: some ByteStream) -> Int32 {
        guard !bytes.isEmpty else { return 0 }
        if let rest {
            let all = Array(UnsafeRawBufferPointer(start: rest + Int(restStart), count: Int(restEnd - restStart))) + bytes
            dropRest()
            all.withUnsafeBytes { keep($0) }
            return 0
        }
        return bytes.withUnsafeBytes { bytes in
            var sent = sink.send(bytes.baseAddress!, bytes.count, more: false)
            if sent == -Int(EAGAIN) || sent == -Int(EINTR) { sent = 0 }
            guard sent >= 0 else { return Int32(sent) }
            moved += UInt64(sent)
            if sent < bytes.count {
                isWritable = false
                keep(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
            }
            return 0
        }
    }
}
