/// Where each key and value of a TOML text stands, as a tree of the same shape as the document.
///
/// TOMLKit says what a document means but not where; this says where and not what. Both read the same text, and where they
/// disagree the position of the nearest enclosing key serves.
struct SourceTree {
    struct Entry {
        /// Offset of the key, or of the element itself in an array.
        var key: Int
        /// Offset of the value; for a table with a header, of the header's last key.
        var value: Int
        var children: [String: Int] = [:]
        var elements: [Int] = []
    }

    /// The document is entry 0.
    private(set) var entries = [Entry(key: 0, value: 0)]

    func child(_ key: String, of entry: Int?) -> Int? { entry.flatMap { entries[$0].children[key] } }

    func element(_ index: Int, of entry: Int?) -> Int? {
        guard let entry, entries[entry].elements.indices.contains(index) else { return nil }
        return entries[entry].elements[index]
    }

    fileprivate mutating func add(key: Int, value: Int) -> Int {
        entries.append(Entry(key: key, value: value))
        return entries.count - 1
    }

    fileprivate mutating func add(child name: String, of parent: Int, key: Int, value: Int) -> Int {
        let entry = add(key: key, value: value)
        entries[parent].children[name] = entry
        return entry
    }

    fileprivate mutating func add(elementOf parent: Int, value: Int) -> Int {
        let entry = add(key: value, value: value)
        entries[parent].elements.append(entry)
        return entry
    }
}

/// Walks TOML text once, from the first byte to the last or to the first error in its structure. What single values mean
/// is left to the parser, which sees only text whose structure is sound: it trusts its callers with some of the rest.
struct Locator {
    /// Why the walk ended before the end of the text.
    struct Stop: Error, Equatable {
        var offset: Int
        var reason: String
    }

    /// Nesting of values, and parts of a dotted key. The parser recurses over both, on a stack that is not ours to size.
    static let depthLimit = 32
    /// Keys and values together.
    static let entryLimit = 200_000

    private(set) var tree = SourceTree()
    private(set) var stop: Stop?

    private let source: SourceText
    private let bytes: [UInt8]
    private var at = 0

    init(_ source: SourceText) {
        self.source = source
        bytes = source.bytes
        do throws(Stop) { try document() } catch { stop = error }
    }

    private var current: UInt8? { at < bytes.count ? bytes[at] : nil }

    private func here(_ reason: String) -> Stop { Stop(offset: at, reason: reason) }

    private func expected(_ what: String) -> Stop {
        switch current {
        case nil: return here("expected \(what), found the end of the file")
        case UInt8(ascii: "\n"), UInt8(ascii: "\r"): return here("expected \(what), found the end of the line")
        default:
            let scalar = String(decoding: bytes[at...].prefix(4), as: UTF8.self).unicodeScalars.prefix(1)
            return here("expected \(what), found \(quoted(String(scalar)))")
        }
    }

    private mutating func skip(_ byte: Character) -> Bool {
        guard current == byte.asciiValue else { return false }
        at += 1
        return true
    }

    private mutating func expect(_ byte: Character, _ what: String) throws(Stop) {
        guard skip(byte) else { throw expected(what) }
    }

    private func count() throws(Stop) {
        guard tree.entries.count < Self.entryLimit else { throw here("the file holds more than \(Self.entryLimit) values") }
    }
}

// MARK: - Lines

extension Locator {
    private mutating func document() throws(Stop) {
        var table = 0
        while at < bytes.count {
            skipBlanks()
            if current == UInt8(ascii: "[") {
                table = try header()
            } else if let byte = current, byte != UInt8(ascii: "#"), byte != UInt8(ascii: "\n"), byte != UInt8(ascii: "\r") {
                try assignment(in: table, depth: 0)
            }
            try endOfLine()
        }
    }

    private mutating func skipBlanks() {
        while current == UInt8(ascii: " ") || current == UInt8(ascii: "\t") { at += 1 }
    }

    private mutating func skipComment() {
        guard current == UInt8(ascii: "#") else { return }
        while at < bytes.count, bytes[at] != UInt8(ascii: "\n") {
            at += 1
        }
    }

