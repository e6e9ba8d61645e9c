internal import CSockets
internal import Glibc
internal import TransparentSockets

/// Takes what a socket was told of datagrams that it sent, where nothing follows from that. Otherwise the next calls would fail for it.
func forgetErrors(_ raw: Int32) {
    var told = cs_told_error()
    var taken = 0
    // As many as there can be without a sender that never stops.
    while taken < 64, cs_take_error(raw, &told) == 0 { taken += 1 }
    _ = connectionError(raw)
}

/// Sends one datagram, or several of `segment` bytes each, whatever was told of earlier ones.
///
/// - Parameter peer: nil on a connected socket.
/// - Returns: bytes sent, or a negated errno.
func sendPastErrors(
    _ raw: Int32, _ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int, to peer: SocketAddress? = nil
) -> Int {
    func send() -> Int {
        let (count, segment) = (Int32(count), UInt16(truncatingIfNeeded: segment))
        guard var to = peer?.packed else { return cs_send_datagrams(raw, parts, count, nil, nil, segment) }
        return cs_send_datagrams(raw, parts, count, &to, nil, segment)
    }
    let result = send()
    // Which errors are of this datagram only the second call shows; when there is no room, it would show nothing.
    guard result < 0, result != -Int(EAGAIN) else { return result }
    forgetErrors(raw)
    return send()
}
