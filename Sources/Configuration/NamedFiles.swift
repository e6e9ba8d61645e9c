internal import Credentials
internal import Policy
internal import TLS
internal import TransparentSockets

/// The files that a configuration names: of domains and networks, of certificates, users and pages. A list is read once, however
/// many rules name it, and its errors are told once.
final class NamedFiles {
    /// Entries that all rules together take from files: a file of two rules counts twice, as both hold it.
    static let entryLimit = 2_097_152
    /// Files of one key.
    static let fileLimit = 64

    private typealias Contents<Value> = Result<[Value], UnreadableFile>

    private let directory: String
    let read: Configuration.FileReader
    private let collector: DiagnosticCollector
    private var domains: [String: Contents<DomainPattern>] = [:]
    private var networks: [String: Contents<IPNetwork>] = [:]
    private var taken = 0
    /// By their files.
    var pages: [String: Rejection.Page] = [:]

    /// - Parameter configuration: the file from whose directory relative paths start.
    init(besides configuration: String, _ read: @escaping Configuration.FileReader, _ collector: DiagnosticCollector) {
        directory = configuration.lastIndex(of: "/").map { String(configuration[...$0]) } ?? ""
        self.read = read
        self.collector = collector
    }

    /// The file as it is opened and as messages name it.
    func file(_ path: String) -> String { path.hasPrefix("/") ? path : directory + path }

    func domains(_ path: String) throws(Refusal) -> [DomainPattern] {
        try take(path, \.domains) { bytes throws(Refusal) in try ValueSyntax.domain(bytes) }
    }

    func networks(_ path: String) throws(Refusal) -> [IPNetwork] {
        try take(path, \.networks) { bytes throws(Refusal) in try ValueSyntax.network(String(copying: bytes)) }
    }

    /// Certificates, in PEM.
    func authorities(_ path: String) throws(Refusal) -> Authorities {
        guard !path.isEmpty else { throw Refusal("the path is empty") }
        let file = file(path)
        let bytes: [UInt8]
        do throws(UnreadableFile) {
            bytes = try read(file)
        } catch {
            throw Refusal("\(name(file)) cannot be read: \(error.reason)")
        }
        do throws(TLSError) {
            return try Authorities(pem: bytes)
        } catch {
            throw Refusal("\(name(file)): \(error)")
        }
    }

    /// Users and their hashes.
    func users(_ path: String) throws(Refusal) -> UserTable {
        guard !path.isEmpty else { throw Refusal("the path is empty") }
        let file = file(path)
        do throws(UnreadableFile) {
            return UserFile.users(in: try read(file)) { finding in
                collector.error(Diagnostic(file: file, line: finding.line, column: finding.column, message: finding.message))
            }
        } catch {
            throw Refusal("\(name(file)) cannot be read: \(error.reason)")
        }
    }

    private func take<Value>(
        _ path: String, _ known: ReferenceWritableKeyPath<NamedFiles, [String: Contents<Value>]>,
        _ parse: (borrowing Span<UInt8>) throws(Refusal) -> Value
    ) throws(Refusal) -> [Value] {
        guard !path.isEmpty else { throw Refusal("the path is empty") }
        let file = file(path)
        let contents = self[keyPath: known][file] ?? contents(of: file, parse)
        self[keyPath: known][file] = contents
        switch contents {
        case .failure(let failure): throw Refusal("\(name(file)) cannot be read: \(failure.reason)")
        case .success(let values):
            taken += values.count
            guard taken <= Self.entryLimit else {
                throw Refusal("with \(name(file)) there are more than \(Self.entryLimit) entries in list files")
            }
            return values
        }
    }

    /// Whole, unlike other text: a path's end tells more than its beginning.
    func name(_ file: String) -> String { quoted(file, atMost: 4096) }

    private func contents<Value>(of file: String, _ parse: (borrowing Span<UInt8>) throws(Refusal) -> Value) -> Contents<Value> {
        let bytes: [UInt8]
        do throws(UnreadableFile) {
            bytes = try read(file)
        } catch {
            return .failure(error)
        }
        var values: [Value] = []
        ListSyntax.forEachEntry(bytes.span) { entry, line, column in
            // One more than may be taken, so that taking them is refused.
            guard values.count <= Self.entryLimit else { return }
            do throws(Refusal) {
                try ListSyntax.check(entry)
                values.append(try parse(entry))
            } catch {
                collector.error(Diagnostic(file: file, line: line, column: column, message: error.message))
            }
        }
        return .success(values)
    }
}

/// A list file: one entry a line; blanks around it, empty lines and what follows a `#` count for nothing.
///
/// All in bytes: such files have a hundred thousand lines.
enum ListSyntax {
    /// Longer than any name in any script.
    private static let longestEntry = 4096

    /// Calls `body` with each entry, its line from 1, and its column from 1: before it there is nothing but blanks.
    static func forEachEntry(_ bytes: borrowing Span<UInt8>, _ body: (borrowing Span<UInt8>, _ line: Int, _ column: Int) -> Void) {
        var start = hasMark(bytes) ? 3 : 0
        var line = 0
        while start < bytes.count {
            line += 1
            var end = start
            var comment: Int?
            while end < bytes.count, bytes[end] != UInt8(ascii: "\n") {
                if bytes[end] == UInt8(ascii: "#"), comment == nil { comment = end }
                end += 1
            }
            var first = start
            var last = comment ?? end
            while first < last, isBlank(bytes[first]) { first += 1 }
            while first < last, isBlank(bytes[last - 1]) { last -= 1 }
            if first < last { body(bytes.extracting(first..<last), line, first - start + 1) }
            start = end + 1
        }
    }

    /// Refuses what is an entry of no list, whatever it lists.
    static func check(_ entry: borrowing Span<UInt8>) throws(Refusal) {
        guard entry.count <= longestEntry else { throw Refusal("a line of \(entry.count) bytes is no entry") }
        var isASCII = true
        for index in entry.indices {
            if isBlank(entry[index]) || entry[index] == UInt8(ascii: ",") {
                throw Refusal("\(quoted(String(copying: entry))): one entry a line")
            }
            if entry[index] >= 0x80 { isASCII = false }
        }
        if !isASCII {
            let bytes = entry.withUnsafeBufferPointer { Array($0) }
            if let offset = firstInvalidUTF8(bytes) {
                throw Refusal("the line is not UTF-8: byte 0x\(String(bytes[offset], radix: 16))")
            }
        }
    }

    private static func hasMark(_ bytes: borrowing Span<UInt8>) -> Bool {
        bytes.count >= 3 && bytes[0] == 0xEF && bytes[1] == 0xBB && bytes[2] == 0xBF
    }

    /// A carriage return is one: it stands before the line feed in files from Windows.
    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
    }
}

extension String {
    init(copying bytes: borrowing Span<UInt8>) {
        self = bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }
}
