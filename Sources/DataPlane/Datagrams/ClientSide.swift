internal import Glibc
internal import TransparentSockets

/// How datagrams come from clients and get back to them: intercepted, or through a SOCKS association.
protocol ClientSide: AnyObject {
    var settings: ListenerSettings { get }
    /// Tells it from others of its worker.
    var number: UInt32 { get }
    /// Who the client is, if it has shown that.
    var user: String? { get }
    /// What goes before each datagram from there.
    func header(from source: SocketAddress) -> [UInt8]
    /// Sends one datagram, or several of `segment` bytes each.
    ///
    /// - Returns: bytes sent, or a negated errno.
    func send(
        _ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int, from source: SocketAddress, to client: SocketAddress
    ) -> Int
    /// Tells the client, where its protocol has words for it, that a datagram does not arrive.
    func tell(_ client: SocketAddress, _ reason: UnreachableSender.Reason, of length: Int, to destination: SocketAddress)
}
