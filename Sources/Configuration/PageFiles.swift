internal import Policy

// Pages that rules answer with.

extension NamedFiles {
    /// Bytes of a page.
    static let pageByteLimit = 64 << 10
    /// Pages of all rules together.
    static let pageLimit = 1_024

    /// A page, as text or as HTML by the end of its name. Read once, however many rules name it.
    func page(_ path: String) throws(Refusal) -> Rejection.Page {
        guard !path.isEmpty else { throw Refusal("the path is empty") }
        let file = file(path)
        if let known = pages[file] { return known }
        guard pages.count < Self.pageLimit else { throw Refusal("more than \(Self.pageLimit) files of pages") }
        let isHTML: Bool
        switch path.lowercased().split(separator: ".", omittingEmptySubsequences: false).last {
        case "html", "htm": isHTML = true
        case "txt": isHTML = false
        default: throw Refusal("\(name(file)) ends neither in .html nor in .txt, which says what it is")
        }
        var bytes: [UInt8]
        do throws(UnreadableFile) {
            bytes = try read(file)
        } catch {
            throw Refusal("\(name(file)) cannot be read: \(error.reason)")
        }
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
        guard bytes.count <= Self.pageByteLimit else {
            throw Refusal("\(name(file)) is larger than \(Self.pageByteLimit >> 10) KiB")
        }
        guard firstInvalidUTF8(bytes) == nil else { throw Refusal("\(name(file)) is not UTF-8") }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }) else {
            throw Refusal("\(name(file)) has control characters in it")
        }
        guard let template = Template(String(decoding: bytes, as: UTF8.self)) else {
            throw Refusal("\(name(file)) has more than \(Template.mostPlaces) places to be filled in")
        }
        if isHTML, let place = template.unsafePlaceInHTML {
            throw Refusal("\(name(file)) lets what clients write be more than text: a place stands \(place.explanation)")
        }
        let page = Rejection.Page(template, isHTML: isHTML, file: file)
        pages[file] = page
        return page
    }
}

extension Template.UnsafePlace {
    fileprivate var explanation: String {
        switch self {
        case .code: "within <script>, <style>, a comment or the like, or behind what browsers read in more than one way"
        case .tag: "in a tag, but not as the value of an attribute, or is {name} as a value without quotes"
        case .attribute(let name): "in the attribute \(quoted(name))"
        case .scheme:
            "where it may be run: behind javascript: or the like, or within the scheme of a URL (only {url} may begin a link)"
        }
    }
}
