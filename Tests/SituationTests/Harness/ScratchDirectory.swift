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
        try text.write(toFile: file(name), atomically: true, encoding: .utf8)
        chmod(file(name), mode)
        return file(name)
    }

    func remove() {
        try? FileManager.default.removeItem(atPath: path)
    }
}
