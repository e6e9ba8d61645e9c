/// What is changed of the header fields of a message that is passed on: lines of some names are left out, whoever they are from, and then
/// lines of ours are written.
///
/// No option of a Connection field can take away what is written here: that names what the sender sent (RFC 9110 §7.6.1).
public struct FieldChanges: Hashable, Sendable {
    private enum Line: Hashable, Sendable {
        /// Whole lines, ends included.
        case text([UInt8])
        /// `Name: `, and a value of which something is not known yet. A line whose value comes to nothing is left out.
        case open(name: [UInt8], [FieldTemplate.Part])
    }

    /// What is left out, in trailers as well.
    public private(set) var omitted: FieldNames
    private var lines: [Line] = []

    /// - Parameters: names are tokens (RFC 9110 §5.6.2), and of no field that ``KnownField`` ``KnownField/isOurs``.
    ///   - remove: what is left out.
    ///   - set: what is left out, and written in its place.
    ///   - add: what is written, beside what there is.
    public init(
        remove: [String] = [], set: [(name: String, value: FieldTemplate)] = [], add: [(name: String, value: FieldTemplate)] = []
    ) {
        omitted = FieldNames(remove + set.map(\.name))
        for (name, value) in set + add {
            append(.open(name: Array(name.utf8) + [UInt8(ascii: ":"), 0x20], value.parts), mayBeEmpty: true)
        }
    }

    /// The same, with these left out as well.
    public func omitting(_ names: [String]) -> FieldChanges {
        var more = self
        more.omitted = omitted.adding(FieldNames(names))
        return more
    }

    public var isEmpty: Bool { omitted.isEmpty && lines.isEmpty }

    /// The same, with what is known already in its places.
    ///
    /// - Parameter value: nil: not known yet.
    public func filled(_ value: (FieldTemplate.Placeholder) -> String?) -> FieldChanges {
        guard lines.contains(where: { if case .open = $0 { true } else { false } }) else { return self }
        var filled = self
        filled.lines = []
        for line in lines {
            guard case .open(let name, let parts) = line else {
                filled.append(line)
                continue
            }
            let known = parts.map { part -> FieldTemplate.Part in
                guard case .placeholder(let placeholder) = part, let text = value(placeholder) else { return part }
                var octets: [UInt8] = []
                octets.append(escaping: text)
                return .text(octets)
            }
            filled.append(.open(name: name, known))
        }
        return filled
    }

    /// Writes our lines.
    ///
    /// - Parameter value: what stands for a placeholder that was not filled before.
    func write(into output: inout [UInt8], _ value: (FieldTemplate.Placeholder) -> String) {
        for line in lines {
            switch line {
            case .text(let text): output.append(contentsOf: text)
            case .open(let name, let parts):
                let start = output.count
                output.append(contentsOf: name)
                for part in parts {
                    switch part {
                    case .text(let text): output.append(contentsOf: text)
                    case .placeholder(let placeholder): output.append(escaping: value(placeholder))
                    }
                }
                if output.count > start + name.count {
                    output.append("\r\n")
                } else {
                    output.removeLast(name.count)
                }
            }
        }
    }

    /// Adds a line, as text where it is whole: lines that follow each other become one text.
    private mutating func append(_ line: Line, mayBeEmpty: Bool = false) {
        guard case .text(let text) = whole(line, mayBeEmpty: mayBeEmpty) else { return lines.append(line) }
        guard !text.isEmpty else { return }
        if case .text(let before) = lines.last {
            lines[lines.count - 1] = .text(before + text)
        } else {
            lines.append(.text(text))
        }
    }

    private func whole(_ line: Line, mayBeEmpty: Bool) -> Line {
        guard case .open(let name, let parts) = line else { return line }
        var value: [UInt8] = []
        for part in parts {
            guard case .text(let text) = part else { return line }
            value += text
        }
        return .text(value.isEmpty && !mayBeEmpty ? [] : name + value + [0x0D, 0x0A])
    }
}

extension [UInt8] {
    /// Bytes of what is put in a placeholder: the longest names of hosts and users have 255. More is nobody's.
    fileprivate static let longestInsertion = 1_024

    /// Appends what somebody else has chosen, so that it can be nothing but a part of a value, within quotes or in a list as well: all but
    /// letters, digits and a few signs is written `%XX`.
    fileprivate mutating func append(escaping text: String) {
        guard text.utf8.count <= Self.longestInsertion else { return }
        for octet in text.utf8 {
            if isPlainOctet(octet) {
                append(octet)
            } else {
                append(UInt8(ascii: "%"))
                append(hexadecimalDigit(octet >> 4))
                append(hexadecimalDigit(octet & 15))
            }
        }
    }
}

private func isPlainOctet(_ octet: UInt8) -> Bool {
    if foldedOctet(octet) &- 0x61 < 26 || isDigitOctet(octet) { return true }
    switch octet {
    case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "@"), UInt8(ascii: "+"),
        UInt8(ascii: ":"):
        return true
    default: return false
    }
}

private func hexadecimalDigit(_ value: UInt8) -> UInt8 { value < 10 ? value + 0x30 : value + 0x37 }
