/// What browsers make of the value of an attribute of HTML, as far as it matters to what a stranger may write there.
enum PlacedAttribute {
    case text
    /// A script, styles or a page of its own, or what a script's text comes from.
    case code(String)
    /// A URL that a person may follow.
    case link
    /// A URL from which something is loaded, or to which something is sent.
    case resource(String)

    /// What chooses or changes what is run or styled, in some element.
    private static let code: Set<String> = [
        "style", "srcdoc", "srcset", "imagesrcset", "http-equiv", "content", "ping", "type", "rel", "charset", "sandbox",
        "allow", "is", "classid", "code", "codebase", "archive",
        // They change an attribute of another element (SVG).
        "attributename", "to", "from", "by", "values",
    ]
    private static let resources: Set<String> = [
        "href", "xlink:href", "src", "action", "formaction", "data", "poster", "background", "manifest", "longdesc", "cite",
        "lowsrc", "dynsrc", "profile", "attributionsrc",
    ]

    /// - Parameters: in lower case.
    init(_ name: String, of tag: String) {
        let isLink = name == "href" || name == "xlink:href"
        if name.hasPrefix("on") || Self.code.contains(name) || tag == "script" && (isLink || name == "src")
            || tag == "base" && isLink || tag == "param" && name == "value"
        {
            self = .code(name)
        } else if isLink, tag == "a" || tag == "area" {
            self = .link
        } else {
            self = Self.resources.contains(name) ? .resource(name) : .text
        }
    }
}

/// How a URL begins before what a stranger wrote.
struct URLStart {
    /// In lower case; browsers skip blanks and controls within a scheme.
    private let text: String

    init(_ value: [UInt8]) { text = String(decoding: value.filter { $0 > 0x20 }, as: UTF8.self) }

    var isEmpty: Bool { text.isEmpty }
    var isScript: Bool { text.contains("javascript:") || text.contains("vbscript:") || text.hasPrefix("data:") }

    /// Whose scheme is known to run nothing: what follows is only where it leads. Without a beginning that is what the client asked for, which
    /// has a scheme of its own.
    var isHarmless: Bool {
        if isScript { return false }
        if text.isEmpty || ["http:", "https:", "mailto:", "/", "?", "#", "."].contains(where: { text.hasPrefix($0) }) {
            return true
        }
        // A path, if the scheme that it might have been would have ended by now. Character references hide letters and colons.
        guard let end = text.firstIndex(where: { "/?#:&".contains($0) }) else { return false }
        return text[end] != ":" && text[end] != "&"
    }

    /// Everything that says from where it is loaded, so that what follows is only a part of a query or a fragment.
    var isFixed: Bool {
        // A reference such as `&#58;` is no fragment.
        let plain = text.replacing("&#", with: "&")
        return isHarmless && !text.isEmpty && plain.contains { $0 == "?" || $0 == "#" }
    }
}
