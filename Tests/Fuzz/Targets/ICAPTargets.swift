internal import Protocols

/// What a service of ICAP says: its parts lie one behind the other, and nothing of what it says of itself is beyond its bounds. In whatever
/// pieces its head comes, it is the same one.
func checkICAPResponse(_ bytes: [UInt8]) -> String? {
    let whole = readICAP(bytes, pieces: .max)
    guard readICAP(bytes, pieces: 1) == whole else { return "in pieces it is another one" }
    guard case .read(let status, let encapsulated, let threat, let options) = whole else { return nil }
    guard 100..<600 ~= status else { return "status \(status)" }
    if let encapsulated {
        let heads = [encapsulated.requestHead, encapsulated.responseHead].compactMap { $0 }
        guard heads.allSatisfy({ 1...HeadReader.longestHead ~= $0 }), encapsulated.headLength == heads.reduce(0, +) else {
            return "heads of \(heads) bytes"
        }
    }
    if let threat, threat.isEmpty || threat.count > 128 { return "a threat of \(threat.count) characters" }
    if let options {
        guard 0...ICAPOptions.longestPreview ~= options.preview ?? 0, options.mostConnections ?? 1 > 0, options.lifetime ?? 0 >= 0
        else { return "\(options)" }
        _ = options.transfer(ofPath: String(decoding: bytes, as: UTF8.self))
    }
    return nil
}

private enum ReadICAP: Equatable {
    case incomplete
    case fault
    case read(Int, Encapsulated?, threat: String?, ICAPOptions?)
}

private func readICAP(_ bytes: [UInt8], pieces: Int) -> ReadICAP {
    var head = HeadReader(.service)
    var count = 0
    do {
        repeat {
            count = pieces == .max ? bytes.count : min(count + pieces, bytes.count)
            guard try head.read(bytes.span.extracting(0..<count)) else { continue }
            let response = try ICAPResponse(head, bytes.span)
            return .read(
                response.status, response.encapsulated, threat: response.threat, try? ICAPOptions(head, bytes.span))
        } while count < bytes.count
    } catch {
        return .fault
    }
    return .incomplete
}
