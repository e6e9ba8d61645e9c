import Configuration
import Glibc
import Testing

@Suite struct LoadingTests {
    /// Runs `body` on the path of a file that exists for as long.
    private func withFile<Result>(_ bytes: [UInt8], _ body: (String) throws -> Result) throws -> Result {
        var template = Array("/tmp/clearway-configuration-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        try #require(descriptor >= 0)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer {
            close(descriptor)
            unlink(path)
        }
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            try #require(count > 0)
            written += count
        }
        return try body(path)
    }

    private func failure(_ path: String) -> String? {
        do {
            _ = try Configuration.load(path)
            return nil
        } catch {
            return error.description.replacing(path, with: "F")
        }
    }

    @Test func aFileIsReadWhole() throws {
        let padding = "# \(String(repeating: "x", count: 300_000))\n"
        try withFile(Array((padding + fullSample).utf8)) { path in
            let configuration = try Configuration.load(path)
            #expect(try configuration == Configuration(parsing: fullSample, file: "t.toml"))
            #expect(configuration.positions.listener(0).file == path)
            #expect(configuration.positions.listener(0).line == 27)
        }
    }

    @Test func theLargestFileIsFourMebibytes() throws {
        try withFile([UInt8](repeating: UInt8(ascii: "\n"), count: 4 << 20)) { #expect(failure($0) == nil) }
        try withFile([UInt8](repeating: UInt8(ascii: "\n"), count: 4 << 20 + 1)) {
            #expect(failure($0) == "F:1:1: error: the file is larger than 4 MiB")
        }
        try withFile([UInt8](repeating: UInt8(ascii: "#"), count: 10 << 20)) {
            #expect(failure($0) == "F:1:1: error: the file is larger than 4 MiB")
        }
    }

    @Test func whatCannotBeReadSaysWhy() {
        #expect(failure("/nonexistent/clearway.toml") == "F: error: cannot be read: No such file or directory")
        #expect(failure("/tmp") == "F: error: cannot be read: Is a directory")
    }

    private static let noText: [(bytes: [UInt8], finding: String)] = [
        ([0xFF], "1:1: error: the file is not UTF-8: byte 0xff"),
        ([0x23, 0xC3, 0xA9, 0x0A, 0x23, 0x20, 0xC3], "2:3: error: the file is not UTF-8: byte 0xc3"),
        ([0x23, 0x20, 0xC3, 0xA9, 0xE9, 0x0A], "1:4: error: the file is not UTF-8: byte 0xe9"),
        ([0xC0, 0x80], "1:1: error: the file is not UTF-8: byte 0xc0"),
        ([0x61, 0xED, 0xA0, 0x80], "1:2: error: the file is not UTF-8: byte 0xed"),
        ([0xEF, 0xBB, 0xBF, 0x80], "1:1: error: the file is not UTF-8: byte 0x80"),
        ([0x23, 0x0A, 0x00], "2:1: error: the file contains a NUL byte"),
    ]

    @Test(arguments: noText)
    func bytesThatAreNoText(bytes: [UInt8], finding: String) throws {
        try withFile(bytes) { #expect(failure($0) == "F:\(finding)") }
    }
}
