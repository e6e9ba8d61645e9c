public import TransparentSockets

/// A network namespace in which everything that a program sends comes to a listener of ours that was made there.
///
/// Every destination is local there, by a route, so each packet arrives on the interface that it leaves by: `lo`. No mark is needed, for
/// whoever serves the listener dials from elsewhere.
public enum PrivateNamespace {
    /// The addresses that programs have. Nobody can be reached at them: IPv4's dummy address (RFC 7600) and one of IPv6's
    /// discard prefix (RFC 6666).
    public static let ownV4 = IPAddress("192.0.0.8")!
    public static let ownV6 = IPAddress("100::8")!
    /// Below those that an ordinary user may take, so that no program finds its port taken.
    public static let port: UInt16 = 1

    /// For `nft -f`.
    ///
    /// A program finds by loopback, or by its own address, first whoever listens in the namespace with it. Everything else of TCP and
    /// UDP goes to our listeners; when that is gone, or for what it does not take, the answer is a refusal: a packet that went on would be given
    /// to whoever in the namespace happens to have the same port.
    public static func table(ipv6: Bool) -> String {
        """
        table inet clearway {
        \tchain prerouting {
        \t\ttype filter hook prerouting priority mangle; policy accept;
        \t\tmeta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn accept
        \t\tip daddr { 127.0.0.0/8, \(ownV4) } jump own
        \t\tip6 daddr { ::1, \(ownV6) } jump own
        \t\tmeta nfproto ipv4 meta l4proto { tcp, udp } tproxy ip to \(ownV4):\(port) accept
        \(ipv6 ? "\t\tmeta nfproto ipv6 meta l4proto { tcp, udp } tproxy ip6 to [\(ownV6)]:\(port) accept\n" : "")\
        \t\tip daddr { 127.0.0.0/8, \(ownV4) } accept
        \t\tip6 daddr { ::1, \(ownV6) } accept
        \t\tmeta l4proto tcp reject with tcp reset
        \t\tmeta l4proto udp reject with icmpx port-unreachable
        \t\treject with icmpx admin-prohibited
        \t}
        \tchain own {
        \t\tmeta l4proto { tcp, udp } socket transparent 0 accept
        \t\tmeta l4proto != { tcp, udp } accept
        \t}
        }

        """
    }
}
