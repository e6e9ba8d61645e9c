internal import TransparentSockets

/// A host name in the one form in which names are compared: lower case, A-labels, no trailing dot.
///
/// It is never an address in disguise: see ``IPAddress/init(anySpelling:)``.
public struct DomainName: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    /// Longest name in octets (RFC 1035 §2.3.4, without length octets and root).
    public static let longest = 253

    /// Reads a name as it stands in a ClientHello, a Host field or a SOCKS request: letters, digits, `-` and `_` in labels of 1
    /// to 63 octets. Anything else is nil: it is nobody's name, and must reach neither rules nor a resolver.
    public init?(wire bytes: borrowing Span<UInt8>) {
        var count = bytes.count
        if count > 0, bytes[count - 1] == UInt8(ascii: ".") { count -= 1 }
        guard count > 0, count <= Self.longest else { return nil }
        var text: [UInt8] = []
        text.reserveCapacity(count)
        var label = 0
        for index in 0..<count {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "."):
                guard label > 0 else { return nil }
                label = 0
                text.append(byte)
                continue
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): text.append(byte | 0x20)
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                text.append(byte)
            default: return nil
            }
            label += 1
            guard label <= 63 else { return nil }
        }
        guard label > 0 else { return nil }
        let description = String(decoding: text, as: UTF8.self)
        guard IPAddress(anySpelling: description) == nil else { return nil }
        self.description = description
    }

    fileprivate init(unchecked text: String) { description = text }

    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        self.init(wire: bytes.span)
    }
}

/// What a rule's `domain` says: a name itself, or what lies below it.
public struct DomainPattern: Hashable, Sendable, CustomStringConvertible {
    public let name: DomainName
    /// `*.name`: every name below, at any depth, and not `name` itself.
    public let isBelow: Bool

    public init(_ name: DomainName, isBelow: Bool) {
        self.name = name
        self.isBelow = isBelow
    }

    /// Reads `example.com` or `*.example.com`.
    public init?(_ text: some StringProtocol) {
        let isBelow = text.hasPrefix("*.")
        guard let name = DomainName(isBelow ? text.dropFirst(2) : text[...]) else { return nil }
        self.init(name, isBelow: isBelow)
    }

    public var description: String { isBelow ? "*.\(name)" : name.description }

    public func matches(_ other: DomainName) -> Bool {
        guard isBelow else { return other == name }
        return other.description.utf8.count > name.description.utf8.count + 1
            && other.description.utf8.suffix(name.description.utf8.count + 1).elementsEqual(("." + name.description).utf8)
    }

    /// A name that only patterns match which match every name that this one does: its first label is in no pattern.
    var mostGeneralMatch: DomainName { isBelow ? DomainName(unchecked: "*.\(name)") : name }
}
