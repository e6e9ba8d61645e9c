internal import CResolver
internal import Glibc
internal import Policy
internal import SystemPackage
internal import TransparentSockets

/// Whether a block list names an address.
struct BlockListQuestion: Hashable, Sendable {
    let address: IPAddress
    let list: DomainName

    /// The octets of an IPv4 address (RFC 5782 §2.1) or the hexadecimal digits of an IPv6 address (§2.4), the last one first, below
    /// the list's domain; ends with a dot, so that no search domain is ever appended to it.
    var name: String {
        switch address.unmapped {
        case .v4(let v4): (0..<4).map { "\(v4.bits >> ($0 * 8) & 255)." }.joined() + "\(list)."
        case .v6(let v6):
            [v6.low, v6.high].flatMap { half in (0..<16).map { String(half >> ($0 * 4) & 15, radix: 16) + "." } }.joined()
                + "\(list)."
        }
    }

    /// Asks the name servers of `/etc/resolv.conf`, as it is now, and waits for the answer: 5 s at most.
    ///
    /// By UDP alone, whatever `resolv.conf` says: over TCP the system's resolver waits as long as its peer pleases. A list's answer
    /// fits into one packet several times over, and of one that does not the beginning is enough.
    ///
    /// - Parameter server: to be asked in place of the system's.
    ///
    /// Source: `resolver(3)`, `resolv.conf(5)`; how long it waits: glibc's `resolv/res_send.c`, `send_dg`.
    func ask(_ server: (address: IPv4Address, port: UInt16)? = nil) -> BlockListAnswer {
        // The type: a function, for the state that all of a thread share, has the same name.
        var state: __res_state = .init()
        return withUnsafeMutablePointer(to: &state) { resolver in
            guard __res_ninit(resolver) == 0 else { return .unknown("the system's resolver cannot be used") }
            defer { __res_nclose(resolver) }
            if let server {
                resolver.pointee.nsaddr_list.0 = sockaddr_in(server.address, port: server.port)
                resolver.pointee.nscount = 1
            }
            Self.bound(resolver)
            var query = [UInt8](repeating: 0, count: Self.longestQuery)
            let length = res_nmkquery(
                resolver, Int32(ns_o_query.rawValue), name, Int32(ns_c_in.rawValue), Int32(ns_t_a.rawValue), nil, 0, nil, &query,
                Int32(query.count))
            guard length > 0 else { return .unknown("\(name) is no name") }
            var answer = [UInt8](repeating: 0, count: Self.longestAnswer)
            let count = res_nsend(resolver, query, length, &answer, Int32(answer.count))
            guard count >= 0 else {
                let failure = Errno(rawValue: errno)
                // So the system calls it as well when a server answered that it cannot answer (SERVFAIL, REFUSED).
                return .unknown(failure == .timedOut ? "no name server has an answer" : "no name server has an answer: \(failure)")
            }
            // It may say how long the answer would have been.
            return BlockListAnswer(reading: Array(answer.prefix(Int(count))))
        }
    }

    /// Octets. A question for the longest name takes 271; an answer that did not ask for more has 512 (RFC 1035 §2.3.4), and what
    /// is longer all the same may be so by a few records.
    private static let longestQuery = 512
    private static let longestAnswer = 4_096

    /// One server is waited for 2 s, twice; two for 2 s each, three for 2 s, 1 s and 2 s (the second's and third's are doubled
    /// and divided by their number).
    private static func bound(_ resolver: UnsafeMutablePointer<__res_state>) {
        resolver.pointee.retrans = 2
        resolver.pointee.retry = resolver.pointee.nscount <= 1 ? 2 : 1
        // A `resolv.conf` that changes now must not undo any of this.
        resolver.pointee.options |= UInt(RES_IGNTC | RES_NORELOAD)
        resolver.pointee.options &= ~UInt(RES_USEVC)
    }
}

extension sockaddr_in {
    fileprivate init(_ address: IPv4Address, port: UInt16) {
        self.init()
        sin_family = sa_family_t(AF_INET)
        sin_port = port.bigEndian
        sin_addr.s_addr = address.bits.bigEndian
    }
}
