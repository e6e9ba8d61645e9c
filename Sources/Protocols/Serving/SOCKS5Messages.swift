internal import TransparentSockets

// What a client of SOCKS5 says: RFC 1928 §3 and §4, RFC 1929 §2.

extension SOCKSServer {
    /// `05 NMETHODS METHODS`
    static func greeting(_ bytes: Span<UInt8>, wantsCredentials: Bool) -> Message {
        var reader = Reader(bytes)
        guard reader.skip(1), let count = reader.number8(), let methods = reader.take(count) else { return .needsMore }
        if !wantsCredentials, methods.contains(0) { return .taken(length: reader.position, .send([5, 0]), next: .request) }
        if methods.contains(2) { return .taken(length: reader.position, .send([5, 2]), next: .credentials) }
        return .broken(
            [5, 0xFF], wantsCredentials ? .credentials("the client offers no password") : .invalid("no method in common"))
    }

    /// `01 ULEN UNAME PLEN PASSWD`
    static func credentials(_ bytes: Span<UInt8>, areWanted: Bool) -> Message {
        var reader = Reader(bytes)
        guard let version = reader.number8() else { return .needsMore }
        guard version == 1 else { return .broken([1, 1], .invalid("credentials with version \(version)")) }
        guard let userLength = reader.number8() else { return .needsMore }
        guard userLength > 0 else { return .broken([1, 1], .credentials("an empty user name")) }
        guard let user = reader.take(userLength), let passwordLength = reader.number8() else { return .needsMore }
        // Whether an empty password is one, only those know who asked for it.
        guard passwordLength > 0 || areWanted else { return .broken([1, 1], .credentials("an empty password")) }
        guard let password = reader.take(passwordLength) else { return .needsMore }
        guard areWanted else { return .taken(length: reader.position, .send([1, 0]), next: .request) }
        let credentials = ServedCredentials(user: user, password: password)
        return .taken(length: reader.position, .authenticate(credentials), next: .verdict)
    }

    /// `05 CMD RSV ATYP DST.ADDR DST.PORT`
    static func socks5Request(_ bytes: Span<UInt8>) -> Message {
        var reader = Reader(bytes)
        guard let version = reader.number8() else { return .needsMore }
        guard version == 5 else { return .refused(.generalFailure, "a SOCKS5 request with version \(version)") }
        guard let code = reader.number8() else { return .needsMore }
        guard let command = commands[code] else { return .refused(.commandNotSupported, "SOCKS5 command \(code)") }
        guard reader.skip(1), let type = reader.number8() else { return .needsMore }
        let host: ProxyTarget.Host
        switch type {
        case 1:
            guard let bits = reader.number32() else { return .needsMore }
            host = .address(.v4(IPv4Address(bits: bits)))
        case 4:
            guard let high = reader.number64(), let low = reader.number64() else { return .needsMore }
            host = .address(IPAddress.v6(IPv6Address(high: high, low: low)).unmapped)
        case 3:
            guard let length = reader.number8() else { return .needsMore }
            guard length > 0 else { return .refused(.hostUnreachable, noHost) }
            guard let domain = reader.take(length) else { return .needsMore }
            guard let name = ProxyTarget.Host(domain: domain[...]) else { return .refused(.hostUnreachable, noHost) }
            host = name
        default: return .refused(.addressTypeNotSupported, "SOCKS5 address type \(type)")
        }
        guard let port = reader.number16() else { return .needsMore }
        return request(command, host, port, length: reader.position)
    }
}
