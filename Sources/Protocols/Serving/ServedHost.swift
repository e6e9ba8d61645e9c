internal import TransparentSockets

/// Longest host name in octets, without a dot at its end (RFC 1035 §2.3.4).
private let longestName = 253

extension ProxyTarget.Host {
    /// Reads the host of a SOCKS request: as in ``init(served:)``, or an IPv6 address with or without brackets.
    init?(domain bytes: ArraySlice<UInt8>) {
        if let host = Self(served: bytes) ?? Self(bracketed: bytes) {
            self = host
            return
        }
        guard let v6 = IPv6Address(String(decoding: bytes, as: UTF8.self)) else { return nil }
        self = .address(IPAddress.v6(v6).unmapped)
    }

    /// Reads the host of an authority (RFC 3986 §3.2.2): as in ``init(served:)``, or an IPv6 address in brackets.
    init?(authority bytes: ArraySlice<UInt8>) {
        guard let host = Self(served: bytes) ?? Self(bracketed: bytes) else { return nil }
        self = host
    }

    /// Reads an IPv4 address of four decimal octets, or a name: letters, digits, `-` and `_` in labels of 1 to 63 octets, 253 in
    /// all, and perhaps a dot behind, which is left out. Longer names exist in no DNS, and everything else is nobody's name: `/`,
    /// `@`, `%`, blanks, NUL and whatever is not ASCII could mean one thing to our rules and another to a resolver.
    /// Policy's `DomainName`, which does not stand below this module, draws the same line.
    private init?(served bytes: ArraySlice<UInt8>) {
        let bytes = bytes.last == UInt8(ascii: ".") ? bytes.dropLast() : bytes
        guard (1...longestName).contains(bytes.count) else { return nil }
        let labels = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard labels.allSatisfy({ (1...63).contains($0.count) && $0.allSatisfy(Self.mayHave) }) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        self = IPv4Address(text).map { .address(.v4($0)) } ?? .name(text)
    }

    private init?(bracketed bytes: ArraySlice<UInt8>) {
        guard bytes.first == UInt8(ascii: "["), bytes.last == UInt8(ascii: "]"),
            let v6 = IPv6Address(String(decoding: bytes.dropFirst().dropLast(), as: UTF8.self))
        else { return nil }
        self = .address(IPAddress.v6(v6).unmapped)
    }

    private static func mayHave(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
