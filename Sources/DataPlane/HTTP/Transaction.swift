internal import Protocols

/// One request and its response, on their way through.
struct Transaction {
    let method: RequestMethod
    let isVersion10: Bool
    /// The client goes on asking over this connection, as far as it says.
    var keepsAlive: Bool
    /// It would have the connection changed to another protocol.
    let upgrades: Bool
    /// The client waits for a response with 100 before it sends the body.
    let awaitsContinue: Bool
    /// Bytes that the upstream had taken when it had the head, and what came with it.
    var headEnd: UInt64 = 0
    /// Monotonic nanoseconds.
    let startedAt: UInt64
    var firstByteAt: UInt64 = 0
    /// Of the response that was passed on, or of our own; 0: there was none.
    var status = 0
    /// Why it got a response of our own in place of the upstream's, if it did.
    var refusal: Ending?

    /// Bytes that both sides had taken when it began.
    let upBefore: UInt64
    let downBefore: UInt64

    var request: BodyProgress
    var response = BodyProgress.waits
    /// Responses that others follow.
    var interim = 0

    /// For the record: as the client wrote them.
    let methodText: String
    let target: String
    let name: String?
    var referer: [UInt8] = []
    var userAgent: [UInt8] = []
    /// Of what the client was sent, bytes of heads: the rest is body.
    var headBytes = 0
}

/// How far a message's body has come.
enum BodyProgress {
    /// The head has not come yet.
    case waits
    /// Bytes up to a known length, or up to the end.
    case plain
    case chunks(ChunkedReader, ChunkedWriting)
    case done

    /// How the next one gets it.
    enum ChunkedWriting {
        case chunks
        /// Without the trailers, which some servers take for fields of the head.
        case chunksAlone
        /// As it is: the end of the connection is its end.
        case plain
    }

    var isDone: Bool { if case .done = self { true } else { false } }
    var isWaiting: Bool { if case .waits = self { true } else { false } }
}

/// What there is to say of a finished request.
public struct TransactionRecord: Sendable {
    public var method: String
    /// As the client wrote it.
    public var target: String
    public var isVersion10: Bool
    /// Of the response; 0: there was none.
    public var status: Int
    /// Nanoseconds from the request's head to the response's; 0: there was none.
    public var firstByte: UInt64
    /// Bytes of the response's body that the client's socket took, with the frames of chunks; of an answer of ours, all.
    public var body: UInt64
    /// The values of these fields, as the client wrote them; empty where there are none.
    public var referer: [UInt8]
    public var userAgent: [UInt8]
}
