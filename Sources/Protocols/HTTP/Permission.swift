/// The question whether a request may pass, and what a service that decides it answers: requests of HTTP without a body, and the heads of
/// their responses.
public struct PermissionQuestion: Sendable {
    /// Fields that say what is asked about. The service has them from us alone.
    public static let ownFields = [
        "X-Original-Method", "X-Original-URL", "X-Original-Client", "X-Original-Destination", "X-Original-Listener",
    ]

    /// The request to the service, byte for byte: everything that the verdict can depend on.
    public let bytes: [UInt8]

    /// - Parameters:
    ///   - service: whom to ask, as `HOST:PORT`, and for what.
    ///   - destination: where the client was going, if that is known: what its request says of that is a claim.
    ///   - key: fields of the request that the service is told.
    public init(
        about request: RequestMessage, _ head: HeadReader, _ bytes: Span<UInt8>, of client: String, to destination: String?,
        listener: [UInt8], key: [FieldName], service: (authority: [UInt8], path: [UInt8])
    ) {
        var question: [UInt8] = []
        question.append("GET ")
        question.append(contentsOf: service.path)
        question.append(" HTTP/1.1\r\nHost: ")
        question.append(contentsOf: service.authority)
        question.append("\r\nX-Original-Method: ")
        question.append(bytes, request.methodPlace)
        question.append("\r\nX-Original-URL: ")
        if request.target.form == .authority {
            question.append(bytes, request.targetPlace)
        } else {
            question.append("http://")
            question.append(bytes, request.authority)
            let path = request.target.path
            // What is asked of the server itself has no path; what is asked of nothing in it, by whoever asks, has the shortest one.
            if request.target.form != .asterisk, !path.isEmpty || request.method != .options {
                if path.isEmpty || bytes[path.lowerBound] != UInt8(ascii: "/") { question.append(UInt8(ascii: "/")) }
                question.append(bytes, path)
            }
        }
        question.append("\r\nX-Original-Client: ")
        question.append(contentsOf: client.utf8)
        if let destination {
            question.append("\r\nX-Original-Destination: ")
            question.append(contentsOf: destination.utf8)
        }
        question.append("\r\nX-Original-Listener: ")
        question.append(contentsOf: listener)
        question.append("\r\n")
        for field in head.fields where key.contains(where: { $0.isTaken(for: field.name, bytes) }) {
            question.append(bytes, field.name)
            question.append(": ")
            question.append(bytes, field.value)
            question.append("\r\n")
        }
        question.append("\r\n")
        self.bytes = question
    }
}

/// What such a service says.
public enum PermissionAnswer: Sendable, Equatable {
    /// - Parameter lines: of its fields, those that the server is told.
    case granted(lines: [UInt8])
    /// - Parameter challenges: the values of its WWW-Authenticate fields, octet by octet.
    case unauthorized(challenges: [[UInt8]])
    case forbidden
    /// No answer to the question: its status.
    case other(Int)

    /// - Parameter pass: fields that the server is told.
    public init(_ response: ResponseMessage, _ head: HeadReader, _ bytes: Span<UInt8>, pass: [FieldName]) {
        switch response.status {
        case 200..<300:
            var lines: [UInt8] = []
            for field in head.fields {
                guard let name = pass.first(where: { $0.isTaken(for: field.name, bytes) }) else { continue }
                lines.append(contentsOf: name.text)
                lines.append(": ")
                lines.append(bytes, field.value)
                lines.append("\r\n")
            }
            self = .granted(lines: lines)
        case 401:
            self = .unauthorized(challenges: head.fields.filter { $0.known == .wwwAuthenticate }.map { bytes.octets($0.value) })
        case 403: self = .forbidden
        default: self = .other(response.status)
        }
    }
}
