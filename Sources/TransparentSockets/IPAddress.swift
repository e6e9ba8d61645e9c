/// An IPv4 address: 32 bits, most significant octet first as people write it.
public struct IPv4Address: Hashable, Sendable {
    /// The address as a number: `192.0.2.1` is `0xC000_0201`.
    public var bits: UInt32

    public init(bits: UInt32) { self.bits = bits }

    /// Four decimal octets without leading zeros. The spellings `127.1`, `0x7f.0.0.1` and `017700000001` are refused:
    /// what they mean depends on who reads them.
    public init?(_ text: some StringProtocol) {
        var bits: UInt32 = 0
        var octet: UInt32 = 0
        var digits = 0
        var octets = 0
        for byte in text.utf8 {
            if byte == UInt8(ascii: ".") {
                guard digits > 0, octets < 3 else { return nil }
                bits = bits << 8 | octet
                (octet, digits, octets) = (0, 0, octets + 1)
            } else {
                guard byte &- 0x30 < 10, !(digits > 0 && octet == 0) else { return nil }
                octet = octet * 10 + UInt32(byte &- 0x30)
                digits += 1
                guard octet <= 255 else { return nil }
            }
        }
        guard octets == 3, digits > 0 else { return nil }
        self.bits = bits << 8 | octet
    }
}

/// An IPv6 address: 128 bits. The zone (`%eth0`) belongs to ``SocketAddress``, not to the address.
public struct IPv6Address: Hashable, Sendable {
    /// Bits 127…64, as numbers.
    public var high: UInt64
    /// Bits 63…0, as numbers.
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The text forms of RFC 4291 §2.2, the embedded IPv4 form included; no brackets, no zone.
    public init?(_ text: some StringProtocol) {
        var groups: [UInt16] = []
        var gap: Int?
        let bytes = Array(text.utf8)
        var at = 0
        guard bytes.count >= 2, bytes.count <= 45 else { return nil }
        if bytes[0] == UInt8(ascii: ":") {
            guard bytes[1] == UInt8(ascii: ":") else { return nil }
            gap = 0
            at = 2
        }
        while at < bytes.count {
            let start = at
            var group: UInt32 = 0
            while at < bytes.count, let digit = hexadecimalDigit(bytes[at]) {
                group = group << 4 | UInt32(digit)
                at += 1
                guard at - start <= 4 else { return nil }
            }
            if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
                guard groups.count <= 6, let v4 = IPv4Address(String(decoding: bytes[start...], as: UTF8.self)) else { return nil }
                groups += [UInt16(truncatingIfNeeded: v4.bits >> 16), UInt16(truncatingIfNeeded: v4.bits)]
                at = bytes.count
                break
            }
            guard at > start, groups.count < 8 else { return nil }
            groups.append(UInt16(group))
            guard at < bytes.count else { break }
            guard bytes[at] == UInt8(ascii: ":"), at + 1 < bytes.count else { return nil }
            at += 1
            if bytes[at] == UInt8(ascii: ":") {
                guard gap == nil else { return nil }
                gap = groups.count
                at += 1
            }
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        high = groups[..<4].reduce(0) { $0 << 16 | UInt64($1) }
        low = groups[4...].reduce(0) { $0 << 16 | UInt64($1) }
    }
}

/// An IPv4 or IPv6 address. An IPv4 address seen through a dual-stack socket (`::ffff:192.0.2.1`) is always `v4`.
public enum IPAddress: Hashable, Sendable {
    case v4(IPv4Address)
    case v6(IPv6Address)

    /// An IPv4 or IPv6 address without brackets, port or zone. The mapped form `::ffff:192.0.2.1` is read as IPv4.
    public init?(_ text: some StringProtocol) {
        if let v4 = IPv4Address(text) {
            self = .v4(v4)
        } else if let v6 = IPv6Address(text) {
            self = .v6(v6).unmapped
        } else {
            return nil
        }
    }

    /// The IPv4 address inside `::ffff:0:0/96`, or the address itself.
    public var unmapped: IPAddress {
        if case .v6(let v6) = self, v6.high == 0, v6.low >> 32 == 0xFFFF {
            return .v4(IPv4Address(bits: UInt32(truncatingIfNeeded: v6.low)))
        }
        return self
    }

    public var isIPv6: Bool {
        if case .v6 = self { true } else { false }
    }

    /// `0.0.0.0` or `::`.
    public var isUnspecified: Bool {
        switch self {
        case .v4(let v4): v4.bits == 0
        case .v6(let v6): v6.high == 0 && v6.low == 0
        }
    }

    /// `169.254.0.0/16` or `fe80::/10`: what it means depends on the interface.
    public var isLinkLocal: Bool {
        switch self {
        case .v4(let v4): v4.bits >> 16 == 0xA9FE
        case .v6(let v6): v6.high >> 54 == 0xFE80 >> 6
        }
    }

    /// `224.0.0.0/4` or `ff00::/8`.
    public var isMulticast: Bool {
        switch self {
        case .v4(let v4): v4.bits >> 28 == 0xE
        case .v6(let v6): v6.high >> 56 == 0xFF
        }
    }

    /// `127.0.0.0/8` or `::1`.
    public var isLoopback: Bool {
        switch self {
        case .v4(let v4): v4.bits >> 24 == 127
        case .v6(let v6): v6.high == 0 && v6.low == 1
        }
    }
}

extension IPv4Address: CustomStringConvertible {
    public var description: String { "\(bits >> 24).\(bits >> 16 & 255).\(bits >> 8 & 255).\(bits & 255)" }
}

extension IPv6Address: CustomStringConvertible {
    /// The canonical form of RFC 5952: lower case, the longest run of two or more zero groups as `::`.
    public var description: String {
        let groups = (0..<8).map { index in
            UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - 16 * (index % 4)))
        }
        var best = 0..<0
        var index = 0
        while index < 8 {
            let start = index
            while index < 8, groups[index] == 0 { index += 1 }
            if index - start > max(best.count, 1) { best = start..<index }
            index += 1
        }
        func joined(_ range: Range<Int>) -> String {
            range.map { String(groups[$0], radix: 16) }.joined(separator: ":")
        }
        return best.isEmpty ? joined(0..<8) : joined(0..<best.lowerBound) + "::" + joined(best.upperBound..<8)
    }
}

extension IPAddress: CustomStringConvertible {
    public var description: String {
        switch self {
        case .v4(let v4): v4.description
        case .v6(let v6): v6.description
        }
    }
}

private func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
}
