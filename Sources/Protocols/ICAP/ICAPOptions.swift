/// What a service says of itself (RFC 3507 §4.10.2).
public struct ICAPOptions: Sendable, Equatable {
    /// How much of a message goes to it.
    public enum Transfer: Sendable, Equatable {
        /// The beginning first, and the rest if it asks for that.
        case preview
        /// Nothing.
        case ignore
        /// All of it, at once.
        case complete
    }

    /// Names of file types that one list may have.
    private static let mostExtensions = 256
    /// Bytes of a preview that it may ask for.
    public static let longestPreview = 65_536

    public private(set) var modifiesRequests = false
    public private(set) var modifiesResponses = false
    /// Bytes of a preview; nil: it wants none.
    public private(set) var preview: Int?
    /// It may say that nothing is changed, of messages that were not previewed as well.
    public private(set) var allows204 = false
    /// Connections that it wants at most; nil: it does not say.
    public private(set) var mostConnections: Int?
    /// Seconds that this holds; nil: it does not say.
    public private(set) var lifetime: Int?
    private var transfers: [String: Transfer] = [:]
    private var transferOfOthers = Transfer.preview

    public init(_ head: HeadReader, _ bytes: Span<UInt8>) throws(MessageFault) {
        for field in head.fields {
            let value = field.value
            if bytes.isText(field.name, "methods") {
                forEachElement(value, bytes) {
                    if bytes.isText($0, "reqmod") { modifiesRequests = true }
                    if bytes.isText($0, "respmod") { modifiesResponses = true }
                }
            } else if bytes.isText(field.name, "preview") {
                guard let number = icapNumber(value, bytes) else { throw .badResponse("a Preview that is no number") }
                preview = min(number, Self.longestPreview)
            } else if bytes.isText(field.name, "allow") {
                forEachElement(value, bytes) { if bytes.isText($0, "204") { allows204 = true } }
            } else if bytes.isText(field.name, "max-connections") {
                guard let number = icapNumber(value, bytes), number > 0 else {
                    throw .badResponse("a Max-Connections that is no number of connections")
                }
                mostConnections = number
            } else if bytes.isText(field.name, "options-ttl") {
                guard let number = icapNumber(value, bytes) else { throw .badResponse("an Options-TTL that is no number") }
                lifetime = number
            } else if bytes.isText(field.name, "transfer-preview") {
                take(value, bytes, as: .preview)
            } else if bytes.isText(field.name, "transfer-ignore") {
                take(value, bytes, as: .ignore)
            } else if bytes.isText(field.name, "transfer-complete") {
                take(value, bytes, as: .complete)
            }
        }
    }

    private mutating func take(_ value: Range<Int>, _ bytes: Span<UInt8>, as transfer: Transfer) {
        forEachElement(value, bytes) { element in
            if bytes.isText(element, "*") {
                transferOfOthers = transfer
            } else if !element.isEmpty, transfers.count < Self.mostExtensions {
                transfers[bytes.text(element).lowercased()] = transfer
            }
        }
    }

    /// What goes to it of a message with that path in its request.
    public func transfer(ofPath path: String) -> Transfer {
        let file = path.prefix { $0 != "?" }.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard let dot = file.lastIndex(of: ".") else { return transferOfOthers }
        return transfers[file[file.index(after: dot)...].lowercased()] ?? transferOfOthers
    }
}