    private mutating func endOfLine() throws(Stop) {
        skipBlanks()
        skipComment()
        _ = skip("\r")
        guard at == bytes.count || skip("\n") else { throw expected("the end of the line") }
    }

    private mutating func skipBlankLines() {
        while let byte = current {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"): at += 1
            case UInt8(ascii: "#"): skipComment()
            default: return
            }
        }
    }

    /// `[a.b]` or `[[a.b]]`. Returns the table that the lines below it belong to.
    private mutating func header() throws(Stop) -> Int {
        at += 1
        let isArray = skip("[")
        let parts = try dottedKey()
        try expect("]", "\"]\"")
        if isArray { try expect("]", "\"]]\"") }
        try count()
        let (name, offset) = parts[parts.count - 1]
        let parent = descend(parts.dropLast(), from: 0)
        guard isArray else { return descend([(name, offset)], from: parent) }
        let array = tree.entries[parent].children[name] ?? tree.add(child: name, of: parent, key: offset, value: offset)
        return tree.add(elementOf: array, value: offset)
    }

    private mutating func assignment(in table: Int, depth: Int) throws(Stop) {
        let parts = try dottedKey()
        try expect("=", "\"=\" after the key")
        skipBlanks()
        try count()
        let (name, offset) = parts[parts.count - 1]
        let parent = descend(parts.dropLast(), from: table)
        if let first = tree.entries[parent].children[name] {
            let line = source.position(of: tree.entries[first].key, in: "").line
            throw Stop(offset: offset, reason: "\(quoted(name)) is set twice: the first is at line \(line)")
        }
        let entry = tree.add(child: name, of: parent, key: offset, value: at)
        try value(of: entry, depth: depth + parts.count - 1)
    }

    /// A part that names an array of tables means its last table.
    private mutating func descend(_ parts: some Sequence<(String, Int)>, from start: Int) -> Int {
        var entry = start
        for (name, offset) in parts {
            if let child = tree.entries[entry].children[name] {
                entry = tree.entries[child].elements.last ?? child
            } else {
                entry = tree.add(child: name, of: entry, key: offset, value: offset)
            }
        }
        return entry
    }
}

// MARK: - Keys and values

extension Locator {
    private mutating func dottedKey() throws(Stop) -> [(String, Int)] {
        var parts: [(String, Int)] = []
        repeat {
            skipBlanks()
            guard parts.count < Self.depthLimit else { throw here("a key has at most \(Self.depthLimit) parts") }
            try count()
            let start = at
            switch current {
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                let quote = bytes[at]
                try string(multiline: false)
                parts.append((try unescaped((start + 1)..<(at - 1), quote: quote), start))
            default:
                while let byte = current, isBare(byte) { at += 1 }
                guard at > start else { throw expected("a key") }
                parts.append((String(decoding: bytes[start..<at], as: UTF8.self), start))
            }
            skipBlanks()
        } while skip(".")
        return parts
    }

    private func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
    }

    private mutating func value(of entry: Int, depth: Int) throws(Stop) {
        guard depth < Self.depthLimit else { throw here("values are nested more than \(Self.depthLimit) deep") }
        switch current {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): try string(multiline: true)
        case UInt8(ascii: "["): try array(entry, depth: depth)
        case UInt8(ascii: "{"): try inlineTable(entry, depth: depth)
        default:
            try bareValue()
        }
    }

    /// A number, `true` or `false`, a date or a time.
    private mutating func bareValue() throws(Stop) {
        let start = at
        while let byte = current, isBare(byte) || "+.: ".utf8.contains(byte) { at += 1 }
        guard at > start else { throw expected("a value") }
        let text = String(decoding: bytes[start..<at].prefix(65), as: UTF8.self)
        let word = String(text.prefix { $0 != " " })
        let isNumber = "+-0123456789".contains(text.first ?? " ")
        guard isNumber || ["true", "false", "inf", "nan"].contains(word), text.utf8.count <= 64 else {
            throw Stop(offset: start, reason: "\(quoted(word)) is not a value: a string stands in quotes")
        }
    }

    private mutating func array(_ entry: Int, depth: Int) throws(Stop) {
        at += 1
        skipBlankLines()
        while !skip("]") {
            try count()
            let element = tree.add(elementOf: entry, value: at)
            try value(of: element, depth: depth + 1)
            skipBlankLines()
            guard skip(",") || current == UInt8(ascii: "]") else { throw expected("\",\" or \"]\" in this array") }
            skipBlankLines()
        }
    }

    private mutating func inlineTable(_ entry: Int, depth: Int) throws(Stop) {
        at += 1
        skipBlanks()
        if skip("}") { return }
        repeat {
            try assignment(in: entry, depth: depth + 1)
            skipBlanks()
        } while skip(",")
        // Until TOML 1.1 such a table is a matter of one line.
        try expect("}", "\",\" or \"}\" in this table")
    }
}

