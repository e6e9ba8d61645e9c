internal import TransparentSockets

// What a client of SOCKS4 or 4a says.

extension SOCKSServer {
    /// `04 CD DSTPORT DSTIP USERID 00`, and where the address is 0.0.0.1 to 0.0.0.255 `HOST 00`
    static func socks4Request(_ bytes: Span<UInt8>) -> Message {
        var reader = Reader(bytes)
        guard reader.skip(1), let code = reader.number8() else { return .needsMore }
        guard let command = commands[code], command != .udpAssociate else {
            return .refused(.commandNotSupported, "SOCKS4 command \(code)")
        }
        guard let port = reader.number16(), let bits = reader.number32() else { return .needsMore }
        switch reader.text(longest: 255) {
        case .unfinished: return .needsMore
        case .tooLong: return .refused(.generalFailure, "a SOCKS4 user id of more than 255 octets")
        case .whole: break
        }
        guard (1...255).contains(bits) else {
            return request(command, .address(.v4(IPv4Address(bits: bits))), port, length: reader.position)
        }
        switch reader.text(longest: 255) {
        case .unfinished: return .needsMore
        case .tooLong: return .refused(.hostUnreachable, "a SOCKS4 host of more than 255 octets")
        case .whole(let domain):
            guard let host = ProxyTarget.Host(domain: domain[...]) else { return .refused(.hostUnreachable, noHost) }
            return request(command, host, port, length: reader.position)
        }
    }
}

extension Reader {
    fileprivate enum Text {
        case unfinished, tooLong
        case whole([UInt8])
    }

    /// Up to a NUL, and past it.
    fileprivate mutating func text(longest: Int) -> Text {
        var text: [UInt8] = []
        while text.count <= longest, let byte = number8() {
            guard byte != 0 else { return .whole(text) }
            text.append(UInt8(truncatingIfNeeded: byte))
        }
        return text.count > longest ? .tooLong : .unfinished
    }
}
