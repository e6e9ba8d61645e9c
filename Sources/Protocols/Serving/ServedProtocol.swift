/// Which protocol a client speaks to a listener that serves several, as its first byte tells.
public enum ServedProtocol: Hashable, Sendable {
    /// Any version of it.
    case socks
    case http
    /// Neither; which, at a guess, for the log.
    case foreign(String)

    /// SOCKS begins with its version; HTTP with a method, all of which that are registered are upper-case letters.
    public init(firstByte: UInt8) {
        switch firstByte {
        case 4, 5: self = .socks
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): self = .http
        default: self = .foreign(Self.guess(firstByte))
        }
    }

    /// What begins with this byte, in words for the log.
    public static func guess(_ firstByte: UInt8) -> String {
        switch firstByte {
        case 4, 5: "SOCKS"
        case 0x0D: "a PROXY header, version 2"
        case 0x16: "TLS"
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): "HTTP, or other text"
        case 0x20...0x7E: "text"
        default: "first byte \(firstByte)"
        }
    }
}
