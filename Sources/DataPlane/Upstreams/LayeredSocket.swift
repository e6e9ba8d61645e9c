internal import CSockets
internal import Glibc
internal import SystemPackage
internal import TLS
internal import TransparentSockets

/// A socket that does not block, with TLS on it where that is spoken, and TLS within that.
final class LayeredSocket {
    private var socket: Descriptor?
    /// The last one reaches farthest.
    private var channels: [TLSChannel] = []

    /// -1: there is none.
    var raw: Int32 { socket?.raw ?? -1 }

    /// Takes the place of what was there.
    func open(_ new: consuming Descriptor) {
        close()
        socket = consume new
    }

    /// What is sent and received from now on is so through TLS. It begins with ``shakeHands()``.
    func add(_ context: TLSContext) throws(TLSError) {
        channels.append(try TLSChannel(context, socket: raw, over: channels.last))
    }

    func shakeHands() -> TLSChannel.Handshake { channels.last?.shakeHands() ?? .done }

    /// - Returns: bytes; 0: the end; else a negated errno.
    func receive(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        channels.last?.receive(buffer.baseAddress!, buffer.count) ?? cs_receive(raw, buffer.baseAddress!, buffer.count)
    }

    /// Why receiving failed with that error.
    func failure(_ error: Int32) -> String {
        if error == EPROTO, let channel = channels.last { return channel.complaint }
        return "\(SocketError(call: "recv", errno: Errno(rawValue: error)))"
    }

    /// A handshake's bytes fit into any socket's buffer, unless something is wrong with it.
    ///
    /// - Returns: how that failed, if it did.
    func send(_ bytes: [UInt8]) -> String? {
        guard !bytes.isEmpty else { return nil }
        let sent = bytes.withUnsafeBytes {
            channels.last?.send($0.baseAddress!, $0.count) ?? cs_send(raw, $0.baseAddress!, $0.count, 0)
        }
        guard sent < 0 else { return sent == bytes.count ? nil : "send: \(sent) of \(bytes.count) bytes" }
        return "\(SocketError(call: "send", errno: Errno(rawValue: -Int32(clamping: sent))))"
    }

    /// Tells the servers that this end is meant, and no cut.
    func finish() {
        for channel in channels.reversed() { channel.finish() }
    }

    func close() {
        // The innermost first, which speaks through those below.
        while channels.popLast() != nil {}
        socket = nil
    }
}
