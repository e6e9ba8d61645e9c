extension Template {
    /// Where in a page of HTML what a stranger wrote could be more than text, however it is escaped.
    public enum UnsafePlace: Hashable, Sendable {
        /// Within `script`, `style` or another element without tags, in a comment, or behind what browsers read in more than one way: a
        /// script of which it is in doubt where it ends, `noscript`, `select`, and elements without tags in drawings and formulas.
        case code
        /// In a tag, and in no value of an attribute; of a value without quotes, what may be empty.
        case tag
        /// In the value of an attribute that is a script, styles or a page of its own, or chooses what is loaded or run.
        case attribute(String)
        /// At the beginning of a URL, or behind `javascript:` and the like.
        case scheme
    }

    /// The first place of that kind; nil: all of them stand in text, or in values that are text.
    ///
    /// Pages are read twice, with comments as what they are and as if they were none, and a place must be safe in both: nothing hides behind
    /// a comment that browsers end elsewhere.
    public var unsafePlaceInHTML: UnsafePlace? {
        for readsComments in [true, false] {
            var scanner = PageScanner(readsComments: readsComments)
            for part in parts {
                switch part {
                case .text(let text): for octet in text.utf8 { scanner.read(octet) }
                case .place(let place): if let fault = scanner.fill(place) { return fault }
                }
            }
        }
        return nil
    }
}

/// Reads HTML as browsers do, as far as it takes to tell text from everything else.
private struct PageScanner {
    private enum State {
        case text
        /// Behind `<`, and behind `</`.
        case opened, closing
        case tagName, betweenAttributes, attributeName, beforeValue
        /// - quote: 0: there is none.
        case value(quote: UInt8)
        /// Within an element in which there are no tags, until its end tag.
        case raw
        /// Behind `<!`; behind that or `<?`, until `>`; and in a comment.
        case marked, declaration, comment
    }

    private let readsComments: Bool
    private var state = State.text
    /// Its name, behind `/` where it ends an element.
    private var tag: [UInt8] = []
    private var attribute: [UInt8] = []
    private var value: [UInt8] = []
    /// What came last of what has no tags, no longer than ``longestTail``.
    private var tail: [UInt8] = []
    /// A script has a `<!--`, behind which a further `<script` would make its end tag none.
    private var isCommented = false
    /// What follows is read in one way by some, and in another by others.
    private var isInDoubt = false
    /// A drawing, a formula or a set of frames has begun, where other rules hold. Where it ends, browsers find in ways of their own: to us,
    /// it does not.
    private var isForeign = false

    private static let longestTail = 10
    /// Elements in which there are no tags.
    private static let raw: Set<String> = [
        "script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "plaintext",
    ]

    /// Their contents are text to some browsers, and tags to others.
    private static let doubtful: Set<String> = ["noscript", "select"]
    private static let foreign: Set<String> = ["svg", "math", "frameset"]

    init(readsComments: Bool) { self.readsComments = readsComments }

    /// What stands in a place begins nothing and ends nothing.
    mutating func fill(_ place: Template.Place) -> Template.UnsafePlace? {
        guard !isInDoubt else { return .code }
        switch state {
        case .text: return nil
        // What is filled in may end it, with what stands behind it.
        case .marked, .declaration, .comment: return .code
        case .raw:
            // No tag is made of it, and no script or style.
            return tag.elementsEqual("title".utf8) || tag.elementsEqual("textarea".utf8) ? nil : .code
        case .beforeValue, .value:
            if case .beforeValue = state { (state, value) = (.value(quote: 0), []) }
            // Of nothing, what follows would be the value.
            if case .value(quote: 0) = state, place == .name { return .tag }
            let fault = unsafeValue(filledBy: place)
            // Where it was the beginning of a URL, what follows is none.
            if value.isEmpty { value = [UInt8(ascii: "/")] }
            return fault
        // Behind `<`, too: what is filled in would be the name of the tag.
        case .opened, .closing, .tagName, .betweenAttributes, .attributeName: return .tag
        }
    }

    private func unsafeValue(filledBy place: Template.Place) -> Template.UnsafePlace? {
        let value = URLStart(value)
        switch PlacedAttribute(String(decoding: attribute, as: UTF8.self), of: String(decoding: tag, as: UTF8.self)) {
        case .text: return value.isScript ? .scheme : nil
        case .code(let name): return .attribute(name)
        // What the client asked for has a scheme of its own; a name may be one.
        case .link: return value.isHarmless && (place == .url || !value.isEmpty) ? nil : .scheme
        case .resource(let name): return value.isFixed ? nil : .attribute(name)
        }
    }

