internal import CSockets
internal import Glibc
internal import TransparentSockets

// What ICMP says of a datagram is told by the next call on the socket that sent it, whatever that call is about: it fails, and does
// nothing. So an error of sending is the datagram's own only if nothing was told.

/// Takes what a socket was told of datagrams that it sent. Otherwise the next calls would fail for it.
///
/// - Parameter body: what others have said, and of a datagram for whom; not what this host did, which the call that sent it has said.
/// - Returns: whether others have said something.
func takeToldErrors(_ raw: Int32, _ body: (_ error: Int32, _ destination: SocketAddress) -> Void) -> Bool {
    var told = cs_told_error()
    var others = false
    // As many as there can be without a sender that never stops.
    for _ in 0..<64 {
        guard cs_take_error(raw, &told) == 0 else { break }
        guard told.origin != cs_told_by_this_host else { continue }
        others = true
        if let destination = SocketAddress(packed: told.to) { body(told.error, destination) }
    }
    // Where there was no memory for a message, the error is in the socket alone.
    return connectionError(raw) != nil || others
}

/// ... where nothing follows from that.
@discardableResult
func forgetErrors(_ raw: Int32) -> Bool { takeToldErrors(raw) { _, _ in } }

/// Sends one datagram, or several of `segment` bytes each, whatever was told of earlier ones.
///
/// - Parameter peer: nil on a connected socket.
/// - Returns: bytes sent, or a negated errno.
func sendPastErrors(
    _ raw: Int32, _ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int, to peer: SocketAddress? = nil
) -> Int {
    pastErrors {
        let (count, segment) = (Int32(count), UInt16(truncatingIfNeeded: segment))
        guard var to = peer?.packed else { return cs_send_datagrams(raw, parts, count, nil, nil, segment) }
        return cs_send_datagrams(raw, parts, count, &to, nil, segment)
    } take: {
        forgetErrors(raw)
    }
}

/// How often one sending is tried at most: whoever floods us with ICMP must not hold us here.
let mostAttempts = 8

/// Sends, and again for as long as what failed may be another datagram's.
///
/// - Parameters:
///   - send: returns what was sent, or a negated errno. What fails has not left, unless there was no room: then a part may have.
///   - take: takes what was told; whether there was something.
/// - Returns: what the last `send` returned, whose error is its own; -EAGAIN when it could not be found out.
func pastErrors(_ send: () -> Int, take: () -> Bool) -> Int {
    // An error without a message may be another's, too. Its own comes twice.
    var hasFailedAlone = false
    for _ in 0..<mostAttempts {
        let result = send()
        switch result {
        case 0..., -Int(EAGAIN), -Int(ENOBUFS), -Int(ENOMEM): return result
        // No ICMP is told so: a rule of this host does not let it out.
        case -Int(EPERM):
            _ = take()
            return result
        default: break
        }
        if take() {
            hasFailedAlone = false
        } else if hasFailedAlone {
            return result
        } else {
            hasFailedAlone = true
        }
    }
    return -Int(EAGAIN)
}
