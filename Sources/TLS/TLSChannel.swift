internal import COpenSSL
internal import Glibc

/// The client's end of a TLS connection over a socket that does not block, or over another channel.
///
/// Belongs to one thread, like the socket, which stays its owner's. Whenever it says that it waits, any edge of the socket may be what it
/// waits for: TLS reads to write, and writes to read.
public final class TLSChannel {
    private let context: TLSContext
    private let ssl: OpaquePointer
    /// Lives as long as this one speaks through it.
    private let outer: TLSChannel?
    /// Read for ``peek(_:_:)``, and not yet taken.
    private var unread: [UInt8] = []
    /// How reading failed, an errno, though bytes read before it may still have to be handed on; else 0.
    public private(set) var failure: Int32 = 0
    /// Bytes since the last data that were messages of TLS's own.
    private var overhead: UInt64 = 0
    /// More of them than any server has a reason for.
    private static let mostOverhead: UInt64 = 1 << 18
    /// Bytes of the largest record (RFC 8446 §5.1).
    private static let longestRecord = 1 << 14
    /// The server has ended the connection in order.
    public private(set) var hasEnded = false
    /// What was wrong with what came, once ``receive(_:_:)`` or ``send(_:_:)`` has said `EPROTO`.
    public var complaint: String { "TLS: \(reason ?? "no reason given")" }
    private var reason: String?
    /// ``finish()`` has not got rid of its message.
    public private(set) var isFinishing = false
    /// The last ``receive(_:_:)`` took all that the socket had.
    public private(set) var isDrained = false

    /// - Parameter outer: what leads to the server, if it is not the socket itself.
    public init(_ context: TLSContext, socket: Int32, over outer: TLSChannel? = nil) throws(TLSError) {
        self.context = context
        ssl = try context.connection()
        self.outer = outer
        let isSet: Int32
        if let outer {
            // The kernel has no part in it: the socket's keys are the outer channel's.
            isSet = co_nest(TLSContext.nesting.method, ssl, outer.ssl)
        } else {
            if TLSContext.usesKernel { SSL_set_options(ssl, co_enable_ktls) }
            isSet = SSL_set_fd(ssl, socket)
        }
        guard isSet == 1 else { throw TLSError("out of memory") }
    }

    deinit {
        // OpenSSL would not use the session again that had no end.
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        SSL_free(ssl)
    }

    public enum Handshake: Equatable {
        case done
        /// Ask again after the next edge.
        case waits
        case failed(String)
    }

    public func shakeHands() -> Handshake {
        let result = co_shake_hands(ssl)
        switch result {
        case 1:
            if !isResumed { context.verified() }
            return .done
        case -EAGAIN: return .waits
        default:
            // Perhaps the remembered session was what it did not like.
            context.forgetSession()
            return .failed(handshakeFailure(-result))
        }
    }

    private func handshakeFailure(_ error: Int32) -> String {
        let verdict = SSL_get_verify_result(ssl)
        if context.trust != .anybody, verdict != X509_V_OK {
            return "its certificate is not accepted: \(String(cString: X509_verify_cert_error_string(verdict)))"
        }
        return switch error {
        case 0, ECONNRESET: "it ended in its TLS handshake"
        case EPROTO: "its TLS handshake: \(TLSError.text(of: ERR_peek_last_error()))"
        default: "its TLS handshake: \(String(cString: strerror(error)))"
        }
    }

    /// The handshake was a short one: the server knew us.
    public var isResumed: Bool { SSL_session_reused(ssl) == 1 }
    /// The kernel encrypts: what is written to the socket, or spliced there, leaves encrypted.
    public var sendsByKernel: Bool { outer == nil && co_sends_by_kernel(ssl) == 1 }
    /// The kernel decrypts. A message that is not data makes plain reads fail, and is taken by ``receive(_:_:)``.
    public var receivesByKernel: Bool { outer == nil && co_receives_by_kernel(ssl) == 1 }
    /// What comes next stands in the socket, decrypted: nothing is left here that must be handed on before.
    public var canSpliceFrom: Bool { receivesByKernel && unread.isEmpty && failure == 0 && SSL_has_pending(ssl) == 0 }