// MARK: - Strings

extension Locator {
    /// Steps over a string of any of the four kinds.
    private mutating func string(multiline: Bool) throws(Stop) {
        let start = at
        let quote = bytes[at]
        let length = run(of: quote)
        if length == 2 || (length >= 2 && !multiline) {
            at += 2
            return
        }
        let isLong = length >= 3
        at += isLong ? 3 : 1
        while let byte = current {
            switch byte {
            case quote:
                // Up to two quotes may stand right before the three that close a long string.
                let closing = run(of: quote)
                if !isLong || closing >= 3 {
                    at += isLong ? min(closing, 5) : 1
                    return
                }
                at += closing
            case UInt8(ascii: "\\") where quote == UInt8(ascii: "\""): try escape()
            case UInt8(ascii: "\n") where !isLong: throw Stop(offset: start, reason: "this string does not end on its line")
            default: at += 1
            }
        }
        throw Stop(offset: start, reason: "this string does not end")
    }

    private func run(of byte: UInt8) -> Int { bytes[at...].prefix { $0 == byte }.count }

    private mutating func escape() throws(Stop) {
        let digits = at + 1 < bytes.count ? escapeDigits(bytes[at + 1]) : 0
        if digits > 0, at + 2 + digits <= bytes.count, bytes[(at + 2)..<(at + 2 + digits)].allSatisfy({ $0 == UInt8(ascii: "0") }) {
            // The parser's strings end at the first NUL, so that what follows would be lost without a word.
            throw here("a string cannot contain a NUL character")
        }
        at = min(at + 2, bytes.count)
    }

    private func escapeDigits(_ letter: UInt8) -> Int {
        switch letter {
        case UInt8(ascii: "u"): 4
        case UInt8(ascii: "U"): 8
        default: 0
        }
    }

    /// The name that a quoted key stands for.
    private func unescaped(_ range: Range<Int>, quote: UInt8) throws(Stop) -> String {
        guard quote == UInt8(ascii: "\"") else { return String(decoding: bytes[range], as: UTF8.self) }
        var result: [UInt8] = []
        var index = range.lowerBound
        while index < range.upperBound {
            guard bytes[index] == UInt8(ascii: "\\"), index + 1 < range.upperBound else {
                result.append(bytes[index])
                index += 1
                continue
            }
            let letter = bytes[index + 1]
            let digits = escapeDigits(letter)
            if digits > 0 {
                guard index + 2 + digits <= range.upperBound,
                    let number = UInt32(String(decoding: bytes[(index + 2)..<(index + 2 + digits)], as: UTF8.self), radix: 16),
                    let scalar = Unicode.Scalar(number)
                else { throw Stop(offset: index, reason: "an escape that TOML does not know") }
                result += Array(String(Character(scalar)).utf8)
            } else {
                let letters: [UInt8: UInt8] = [
                    UInt8(ascii: "b"): 8, UInt8(ascii: "t"): 9, UInt8(ascii: "n"): 10, UInt8(ascii: "f"): 12, UInt8(ascii: "r"): 13,
                    UInt8(ascii: "\""): UInt8(ascii: "\""), UInt8(ascii: "\\"): UInt8(ascii: "\\"),
                ]
                guard let byte = letters[letter] else { throw Stop(offset: index, reason: "an escape that TOML does not know") }
                result.append(byte)
            }
            index += 2 + digits
        }
        return String(decoding: result, as: UTF8.self)
    }
}
