import Foundation
import FuzzTargets
import TestSupport
import Testing

/// What fuzzing has found to be different from everything before, and some ten thousand changes of it.
@Suite struct CorpusTests {
    static let corpus = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(
        path: "Fuzz/Corpus")

    /// One entry a line, in hexadecimal.
    private static func entries(_ target: FuzzTarget) throws -> [[UInt8]] {
        let text = try String(contentsOf: corpus.appending(path: "\(target.name).hex"), encoding: .utf8)
        return try text.split(separator: "\n").map { line in
            let digits = try line.utf8.map { digit in try #require(Character(UnicodeScalar(digit)).hexDigitValue) }
            return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
        }
    }

    @Test(arguments: FuzzTarget.all.map(\.name))
    func nothingInTheCorpusBreaksIt(name: String) throws {
        let target = FuzzTarget.all.first { $0.name == name }!
        let entries = try Self.entries(target)
        #expect(entries.count >= 10, "the corpus of \(name) is not there")
        for entry in entries { #expect(target.check(entry) == nil, "\(entry)") }
    }

    @Test(arguments: FuzzTarget.all.map(\.name))
    func norDoChangesOfIt(name: String) throws {
        let target = FuzzTarget.all.first { $0.name == name }!
        let entries = try Self.entries(target)
        var random = SplitMix(7)
        for round in 0..<20_000 {
            var bytes = entries[round % entries.count]
            random.mutate(&bytes)
            let fault = target.check(bytes)
            #expect(fault == nil, "\(bytes)")
            if fault != nil { return }
        }
    }
}
