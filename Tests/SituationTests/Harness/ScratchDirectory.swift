import Foundation

/// A directory of one situation: configuration, logs, keys and the output of its programs.
struct ScratchDirectory {
    let path: String

    init() throws {
        var template = Array((NSTemporaryDirectory() + "/clearway-situation-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw SituationError("cannot make a temporary directory: errno \(errno)") }
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    /// A file's path in it.
    func file(_ name: String) -> String {
        "\(path)/\(name)"
    }

    @discardableResult
    func write(_ text: String, to name: String, mode: mode_t = 0o600) throws -> String {
        if mode & 0o111 == 0 {
            try text.write(toFile: file(name), atomically: true, encoding: .utf8)
        } else {
            // A program that another test starts meanwhile would have it open for writing, for as long as it lives, and nobody could run it.
            try text.write(toFile: file(name) + ".text", atomically: true, encoding: .utf8)
            let copy = try Process.run(URL(fileURLWithPath: "/bin/cp"), arguments: [file(name) + ".text", file(name)])
            copy.waitUntilExit()
        }
        chmod(file(name), mode)
        return file(name)
    }

    func remove() {
        try? FileManager.default.removeItem(atPath: path)
    }
}
