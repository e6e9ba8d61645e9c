/// What a rule may ask of a response of HTTP.
public struct ResponseFacts: Hashable, Sendable {
    /// The media types that it says, without parameters: one, where it is written well. A client that gets several chooses as it likes, so
    /// all of them count; some read over quotes, so what is in them counts as well. In lower case, as patterns are compared with it.
    let contentTypes: [[UInt8]]
    /// It has a body, and says no type, or what is none: the client may look for itself what it might be.
    let isUntyped: Bool

    /// - Parameters:
    ///   - contentTypes: the values of all Content-Type fields.
    ///   - hasBody: it may have one; what has none has no type, either.
    public init(contentTypes lines: [[UInt8]], hasBody: Bool) {
        let said = lines.flatMap { line in
            line.split(separator: UInt8(ascii: ",")).compactMap { element -> [UInt8]? in
                let type = element.prefix { $0 != UInt8(ascii: ";") }.trimmingBlanks
                return type.isEmpty ? nil : Array(type)
            }
        }
        let quoted = said.filter { $0.contains(UInt8(ascii: "\"")) }
        let all = said + quoted.map { type in Array(type.filter { $0 != UInt8(ascii: "\"") }[...].trimmingBlanks) }
        contentTypes = all.map { $0.map(foldedOctet) }
        isUntyped = hasBody && (said.isEmpty || !said.allSatisfy(isMediaType))
    }
}

/// TOKEN/TOKEN (RFC 9110 §8.3.1).
private func isMediaType(_ text: [UInt8]) -> Bool {
    let parts = text.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    return parts.count == 2 && parts.allSatisfy { part in !part.isEmpty && part.allSatisfy(isTokenOctet) }
}

/// Source: RFC 9110 §5.6.2.
private func isTokenOctet(_ octet: UInt8) -> Bool {
    switch octet {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"): true
    default: "!#$%&'*+-.^_`|~".utf8.contains(octet)
    }
}

extension ArraySlice<UInt8> {
    fileprivate var trimmingBlanks: ArraySlice<UInt8> {
        func isBlank(_ octet: UInt8) -> Bool { octet == 0x20 || octet == 0x09 }
        var rest = drop(while: isBlank)
        while let last = rest.last, isBlank(last) { rest.removeLast() }
        return rest
    }
}

/// What a rule's `content_type` says.
public enum ContentTypePattern: Hashable, Sendable {
    /// Media types, with `*`.
    case type(Wildcard)
    /// A body that is of no type.
    case none

    /// Reads `video/*`, or `none`. Nil: it has no `/`, has parameters, or is too long.
    public init?(_ text: String) {
        if text == "none" {
            self = .none
            return
        }
        let isType =
            text.utf8.count { $0 == UInt8(ascii: "/") } == 1
            && text.utf8.allSatisfy { 0x21...0x7E ~= $0 && $0 != UInt8(ascii: ";") && $0 != UInt8(ascii: ",") }
        guard isType, !text.hasPrefix("/"), !text.hasSuffix("/"), let wildcard = Wildcard(text) else { return nil }
        self = .type(wildcard)
    }

    /// - Parameter left: at nothing, it matches whatever the types are: only rules that reject ask for them.
    func matches(_ response: ResponseFacts, _ left: inout Int) -> Bool {
        switch self {
        case .type(let wildcard):
            for type in response.contentTypes {
                guard left > 0 else { return true }
                if wildcard.matches(type, folded: type, &left) { return true }
            }
            return false
        case .none: return response.isUntyped
        }
    }

    /// Whether it matches wherever `other` does.
    func covers(_ other: ContentTypePattern) -> Bool {
        switch (self, other) {
        case (.type(let ours), .type(let theirs)): ours.covers(theirs)
        case (.none, .none): true
        default: false
        }
    }
}
