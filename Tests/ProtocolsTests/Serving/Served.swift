import Protocols
import Testing
import TransparentSockets

/// What a client got from a server's side of a handshake.
struct Served: Equatable {
    /// What was sent on the way; the answer of a rejection is not in it.
    var sent: [[UInt8]] = []
    /// What was to be judged.
    var credentials: ServedCredentials?
    var end = ServingStep.needsMore
    /// The client's bytes that were not taken.
    var left: [UInt8] = []

    /// Gives the client's bytes `chunk` at a time, as a socket would.
    ///
    /// - Parameter password: the one that is accepted, whoever has it.
    init(_ server: some ServingHandshake, _ bytes: [UInt8], chunk: Int = .max, password: String = "secret") {
        var server = server
        var rest = bytes[...]
        var length = 0
        while true {
            switch end {
            case .send(let answer): sent.append(answer)
            case .authenticate(let shown):
                credentials = shown
                let verdictDue = server.advance(left.span)
                #expect(verdictDue == (0, .needsMore), "nothing is taken while a verdict is due")
                end = server.judge(accepted: shown.password == Array(password.utf8))
                length = 0
                continue
            case .needsMore where length == 0:
                guard !rest.isEmpty else { return }
                left += rest.prefix(chunk)
                rest = rest.dropFirst(chunk)
            case .needsMore: break
            case .request, .reject:
                left += rest
                return
            }
            (length, end) = server.advance(left.span)
            guard length <= left.count else {
                Issue.record("took \(length) of \(left.count) bytes")
                return
            }
            left.removeFirst(length)
        }
    }
}

/// Plays it in pieces of every size and expects the same each time.
@discardableResult
func served(
    _ server: some ServingHandshake, _ bytes: [UInt8], password: String = "secret",
    sourceLocation: SourceLocation = #_sourceLocation
) -> Served {
    let whole = Served(server, bytes, password: password)
    for chunk in [1, 2, 3, 7, 100] {
        let pieces = Served(server, bytes, chunk: chunk, password: password)
        switch (pieces.end, whole.end) {
        case (.reject, .reject):
            // What is thrown away does not matter, and how much of it had come before.
            #expect((pieces.sent, pieces.end) == (whole.sent, whole.end), "pieces of \(chunk)", sourceLocation: sourceLocation)
        default: #expect(pieces == whole, "pieces of \(chunk)", sourceLocation: sourceLocation)
        }
    }
    return whole
}

/// A whole handshake ends in `request`, any part of it in `needsMore`, and what lies behind it stays there.
func expectRequest(
    _ server: some ServingHandshake, _ bytes: [UInt8], _ request: ServedRequest, sent: [[UInt8]] = [],
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let behind: [UInt8] = [5, 1, 0, 1, 10, 0, 0, 1, 0, 80] + Array("\r\nPOST / HTTP/1.1\r\n\r\n".utf8)
    for tail in [[], behind] {
        let outcome = served(server, bytes + tail, sourceLocation: sourceLocation)
        #expect(outcome.end == .request(request), sourceLocation: sourceLocation)
        #expect(outcome.sent == sent, sourceLocation: sourceLocation)
        #expect(outcome.left == tail, sourceLocation: sourceLocation)
    }
    for count in 0..<bytes.count {
        let part = Served(server, Array(bytes[..<count]))
        #expect(part.end == .needsMore, "\(count) bytes", sourceLocation: sourceLocation)
        #expect(sent.starts(with: part.sent), sourceLocation: sourceLocation)
    }
}

/// It is rejected with this answer, and nothing behind it changes that.
@discardableResult
func expectRejection(
    _ server: some ServingHandshake, _ bytes: [UInt8], answer: [UInt8]? = nil, sent: [[UInt8]] = [],
    sourceLocation: SourceLocation = #_sourceLocation
) -> ServingFault? {
    let outcome = served(server, bytes, sourceLocation: sourceLocation)
    guard case .reject(let rejection, let fault) = outcome.end else {
        Issue.record("\(outcome.end)", sourceLocation: sourceLocation)
        return nil
    }
    if let answer { #expect(rejection == answer, sourceLocation: sourceLocation) }
    #expect(outcome.sent == sent, sourceLocation: sourceLocation)
    let more = served(server, bytes + [5, 1, 0, 1, 10, 0, 0, 1, 0, 80], sourceLocation: sourceLocation)
    #expect(more.end == outcome.end && more.sent == sent, sourceLocation: sourceLocation)
    return fault
}

extension ServedRequest {
    /// `192.0.2.1` or `example.com`, as a client would have it.
    init(_ command: Command, _ host: String, _ port: UInt16) {
        self.init(command, ProxyTarget(IPAddress(host).map { .address($0) } ?? .name(host), port: port))
    }
}
