/// Writes the heads of requests to an ICAP service (RFC 3507 §4.3.2).
public struct ICAPRequest: Sendable {
    /// As it is configured: `icap://HOST:PORT/SERVICE`.
    public let url: [UInt8]
    /// `HOST:PORT`
    public let authority: [UInt8]

    public init(url: String, authority: String) {
        self.url = Array(url.utf8)
        self.authority = Array(authority.utf8)
    }

    public func options() -> [UInt8] {
        var head = start("OPTIONS")
        head.append("Encapsulated: null-body=0\r\n\r\n")
        return head
    }

    public enum Kind: Sendable { case request, response }

    /// - Parameters:
    ///   - requestHead, responseHead: those that are encapsulated, each whole; they follow the head.
    ///   - client: its address.
    ///   - preview: bytes of the body that come first; nil: the body comes whole.
    ///   - allows204: it may say that nothing is changed: all of it was kept.
    public func modification(
        of kind: Kind, requestHead: [UInt8], responseHead: [UInt8] = [], hasBody: Bool, client: String, preview: Int?,
        allows204: Bool
    ) -> [UInt8] {
        var head = start(kind == .request ? "REQMOD" : "RESPMOD")
        head.append("X-Client-IP: ")
        head.append(contentsOf: client.utf8)
        head.append("\r\n")
        if allows204 { head.append("Allow: 204\r\n") }
        if let preview {
            head.append("Preview: ")
            head.append(decimal: UInt64(preview))
            head.append("\r\n")
        }
        head.append("Encapsulated: ")
        if !requestHead.isEmpty { head.append("req-hdr=0, ") }
        if kind == .response {
            head.append("res-hdr=")
            head.append(decimal: UInt64(requestHead.count))
            head.append(", ")
        }
        head.append(!hasBody ? "null-body=" : kind == .request ? "req-body=" : "res-body=")
        head.append(decimal: UInt64(requestHead.count + responseHead.count))
        head.append("\r\n\r\n")
        return head + requestHead + responseHead
    }

    private func start(_ method: StaticString) -> [UInt8] {
        var head: [UInt8] = []
        head.append(method)
        head.append(0x20)
        head.append(contentsOf: url)
        head.append(" ICAP/1.0\r\nHost: ")
        head.append(contentsOf: authority)
        head.append("\r\n")
        return head
    }
}
