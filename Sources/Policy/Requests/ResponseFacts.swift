/// What a rule may ask of a response of HTTP.
public struct ResponseFacts: Hashable, Sendable {
    /// The media types that it says, without parameters: one, where it is written well. A client that gets several chooses as it likes, so
    /// all of them count.
    let contentTypes: [[UInt8]]
    /// It has a body, and none of them is a type: the client will look for itself what it might be.
    let isUntyped: Bool

    /// - Parameters:
    ///   - contentTypes: the values of all Content-Type fields.
    ///   - hasBody: it may have one; what has none has no type, either.
    public init(contentTypes lines: [[UInt8]], hasBody: Bool) {
        contentTypes = lines.flatMap { line in
            line.split(separator: UInt8(ascii: ",")).compactMap { element -> [UInt8]? in
                let type = element.prefix { $0 != UInt8(ascii: ";") }.trimmingBlanks
                return type.isEmpty ? nil : Array(type)
            }
        }
        isUntyped =
            hasBody
            && !contentTypes.contains { type in
                let parts = type.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
                return parts.count == 2 && parts.allSatisfy { !$0.isEmpty }
            }
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

    func matches(_ response: ResponseFacts) -> Bool {
        switch self {
        case .type(let wildcard): response.contentTypes.contains { wildcard.matches($0) }
        case .none: response.isUntyped
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
