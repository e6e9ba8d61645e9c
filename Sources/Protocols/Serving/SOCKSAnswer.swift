internal import TransparentSockets

extension SOCKSServer {
    /// The reply of SOCKS5 (RFC 1928 §6), of 10 or 22 bytes, or the 8 bytes of SOCKS4, as the client speaks.
    public func answer(_ outcome: ServingOutcome) -> [UInt8] {
        switch version {
        case .five: Self.socks5Answer(outcome)
        case .four: Self.socks4Answer(outcome)
        }
    }

    private static func socks5Answer(_ outcome: ServingOutcome) -> [UInt8] {
        let code: UInt8
        switch outcome {
        case .succeeded(let bound):
            let address: [UInt8] =
                switch bound.address {
                case .v4(let v4): [1] + bigEndian(v4.bits)
                case .v6(let v6): [4] + bigEndian(v6.high) + bigEndian(v6.low)
                }
            return [5, 0, 0] + address + bigEndian(bound.port)
        case .generalFailure, .overloaded: code = 1
        case .forbidden: code = 2
        case .networkUnreachable: code = 3
        // A connection that times out has no code of its own; 6 is a packet's time to live.
        case .hostUnreachable, .nameUnresolved, .timedOut: code = 4
        case .refused: code = 5
        case .ttlExpired: code = 6
        case .commandNotSupported: code = 7
        case .addressTypeNotSupported: code = 8
        }
        return [5, code, 0, 1, 0, 0, 0, 0, 0, 0]
    }

    /// 90 or 91. The other two, 92 and 93, are about identd, which nobody asks.
    private static func socks4Answer(_ outcome: ServingOutcome) -> [UInt8] {
        guard case .succeeded(let bound) = outcome else { return [0, 91, 0, 0, 0, 0, 0, 0] }
        // There is no room for an IPv6 address, and no client that looks.
        guard case .v4(let v4) = bound.address else { return [0, 90] + bigEndian(bound.port) + [0, 0, 0, 0] }
        return [0, 90] + bigEndian(bound.port) + bigEndian(v4.bits)
    }
}
