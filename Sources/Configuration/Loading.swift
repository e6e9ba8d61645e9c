internal import Glibc

extension Configuration {
    /// Reads a file and the files that it names, and nothing else.
    ///
    /// - Throws: as ``init(parsing:file:files:)``; for a file that cannot be read, one diagnostic without a position.
    public static func load(_ path: String) throws(ConfigurationErrors) -> Configuration {
        let bytes: [UInt8]
        do throws(UnreadableFile) {
            bytes = try contents(path, atMost: Document.byteLimit)
        } catch {
            throw ConfigurationErrors([Diagnostic(file: path, line: 0, column: 0, message: "cannot be read: \(error.reason)")])
        }
        if let offset = firstInvalidUTF8(bytes) {
            let source = SourceText(String(decoding: bytes[..<offset], as: UTF8.self))
            let byte = String(bytes[offset], radix: 16)
            throw ConfigurationErrors([
                Diagnostic(
                    source.position(of: .max, in: path), "the file is not UTF-8: byte 0x\(byte.count == 1 ? "0" : "")\(byte)")
            ])
        }
        return try Configuration(parsing: String(decoding: bytes, as: UTF8.self), file: path, files: named)
    }

    /// Bytes of a file that is named: a list of a million names and some.
    static let namedByteLimit = 64 << 20

    /// The bytes of a file that is named. Anything else than a regular file is refused before it is opened: a FIFO would have to be
    /// waited for, and opening a device can do something.
    static func named(_ path: String) throws(UnreadableFile) -> [UInt8] {
        var status = stat()
        guard stat(path, &status) == 0 else { throw UnreadableFile(code: errno) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw UnreadableFile(code: EISDIR)
        case S_IFIFO: throw UnreadableFile("it is a FIFO, not a regular file")
        default: throw UnreadableFile("it is not a regular file")
        }
        let bytes = try contents(path, atMost: namedByteLimit, expecting: Int(status.st_size))
        guard bytes.count <= namedByteLimit else { throw UnreadableFile("it is larger than \(namedByteLimit >> 20) MiB") }
        return bytes
    }

    /// One byte more than is allowed at most, so that the caller can refuse what is too long.
    static func contents(_ path: String, atMost limit: Int, expecting size: Int = 0) throws(UnreadableFile) -> [UInt8] {
        // Without O_NONBLOCK, opening a FIFO that nobody writes to would wait for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw UnreadableFile(code: errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(min(size, limit) + 1)
        while bytes.count <= limit {
            var count = 0
            var code: Int32 = 0
            let chunk = [UInt8](unsafeUninitializedCapacity: min(65536, limit + 1 - bytes.count)) { buffer, length in
                count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                code = errno
                length = max(count, 0)
            }
            if count == 0 { break }
            if count < 0, code == EINTR { continue }
            guard count > 0 else { throw UnreadableFile(code: code) }
            bytes += chunk
        }
        return bytes
    }
}

/// A file that could not be read, and why.
public struct UnreadableFile: Error, Sendable, Equatable {
    public var reason: String

    public init(_ reason: String) { self.reason = reason }

    /// - Parameter code: an `errno`.
    init(code: Int32) { reason = String(cString: strerror(code)) }
}

/// The offset of the first byte that begins no scalar of well-formed UTF-8.
func firstInvalidUTF8(_ bytes: [UInt8]) -> Int? {
    var decoder = Unicode.UTF8.ForwardParser()
    var iterator = bytes.makeIterator()
    var offset = 0
    while true {
        switch decoder.parseScalar(from: &iterator) {
        case .valid(let scalar): offset += scalar.count
        case .emptyInput: return nil
        case .error: return offset
        }
    }
}
