internal import Configuration
internal import TransparentSockets

/// A value of a log record's field.
enum LogValue {
    case text(String)
    /// What a stranger sent, and no UTF-8. Not for JSON.
    case bytes([UInt8])
    case count(UInt64)
    /// Nanoseconds, written as seconds with up to six decimals.
    case duration(UInt64)
    case address(SocketAddress)
}

/// A log record as bytes, in the three formats that people and collectors read.
///
/// | format | shape |
/// | --- | --- |
/// | plain | `TIME HOST TOPIC LEVEL: "MESSAGE" key=value …`, fields sorted by key |
/// | logfmt | `topic=T logged_at=TIME severity=LEVEL utsname=HOST message="…" key=value …` |
/// | combined | `plain`: records of requests are written elsewhere, by ``Swift/Array/append(combined:_:now:)`` |
/// | json | one object a line: `topic`, `logged_at`, `severity`, `utsname`, `message`, then the fields |
///
/// One record is one line whatever a value holds: control bytes and quotes are escaped, in JSON as JSON wants it.
struct LogLine {
    let host: String
    let topic: String
    /// Its readers know no level "notice": such records are "info".
    var lacksNotice = false

    /// - Parameter fields: sorted by key.
    func append(
        to bytes: inout [UInt8], _ format: Configuration.Log.Format, at time: inout LogClock, _ level: Configuration.Log.Level,
        _ message: String, _ fields: [(key: String, value: LogValue)]
    ) {
        let level = name(of: level)
        switch format {
        case .plain, .combined:
            time.append(to: &bytes)
            bytes.append(" ")
            bytes.append(host)
            bytes.append(" ")
            bytes.append(topic)
            bytes.append(" ")
            bytes.append(level)
            bytes.append(": ")
            bytes.appendQuoted(message, .go)
            for field in fields { append(field, to: &bytes) }
        case .logfmt:
            bytes.append("topic=")
            bytes.append(topic)
            bytes.append(" logged_at=")
            time.append(to: &bytes)
            bytes.append(" severity=")
            bytes.append(level)
            bytes.append(" utsname=")
            bytes.append(host)
            bytes.append(" message=")
            bytes.appendQuoted(message, .go)
            for field in fields { append(field, to: &bytes) }
        case .json:
            bytes.append("{\"topic\":")
            bytes.appendQuoted(topic, .json)
            bytes.append(",\"logged_at\":\"")
            time.append(to: &bytes)
            bytes.append("\",\"severity\":\"")
            bytes.append(level)
            bytes.append("\",\"utsname\":")
            bytes.appendQuoted(host, .json)
            bytes.append(",\"message\":")
            bytes.appendQuoted(message, .json)
            for field in fields {
                bytes.append(",\"")
                bytes.append(field.key)
                bytes.append("\":")
                bytes.append(field.value, .json)
            }
            bytes.append("}")
        }
        bytes.append(UInt8(ascii: "\n"))
    }

    private func name(of level: Configuration.Log.Level) -> StaticString {
        switch level {
        case .critical: "critical"
        case .error: "error"
        case .warning: "warning"
        case .notice: lacksNotice ? "info" : "notice"
        case .info: "info"
        case .debug: "debug"
        }
    }

    private func append(_ field: (key: String, value: LogValue), to bytes: inout [UInt8]) {
        bytes.append(" ")
        bytes.append(field.key)
        bytes.append("=")
        bytes.append(field.value, .go)
    }
}

/// How bytes that would break a line or a string are written.
enum Escaping { case go, json }

