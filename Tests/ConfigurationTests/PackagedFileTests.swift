import Configuration
import Glibc
import Testing

/// A file of the repository.
private func text(of path: String) -> String {
    let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
    let stream = fopen("\(root)/\(path)", "r")!
    defer { fclose(stream) }
    var bytes: [UInt8] = []
    while case let byte = fgetc(stream), byte != EOF { bytes.append(UInt8(byte)) }
    return String(decoding: bytes, as: UTF8.self)
}

/// `Packaging/clearway.toml`, which is installed as what shows every key.
let packagedText = text(of: "Packaging/clearway.toml")

@Suite struct PackagedFileTests {
    /// Its examples taken in: what begins with # and no space.
    private let whole = packagedText.split(separator: "\n", omittingEmptySubsequences: false)
        .map { $0.hasPrefix("#") && !$0.hasPrefix("# ") ? $0.dropFirst() : $0 }.joined(separator: "\n")

    @Test func itsExamplesAreGood() throws {
        let configuration = try Configuration(parsing: whole, file: "t.toml") { _ in [] }
        #expect(configuration.listeners.count == 4 && configuration.upstreams.count == 3 && configuration.rules.count == 3)
        var bare = configuration
        (bare.upstreams, bare.rules, bare.icap) = ([], [], [])
        bare.listeners.removeLast(3)
        #expect(bare == Configuration.embeddedDefault)
    }

    /// By their tables: what clearway.toml(5) describes is in the file, and nothing else is.
    @Test func itShowsEveryKeyOfTheManual() {
        var described: [String: Set<String>] = [:]
        var table = ""
        for line in text(of: "docs/clearway.toml.5").split(separator: "\n") {
            let words = line.split(separator: " ")
            switch words[0] {
            case ".Ss" where line == ".Ss Serving clients" || line == ".Ss \\&In front of servers": table = "[[listener]]"
            case ".Ss" where line == ".Ss Exits": table = "[[upstream]]"
            case ".Ss": table = words.count > 2 && words[1].hasPrefix("Table") ? String(words[2]) : ""
            case ".It" where words.count > 2 && words[1] == "Ic": described[table, default: []].insert(String(words[2]))
            default: break
            }
        }
        var shown: [String: Set<String>] = [:]
        table = ""
        for line in whole.split(separator: "\n") where !line.hasPrefix("#") {
            let word = String(line.prefix { $0 != " " })
            if word.hasPrefix("[") { table = word } else { shown[table, default: []].insert(word) }
        }
        #expect(shown == described)
        #expect(shown.values.allSatisfy { !$0.isEmpty } && shown.count == 9)
    }
}
