internal import Protocols

// HTTP/1 as an intercepted client or a server sends it: heads and chunks.

/// In whatever pieces a request comes, it is the same one; and what we make of it is read as what it was, however often.
func checkRequestMessage(_ bytes: [UInt8]) -> String? {
    checkMessage(bytes, .request) { head, bytes in
        _ = prefersHTML(head, bytes)
        // It counts down.
        guard let message = try? RequestMessage(head, bytes), message.maxForwards == nil else { return nil }
        var output: [UInt8] = []
        MessageWriter(via: nil).write(message, head, bytes, into: &output)
        return ("\(message.method) \(message.body) \(message.upgrade != nil) \(message.expectsContinue)", output)
    }
}

/// What is no request by its first bytes is none by all of them: else it would be carried unseen in pieces. But where octets come that no line
/// has, the rest is waited for by nobody. What does not say so far, and is carried, is found out in time.
func checkBeginsHTTP(_ bytes: [UInt8]) -> String? {
    _ = beginsWithPage(bytes.span)
    for isJudged in [false, true] {
        let whole = beginsHTTP(bytes.span, isJudged: isJudged)
        var isDecided = false
        var isCarried = false
        for count in 0...bytes.count where !isDecided {
            let part = bytes.span.extracting(0..<count)
            switch beginsHTTP(part, isJudged: isJudged) {
            case false:
                isDecided = true
                let isText = bytes[..<count].allSatisfy { 0x20...0x7E ~= $0 || [0x09, 0x0A, 0x0D].contains($0) }
                if whole != false, isText || !isJudged { return "\(count) bytes of a request are none" }
            case nil: if !mayBeginHTTP(part) { isCarried = true }
            case true: isDecided = true
            }
            if beginsHTTP2(part) == true, beginsHTTP(part, isJudged: isJudged) != true { return "HTTP/2 is no HTTP" }
        }
        if isJudged, isCarried, whole == true, carriedLine(bytes) != true { return "a request is carried to its end" }
    }
    return nil
}

/// What comes of it byte by byte.
private func carriedLine(_ bytes: [UInt8]) -> Bool? {
    var line = FirstLine()
    for index in bytes.indices {
        if let isRequest = line.read(bytes.span.extracting(index..<index + 1)) { return isRequest }
    }
    return nil
}

/// The first byte says what the response answers, too.
func checkResponseMessage(_ bytes: [UInt8]) -> String? {
    let method: RequestMethod = (bytes.first ?? 0) & 1 == 0 ? .get : .head
    return checkMessage(bytes, .response) { head, bytes in
        guard let message = try? ResponseMessage(head, bytes, to: method) else { return nil }
        var output: [UInt8] = []
        MessageWriter(via: nil).write(message, head, bytes, body: message.body, keepsAlive: true, into: &output)
        return ("\(message.status) \(message.body)", output)
    }
}

/// The first byte says in which pieces the others come.
func checkChunks(_ bytes: [UInt8]) -> String? {
    guard let first = bytes.first else { return nil }
    let (pieces, fault) = playChunks(bytes.dropFirst(), chunk: chunk(first))
    if let fault { return fault }
    let whole = playChunks(bytes.dropFirst(), chunk: .max).end
    return pieces == whole ? nil : "in pieces: \(pieces), all: \(whole)"
}

private typealias Meaning = (says: String, written: [UInt8])

private func checkMessage(
    _ bytes: [UInt8], _ kind: HeadReader.Kind, _ meaning: (HeadReader, Span<UInt8>) -> Meaning?
) -> String? {
    guard let first = bytes.first else { return nil }
    let text = Array(bytes.dropFirst())
    let whole = read(text, kind, chunk: .max, meaning)
    let pieces = read(text, kind, chunk: chunk(first), meaning)
    guard whole?.says == pieces?.says, whole?.written == pieces?.written else { return "in pieces it is another one" }
    guard let whole else { return nil }
    guard whole.written.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 9 || $0 == 10 || $0 == 13 }) else {
        return "a control character is passed on"
    }
    guard let again = read(whole.written, kind, chunk: .max, meaning) else { return "what is written cannot be read" }
    guard again.says == whole.says else { return "\(whole.says) is written as \(again.says)" }
    return again.written == whole.written ? nil : "it changes each time that it is written"
}

private func read(
    _ bytes: [UInt8], _ kind: HeadReader.Kind, chunk: Int, _ meaning: (HeadReader, Span<UInt8>) -> Meaning?
) -> Meaning? {
    var head = HeadReader(kind)
    var count = 0
    while true {
        count = chunk == .max ? bytes.count : min(count + chunk, bytes.count)
        guard let isWhole = try? head.read(bytes.span.extracting(0..<count)) else { return nil }
        if isWhole { return meaning(head, bytes.span) }
        guard count < bytes.count else { return nil }
    }
}

private func playChunks(_ bytes: ArraySlice<UInt8>, chunk: Int) -> (end: String, fault: String?) {
    var reader = ChunkedReader()
    var data = 0
    var sum: UInt32 = 0
    var end = "not whole"
    let fault = feed(bytes, chunk: chunk) { bytes in
        do throws(MessageFault) {
            let (length, step) = try reader.advance(bytes)
            switch step {
            case .needsMore: return (length, bytes.count - length >= ChunkedReader.longestTrailers ? .stuck : .goesOn)
            case .data(let place):
                data += place.count
                for offset in place { sum = sum &* 31 &+ UInt32(bytes[offset]) }
                return (length, length == 0 ? .stuck : .goesOn)
            case .end(let trailers):
                end = "\(data) \(sum) \(trailers)"
                return (length, .ends)
            }
        } catch {
            end = "fault"
            return (0, .ends)
        }
    }
    return (end, fault)
}
