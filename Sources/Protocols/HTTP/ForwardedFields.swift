public import TransparentSockets

/// What servers of ours are told of a client: Forwarded (RFC 7239), and where that is wanted the fields that came before it.
///
/// What a client says itself is left out, with every other X-Forwarded field, whose names are as many as there are programs. Of a peer that
/// is trusted it is passed on, and what we say follows it.
public struct ForwardedFields: Sendable {
    /// `for=192.0.2.1;by=192.0.2.2`.
    private let element: [UInt8]
    private let client: [UInt8]
    private let isTrusted: Bool
    private let addsXForwarded: Bool
    /// Fields that are left to somebody else: none of them is written.
    private let omitted: FieldNames

    /// - Parameters:
    ///   - client: who is connected to us.
    ///   - own: to which address of ours; nil: that is not told.
    ///   - isTrusted: what it says of those in front of it is believed.
    ///   - addsXForwarded: X-Forwarded-For, -Proto and -Host are written as well.
    ///   - omitted: what is left out of these.
    public init(
        of client: IPAddress, by own: IPAddress? = nil, isTrusted: Bool = false, addsXForwarded: Bool = false,
        except omitted: FieldNames = FieldNames()
    ) {
        element = Array("for=\(Self.node(client))\(own.map { ";by=\(Self.node($0))" } ?? "")".utf8)
        self.client = Array("\(client.unmapped)".utf8)
        self.isTrusted = isTrusted
        self.addsXForwarded = addsXForwarded
        self.omitted = omitted
    }

    /// RFC 7239 §6.1: colons and brackets stand in no token.
    private static func node(_ address: IPAddress) -> String {
        let address = address.unmapped
        return address.isIPv6 ? "\"[\(address)]\"" : "\(address)"
    }

    /// Whether a field of the request is not passed on as it is.
    @inline(__always)
    func replace(_ field: HeadReader.Field, _ bytes: Span<UInt8>) -> Bool {
        switch field.known {
        case .forwarded: true
        case .xForwardedFor: !isTrusted || addsXForwarded
        case .xForwardedHost, .xForwardedProto: !isTrusted
        case .other: isXForwarded(field.name, bytes)
        default: false
        }
    }

    /// Another of that family, or one that some take for one: of a peer that is trusted, only what nobody knows by this spelling is left out.
    private func isXForwarded(_ name: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
        guard Self.isOfFamily(name, bytes) else { return false }
        guard isTrusted else { return true }
        for offset in name where foldedNameOctet(bytes[offset]) == UInt8(ascii: "-") && bytes[offset] != UInt8(ascii: "-") {
            return true
        }
        return false
    }

    /// Whether a name begins as theirs do that came before Forwarded, in any spelling that some take for it.
    static func isOfFamily(_ name: Range<Int>, _ bytes: Span<UInt8>) -> Bool {
        let prefix: StaticString = "x-forwarded-"
        guard name.count >= prefix.utf8CodeUnitCount, bytes[name.lowerBound] | 0x20 == UInt8(ascii: "x") else { return false }
        for offset in 0..<prefix.utf8CodeUnitCount {
            guard foldedNameOctet(bytes[name.lowerBound + offset]) == prefix.utf8Start[offset] else { return false }
        }
        return true
    }

    func write(_ request: RequestMessage, _ head: HeadReader, _ bytes: Span<UInt8>, into output: inout [UInt8]) {
        if !omitted.contain("forwarded") {
            output.append("Forwarded: ")
            if isTrusted, head.fields.allSatisfy({ $0.known != .forwarded || isForwarded($0.value, bytes) }) {
                writeValues(of: .forwarded, head, bytes, &output)
            }
            output.append(contentsOf: element)
            if !request.authority.isEmpty {
                output.append(";host=\"")
                output.append(bytes, request.authority)
                output.append(UInt8(ascii: "\""))
            }
            output.append(";proto=http\r\n")
        }
        guard addsXForwarded else { return }
        if !omitted.contain("x-forwarded-for") {
            output.append("X-Forwarded-For: ")
            if isTrusted { writeValues(of: .xForwardedFor, head, bytes, &output) }
            output.append(contentsOf: client)
            output.append("\r\n")
        }
        // These say what the first of all was asked: there is one value, and the peer knows it better.
        if !omitted.contain("x-forwarded-proto"), !(isTrusted && head.has(.xForwardedProto)) {
            output.append("X-Forwarded-Proto: http\r\n")
        }
        if !omitted.contain("x-forwarded-host"), !request.authority.isEmpty, !(isTrusted && head.has(.xForwardedHost)) {
            output.append("X-Forwarded-Host: ")
            output.append(bytes, request.authority)
            output.append("\r\n")
        }
    }

    /// All lines of a field as one list, with a comma behind it.
    private func writeValues(of known: KnownField, _ head: HeadReader, _ bytes: Span<UInt8>, _ output: inout [UInt8]) {
        for field in head.fields where field.known == known && !field.value.isEmpty {
            output.append(bytes, field.value)
            output.append(", ")
        }
    }
}

extension HeadReader {
    fileprivate func has(_ known: KnownField) -> Bool { fields.contains { $0.known == known } }
}