    /// Reads as `recv` does: as much as there is.
    ///
    /// - Returns: bytes; 0: the server has ended the connection in order; else a negated errno. An end that the server did not announce
    ///   is `ECONNRESET`: somebody may have cut the connection. `EINTR`: there was no data in what came; there may be more, and whoever
    ///   reads has had its turn.
    public func receive(_ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
        var received = min(unread.count, count)
        if received > 0 {
            unread.withUnsafeBytes { buffer.copyMemory(from: $0.baseAddress!, byteCount: received) }
            drop(received)
        }
        isDrained = false
        // Of a record that is taken in part the rest would stand here, and what is spliced overtake it.
        let least = receivesByKernel ? Self.longestRecord : 1
        while count - received >= least || received == 0 && count > 0 {
            let more = readOnce(buffer + received, count - received)
            if more > 0 {
                received += more
                continue
            }
            isDrained = more == -Int(EAGAIN)
            return received > 0 ? received : more
        }
        return received
    }

    /// As ``receive(_:_:)``, but what was read comes again the next time.
    ///
    /// - Parameter count: the same from one call to the next, or more.
    public func peek(_ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
        let kept = unread.count
        if kept > 0 { unread.withUnsafeBytes { buffer.copyMemory(from: $0.baseAddress!, byteCount: min(kept, count)) } }
        guard kept < count else { return count }
        let taken = unread
        unread = []
        let more = receive(buffer + kept, count - kept)
        unread = taken
        guard more > 0 else { return kept > 0 ? kept : more }
        unread += UnsafeRawBufferPointer(start: buffer + kept, count: more)
        return kept + more
    }

    /// Something was read for ``peek(_:_:)`` that nobody has taken.
    public var hasUnread: Bool { !unread.isEmpty }

    /// Takes what was peeked at.
    public func drop(_ count: Int) { unread.removeFirst(min(count, unread.count)) }

    private func readOnce(_ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
        guard failure == 0 else { return -Int(failure) }
        let before = co_bytes_read(ssl)
        let result = co_read(ssl, buffer, count)
        guard co_has_new_keys(ssl) == 0 || !sendsByKernel else {
            return fail(EPROTO, "it asks for new keys, which the kernel cannot change")
        }
        guard result < 0 else {
            if result == 0 { hasEnded = true }
            overhead = 0
            return result
        }
        guard result == -Int(EAGAIN) else {
            return fail(Int32(-result), result == -Int(EPROTO) ? TLSError.text(of: ERR_peek_last_error()) : nil)
        }
        let more = co_bytes_read(ssl) &- before
        // With a part of a record in the buffer, it was the socket that had no more.
        guard more > 0, SSL_has_pending(ssl) == 0 else { return result }
        overhead += more
        guard overhead <= Self.mostOverhead else { return fail(EPROTO, "messages without end, and no data") }
        return -Int(EINTR)
    }

    private func fail(_ error: Int32, _ reason: String?) -> Int {
        failure = error
        self.reason = reason
        return -Int(error)
    }

    /// Writes as `send` does.
    ///
    /// - Returns: bytes taken, or a negated errno. What was not taken must come first in the next call.
    public func send(_ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        // With OpenSSL in between, a socket that is full would leave it with a pointer to bytes that are not there any more when it goes on:
        // the kernel's way knows no moving buffers (openssl#21202).
        if sendsByKernel { return co_send(ssl, bytes, count) }
        var sent = 0
        while sent < count {
            let result = co_write(ssl, bytes + sent, count - sent)
            if result > 0 {
                sent += result
            } else if result == -Int(EAGAIN) {
                return sent > 0 ? sent : result
            } else {
                if result == -Int(EPROTO) { reason = TLSError.text(of: ERR_peek_last_error()) }
                return result == 0 ? -Int(EPIPE) : result
            }
        }
        return sent
    }

    /// Tells the server that nothing more follows; what it sends can still be received. If the socket does not take it, it must be
    /// called again (``isFinishing``).
    public func finish() {
        isFinishing = co_finish(ssl) == 1
    }

    /// Tells everybody on the way, the farthest first, before the socket is closed.
    public func close() {
        finish()
        outer?.close()
    }
}
