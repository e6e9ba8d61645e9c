/// The value of a header field, with places for what is known only when there is a message: `{client}`. `{{` stands for `{`.
public struct FieldTemplate: Hashable, Sendable {
    /// What such a place can be for.
    public enum Placeholder: String, CaseIterable, Sendable {
        /// Address and port of the client.
        case client
        case clientPort = "client_port"
        /// Where it was going.
        case destination
        case destinationPort = "destination_port"
        /// The host that it names, if that is no address.
        case name
        /// Who it has shown to be.
        case user
        case listener
    }

    /// Why a text is no value.
    public enum Fault: Error, Hashable, Sendable {
        /// More than ``FieldTemplate/longest`` bytes.
        case tooLong
        /// It holds a control character, which would begin another field.
        case control
        /// It begins or ends with a blank, which is no part of a value (RFC 9110 §5.5).
        case blank
        /// A `{` without its `}`.
        case unclosed
        /// What stands in braces is no placeholder.
        case unknown(String)
    }

    enum Part: Hashable, Sendable {
        case text([UInt8])
        case placeholder(Placeholder)
    }

    /// Bytes, as they are written.
    public static let longest = 4_096

    let parts: [Part]

    public init(_ text: String) throws(Fault) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.longest else { throw .tooLong }
        guard bytes.allSatisfy(isLineOctet) else { throw .control }
        if let first = bytes.first, let last = bytes.last, isBlankOctet(first) || isBlankOctet(last) { throw .blank }
        var parts: [Part] = []
        var literal: [UInt8] = []
        var position = 0
        while position < bytes.count {
            let octet = bytes[position]
            position += 1
            guard octet == UInt8(ascii: "{") else {
                literal.append(octet)
                continue
            }
            if position < bytes.count, bytes[position] == octet {
                literal.append(octet)
                position += 1
                continue
            }
            guard let end = bytes[position...].firstIndex(of: UInt8(ascii: "}")) else { throw .unclosed }
            let word = String(decoding: bytes[position..<end], as: UTF8.self)
            guard let placeholder = Placeholder(rawValue: word) else { throw .unknown(word) }
            if !literal.isEmpty { parts.append(.text(literal)) }
            literal = []
            parts.append(.placeholder(placeholder))
            position = end + 1
        }
        if !literal.isEmpty { parts.append(.text(literal)) }
        self.parts = parts
    }
}