    mutating func read(_ octet: UInt8) {
        let octet = octet &- 0x41 < 26 ? octet | 0x20 : octet
        let isBlank = [0x20, 0x09, 0x0A, 0x0C, 0x0D].contains(octet)
        switch state {
        case .text: if octet == UInt8(ascii: "<") { state = .opened }
        case .opened: readOpened(octet)
        case .closing:
            if octet &- 0x61 < 26 {
                tag = [UInt8(ascii: "/"), octet]
                state = .tagName
            } else {
                tail = [UInt8(ascii: "/")]
                state = readsComments && octet != UInt8(ascii: ">") ? .declaration : .text
            }
        case .raw: readRaw(octet, isBlank: isBlank)
        case .marked:
            // There, with `CDATA[` behind it, what follows is text.
            if isForeign, octet == UInt8(ascii: "[") { isInDoubt = true }
            tail = []
            state = readsComments ? .declaration : .text
            read(octet)
        case .declaration:
            keep(octet)
            if tail.elementsEqual("--".utf8) {
                tail = []
                state = .comment
            } else if octet == UInt8(ascii: ">") {
                state = .text
            }
        case .comment:
            if octet == UInt8(ascii: ">"), endsComment { state = .text } else { keep(octet) }
        case .value(let quote):
            if quote == 0 ? isBlank : octet == quote {
                attribute = []
                state = .betweenAttributes
            } else if quote == 0, octet == UInt8(ascii: ">") {
                endTag()
            } else {
                value.append(octet)
            }
        case .beforeValue:
            guard !isBlank else { return }
            value = []
            if octet == UInt8(ascii: ">") {
                endTag()
            } else if octet == UInt8(ascii: "\"") || octet == UInt8(ascii: "'") {
                state = .value(quote: octet)
            } else {
                state = .value(quote: 0)
                value = [octet]
            }
        case .tagName, .betweenAttributes, .attributeName: readInTag(octet, isBlank: isBlank)
        }
    }

    private mutating func readOpened(_ octet: UInt8) {
        switch octet {
        case _ where octet &- 0x61 < 26:
            tag = [octet]
            state = .tagName
        case UInt8(ascii: "/"): state = .closing
        case UInt8(ascii: "!"): state = .marked
        case UInt8(ascii: "?"):
            tail = [octet]
            state = readsComments ? .declaration : .text
        case UInt8(ascii: "<"): break
        default: state = .text
        }
    }

    private mutating func keep(_ octet: UInt8) {
        tail.append(octet)
        if tail.count > Self.longestTail { tail.removeFirst() }
    }

    /// Before a `>` (HTML, "Comment start state" and those that follow it).
    private var endsComment: Bool {
        let text = String(decoding: tail, as: UTF8.self)
        return text.isEmpty || text == "-" || text.hasSuffix("--") || text.hasSuffix("--!")
    }

    private mutating func readRaw(_ octet: UInt8, isBlank: Bool) {
        let name = String(decoding: tag, as: UTF8.self)
        // Behind more letters it is the end of nothing.
        let endsName = isBlank || octet == UInt8(ascii: "/") || octet == UInt8(ascii: ">")
        let text = String(decoding: tail, as: UTF8.self)
        if endsName, name != "plaintext", text.hasSuffix("</\(name)") {
            tag.insert(UInt8(ascii: "/"), at: 0)
            attribute = []
            state = .betweenAttributes
            if octet == UInt8(ascii: ">") { endTag() }
            return
        }
        if name == "script" {
            if text.hasSuffix("<!--") { isCommented = true }
            if text.hasSuffix("-->") { isCommented = false }
            if isCommented, text.hasSuffix("<script") { isInDoubt = true }
        }
        keep(octet)
    }

    private mutating func readInTag(_ octet: UInt8, isBlank: Bool) {
        if octet == UInt8(ascii: ">") {
            endTag()
        } else if octet == UInt8(ascii: "="), !attribute.isEmpty {
            state = .beforeValue
        } else if octet == UInt8(ascii: "/") {
            // A `=` behind it would begin the name of another one.
            attribute = []
            state = .betweenAttributes
        } else if isBlank {
            // A `=` may follow the name yet.
            if case .tagName = state { attribute = [] }
            state = .betweenAttributes
        } else {
            switch state {
            case .tagName: tag.append(octet)
            case .attributeName: attribute.append(octet)
            default:
                attribute = [octet]
                state = .attributeName
            }
        }
    }

    private mutating func endTag() {
        attribute = []
        tail = []
        isCommented = false
        let name = String(decoding: tag, as: UTF8.self)
        let isRaw = Self.raw.contains(name)
        if Self.doubtful.contains(name) || isForeign && isRaw { isInDoubt = true }
        if Self.foreign.contains(name) { isForeign = true }
        state = isRaw ? .raw : .text
    }
}