extension [UInt8] {
    mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { append(contentsOf: $0) }
    }

    mutating func append(_ text: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func append(_ value: LogValue, _ escaping: Escaping) {
        switch value {
        case .text(let text): appendQuoted(text, escaping)
        case .bytes(let bytes): appendQuoted(bytes)
        case .count(let count): append(decimal: count)
        case .duration(let nanoseconds): append(seconds: nanoseconds)
        case .address(let address):
            append(UInt8(ascii: "\""))
            append(address)
            append(UInt8(ascii: "\""))
        }
    }

    mutating func append(decimal value: UInt64, width: Int = 1) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        Swift.withUnsafeMutableBytes(of: &digits) { digits in
            var value = value
            var at = digits.count
            repeat {
                at -= 1
                digits[at] = 0x30 + UInt8(truncatingIfNeeded: value % 10)
                value /= 10
            } while value > 0 || digits.count - at < width
            append(contentsOf: digits[at...])
        }
    }

    private mutating func append(seconds nanoseconds: UInt64) {
        let microseconds = nanoseconds / 1_000
        append(decimal: microseconds / 1_000_000)
        let fraction = microseconds % 1_000_000
        guard fraction > 0 else { return }
        append(UInt8(ascii: "."))
        append(decimal: fraction, width: 6)
        while last == 0x30 { removeLast() }
    }

    private mutating func append(_ address: SocketAddress) {
        // The common case by hand: a string per address would double the cost of a line.
        guard case .v4(let v4) = address.address else { return append(address.description) }
        for shift: UInt32 in [24, 16, 8] {
            append(decimal: UInt64(v4.bits >> shift & 255))
            append(UInt8(ascii: "."))
        }
        append(decimal: UInt64(v4.bits & 255))
        append(UInt8(ascii: ":"))
        append(decimal: UInt64(address.port))
    }

    mutating func appendQuoted(_ text: String, _ escaping: Escaping) {
        append(UInt8(ascii: "\""))
        append(escaping: text, escaping)
        append(UInt8(ascii: "\""))
    }

    /// As Go's strconv.Quote has it: what is no UTF-8 byte by byte.
    private mutating func appendQuoted(_ bytes: [UInt8]) {
        append(UInt8(ascii: "\""))
        var parser = Unicode.UTF8.ForwardParser()
        var iterator = bytes.makeIterator()
        var (start, end) = (0, 0)
        while true {
            switch parser.parseScalar(from: &iterator) {
            case .valid(let scalar): end += scalar.count
            case .error(let length):
                append(escaping: String(decoding: bytes[start..<end], as: UTF8.self), .go)
                for byte in bytes[end..<end + length] { append(hexadecimalEscape: byte) }
                end += length
                start = end
            case .emptyInput:
                append(escaping: String(decoding: bytes[start..<end], as: UTF8.self), .go)
                append(UInt8(ascii: "\""))
                return
            }
        }
    }

    private mutating func append(escaping text: String, _ escaping: Escaping) {
        var text = text
        text.withUTF8 { utf8 in
            var next = 0
            while next < utf8.count {
                let byte = utf8[next]
                next += 1
                switch byte {
                // Terminals obey the control characters beyond ASCII, too, and readers end lines at U+2028 and turn them around at U+202E and
                // U+2067.
                case 0xC2 where utf8[next] < 0xA0:
                    append("\\u00" as StaticString)
                    append(hexadecimal: utf8[next] >> 4)
                    append(hexadecimal: utf8[next] & 15)
                    next += 1
                case 0xE2 where utf8[next] == 0x81 && (0xA6...0xA9).contains(utf8[next + 1]):
                    append("\\u206" as StaticString)
                    append(hexadecimal: utf8[next + 1] - 0xA0)
                    next += 2
                case 0xE2 where utf8[next] == 0x80 && (0xA8...0xAE).contains(utf8[next + 1]):
                    append("\\u202" as StaticString)
                    append(hexadecimal: utf8[next + 1] & 15)
                    next += 2
                case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                    append(UInt8(ascii: "\\"))
                    append(byte)
                case UInt8(ascii: "\n"): append("\\n" as StaticString)
                case UInt8(ascii: "\r"): append("\\r" as StaticString)
                case UInt8(ascii: "\t"): append("\\t" as StaticString)
                case 0x07 where escaping == .go: append("\\a" as StaticString)
                case 0x08 where escaping == .go: append("\\b" as StaticString)
                case 0x0B where escaping == .go: append("\\v" as StaticString)
                case 0x0C where escaping == .go: append("\\f" as StaticString)
                case 0..<0x20, 0x7F:
                    guard escaping == .json else {
                        append(hexadecimalEscape: byte)
                        continue
                    }
                    append("\\u00" as StaticString)
                    append(hexadecimal: byte >> 4)
                    append(hexadecimal: byte & 15)
                default: append(byte)
                }
            }
        }
    }

    /// `\xHH`
    mutating func append(hexadecimalEscape byte: UInt8) {
        append("\\x" as StaticString)
        append(hexadecimal: byte >> 4)
        append(hexadecimal: byte & 15)
    }

    private mutating func append(hexadecimal digit: UInt8) {
        append(digit < 10 ? 0x30 + digit : 0x61 + digit - 10)
    }
}
