/// The server's side of a proxy protocol, step by step: what a client's bytes mean, and what to answer. No sockets and no clocks:
/// whoever has them gives the bytes, judges the credentials, connects, and sees to the time.
///
/// Each byte is decided upon when it is there, so that a client gets the same answers in whatever pieces its bytes come.
public protocol ServingHandshake: Sendable {
    /// Bytes of a client that may have to be looked at together. With so many given, `needsMore` is no answer, unless a verdict is
    /// due.
    static var longestPart: Int { get }

    /// Takes in what has come from the client, unless a verdict is due, or the end was reached.
    ///
    /// - Returns: how many of the bytes belong to the handshake so far, and what to do. Bytes that were not taken come again with
    ///   those that follow; behind `request` they are the tunnel's.
    mutating func advance(_ bytes: Span<UInt8>) -> (length: Int, step: ServingStep)

    /// The verdict that ``ServingStep/authenticate(_:)`` asks for. Without having been asked for, it rejects.
    mutating func judge(accepted: Bool) -> ServingStep

    /// What tells the client how its request fared.
    func answer(_ outcome: ServingOutcome) -> [UInt8]

    /// What tells the client that its handshake took too long; empty where the protocol has no words for it.
    var lateAnswer: [UInt8] { get }
}

/// What to do next with a client.
public enum ServingStep: Equatable, Sendable {
    /// The client's message is not whole yet; or its credentials await their verdict.
    case needsMore
    /// Send this, and look on.
    case send([UInt8])
    /// Judge them, and tell ``ServingHandshake/judge(accepted:)``.
    case authenticate(ServedCredentials)
    /// The end: do it, and ``ServingHandshake/answer(_:)``.
    case request(ServedRequest)
    /// The end: send the answer, which may be empty, and close. What else the client sends is read and thrown away until then:
    /// closing a socket with unread bytes resets it, and the answer may be lost.
    case reject(answer: [UInt8], ServingFault)
}

/// Why a client is sent away, for the log: in words of our own, without a byte of the client's.
public enum ServingFault: Hashable, Sendable {
    /// It speaks another protocol; which, at a guess.
    case foreign(String)
    /// It breaks the protocol, or wants what is not served.
    case invalid(String)
    /// No credentials, or not the right ones.
    case credentials(String)
    /// An HTTP request for an `http://` address, to be forwarded and not tunnelled.
    case plainRequest
}

extension ServingFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .foreign(let guess): "another protocol: \(guess)"
        case .invalid(let why), .credentials(let why): why
        case .plainRequest: "a plain HTTP request, which is not forwarded"
        }
    }
}
