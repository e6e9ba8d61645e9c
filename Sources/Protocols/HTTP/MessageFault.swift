/// Why a message is not passed on: what its sender is told if it is a client, and what the log says of an upstream's.
public struct MessageFault: Error, Hashable, Sendable {
    /// Of a request: the status of its answer. Of a response: 502.
    public let status: Int
    /// In words of ours, without a byte of the sender's.
    public let reason: String

    public init(_ status: Int, _ reason: String) {
        self.status = status
        self.reason = reason
    }

    static func badRequest(_ reason: String) -> MessageFault { MessageFault(400, reason) }
    static func badResponse(_ reason: String) -> MessageFault { MessageFault(502, reason) }

    /// What is wrong with a request's head.
    public init(ofRequest fault: HeadReader.Fault) {
        switch fault {
        case .startLineTooLong: self.init(414, "a request line of more than \(HeadReader.longestStartLine) bytes")
        case .tooLarge:
            self.init(
                431,
                """
                more than \(HeadReader.longestHead) bytes of header, \(HeadReader.longestField) in one field, or \
                \(HeadReader.mostFields) fields
                """)
        case .malformed(let what): self.init(400, what)
        }
    }

    /// What is wrong with a response's head.
    public init(ofResponse fault: HeadReader.Fault) {
        switch fault {
        case .startLineTooLong, .tooLarge: self.init(502, "a header that is too large")
        case .malformed(let what): self.init(502, what)
        }
    }
}
