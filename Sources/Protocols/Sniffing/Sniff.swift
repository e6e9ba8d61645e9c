/// What a client's first bytes say of the name it wants.
public enum Sniff: Equatable, Sendable {
    /// So far nothing is decided: look again when there are more bytes.
    case needsMore
    /// No name will come: another protocol, or no name in it.
    case none
    /// As the client wrote it, in bytes: whoever uses it must find out whether it is a name at all.
    case name([UInt8])

    /// Bytes of a client that are looked at. A ClientHello with post-quantum keys takes 2 KiB, a request with big cookies 8.
    public static let limit = 16_384
}

/// Looks for a name in what a client sent first: TLS server name, HTTP/1 Host.
///
/// With ``Sniff/limit`` bytes given, `needsMore` is not an answer: the caller stops there.
public func sniff(_ bytes: Span<UInt8>) -> Sniff {
    guard bytes.count > 0 else { return .needsMore }
    switch bytes[0] {
    case 0x16: return sniffClientHello(bytes)
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): return sniffRequest(bytes)
    default: return .none
    }
}
