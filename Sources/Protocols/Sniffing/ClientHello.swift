/// Looks for the server name (RFC 6066 §3) in a ClientHello (RFC 8446 §4.1.2), which may lie in several records, of which the
/// last may not be there yet. With Encrypted ClientHello it is the outer name.
func sniffClientHello(_ bytes: Span<UInt8>) -> Sniff {
    // The handshake message, taken out of its records. What follows it is not ours to judge: with early data there is more.
    var message: [UInt8] = []
    var records = Reader(bytes)
    var isBroken = false
    while records.rest > 0, !isWhole(message), !isBroken {
        guard let type = records.number8() else { break }
        isBroken = type != 0x16
        guard !isBroken, let version = records.number16() else { break }
        isBroken = version >> 8 != 3
        guard !isBroken, let length = records.number16() else { break }
        isBroken = !(1...16_384).contains(length)
        guard !isBroken else { break }
        message += records.take(min(length, records.rest)) ?? []
    }
    // Even then: what the bytes before it said must not depend on how many of them came at a time.
    let found = sniffMessage(message.span)
    return isBroken && found == .needsMore ? .none : found
}

private func isWhole(_ message: [UInt8]) -> Bool {
    message.count >= 4 && message.count >= 4 + (Int(message[1]) << 16 | Int(message[2]) << 8 | Int(message[3]))
}

private func sniffMessage(_ message: Span<UInt8>) -> Sniff {
    var reader = Reader(message)
    guard let type = reader.number8() else { return .needsMore }
    guard type == 1 else { return .none }
    guard let length = reader.number24() else { return .needsMore }
    // What is said to follow beyond the message would be another one: no ClientHello has that.
    let end = 4 + length
    // legacy_version, random, then three lists of which the lengths alone matter.
    guard reader.skip(2 + 32) else { return shortOf(end, message) }
    guard let session = reader.number8(), reader.skip(session) else { return shortOf(end, message) }
    guard let ciphers = reader.number16(), reader.skip(ciphers) else { return shortOf(end, message) }
    guard let compressions = reader.number8(), reader.skip(compressions) else { return shortOf(end, message) }
    guard let extensions = reader.number16() else { return shortOf(end, message) }
    let last = reader.position + extensions
    guard last <= end else { return .none }
    while reader.position < last {
        guard let kind = reader.number16(), let size = reader.number16() else { return shortOf(end, message) }
        guard reader.position + size <= last else { return .none }
        guard kind == 0 else {
            guard reader.skip(size) else { return shortOf(end, message) }
            continue
        }
        guard let list = reader.take(size) else { return shortOf(end, message) }
        return serverName(list.span)
    }
    return .none
}

/// The message ends too early: for now, or for good?
private func shortOf(_ end: Int, _ message: Span<UInt8>) -> Sniff { message.count < end ? .needsMore : .none }

private func serverName(_ list: Span<UInt8>) -> Sniff {
    var reader = Reader(list)
    guard let length = reader.number16(), length == reader.rest else { return .none }
    while reader.rest > 0 {
        guard let type = reader.number8(), let size = reader.number16(), let name = reader.take(size) else { return .none }
        if type == 0 { return name.isEmpty ? .none : .name(name) }
    }
    return .none
}
