/// The first line of a client that is carried though requests are asked for: other protocols send what has no line's end, and wait for an
/// answer. It is looked at as it comes, so that no server has a whole line of a request.
public struct FirstLine: Sendable {
    /// Words so far; those behind the second are not told apart.
    private var words = 0
    private var isInWord = false
    /// The first word could be a method.
    private var beginsWithToken = true
    /// How the second word begins, in lower case.
    private var target: [5 of UInt8] = [0, 0, 0, 0, 0]
    private var targetCount = 0
    /// Octets of `http/` that stand last.
    private var matched = 0

    public init() {}

    /// Nothing was said so far, or a part of HTTP/2's preface, whose servers speak before it is whole. Servers of HTTP/1 do not, whatever they
    /// take for a request: what they have answered is something else.
    public private(set) var isForEarlyServers = true
    private var count = 0

    /// Reads on.
    ///
    /// - Returns: true: it is a request to somebody, and must not go on; false: its end has come, and it is none; nil: it may be either.
    public mutating func read(_ bytes: Span<UInt8>) -> Bool? {
        for index in bytes.indices {
            if let isRequest = read(bytes[index]) { return isRequest }
        }
        return nil
    }

    private mutating func read(_ octet: UInt8) -> Bool? {
        if isForEarlyServers {
            let preface: StaticString = "PRI * HTTP/2.0\r\n"
            isForEarlyServers = count < preface.utf8CodeUnitCount && octet == preface.utf8Start[count]
            count += 1
        }
        // Empty lines in front are passed over.
        if octet == 0x0A, words > 0 { return isRequestAtItsEnd }
        guard !isBlankToSome(octet) else {
            (isInWord, matched) = (false, 0)
            return nil
        }
        let isFirst = !isInWord
        if isFirst { words = min(words + 1, 3) }
        isInWord = true
        if words == 1 {
            if !isTokenOctet(octet) { beginsWithToken = false }
            return nil
        }
        if words == 2, targetCount < target.count {
            target[targetCount] = foldedOctet(octet)
            targetCount += 1
        }
        return hasVersion(octet, isFirst) ? true : nil
    }

    /// Behind a method the version may stand anywhere; behind another word it is a word.
    private mutating func hasVersion(_ octet: UInt8, _ isFirst: Bool) -> Bool {
        let version: StaticString = "http/"
        let octet = foldedOctet(octet)
        if octet == version.utf8Start[matched], matched > 0 || isFirst || beginsWithToken {
            matched += 1
        } else {
            matched = octet == version.utf8Start[0] && beginsWithToken ? 1 : 0
        }
        return matched == version.utf8CodeUnitCount
    }

    /// What it is if it ends here: by its line feed, or with the connection.
    public var isRequestAtItsEnd: Bool { beginsWithToken && leadsToAPage }

    private var leadsToAPage: Bool {
        let scheme: StaticString = "http:"
        guard targetCount > 0 else { return false }
        return target[0] == UInt8(ascii: "/") || target.indices.allSatisfy { target[$0] == scheme.utf8Start[$0] }
    }
}
