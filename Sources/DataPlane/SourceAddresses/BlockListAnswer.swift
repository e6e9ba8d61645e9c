internal import CResolver
internal import Policy
internal import TransparentSockets

/// What a DNS block list says of an address.
enum BlockListAnswer: Equatable, Sendable {
    /// Its reasons are the list's own numbers, at most ``mostCodes``. Holds for so many seconds.
    case listed([IPv4Address], seconds: UInt32)
    case notListed(seconds: UInt32)
    /// It has said nothing: why, in words for a log.
    case unknown(String)

    /// Codes of one answer that are told. A list that has looked into an address from all sides has five or six.
    static let mostCodes = 8

    /// Reads a DNS message, as it came from the network.
    ///
    /// Only addresses in 127.0.0.0/8 are a list's answers: anything else comes from a resolver that makes up addresses for names
    /// that do not exist, or from whoever bought the domain of a list that is gone. And of these some are no listings. No answer
    /// says how long that is to be believed without a SOA record (RFC 2308 §5), so that its seconds are 0.
    ///
    /// Source: RFC 5782 §2.1 (an A record is a listing, and no address to connect to), §2.3 (several codes, or bits); RFC 2308 §2
    /// and §5 (names that do not exist); RFC 2181 §8 (times to live); ns_initparse and ns_parserr of `arpa/nameser.h`.
    init(reading message: [UInt8]) {
        self = message.withUnsafeBufferPointer { bytes in
            var parsed = ns_msg()
            // It checks every record's bounds, those of all sections.
            guard ns_initparse(bytes.baseAddress, Int32(clamping: bytes.count), &parsed) == 0,
                ns_msg_getflag(parsed, Int32(ns_f_qr.rawValue)) == 1
            else { return .unknown("the answer is malformed") }
            let code = ns_msg_getflag(parsed, Int32(ns_f_rcode.rawValue))
            let isCutOff = ns_msg_getflag(parsed, Int32(ns_f_tc.rawValue)) == 1
            switch code {
            case Int32(ns_r_noerror.rawValue): return Self.read(&parsed, isCutOff: isCutOff)
            case Int32(ns_r_nxdomain.rawValue): return .notListed(seconds: Self.negativeLifetime(&parsed))
            default: return .unknown("the name server failed (RCODE \(code))")
            }
        }
    }

    private static func read(_ message: inout ns_msg, isCutOff: Bool) -> BlockListAnswer {
        var codes: [IPv4Address] = []
        var others: [IPv4Address] = []
        var seconds = UInt32.max
        var record = ns_rr()
        for place in 0..<Int32(message._counts.1) {
            guard ns_parserr(&message, ns_s_an, place, &record) == 0 else { return .unknown("the answer is malformed") }
            // An alias on the way to the address lives no longer than the answer.
            seconds = min(seconds, lifetime(record.ttl))
            guard record.type == UInt16(ns_t_a.rawValue), record.rr_class == UInt16(ns_c_in.rawValue), record.rdlength == 4,
                let octets = record.rdata
            else { continue }
            let address = IPv4Address(bits: number(UnsafeBufferPointer(start: octets, count: 4)))
            if isListing(address) { codes.append(address) } else { others.append(address) }
        }
        if !codes.isEmpty { return .listed(Array(codes.prefix(mostCodes)), seconds: seconds) }
        if let other = others.first {
            return .unknown(
                IPAddress.v4(other).isLoopback
                    ? "the list refuses to answer (\(other))" : "\(other) is no block list's answer")
        }
        return isCutOff ? .unknown("the answer is cut off") : .notListed(seconds: negativeLifetime(&message))
    }

    /// Lists tell of errors by addresses too: by 127.255.255.0/24 that they were asked by a public resolver or too often
    /// (Spamhaus, "DNSBL return codes: technical update", 2019), by 127.0.0.1 that they refuse to answer (uribl.com/refused.shtml).
    /// Who takes these for listings loses all addresses at once.
    private static func isListing(_ code: IPv4Address) -> Bool {
        code.bits >> 24 == 127 && code.bits >> 8 != 0x7FFF_FF && code.bits != 0x7F00_0001
    }

    /// The lesser of the SOA record's own time to live and its last field (RFC 2308 §5); 0 when there is none.
    private static func negativeLifetime(_ message: inout ns_msg) -> UInt32 {
        var record = ns_rr()
        for place in 0..<Int32(message._counts.2) {
            guard ns_parserr(&message, ns_s_ns, place, &record) == 0 else { return 0 }
            // Two names of one octet at least, then five numbers (RFC 1035 §3.3.13).
            guard record.type == UInt16(ns_t_soa.rawValue), record.rdlength >= 22, let octets = record.rdata else { continue }
            let data = UnsafeBufferPointer(start: octets, count: Int(record.rdlength))
            return min(lifetime(record.ttl), lifetime(number(UnsafeBufferPointer(rebasing: data.suffix(4)))))
        }
        return 0
    }

    private static func lifetime(_ seconds: UInt32) -> UInt32 { seconds >> 31 == 0 ? seconds : 0 }

    /// In network order, as everything in a message.
    private static func number(_ octets: UnsafeBufferPointer<UInt8>) -> UInt32 { octets.reduce(0) { $0 << 8 | UInt32($1) } }
}
