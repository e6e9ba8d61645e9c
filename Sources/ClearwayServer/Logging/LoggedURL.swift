/// What may be logged of a URL.
enum LoggedURL {
    /// Up to the question mark, which stays: that there was a query may be known. A fragment goes as well.
    static func withoutQuery(_ url: [UInt8]) -> [UInt8] {
        guard let end = url.firstIndex(where: { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }) else { return url }
        return Array(url[...end])
    }

    static func withoutQuery(_ url: String) -> String {
        String(decoding: withoutQuery(Array(url.utf8)), as: UTF8.self)
    }

    /// Without the user and the password that a client should not have sent in a Referer (RFC 9110 §10.1.3).
    static func withoutUser(_ url: [UInt8]) -> [UInt8] {
        guard let mark = url.lastIndex(of: UInt8(ascii: "@")), let start = authority(url), start <= mark else { return url }
        let end = url[start...].firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }
        guard let last = url[start..<(end ?? url.endIndex)].lastIndex(of: UInt8(ascii: "@")) else { return url }
        return Array(url[..<start] + url[(last + 1)...])
    }

    /// Behind the first two slashes.
    private static func authority(_ url: [UInt8]) -> Int? {
        guard let colon = url.firstIndex(of: UInt8(ascii: ":")), url[colon...].starts(with: "://".utf8) else { return nil }
        return colon + 3
    }
}
