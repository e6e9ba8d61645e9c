/// What a rule may ask of a request of HTTP.
public struct RequestFacts: Sendable {
    /// A field of the request that some rule asks for (``Policy/askedFields``).
    public struct Field: Hashable, Sendable {
        /// In lower case.
        public let name: String
        /// What programs behind a server may take it for.
        let foldedName: String
        /// As it stands there, without the blanks around it.
        public let value: [UInt8]
        /// The same with its ASCII letters in lower case, as patterns are compared with it.
        let foldedValue: [UInt8]

        public init(name: String, value: [UInt8]) {
            self.name = name.lowercased()
            foldedName = Self.folded(name)
            self.value = value
            foldedValue = value.map(foldedOctet)
        }

        /// A name without its case, and with `-` for all but letters and digits: programs that get fields as variables (CGI, WSGI) see `_`
        /// for `-`, and those behind lighttpd for every other sign as well.
        public static func folded(_ name: String) -> String {
            String(
                decoding: name.utf8.map { octet -> UInt8 in
                    switch octet {
                    case UInt8(ascii: "A")...UInt8(ascii: "Z"): octet | 0x20
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): octet
                    default: UInt8(ascii: "-")
                    }
                }, as: UTF8.self)
        }
    }

    let written: WrittenRequest
    /// As the client wrote it; case counts.
    public var method: String { written.method }
    /// nil: there is none yet, so no rule that asks for one matches.
    public var response: ResponseFacts?

    /// - Parameters:
    ///   - target: path and query, or nothing.
    ///   - authority: whom it names: `HOST`, `HOST:PORT`, or nothing.
    public init(method: String, target: String, authority: String = "", fields: [Field] = []) {
        written = WrittenRequest(method: method, target: target, authority: authority, fields: fields)
    }
}
