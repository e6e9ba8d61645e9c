/// What counts in the head of an HTTP/1 request, line by line (RFC 9112 §3, §5).
struct RequestHead: Sendable {
    let method: [UInt8]
    let target: [UInt8]
    /// HTTP/1.0. Higher minor versions than 1 are 1.1 to us (RFC 9110 §2.5).
    let isVersion10: Bool
    private(set) var fields = 0
    private(set) var hosts: [[UInt8]] = []
    private(set) var contentLengths: [[UInt8]] = []
    private(set) var hasTransferEncoding = false
    private(set) var authorizations: [[UInt8]] = []
    private(set) var accepts: [[UInt8]] = []
    private(set) var userAgents: [[UInt8]] = []

    /// Reads `METHOD TARGET HTTP/1.x`, with single spaces.
    init(requestLine line: [UInt8]) throws(HTTPFault) {
        let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 3, isToken(parts[0]) else { throw HTTPFault(badRequest: "no request line of HTTP") }
        guard !parts[1].isEmpty, parts[1].allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw HTTPFault(badRequest: "a request target with characters that it cannot have")
        }
        let version = Array(parts[2])
        guard version.count == 8, version.starts(with: "HTTP/".utf8), isDigitOctet(version[5]), version[6] == UInt8(ascii: "."),
            isDigitOctet(version[7])
        else { throw HTTPFault(badRequest: "no HTTP version at the end of the request line") }
        guard version[5] == UInt8(ascii: "1") else { throw HTTPFault(.versionNotSupported) }
        method = Array(parts[0])
        target = Array(parts[1])
        isVersion10 = version[7] == UInt8(ascii: "0")
    }

    /// Reads `name: value`. A line that begins with a blank, to go on with the one before, has no name.
    mutating func take(field line: [UInt8]) throws(HTTPFault) {
        fields += 1
        guard fields <= ConnectServer.mostFields else { throw HTTPFault(.fieldsTooLarge) }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), isToken(line[..<colon]) else {
            throw HTTPFault(badRequest: "a line that is no header field")
        }
        let value = { Array(trimmed(line[(colon + 1)...])) }
        switch String(decoding: lowercased(line[..<colon]), as: UTF8.self) {
        case "host": hosts.append(value())
        case "content-length": contentLengths.append(value())
        case "transfer-encoding": hasTransferEncoding = true
        case "proxy-authorization": authorizations.append(value())
        case "accept": accepts.append(value())
        case "user-agent": userAgents.append(value())
        default: break
        }
    }

    /// Host (RFC 9112 §3.2): one, which HTTP/1.0 may do without. What it says does not count for CONNECT, but it must say something
    /// that it can.
    func checkHost() throws(HTTPFault) {
        guard hosts.count == 1 || hosts.isEmpty && isVersion10 else { throw HTTPFault(badRequest: "no Host field, or several") }
        guard hosts.allSatisfy({ $0.isEmpty || isHost($0[...]) }) else {
            throw HTTPFault(badRequest: "a Host field that names no host")
        }
    }
}

/// Reads `HOST:PORT`, the port a number from 1 to 65535 without zeros in front of it. CONNECT knows no other form of target, and
/// no default for the port (RFC 9110 §9.3.6).
func connectTarget(_ authority: [UInt8]) -> ProxyTarget? {
    guard let colon = authority.lastIndex(of: UInt8(ascii: ":")),
        let port = portNumber(authority[(colon + 1)...]),
        let host = ProxyTarget.Host(authority: authority[..<colon])
    else { return nil }
    return ProxyTarget(host, port: port)
}

extension ProxyTarget {
    /// Reads `HOST:PORT`, or `HOST` alone where there is a default.
    public init?(authority: [UInt8], defaultPort: UInt16?) {
        if let target = connectTarget(authority) {
            self = target
        } else {
            guard let defaultPort, let host = Host(authority: authority[...]) else { return nil }
            self.init(host, port: defaultPort)
        }
    }
}

private func isHost(_ value: ArraySlice<UInt8>) -> Bool {
    ProxyTarget.Host(authority: value) != nil || connectTarget(Array(value)) != nil
}

private func portNumber(_ digits: ArraySlice<UInt8>) -> UInt16? {
    guard (1...5).contains(digits.count), digits.first != UInt8(ascii: "0"), digits.allSatisfy(isDigitOctet) else { return nil }
    return UInt16(String(decoding: digits, as: UTF8.self))
}

/// Without the blanks around it (RFC 9110 §5.5).
private func trimmed(_ value: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let value = value.drop(while: isBlankOctet)
    guard let last = value.lastIndex(where: { !isBlankOctet($0) }) else { return [] }
    return value[...last]
}
