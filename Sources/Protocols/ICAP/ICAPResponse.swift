/// What the head of an ICAP server's response comes down to (RFC 3507 §4.3.3). Its grammar is HTTP's, and ``HeadReader`` has read it.
public struct ICAPResponse: Sendable {
    /// 100…599.
    public let status: Int
    /// nil: it carries nothing.
    public let encapsulated: Encapsulated?
    /// The server will answer further requests over this connection.
    public let keepsAlive: Bool
    /// What the service has found, in its words; nil: it says nothing of the kind.
    public let threat: String?
    /// What changes when the service would judge otherwise than before (ISTag); nil: it says none.
    public let tag: [UInt8]?

    /// The answer ends with its head.
    public var isBare: Bool { encapsulated.map { $0.body == .none && $0.headLength == 0 } ?? true }

    /// Characters of a threat's name that anybody wants to read.
    private static let longestThreat = 128

    public init(_ head: HeadReader, _ bytes: Span<UInt8>) throws(MessageFault) {
        status = try Self.status(head.startLine, bytes)
        var encapsulated: Encapsulated?
        var closes = false
        var threat: String?
        var tag: [UInt8]?
        for field in head.fields {
            if bytes.isText(field.name, "encapsulated") {
                guard encapsulated == nil, let read = Encapsulated(field.value, bytes) else {
                    throw .badResponse("an Encapsulated field that makes no sense")
                }
                encapsulated = read
            } else if field.known == .connection {
                forEachElement(field.value, bytes) { if bytes.isText($0, "close") { closes = true } }
            } else if bytes.isText(field.name, "istag") {
                tag = bytes.octets(field.value)
            } else if bytes.isText(field.name, "x-infection-found") {
                threat = Self.named(field.value, bytes) ?? threat
            } else if bytes.isText(field.name, "x-virus-id") {
                // Some say so where they have found none.
                if !bytes.isText(field.value, "no threats") { threat = threat ?? Self.shortened(bytes.text(field.value)) }
            }
        }
        self.encapsulated = encapsulated
        self.threat = threat
        self.tag = tag
        keepsAlive = !closes
    }

    /// Reads `ICAP/1.0 STATUS REASON`.
    private static func status(_ line: Range<Int>, _ bytes: Span<UInt8>) throws(MessageFault) -> Int {
        let start = line.lowerBound
        guard line.count >= 12, bytes.isText(start..<start + 9, "icap/1.0 "), line.count == 12 || bytes[start + 12] == 0x20,
            let status = icapNumber(start + 9..<start + 12, bytes), 100..<600 ~= status
        else { throw .badResponse("no status line of ICAP/1.0") }
        return status
    }

    /// The threat in `Type=0; Resolution=2; Threat=NAME;`; nil: there is none.
    private static func named(_ value: Range<Int>, _ bytes: Span<UInt8>) -> String? {
        for part in bytes.text(value).split(separator: ";") {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, pair[0].filter({ $0 != " " }).lowercased() == "threat" else { continue }
            return shortened(String(pair[1]))
        }
        return shortened(bytes.text(value))
    }

    /// nil: nothing is left.
    private static func shortened(_ text: String) -> String? {
        let words = text.split(separator: " ").joined(separator: " ").prefix(longestThreat)
        return words.isEmpty ? nil : String(words)
    }
}
