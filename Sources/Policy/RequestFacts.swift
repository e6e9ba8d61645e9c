/// What a rule may ask of a request of HTTP.
public struct RequestFacts: Hashable, Sendable {
    /// As the client wrote it; case counts.
    public let method: String
    /// Without the query, as the client wrote it.
    public let path: String
    /// What a server may make of it: percent-encoding taken away once, `\` for `/`, without parameters (`;…`), empty segments, and `.` and
    /// `..`.
    public let resolvedPath: String

    /// - Parameter target: path and query, or nothing.
    public init(method: String, target: String) {
        self.method = method
        let written = target.utf8.prefix { $0 != UInt8(ascii: "?") }
        path = written.isEmpty ? "/" : String(decoding: written, as: UTF8.self)
        resolvedPath = Self.resolved(Array(path.utf8))
    }

    private static func resolved(_ path: [UInt8]) -> String {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(path.count)
        var rest = path[...]
        while let octet = rest.popFirst() {
            if octet == UInt8(ascii: "%"), let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
                rest.count >= 2,
                rest.first != UInt8(ascii: "+"), rest.first != UInt8(ascii: "-")
            {
                decoded.append(value)
                rest = rest.dropFirst(2)
            } else {
                decoded.append(octet)
            }
        }
        var segments: [ArraySlice<UInt8>] = []
        let parts = decoded.split(omittingEmptySubsequences: false) { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }
        var endsWithSlash = false
        for part in parts {
            let segment = part.prefix { $0 != UInt8(ascii: ";") }
            endsWithSlash = true
            if segment.elementsEqual("..".utf8) {
                if !segments.isEmpty { segments.removeLast() }
            } else if !segment.isEmpty, !segment.elementsEqual(".".utf8) {
                segments.append(segment)
                endsWithSlash = false
            }
        }
        var result: [UInt8] = []
        for segment in segments { result += [UInt8(ascii: "/")] + segment }
        if endsWithSlash || result.isEmpty { result.append(UInt8(ascii: "/")) }
        return String(decoding: result, as: UTF8.self)
    }
}

/// A path of a rule: itself, or with `*` at its end whatever begins so.
public struct PathPattern: Hashable, Sendable {
    private let start: String
    private let isPrefix: Bool

    /// Nil: it does not begin with `/`, or has a query, a fragment, or `*` in its middle.
    public init?(_ text: String) {
        isPrefix = text.hasSuffix("*")
        start = String(isPrefix ? text.dropLast() : text[...])
        guard start.hasPrefix("/"), !start.contains(where: { "?#*".contains($0) }) else { return nil }
    }

    func matches(_ path: String) -> Bool { isPrefix ? path.utf8.starts(with: start.utf8) : path == start }

    /// Whether it matches wherever `other` does.
    func covers(_ other: PathPattern) -> Bool {
        isPrefix ? other.start.utf8.starts(with: start.utf8) : !other.isPrefix && other.start == start
    }
}

extension PathPattern: CustomStringConvertible {
    public var description: String { start + (isPrefix ? "*" : "") }
}
