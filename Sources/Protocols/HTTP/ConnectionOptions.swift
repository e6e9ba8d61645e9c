/// What the Connection fields of a message say (RFC 9110 §7.6.1).
struct ConnectionOptions: Sendable {
    /// A sender that names more wants something else than to be understood.
    private static let most = 32

    var closes = false
    var keepsAlive = false
    var upgrades = false
    /// Names of fields that end at the next hop.
    private(set) var names: [Range<Int>] = []
    private(set) var areTooMany = false

    @inline(__always)
    mutating func take(_ value: Range<Int>, _ bytes: Span<UInt8>) {
        forEachElement(value, bytes) { option in
            if bytes.isText(option, "close") {
                closes = true
            } else if bytes.isText(option, "keep-alive") {
                keepsAlive = true
            } else if bytes.isText(option, "upgrade") {
                upgrades = true
            } else if !option.isEmpty {
                if names.count < Self.most { names.append(option) } else { areTooMany = true }
            }
        }
    }

    /// The same, for trailers, which end there as well.
    func fieldNames(_ bytes: Span<UInt8>) -> FieldNames {
        FieldNames(names.map { String(decoding: bytes.octets($0), as: UTF8.self) })
    }

    /// Whether that field goes no further.
    func end(_ field: HeadReader.Field, _ bytes: Span<UInt8>) -> Bool {
        if field.known.isOfConnection { return true }
        guard !names.isEmpty, !field.known.isFixed else { return false }
        return names.contains { name in
            guard name.count == field.name.count else { return false }
            for offset in 0..<name.count
            where foldedOctet(bytes[name.lowerBound + offset]) != foldedOctet(bytes[field.name.lowerBound + offset]) {
                return false
            }
            return true
        }
    }
}
