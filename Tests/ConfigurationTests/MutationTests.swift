import TestSupport
import Testing

@testable import Configuration

@Suite struct MutationTests {
    private static let tokens = [
        "[", "]", "[[", "]]", "{", "}", "\"", "'", "\"\"\"", "'''", "=", ".", ",", "#", "\n", "\r\n", "\r", "\\", "\\u0000",
        "\\U0010FFFF", "\u{0}",
        "\u{FEFF}", "é", "日", "0", "-1", "65536", "99999999999999999999", "0x", "1979-05-27", "true", "inf", "nan", "1e400",
        "[[listener]]\n",
        "[listener]\n", "listener", "*", "::/0", "/33", " ", "\t", "a.b.c.", "\u{7F}", "\u{1}",
    ].map { Array($0.utf8) }

    @Test(arguments: 0..<20)
    func whateverIsWrittenIsAConfigurationOrErrorsInsideTheFile(batch: Int) {
        var random = SplitMix(UInt64(batch))
        let sample = Array(fullSample.utf8)
        for _ in 0..<1000 {
            var bytes = sample
            for _ in 0..<Int.random(in: 1...4, using: &random) { mutate(&bytes, &random) }
            let text = String(decoding: bytes, as: UTF8.self)
            do {
                let configuration = try Configuration(parsing: text, file: "t.toml")
                #expect(!configuration.listeners.isEmpty)
            } catch {
                #expect((1...ConfigurationErrors.reportLimit).contains(error.diagnostics.count))
                let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
                for diagnostic in error.diagnostics {
                    let inside =
                        (1...lines.count).contains(diagnostic.line)
                        && (1...lines[diagnostic.line - 1].count + 1).contains(diagnostic.column)
                    #expect(inside, "\(diagnostic)\n\(text)")
                }
            }
        }
    }

    /// The parser asserts much about what it is called with; nothing that starts like a value may reach such an assertion.
    @Test(arguments: [
        Array("0123456789+-_.:eExobTZ ".utf8), Array("truefalsinf+-0x_. ".utf8), Array("\"'\\ubnx0a\n{}[],=# ".utf8),
        Array("[]{}=.,#\"' \n\ta1é".utf8),
    ])
    func noValueOrKeyIsAskedTooMuch(alphabet: [UInt8]) {
        var random = SplitMix(UInt64(alphabet.count))
        for _ in 0..<5000 {
            let noise = (0..<Int.random(in: 1...12, using: &random)).map { _ in alphabet.randomElement(using: &random)! }
            let text = String(decoding: Array((Bool.random(using: &random) ? "x = " : "").utf8) + noise, as: UTF8.self)
            #expect(findings(text).allSatisfy { !$0.hasPrefix("0:") })
        }
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout SplitMix) {
        let at = Int.random(in: 0...bytes.count, using: &random)
        let end = min(bytes.count, at + Int.random(in: 0...20, using: &random))
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes.removeSubrange(at..<end)
        case 1: bytes.insert(contentsOf: Self.tokens.randomElement(using: &random)!, at: at)
        case 2: bytes.replaceSubrange(at..<end, with: Self.tokens.randomElement(using: &random)!)
        case 3: bytes.insert(contentsOf: bytes[at..<end], at: Int.random(in: 0...bytes.count, using: &random))
        case 4 where at < bytes.count: bytes[at] = UInt8.random(in: 0...255, using: &random)
        default: if Int.random(in: 0..<8, using: &random) == 0 { bytes.removeSubrange(at...) }
        }
    }
}
