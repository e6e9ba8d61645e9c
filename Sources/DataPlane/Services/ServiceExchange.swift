internal import Protocols

/// One request without a body to a service, and the response.
struct ServiceExchange {
    /// Of a body that nobody reads: a longer one costs more than another connection.
    private static let longestBody = 1 << 16
    private static let mostInterim = 8
    private static let piece = 4_096

    private let socket: LoopSocket
    private var received: [UInt8]
    private var message: ResponseMessage?

    /// Sends the request, and waits for the first bytes of the answer.
    static func begin(
        _ request: [UInt8], over socket: LoopSocket, until deadline: UInt64
    ) async throws(LoopSocket.Failure) -> ServiceExchange {
        try await socket.send(request, until: deadline)
        var received: [UInt8] = []
        try await socket.receive(into: &received, atMost: piece, until: deadline)
        return ServiceExchange(socket: socket, received: received)
    }

    private init(socket: LoopSocket, received: [UInt8]) {
        self.socket = socket
        self.received = received
    }

    /// What the response's head says. ``finish(until:)`` must follow.
    ///
    /// - Returns: nil: it has not come, and will not.
    mutating func answer(pass: [FieldName], until deadline: UInt64) async throws(MessageFault) -> PermissionAnswer? {
        var reader = HeadReader(.response)
        var interim = 0
        while true {
            let isWhole: Bool
            do throws(HeadReader.Fault) {
                isWhole = try reader.read(received.span)
            } catch {
                throw MessageFault(ofResponse: error)
            }
            guard isWhole else {
                do throws(LoopSocket.Failure) {
                    try await socket.receive(into: &received, atMost: Self.piece, until: deadline)
                } catch {
                    return nil
                }
                continue
            }
            let message = try ResponseMessage(reader, received.span, to: .get)
            guard message.isInterim else {
                // It was not asked to.
                guard message.status != 101 else { throw MessageFault(502, "it changes the protocol unasked") }
                let answer = PermissionAnswer(message, reader, received.span, pass: pass)
                received.removeFirst(reader.length)
                self.message = message
                return answer
            }
            interim += 1
            guard interim <= Self.mostInterim else { throw MessageFault(502, "interim responses without end") }
            received.removeFirst(reader.length)
            reader.reset()
        }
    }

    /// Reads the body, which nobody wants.
    ///
    /// - Returns: whether the connection can be used again.
    mutating func finish(until deadline: UInt64) async -> Bool {
        guard let message, message.keepsAlive else { return false }
        var total = received.count
        var chunks = ChunkedReader()
        while true {
            switch message.body {
            case .none: return received.isEmpty
            case .untilClose: return false
            case .length(let length):
                guard length <= Self.longestBody else { return false }
                if total >= length { return total == length }
                received = []
            case .chunked:
                guard let isOver = try? skip(&chunks) else { return false }
                if isOver { return received.isEmpty }
            }
            let before = received.count
            guard (try? await socket.receive(into: &received, atMost: Self.piece, until: deadline)) != nil else { return false }
            total += received.count - before
            guard total <= Self.longestBody else { return false }
        }
    }

    /// - Returns: whether the body is over.
    private mutating func skip(_ chunks: inout ChunkedReader) throws(MessageFault) -> Bool {
        while true {
            let (length, step) = try chunks.advance(received.span)
            received.removeFirst(length)
            switch step {
            case .data: continue
            case .needsMore: return false
            case .end: return true
            }
        }
    }
}
