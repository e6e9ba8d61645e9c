public import TransparentSockets

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

    /// The names that it lies below, the nearest one first.
    var parents: some Sequence<DomainName> {
        description.utf8.indices.lazy.filter { description.utf8[$0] == UInt8(ascii: ".") }.map {
            DomainName(unchecked: String(description[description.utf8.index(after: $0)...]))
        }
    }

    /// Why what a person wrote is no name.
    public enum WritingError: Error, Hashable, Sendable {
        /// It is this address, in whatever digits and spelling.
        case address(IPAddress)
        /// It has characters beyond ASCII and no A-labels; the reason in the words of libidn2.
        case noALabels(String)
        case noName
    }

    /// Longest name in octets of UTF-8 that is looked at: each octet of the longest A-labels stands for one character at most.
    static let longestWritten = longest * 4

    /// Reads a name as people write it, in any script, case and width: `München.de` is `xn--mnchen-3ya.de`, as in browsers.
    ///
    /// - Parameter bytes: UTF-8, without blanks around it.
    public init(written bytes: borrowing Span<UInt8>) throws(WritingError) {
        if let name = DomainName(wire: bytes) {
            self = name
            return
        }
        guard bytes.count <= Self.longestWritten else { throw .noName }
        let text = String(copying: bytes)
        guard text.utf8.contains(where: { $0 >= 0x80 }) else { throw WritingError(notName: text) }
        let mapped: String
        do throws(ALabels.Failure) {
            mapped = try ALabels.of(text)
        } catch {
            // libidn2 has poor words for a space or a slash.
            throw text.utf8.allSatisfy { $0 >= 0x80 || Self.mayHave($0) } ? .noALabels(error.reason) : .noName
        }
        // Compatibility characters can become anything, such as a slash or the digits of an address.
        guard let name = DomainName(mapped) else { throw WritingError(notName: mapped) }
        self = name
    }

    private static func mayHave(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: ".-_".utf8.contains(byte)
        }
    }
}

extension DomainName.WritingError {
    fileprivate init(notName text: String) { self = IPAddress(anySpelling: text).map { .address($0) } ?? .noName }
}

extension String {
    fileprivate init(copying bytes: borrowing Span<UInt8>) {
        self = bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
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

    /// Reads `example.com` or `*.example.com`, the name as in ``DomainName/init(written:)``.
    ///
    /// - Parameter bytes: UTF-8, without blanks around it.
    public init(written bytes: borrowing Span<UInt8>) throws(DomainName.WritingError) {
        let prefix = Self.belowPrefix(bytes)
        self.init(try DomainName(written: bytes.extracting(prefix...)), isBelow: prefix > 0)
    }

    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        do throws(DomainName.WritingError) {
            try self.init(written: bytes.span)
        } catch {
            return nil
        }
    }

    /// Octets of `*.` at the front. The dot may be any that IDNA takes for one: whoever types Chinese or Japanese has others
    /// at hand.
    private static func belowPrefix(_ bytes: borrowing Span<UInt8>) -> Int {
        guard bytes.count > 1, bytes[0] == UInt8(ascii: "*") else { return 0 }
        if bytes[1] == UInt8(ascii: ".") { return 2 }
        guard bytes.count > 3 else { return 0 }
        switch (bytes[1], bytes[2], bytes[3]) {
        case (0xE3, 0x80, 0x82), (0xEF, 0xBC, 0x8E), (0xEF, 0xBD, 0xA1): return 4
        default: return 0
        }
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
