internal import CIDN2

/// Names in any script in the ASCII form that resolvers and wires know (RFC 5890 §2.3.2.1). The only place that knows libidn2.
enum ALabels {
    struct Failure: Error {
        /// In the words of libidn2.
        let reason: String
    }

    /// Maps as UTS #46 does, without the transitional mappings that browsers have given up (`straße` keeps its `ß`), and
    /// checks as IDNA2008 asks on lookup. What comes out is ASCII and nothing more: whether it is a name remains to be seen.
    ///
    /// Source: idn2_to_ascii_8z(3).
    static func of(_ text: String) throws(Failure) -> String {
        // The library's strings end at the first NUL, so that the rest would be lost without a word.
        guard !text.utf8.contains(0) else { throw Failure(reason: "it contains a NUL") }
        var output: UnsafeMutablePointer<CChar>?
        let flags = IDN2_NFC_INPUT.rawValue | IDN2_NONTRANSITIONAL.rawValue
        let code = idn2_to_ascii_8z(text, &output, CInt(flags))
        guard code == 0, let output else { throw Failure(reason: String(cString: idn2_strerror(code))) }
        defer { idn2_free(output) }
        return String(cString: output)
    }
}
