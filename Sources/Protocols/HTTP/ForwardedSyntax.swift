internal import TransparentSockets

/// Whether these octets are a value of Forwarded (RFC 7239 §4): elements of pairs, of which each name stands there once, with nodes where
/// they are asked for (§6). Something else could make what follows it a part of itself.
public func isForwarded(_ place: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
    var reader = ForwardedReader(bytes: bytes.octets(place))
    return reader.readElements()
}

private struct ForwardedReader {
    /// Pairs of one element: the RFC knows four names.
    static let mostPairs = 16

    let bytes: [UInt8]
    private var position = 0
    private var end: Int { bytes.count }

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func readElements() -> Bool {
        while true {
            guard readElement() else { return false }
            guard position < end else { return true }
            guard take(UInt8(ascii: ",")) else { return false }
        }
    }

    /// Pairs up to a comma, or the end; none is an element too.
    private mutating func readElement() -> Bool {
        var names: [[UInt8]] = []
        while true {
            skipBlanks()
            if position < end, bytes[position] != UInt8(ascii: ";"), bytes[position] != UInt8(ascii: ",") {
                guard let name = readPair(), !names.contains(name), names.count < Self.mostPairs else { return false }
                names.append(name)
                skipBlanks()
            }
            guard take(UInt8(ascii: ";")) else { return true }
        }
    }

    /// - Returns: its name, in lower case.
    private mutating func readPair() -> [UInt8]? {
        let name = readToken().map(foldedOctet)
        guard !name.isEmpty, take(UInt8(ascii: "=")) else { return nil }
        guard let value = take(UInt8(ascii: "\"")) ? readQuoted() : readToken(), !value.isEmpty else { return nil }
        if name.elementsEqual("for".utf8) || name.elementsEqual("by".utf8) { guard isNode(value[...]) else { return nil } }
        return name
    }

    private mutating func readToken() -> [UInt8] {
        let start = position
        while position < end, isTokenOctet(bytes[position]) { position += 1 }
        return Array(bytes[start..<position])
    }

    /// What is in quotes, without its escapes; nil: they do not end.
    private mutating func readQuoted() -> [UInt8]? {
        var value: [UInt8] = []
        while position < end {
            var octet = bytes[position]
            position += 1
            if octet == UInt8(ascii: "\"") { return value }
            if octet == UInt8(ascii: "\\") {
                guard position < end else { return nil }
                octet = bytes[position]
                position += 1
            }
            guard isLineOctet(octet) else { return nil }
            value.append(octet)
        }
        return nil
    }

    private mutating func skipBlanks() {
        while position < end, isBlankOctet(bytes[position]) { position += 1 }
    }

    private mutating func take(_ octet: UInt8) -> Bool {
        guard position < end, bytes[position] == octet else { return false }
        position += 1
        return true
    }
}

/// RFC 7239 §6: an address, IPv6 in brackets, `unknown`, or a name that begins with `_`; and a port or such a name behind a colon.
private func isNode(_ value: ArraySlice<UInt8>) -> Bool {
    var host = value
    if let colon = value.lastIndex(of: UInt8(ascii: ":")), value.last != UInt8(ascii: "]") {
        let port = value[(colon + 1)...]
        guard isHidden(port) || (1...5).contains(port.count) && port.allSatisfy(isDigitOctet) else { return false }
        host = value[..<colon]
    }
    if host.first == UInt8(ascii: "["), host.last == UInt8(ascii: "]") {
        return IPv6Address(String(decoding: host.dropFirst().dropLast(), as: UTF8.self)) != nil
    }
    if host.map(foldedOctet).elementsEqual("unknown".utf8) || isHidden(host) { return true }
    return IPv4Address(String(decoding: host, as: UTF8.self)) != nil
}

/// `_` and something behind it that hides who is meant (RFC 7239 §6.3).
private func isHidden(_ value: ArraySlice<UInt8>) -> Bool {
    value.count > 1 && value.first == UInt8(ascii: "_")
        && value.allSatisfy { foldedOctet($0) &- 0x61 < 26 || isDigitOctet($0) || "._-".utf8.contains($0) }
}
