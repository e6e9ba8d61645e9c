/// A text with places to be filled in: `{url}`, `{client}`, `{name}`, `{rule}`. Other braces are text.
public struct Template: Hashable, Sendable {
    public enum Place: String, Hashable, Sendable, CaseIterable {
        /// What the client asked for.
        case url
        /// Its address.
        case client
        /// The host that it named.
        case name
        /// The rule's number, counted from 1.
        case rule
    }

    /// How what is filled in is written, so that it is never more than text: it comes from a stranger.
    public enum Escaping: Sendable {
        /// Without control characters.
        case plain
        /// As text of HTML, or the value of an attribute that is text, also of one without quotes: see ``Template/unsafePlaceInHTML``.
        case html
        /// As a part of a URL (RFC 3986 §2.1).
        case url
    }

    /// Places of one text: each can be filled with something long.
    public static let mostPlaces = 8

    enum Part: Hashable, Sendable {
        case text(String)
        case place(Place)
    }

    let parts: [Part]

    /// Nil: it has more than ``mostPlaces``.
    public init?(_ text: String) {
        var parts: [Part] = []
        var places = 0
        var rest = text[...]
        var plain = rest.startIndex
        while let brace = rest.firstIndex(of: "{") {
            rest = rest[text.index(after: brace)...]
            guard let place = Place.allCases.first(where: { rest.hasPrefix("\($0.rawValue)}") }) else { continue }
            parts += [.text(String(text[plain..<brace])), .place(place)]
            places += 1
            rest = rest.dropFirst(place.rawValue.count + 1)
            plain = rest.startIndex
        }
        guard places <= Self.mostPlaces else { return nil }
        self.parts = parts + [.text(String(text[plain...]))]
    }

    /// As it was written.
    public var source: String {
        parts.map { part in
            switch part {
            case .text(let text): text
            case .place(let place): "{\(place.rawValue)}"
            }
        }.joined()
    }

    public func filled(_ escaping: Escaping, _ value: (Place) -> String) -> String {
        var result = ""
        for part in parts {
            switch part {
            case .text(let text): result += text
            case .place(let place): result += escaping.escaped(value(place))
            }
        }
        return result
    }
}

extension Template.Escaping {
    /// - Parameter keepsBlanks: it is text of HTML, and no value of an attribute.
    public func escaped(_ text: String, keepsBlanks: Bool = false) -> String {
        var result: [UInt8] = []
        for scalar in text.unicodeScalars {
            let octets = Array(String(scalar).utf8)
            switch self {
            case .plain: if !Self.isControl(scalar) { result += octets }
            case .html:
                guard !Self.isControl(scalar) else { continue }
                let isHarmless = Self.isHarmless(octets[0]) || keepsBlanks && scalar == " "
                if scalar.isASCII, !isHarmless { result += "&#\(scalar.value);".utf8 } else { result += octets }
            case .url:
                for octet in octets {
                    if Self.isUnreserved(octet) {
                        result.append(octet)
                    } else {
                        result += [UInt8(ascii: "%"), Self.digits[Int(octet >> 4)], Self.digits[Int(octet & 15)]]
                    }
                }
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    /// C0, DEL and C1; and what makes text run the other way, so that it reads as something else.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }

    private static func isUnreserved(_ octet: UInt8) -> Bool {
        switch octet {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-._~".utf8.contains(octet)
        }
    }

    /// What means nothing to any reader of HTML, wherever it stands.
    private static func isHarmless(_ octet: UInt8) -> Bool { isUnreserved(octet) || "/:?%,[]@!*".utf8.contains(octet) }
}
