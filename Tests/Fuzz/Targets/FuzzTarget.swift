internal import Policy
internal import Protocols
internal import TransparentSockets

/// A parser of what strangers send, and what must hold for any bytes whatever. That it does not trap goes without saying: a trap
/// ends the process, and whoever runs this notices.
public struct FuzzTarget: Sendable {
    /// The name of its corpus.
    public let name: String
    /// - Returns: what does not hold; nil: all is well.
    public let check: @Sendable (_ bytes: [UInt8]) -> String?

    public static let all = [
        FuzzTarget(name: "sniff", check: checkSniff),
        FuzzTarget(name: "handshake", check: checkHandshake),
        FuzzTarget(name: "probe", check: checkProbe),
        FuzzTarget(name: "name", check: checkName),
        FuzzTarget(name: "socks-server", check: checkSOCKSServer),
        FuzzTarget(name: "connect-server", check: checkConnectServer),
        FuzzTarget(name: "page-server", check: checkPageServer),
        FuzzTarget(name: "socks-datagram", check: checkSOCKSDatagram),
        FuzzTarget(name: "begins-http", check: checkBeginsHTTP),
        FuzzTarget(name: "http-request", check: checkRequestMessage),
        FuzzTarget(name: "http-response", check: checkResponseMessage),
        FuzzTarget(name: "http-chunks", check: checkChunks),
        FuzzTarget(name: "forwarded", check: checkForwarded),
        FuzzTarget(name: "icap-response", check: checkICAPResponse),
    ]
}

/// What was decided on some bytes stays decided when more come.
private func checkSniff(_ bytes: [UInt8]) -> String? {
    let whole = sniff(bytes.span)
    if case .name(let name) = whole, name.count > bytes.count { return "a name longer than the bytes" }
    let step = max(bytes.count / 32, 1)
    for count in stride(from: 0, to: bytes.count, by: step) {
        let part = sniff(bytes.span.extracting(0..<count))
        guard part == .needsMore || part == whole else { return "\(count) bytes: \(part), all \(bytes.count): \(whole)" }
    }
    return nil
}

/// The first byte says which proxy, with or without credentials, and in which pieces its bytes come.
private func checkHandshake(_ bytes: [UInt8]) -> String? {
    guard let first = bytes.first else { return nil }
    let (kind, credentials) = subject(first)
    let target = ProxyTarget(first & 8 == 0 ? .address(.v4(IPv4Address(bits: 0xC000_0201))) : .name("a.example"), port: 443)
    guard var handshake = ProxyHandshake(kind, target, credentials) else { return "no handshake" }
    return feed(bytes.dropFirst(), chunk: chunk(first)) { bytes in
        let (length, step) = handshake.advance(bytes)
        switch step {
        case .needsMore: return (length, bytes.count >= handshake.longestAnswer ? .stuck : .goesOn)
        case .send(let reply): return (length, reply.isEmpty ? .stuck : .goesOn)
        case .done, .refused, .invalid: return (length, .ends)
        }
    }
}

private func checkProbe(_ bytes: [UInt8]) -> String? {
    guard let first = bytes.first else { return nil }
    let (kind, credentials) = subject(first)
    var probe = ProxyProbe(kind, credentials)
    return feed(bytes.dropFirst(), chunk: chunk(first)) { bytes in
        let (length, step) = probe.advance(bytes)
        switch step {
        case .needsMore: return (length, bytes.count >= ConnectClient.longestAnswer ? .stuck : .goesOn)
        case .send(let reply): return (length, reply.isEmpty ? .stuck : .goesOn)
        case .works, .fails: return (length, .ends)
        }
    }
}

/// A header lies within its datagram, and what follows it changes nothing. An address is written as it was read, if that was not a
/// mapped one.
private func checkSOCKSDatagram(_ bytes: [UInt8]) -> String? {
    guard case .datagram(let target, let length) = SOCKSDatagram.read(bytes.span) else { return nil }
    guard 10...SOCKSDatagram.longestHeader ~= length || bytes[3] == 3, length <= bytes.count else {
        return "a header of \(length) bytes"
    }
    guard SOCKSDatagram.read(bytes.span.extracting(0..<length)) == .datagram(target, header: length) else { return "not by itself" }
    guard case .address(let address) = target.host, bytes[3] != 3, address.isIPv6 == (bytes[3] == 4) else { return nil }
    let written = SOCKSDatagram.header(SocketAddress(address, port: target.port))
    return written == Array(bytes.prefix(length)) ? nil : "\(address) is not written as it was read"
}

/// A name is in one form, and no address.
private func checkName(_ bytes: [UInt8]) -> String? {
    _ = DomainPattern(String(decoding: bytes, as: UTF8.self))
    if let address = IPAddress(anySpelling: String(decoding: bytes, as: UTF8.self)), IPAddress(address.description) != address {
        return "\(address) is not read as it is written"
    }
    guard let name = DomainName(wire: bytes.span) else { return nil }
    let text = Array(name.description.utf8)
    guard text.count <= DomainName.longest, DomainName(wire: text.span) == name else { return "\(name) has another form" }
    guard !text.contains(where: { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 }) else { return "\(name) is not in lower case" }
    return nil
}

private func subject(_ first: UInt8) -> (ProxyHandshake.Kind, ProxyCredentials?) {
    let kinds = ProxyHandshake.Kind.allCases
    return (kinds[Int(first & 3) % kinds.count], first & 4 == 0 ? nil : ProxyCredentials(user: "me", password: "secret"))
}

func chunk(_ first: UInt8) -> Int { [1, 2, 7, 65_536][Int(first >> 6)] }

enum Outcome { case goesOn, ends, stuck }

/// Gives bytes as a socket would: what was not taken comes again, with what follows.
func feed(_ bytes: ArraySlice<UInt8>, chunk: Int, _ advance: (Span<UInt8>) -> (Int, Outcome)) -> String? {
    var rest = bytes
    var buffer: [UInt8] = []
    while true {
        let (length, outcome) = advance(buffer.span)
        guard length >= 0, length <= buffer.count else { return "took \(length) of \(buffer.count) bytes" }
        buffer.removeFirst(length)
        switch outcome {
        case .ends: return nil
        case .stuck: return "waits for more than may come"
        case .goesOn: break
        }
        // A step that took something may have more to take.
        if length > 0 { continue }
        guard !rest.isEmpty else { return nil }
        buffer += rest.prefix(chunk)
        rest = rest.dropFirst(chunk)
    }
}
