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

    /// Without the user and the password that a client should not have sent in a Referer (RFC 9110 §10.1.3), wherever an authority
    /// may begin: behind any two slashes, for a URL may have no scheme, or another URL within it. A backslash counts as one, as it does for
    /// browsers; but none ends an authority, for not everybody reads it so.
    static func withoutUser(_ url: [UInt8]) -> [UInt8] {
        guard url.contains(UInt8(ascii: "@")) else { return url }
        var kept: [UInt8] = []
        var rest = url[...]
        var slashes = 0
        while let octet = rest.first {
            if !isSlash(octet), slashes >= 2, let mark = authority(rest).lastIndex(of: UInt8(ascii: "@")) {
                // What was kept still ends with the slashes.
                rest = rest[(mark + 1)...]
                continue
            }
            slashes = isSlash(octet) ? slashes + 1 : 0
            kept.append(octet)
            rest.removeFirst()
        }
        return kept
    }

    private static func isSlash(_ octet: UInt8) -> Bool { octet == UInt8(ascii: "/") || octet == UInt8(ascii: "\\") }

    private static func authority(_ url: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        url.prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
    }
}
