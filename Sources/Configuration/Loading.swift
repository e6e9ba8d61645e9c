internal import Glibc

extension Configuration {
    /// Reads a file and nothing else.
    ///
    /// - Throws: as ``init(parsing:file:)``; for a file that cannot be read, one diagnostic without a position.
    public static func load(_ path: String) throws(ConfigurationErrors) -> Configuration {
        let bytes: [UInt8]
        switch contents(path) {
        case .success(let read): bytes = read
        case .failure(let code):
            let reason = String(cString: strerror(code))
            throw ConfigurationErrors([Diagnostic(file: path, line: 0, column: 0, message: "cannot be read: \(reason)")])
        }
        if let offset = firstInvalidUTF8(bytes) {
            let source = SourceText(String(decoding: bytes[..<offset], as: UTF8.self))
            let byte = String(bytes[offset], radix: 16)
            throw ConfigurationErrors([
                Diagnostic(
                    source.position(of: .max, in: path), "the file is not UTF-8: byte 0x\(byte.count == 1 ? "0" : "")\(byte)")
            ])
        }
        return try Configuration(parsing: String(decoding: bytes, as: UTF8.self), file: path)
    }

    private enum Contents {
        case success([UInt8])
        /// An `errno`.
        case failure(Int32)
    }

    /// One byte more than is allowed at most, so that the parser refuses what is too long.
    private static func contents(_ path: String) -> Contents {
        // Without O_NONBLOCK, opening a FIFO that nobody writes to would wait for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return .failure(errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while bytes.count <= Document.byteLimit {
            var count = 0
            var code: Int32 = 0
            let chunk = [UInt8](unsafeUninitializedCapacity: min(65536, Document.byteLimit + 1 - bytes.count)) { buffer, length in
                count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                code = errno
                length = max(count, 0)
            }
            if count == 0 { break }
            if count < 0, code == EINTR { continue }
            guard count > 0 else { return .failure(code) }
            bytes += chunk
        }
        return .success(bytes)
    }
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
