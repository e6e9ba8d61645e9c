internal import DataPlane
internal import TransparentSockets

// The combined log format of web servers, as Apache has it:
//
//     CLIENT - USER [TIME] "METHOD TARGET VERSION" STATUS BYTES "REFERER" "USER-AGENT"
//
// TIME is when the request came, BYTES are those of the body. What is not there is `-`, which nothing else is written as. One request is one
// line, from which a reader gets every field back byte by byte: in quotes, `\xHH` stands for a byte, `\n`, `\r`, `\t`, `\"` and `\\` for those;
// in fields that end at a blank, so do `\x20` for that.

extension [UInt8] {
    /// - Parameter now: microseconds since 1970-01-01, when the request ended.
    mutating func append(combined record: SessionRecord, _ transaction: TransactionRecord, now: UInt64) {
        append(record.client.value.address.unmapped.description)
        append(" - " as StaticString)
        if let user = record.user {
            if user.isEmpty { append("\"\"" as StaticString) } else { appendCombined(Array(user.utf8), endsAtBlank: true) }
        } else {
            append(UInt8(ascii: "-"))
        }
        append(" [" as StaticString)
        LogClock.appendOfWebServers(microseconds: now - Swift.min(now, record.duration / 1_000), to: &self)
        append("] \"" as StaticString)
        if transaction.method.isEmpty {
            append(UInt8(ascii: "-"))
        } else {
            appendCombined(Array(transaction.method.utf8), endsAtBlank: true)
            append(UInt8(ascii: " "))
            appendCombined(Array(transaction.target.utf8), endsAtBlank: true)
            append(transaction.isVersion10 ? " HTTP/1.0" as StaticString : " HTTP/1.1")
        }
        append("\" " as StaticString)
        // 499 is what nginx calls a client that left before there was anything to answer it with: readers of these logs want three digits.
        append(decimal: transaction.status == 0 ? 499 : UInt64(transaction.status))
        append(UInt8(ascii: " "))
        if transaction.body == 0 { append(UInt8(ascii: "-")) } else { append(decimal: transaction.body) }
        for value in [transaction.referer, transaction.userAgent] {
            append(" \"" as StaticString)
            if value.isEmpty { append(UInt8(ascii: "-")) } else { appendCombined(value, endsAtBlank: false) }
            append(UInt8(ascii: "\""))
        }
        append(UInt8(ascii: "\n"))
    }

    private mutating func appendCombined(_ bytes: [UInt8], endsAtBlank: Bool) {
        // A lone hyphen means that there is nothing.
        guard bytes != [UInt8(ascii: "-")] else { return append(hexadecimalEscape: UInt8(ascii: "-")) }
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                append(UInt8(ascii: "\\"))
                append(byte)
            case UInt8(ascii: "\n"): append("\\n" as StaticString)
            case UInt8(ascii: "\r"): append("\\r" as StaticString)
            case UInt8(ascii: "\t"): append("\\t" as StaticString)
            case UInt8(ascii: " ") where !endsAtBlank: append(byte)
            case 0x21...0x7E: append(byte)
            default: append(hexadecimalEscape: byte)
            }
        }
    }
}
