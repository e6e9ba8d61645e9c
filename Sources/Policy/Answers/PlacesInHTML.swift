extension Template {
    /// Where in a page of HTML what a stranger wrote could be more than text, however it is escaped.
    public enum UnsafePlace: Hashable, Sendable {
        /// Within `script` or `style`.
        case code
        /// In a tag, and in no value of an attribute.
        case tag
        /// In the value of an attribute that is a script, styles or a page of its own.
        case attribute(String)
        /// Behind `javascript:` and the like.
        case scheme
    }

    /// The first place of that kind; nil: all of them stand in text, or in values that are text.
    ///
    /// Comments are read as if they were none: what looks like the beginning of an element in one counts, so that nothing hides behind a
    /// comment that browsers end earlier.
    public var unsafePlaceInHTML: UnsafePlace? {
        var scanner = PageScanner()
        for part in parts {
            switch part {
            case .text(let text): for octet in text.utf8 { scanner.read(octet) }
            case .place: if let fault = scanner.place() { return fault }
            }
        }
        return nil
    }
}

/// Reads HTML as browsers do, as far as it takes to tell text from everything else.
private struct PageScanner {
    private enum State {
        case text
        /// Behind `<`.
        case opened
        case tagName, betweenAttributes, attributeName, beforeValue
        /// - quote: 0: there is none.
        case value(quote: UInt8)
        /// Within `script` or `style`, until its end tag.
        case code
    }

    private var state = State.text
    private var tag: [UInt8] = []
    private var attribute: [UInt8] = []
    private var value: [UInt8] = []
    /// What came last of code, no longer than an end tag.
    private var tail: [UInt8] = []

    /// What stands in a place begins nothing and ends nothing.
    mutating func place() -> Template.UnsafePlace? {
        switch state {
        case .text: return nil
        case .code: return .code
        case .beforeValue:
            state = .value(quote: 0)
            value = []
            return unsafeValue
        case .value: return unsafeValue
        // Behind `<`, too: what is filled in would be the name of the tag.
        case .opened, .tagName, .betweenAttributes, .attributeName: return .tag
        }
    }

    private var unsafeValue: Template.UnsafePlace? {
        let name = String(decoding: attribute, as: UTF8.self)
        if name.hasPrefix("on") || name == "style" || name == "srcdoc" { return .attribute(name) }
        // Browsers skip blanks within a scheme, and character references hide letters.
        let start = String(decoding: value.filter { $0 > 0x20 }, as: UTF8.self)
        let isScript = start.contains("javascript:") || start.contains("vbscript:") || start.hasPrefix("data:")
        let isURL = ["href", "xlink:href", "src", "action", "formaction", "data"].contains(name)
        let isHidden = isURL && start.contains("&") && !start.contains { "/?".contains($0) }
        return isScript || isHidden ? .scheme : nil
    }

    mutating func read(_ octet: UInt8) {
        let octet = octet &- 0x41 < 26 ? octet | 0x20 : octet
        let isBlank = [0x20, 0x09, 0x0A, 0x0D].contains(octet)
        switch state {
        case .text: if octet == UInt8(ascii: "<") { state = .opened }
        case .opened:
            if octet &- 0x61 < 26 {
                tag = [octet]
                state = .tagName
            } else if octet != UInt8(ascii: "<") {
                state = .text
            }
        case .code:
            tail.append(octet)
            let end = Array("</".utf8) + tag
            if tail.count > end.count { tail.removeFirst() }
            if tail == end { state = .text }
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

    private mutating func readInTag(_ octet: UInt8, isBlank: Bool) {
        if octet == UInt8(ascii: ">") {
            endTag()
        } else if octet == UInt8(ascii: "="), !attribute.isEmpty {
            state = .beforeValue
        } else if octet == UInt8(ascii: "/") {
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
        state = tag.elementsEqual("script".utf8) || tag.elementsEqual("style".utf8) ? .code : .text
    }
}
