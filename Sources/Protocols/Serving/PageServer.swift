/// The server's side of an HTTP/1 request for a page of ours (RFC 9110 §9.3.1), read as strictly as ``ConnectServer`` reads its own.
/// One request for a connection, without a body: whatever follows the head is not looked at.
public struct PageServer: Sendable {
    /// Bytes of a request that may have to be looked at together; with so many given, `needsMore` is no answer.
    public static let longestPart = ConnectServer.longestPart

    public enum Step: Equatable, Sendable {
        case needsMore
        case request(PageRequest)
        /// Send this and close.
        case reject(status: Int, answer: [UInt8])
    }

    private var lines = HTTPLines()
    private var head: RequestHead?

    public init() {}

    /// Takes in what has come.
    ///
    /// - Returns: how many of the bytes were taken, and what to do. The others come again with those that follow.
    public mutating func advance(_ bytes: Span<UInt8>) -> (length: Int, step: Step) {
        let start = lines.taken
        do throws(HTTPFault) {
            while true {
                let rest = bytes.extracting((lines.taken - start)..<bytes.count)
                guard let step = try step(rest) else { return (lines.taken - start, .needsMore) }
                guard step == .needsMore else { return (lines.taken - start, step) }
            }
        } catch {
            let status = error.answer.flatMap { Int($0.status.prefix(3)) } ?? 400
            let isHead = head?.method.elementsEqual("HEAD".utf8) == true
            return (lines.taken - start, .reject(status: status, answer: error.answer?.bytes(isHead: isHead) ?? []))
        }
    }

    /// Takes one line.
    ///
    /// - Returns: nil when none is there; `needsMore` when there may be another.
    private mutating func step(_ bytes: Span<UInt8>) throws(HTTPFault) -> Step? {
        guard var head else {
            let longest = ConnectServer.longestRequestLine
            guard let line = try lines.next(bytes, longest: longest, tooLong: .targetTooLong) else { return nil }
            head = try RequestHead(requestLine: line.map { bytes[$0] })
            return .needsMore
        }
        let longest = ConnectServer.longestField
        guard let line = try lines.next(bytes, longest: longest, tooLong: .fieldsTooLarge) else { return nil }
        guard line.isEmpty else {
            try head.take(field: line.map { bytes[$0] })
            self.head = head
            return .needsMore
        }
        try head.checkHost()
        guard let method = PageRequest.Method(head.method) else { throw HTTPFault(.methodNotAllowed) }
        return .request(PageRequest(method, head))
    }
}

/// What somebody wants to read.
public struct PageRequest: Hashable, Sendable {
    public enum Method: String, Sendable {
        case get = "GET"
        case head = "HEAD"

        init?(_ bytes: [UInt8]) { self.init(rawValue: String(decoding: bytes, as: UTF8.self)) }
    }

    public var method: Method
    public var target: String
    public var host: String
    public var userAgent: String
    /// The media types that it takes, in lower case, without those of quality 0 and without parameters. Empty: any.
    public var types: [String]

    init(_ method: Method, _ head: RequestHead) {
        self.method = method
        target = String(decoding: head.target, as: UTF8.self)
        host = String(decoding: head.hosts.first ?? [], as: UTF8.self)
        userAgent = String(decoding: head.userAgents.first ?? [], as: UTF8.self)
        types = head.accepts.flatMap { Self.types($0) }
    }

    /// Accept (RFC 9110 §12.5.1), as far as it says which types will do.
    private static func types(_ value: [UInt8]) -> [String] {
        value.split(separator: UInt8(ascii: ",")).compactMap { range in
            let parts = range.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map { part in
                String(decoding: lowercased(part.filter { $0 != 0x20 && $0 != 0x09 }[...]), as: UTF8.self)
            }
            let isUnwanted = parts.dropFirst().contains {
                $0.hasPrefix("q=") && $0.dropFirst(2).allSatisfy { $0 == "0" || $0 == "." }
            }
            return isUnwanted ? nil : parts[0]
        }
    }
}
